package config

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/shared/ecrhost"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/registryhost"
	"github.com/secretref/secretref/shared/secretref"
)

// loader merges the files into cfg, one after the other.
type loader struct {
	cfg   *Config
	given map[string]given             // by id of the key or table: who gave it last
	rules map[registryhost.Pattern]int // index in cfg.Registries
}

type given struct {
	Origin
	layer layer
	path  []string
}

// file applies one file.
func (l *loader) file(s source) *Error {
	items, err := parse(s.path, s.data)
	if err != nil {
		return err
	}
	accounts, buckets, rules := newTables(), newTables(), newTables()
	dests := destinations{byName: map[string]*destination{}}
	for _, it := range items {
		switch name := it.path[0]; {
		case name == "accounts":
			err = l.entry(s, it, accounts, accountKeys)
		case name == "buckets":
			err = l.entry(s, it, buckets, bucketKeys)
		case name == "registries":
			err = l.entry(s, it, rules, registryKeys)
		case name == "logs" && len(it.path) > 1 && it.path[1] == "destinations":
			err = dests.add(s, it)
		case slices.Contains(tableNames(), name):
			err = l.plain(s, it)
		default:
			err = l.top(s, it)
		}
		if err != nil {
			return err
		}
	}
	for _, t := range accounts.list {
		if err := l.account(s, t); err != nil {
			return err
		}
	}
	for _, t := range buckets.list {
		if err := l.bucket(s, t); err != nil {
			return err
		}
	}
	for _, d := range dests.list {
		if err := l.destination(s, d); err != nil {
			return err
		}
	}
	for _, t := range rules.list {
		if err := l.rule(s, t); err != nil {
			return err
		}
	}
	return nil
}

// top applies a key outside of tables.
func (l *loader) top(s source, it item) *Error {
	keys := topKeys(l.cfg)
	k, ok := find(keys, it.path[0])
	if !ok {
		known := append(names(keys), tableNames()...)
		return unknown(Origin{s.path, it.line}, it, 0, known)
	}
	return l.set(s, it, 0, k)
}

// plain applies a key of a table that there is once.
func (l *loader) plain(s source, it item) *Error {
	if len(it.path) == 1 {
		return wantTable(s, it)
	}
	keys := tableKeys(l.cfg, it.path[0])
	k, ok := find(keys, it.path[1])
	if !ok {
		known := names(keys)
		if it.path[0] == "logs" {
			known = append(known, "destinations")
		}
		return unknown(Origin{s.path, it.line}, it, 1, known)
	}
	if it.path[1] == "role_arn" {
		l.dropExternalID(s, it.path[0])
	}
	return l.set(s, it, 1, k)
}

// dropExternalID forgets what another layer gives as external_id of [aws] or [ecr]: it belongs to that layer's role, and
// s is about to name another.
func (l *loader) dropExternalID(s source, name string) {
	path := id([]string{name, "external_id"})
	g, ok := l.given[path]
	if !ok || g.layer == s.layer {
		return
	}
	delete(l.given, path)
	if name == "aws" {
		l.cfg.AWS.ExternalID = ""
	} else {
		l.cfg.ECR.ExternalID = ""
	}
}

// set applies it, whose key is path[depth], unless another file of the same layer has given it.
func (l *loader) set(s source, it item, depth int, k key) *Error {
	at := Origin{s.path, it.line}
	if err := apply(at, it, depth, k); err != nil {
		return err
	}
	return l.claim(at, s, id(it.path), it.path)
}

// claim notes that at gives what is kept under key, and is written as path. A later layer may give again what an earlier
// one has.
func (l *loader) claim(at Origin, s source, key string, path []string) *Error {
	if g, ok := l.given[key]; ok && g.layer == s.layer {
		if slices.Equal(g.path, path) {
			return fail(at, "keep one", "%s is already given in %s", join(path), g.Origin)
		}
		return fail(at, "keep one", "%s and %s (%s) are the same registry", join(path), join(g.path), g.Origin)
	}
	l.given[key] = given{at, s.layer, path}
	return nil
}

// table is one [accounts."…"], [buckets."…"] or [registries."…"] of one file.
type table struct {
	name  string
	line  int
	lines map[string]int // of the keys that it has
	reg   Registry       // an account uses the role alone, a bucket the region too
	keys  []key          // they set reg
}

type tables struct {
	list   []*table
	byName map[string]*table
}

func newTables() *tables { return &tables{byName: map[string]*table{}} }

// entry applies a key of a table in a collection: path is collection, name, key.
func (l *loader) entry(s source, it item, ts *tables, keysOf func(*Registry) []key) *Error {
	at := Origin{s.path, it.line}
	if len(it.path) == 1 {
		return wantTable(s, it)
	}
	t := ts.byName[it.path[1]]
	if t == nil {
		t = &table{name: it.path[1], line: it.line, lines: map[string]int{}}
		t.keys = keysOf(&t.reg)
		ts.byName[t.name] = t
		ts.list = append(ts.list, t)
	}
	if len(it.path) == 2 {
		if !it.value.isTable() {
			return fail(at, "write ["+join(it.path)+"] and its keys below it", "%s is %s, not a table", join(it.path), it.value.typeName())
		}
		return nil
	}
	if host, split := unquoted(it, t.keys); split {
		return fail(at, `put it in quotes: [`+it.path[0]+`."`+host+`"]`, "%s: a %s with dots is not one name in TOML", strings.Join(it.path, "."), map[string]string{"registries": "host", "buckets": "bucket"}[it.path[0]])
	}
	k, ok := find(t.keys, it.path[2])
	if !ok {
		return unknown(at, it, 2, names(t.keys))
	}
	t.lines[k.name] = it.line
	return apply(at, it, 2, k)
}

// unquoted recognises a host or bucket without quotes, which TOML has split at its dots: what stands there is too deep, or is a
// table where a key belongs.
func unquoted(it item, keys []key) (host string, split bool) {
	path := it.path
	_, known := find(keys, path[len(path)-1])
	switch {
	case path[0] == "accounts" || len(path) == 3 && (known || !it.value.isTable()):
		return "", false
	case known && !it.value.isTable():
		path = path[:len(path)-1]
	}
	return strings.Join(path[1:], "."), true
}

func (l *loader) account(s source, t *table) *Error {
	at := Origin{s.path, t.line}
	path := []string{"accounts", t.name}
	r := t.reg
	switch {
	case !secretref.IsAccount(t.name):
		return fail(at, `write [accounts."111122223333"]`, "%s: an account is twelve digits", join(path))
	case r.RoleARN == "":
		return fail(at, "add role_arn", "%s has no role_arn, so it changes nothing", join(path))
	}
	if err := l.claim(at, s, id(path), path); err != nil {
		return err
	}
	// A role and its external id belong together: the user's table replaces the system's as a whole.
	l.cfg.Accounts[t.name] = Role{r.RoleARN, r.ExternalID}
	return nil
}

func (l *loader) bucket(s source, t *table) *Error {
	at := Origin{s.path, t.line}
	path := []string{"buckets", t.name}
	r := t.reg
	switch {
	case !secretref.IsBucket(t.name):
		return fail(at, `write [buckets."NAME"], with the name alone`, "%s: this is not the name of a bucket", join(path))
	case r.ExternalID != "" && r.RoleARN == "":
		return fail(Origin{s.path, t.lines["external_id"]}, "add role_arn", "%s has external_id without role_arn", join(path))
	case r.RoleARN == "" && r.Region == "":
		return fail(at, "add role_arn or region", "%s has neither role_arn nor region, so it changes nothing", join(path))
	}
	if err := l.claim(at, s, id(path), path); err != nil {
		return err
	}
	l.cfg.Buckets[t.name] = Bucket{Role{r.RoleARN, r.ExternalID}, r.Region}
	return nil
}

func (l *loader) rule(s source, t *table) *Error {
	at := Origin{s.path, t.line}
	path := []string{"registries", t.name}
	p, err := registryhost.ParsePattern(t.name)
	if err != nil {
		return fail(at, "", "%s: %v", join(path), err)
	}
	r := t.reg
	r.Pattern, r.Origin = p, at
	if err := checkRule(s.path, t, r); err != nil {
		return err
	}
	if err := l.claim(at, s, "registries\x00"+p.String(), path); err != nil {
		return err
	}
	if i, ok := l.rules[p]; ok {
		l.cfg.Registries[i] = r
		return nil
	}
	l.rules[p] = len(l.cfg.Registries)
	l.cfg.Registries = append(l.cfg.Registries, r)
	return nil
}

// checkRule looks at the keys of one rule together.
func checkRule(file string, t *table, r Registry) *Error {
	name := join([]string{"registries", t.name})
	at := func(key string) Origin { return Origin{file, t.lines[key]} }
	var answers []string
	for _, k := range []string{"credentialsParameter", "helper", "ecr"} {
		if t.lines[k] != 0 && (k != "ecr" || r.ECR) {
			answers = append(answers, k)
		}
	}
	switch len(answers) {
	case 0:
		return fail(r.Origin, "give exactly one of them", "%s has no credentialsParameter, no helper and no ecr = true", name)
	case 1:
	default:
		return fail(at(answers[1]), "keep exactly one", "%s has %s, which exclude each other", name, strings.Join(answers, " and "))
	}
	if r.CredentialsParameter.IsZero() && t.lines["username"] != 0 {
		return fail(at("username"), "remove it", "%s has username, which goes with credentialsParameter only, and %s", name, answers[0])
	}
	if t.lines["external_id"] != 0 && r.RoleARN == "" {
		return fail(at("external_id"), "add role_arn", "%s has external_id without role_arn", name)
	}
	switch {
	case answers[0] == "credentialsParameter" && r.Pattern.TooBroad():
		return fail(at("credentialsParameter"), "name the registry, or a domain that is yours, as in registry.example.com or *.example.com",
			"%s has a credentialsParameter, and would send the password to hosts of other owners", name)
	case r.Helper != "":
		for _, k := range []string{"region", "role_arn"} {
			if t.lines[k] != 0 {
				return fail(at(k), "remove it", "%s has %s, which another helper does not use", name, k)
			}
		}
	case r.ECR && t.lines["region"] != 0:
		return fail(at("region"), "remove it", "%s has region, but the region of an ECR registry is in its host", name)
	case r.ECR && !ecrhost.Resembles(r.Pattern.Host()):
		return fail(at("ecr"), "use credentialsParameter", "%s has ecr = true, but is not a host of ECR or ECR Public", name)
	}
	return nil
}

// finish checks what files and variables may give together.
func (l *loader) finish() *Error {
	for _, table := range []struct{ name, role, externalID string }{
		{"aws", l.cfg.AWS.RoleARN, l.cfg.AWS.ExternalID},
		{"ecr", l.cfg.ECR.RoleARN, l.cfg.ECR.ExternalID},
	} {
		if table.externalID != "" && table.role == "" {
			at := l.given[id([]string{table.name, "external_id"})].Origin
			return fail(at, "add role_arn", "[%s] has external_id without role_arn", table.name)
		}
	}
	if name := l.cfg.Logs.DefaultDestination; name != "" && l.cfg.Logs.Destinations[name] == nil {
		fix := "add [logs.destinations." + quoteKey(name) + "]"
		if near := Nearest(name, slices.Sorted(maps.Keys(l.cfg.Logs.Destinations))); near != "" {
			fix = "did you mean " + near + "?"
		}
		at := l.given[id([]string{"logs", "default_destination"})].Origin
		return fail(at, fix, "logs.default_destination is %q, and there is no such destination", name)
	}
	return nil
}

// apply gives it to k, the key at path[depth].
func apply(at Origin, it item, depth int, k key) *Error {
	path := it.path[:depth+1]
	if it.value.isTable() || len(it.path) > depth+1 {
		return fail(at, "write "+k.name+" = "+k.example, "%s is a table, not a value", join(path))
	}
	err := k.set(it.value)
	if err == nil {
		return nil
	}
	var fe *fault.Error
	if errors.As(err, &fe) {
		return fail(at, fe.Hint, "%s: %s", join(path), fe.Cause)
	}
	return fail(at, "write "+k.name+" = "+k.example, "%s %v", join(path), err)
}

func wantTable(s source, it item) *Error {
	if it.value.isTable() {
		return nil
	}
	return fail(Origin{s.path, it.line}, "write ["+it.path[0]+"] and its keys below it",
		"%s is %s, not a table", join(it.path), it.value.typeName())
}

// unknown says that the name at path[depth] is not one of the known, and which it may have been.
func unknown(at Origin, it item, depth int, known []string) *Error {
	what := "unknown key "
	if it.value.isTable() {
		what = "unknown table "
	}
	name := it.path[depth]
	what += quoteKey(name)
	if depth > 0 {
		what += " in [" + join(it.path[:depth]) + "]"
	}
	fix := "known are " + strings.Join(known, ", ")
	if near := Nearest(name, known); strings.EqualFold(near, name) {
		fix = "write " + near + ", since case matters"
	} else if near != "" {
		fix = "did you mean " + near + "?"
	}
	return fail(at, fix, "%s", what)
}

// Letters returns a name as people remember it: in small letters, without hyphens, blanks and quotes.
func Letters(name string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("-_ \t\r\n\"'`", c) {
			return -1
		}
		return c
	}, strings.ToLower(name))
}

// Nearest returns the known name that name may be a slip for, "" when none is near.
func Nearest(name string, known []string) string {
	best, limit := "", max(2, (len(name)+1)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < limit {
			best, limit = k, d
		}
	}
	return best
}

// distance is how many letters must be added, removed or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
