package firelens

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/config"
)

// entry is one option as it was given. Fluent Bit reads lines of KEY VALUE and ends the key at the first blank, so that a key with
// blanks, as in "Header Authorization Bearer", is the beginning of a value.
type entry struct {
	key    string // as it was written
	name   string // in small letters, up to a blank
	before string // what followed the blank
	value  string // or the reference, when it is a secret
	secret bool
}

// whole is the value as Fluent Bit would see it.
func (e entry) whole() string {
	if e.before != "" {
		return e.before + " " + e.value
	}
	return e.value
}

// translation is one call of Translate.
type translation struct {
	outputName string
	out        output
	entries    []entry
	docker     map[string]string // options with Docker's meaning, unless the output knows them
	plain      map[string]string // what it gives
	refs       map[string]string
	settings   []router.Pair // of PREFIX-fluent-bit
	notes      []string
	tls        bool
	err        error
}

func (t *translation) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf(format, args...)
	}
}

func (t *translation) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// Bounds of what is read: no configuration of an output comes near.
const (
	maxOptions = 200
	maxValue   = 16 << 10
)

// read takes the options apart and finds Name.
func read(given router.Foreign) (*translation, error) {
	if len(given.Plain)+len(given.References) > maxOptions {
		return nil, fmt.Errorf("there are more than %d options", maxOptions)
	}
	t := &translation{docker: map[string]string{}, plain: map[string]string{}, refs: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(given.Plain)) {
		value := given.Plain[key]
		switch {
		case len(value) > maxValue || strings.ContainsAny(key+value, "\n\r\x00"):
			return nil, fmt.Errorf("the value of %q is too long or has a line break, which Fluent Bit's configuration cannot have", key)
		case slices.Contains(given.Docker, key):
			t.docker[key] = value
		case strings.TrimSpace(value) != "": // an empty value takes back what daemon.json gives
			t.entries = append(t.entries, entryOf(key, strings.TrimSpace(value), false))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(given.References)) {
		t.entries = append(t.entries, entryOf(key, given.References[key], true))
	}
	names := slices.DeleteFunc(slices.Clone(t.entries), func(e entry) bool { return e.name != "name" })
	switch {
	case len(names) == 0:
		return nil, errNoName
	case names[0].secret:
		return nil, errors.New("the option Name is not a secret; write it into the options")
	case len(names) > 1 && !strings.EqualFold(names[0].whole(), names[1].whole()):
		return nil, fmt.Errorf("%s and %s name two outputs; keep one", names[0].key, names[1].key)
	}
	t.outputName = names[0].whole()
	t.entries = slices.DeleteFunc(t.entries, func(e entry) bool { return e.name == "name" })
	return t, nil
}

func entryOf(key, value string, isSecret bool) entry {
	name, before, _ := strings.Cut(strings.TrimSpace(key), " ")
	return entry{key: key, name: strings.ToLower(name), before: strings.TrimSpace(before), value: value, secret: isSecret}
}

// sort tells the output's options from Docker's, refuses those that nobody knows, and of one that is given twice keeps one.
func (t *translation) sort() {
	for _, key := range slices.Sorted(maps.Keys(t.docker)) {
		value := t.docker[key]
		if o := t.out.option(key); o != nil && o.form != ignored && !isDockers(key, value) && !t.has(key) {
			t.entries = append(t.entries, entryOf(key, strings.TrimSpace(value), false))
		} else {
			t.plain[key] = value
		}
	}
	for _, e := range t.entries {
		if _, agents := agentOptions[e.name]; !agents && t.out.option(e.name) == nil {
			t.unknown(e)
			return
		}
	}
	var kept []entry
	for _, e := range t.entries {
		o := t.out.option(e.name)
		i := slices.IndexFunc(kept, func(k entry) bool { return k.name == e.name && (o == nil || !o.repeats) })
		switch {
		case i < 0:
			kept = append(kept, e)
		case e.secret && !kept[i].secret:
			t.note("%s is in options and in secretOptions; the secret is used, as on ECS", e.key)
			kept[i] = e
		case e.secret || kept[i].secret || kept[i].whole() != e.whole():
			t.fail("%s and %s are one option with two values; keep one", kept[i].key, e.key)
			return
		}
	}
	t.entries = kept
	t.hostRegion()
}

// isDockers reports whether the value of an option that an output knows too is one that it can only have for Docker, whose daemon may
// have added it from daemon.json.
func isDockers(key, value string) bool {
	switch key {
	case "compress":
		return value == "true" || value == "false" || value == ""
	case "mode":
		return value == "blocking" || value == "non-blocking" || value == ""
	case "labels":
		return !strings.ContainsAny(value, "=$")
	}
	return value == ""
}

func (t *translation) unknown(e entry) {
	if hint := meant[e.name]; hint != "" {
		t.fail("%s is not an option of this output; %s", e.key, hint)
		return
	}
	known := t.out.known()
	near := config.Nearest(e.name, known)
	if near == "" {
		for _, k := range known {
			if config.Letters(k) == config.Letters(e.name) {
				near = k
			}
		}
	}
	if near != "" {
		t.fail("%s is not an option of this output; did you mean %s?", e.key, near)
		return
	}
	t.fail("%s is not an option of this output, and Fluent Bit does not start with it; remove it", e.key)
}

// meant says what people mean with names that no output has.
var meant = map[string]string{
	"dd_api_key": "the key is apikey",
	"dd_env":     "write it into dd_tags, as env:NAME",
	"dd_version": "write it into dd_tags, as version:NUMBER",
	"dd_site":    "write Host, as http-intake.logs.SITE",
	"dd_host":    "write Host, as http-intake.logs.SITE",
	"url":        "write Host, Port and URI",
}

// has reports whether an option is given.
func (t *translation) has(name string) bool { return t.find(name) != nil }

func (t *translation) find(name string) *entry {
	for i := range t.entries {
		if t.entries[i].name == name {
			return &t.entries[i]
		}
	}
	return nil
}

// all returns the entries of an option that may stand several times.
func (t *translation) all(name string) (list []entry) {
	for _, e := range t.entries {
		if e.name == name {
			list = append(list, e)
		}
	}
	return list
}

// isSecret reports whether an option is given as a reference.
func (t *translation) isSecret(name string) bool {
	e := t.find(name)
	return e != nil && e.secret
}

// text returns the value of an option that must be written out, or def.
func (t *translation) text(name, def string) string { return t.expanded(name, def, false) }

// expanded is text, as a template where asTemplate says so: see expand.
func (t *translation) expanded(name, def string, asTemplate bool) string {
	e := t.find(name)
	switch {
	case e == nil:
		return def
	case e.secret:
		t.fail("%s cannot be in secretOptions here; write it into options", e.key)
		return def
	}
	return t.expand(*e, asTemplate)
}

// is returns a switch. Fluent Bit takes any other word for off, in silence.
func (t *translation) is(name string, def bool) bool {
	word := t.text(name, "")
	if word == "" {
		return def
	}
	on, ok := toggles[strings.ToLower(word)]
	if !ok {
		t.fail("%s is %q, which Fluent Bit takes for off; write on or off", t.find(name).key, word)
	}
	return on
}

var toggles = map[string]bool{"on": true, "true": true, "yes": true, "1": true, "off": false, "false": false, "no": false, "0": false}

// oneOf returns a word in small letters; the first is the default.
func (t *translation) oneOf(name string, words ...string) string {
	word := strings.ToLower(t.text(name, words[0]))
	if !slices.Contains(words, word) {
		t.fail("%s is %q; write one of %s", t.find(name).key, word, strings.Join(words, ", "))
		return words[0]
	}
	return word
}

// set gives an option of the router a text.
func (t *translation) set(name, value string) {
	if value != "" {
		t.plain[name] = value
	}
}

// carry gives the value of an entry, or its reference, to an option of the router.
func (t *translation) carry(e entry, to string, asTemplate bool) {
	switch {
	case e.secret && e.before != "":
		t.fail("%s names a secret and has a part of its value in its own name; store the whole value in the secret, and write the name without it", e.key)
	case e.secret:
		t.refs[to] = e.value
	default:
		t.set(to, t.expand(e, asTemplate))
	}
}

// setting gives a setting to PREFIX-fluent-bit, whose values are templates.
func (t *translation) setting(name, value string) {
	if value != "" {
		t.settings = append(t.settings, router.Pair{Name: name, Value: value})
	}
}

// move carries all options that have another name here and nothing else.
func (t *translation) move() {
	for _, e := range t.entries {
		o := t.out.option(e.name)
		switch {
		case o == nil:
		case o.form == refused:
			t.fail("%s is not supported here: %s", e.key, o.why)
		case o.form == refusedOn:
			if t.is(o.name, false) {
				t.fail("%s is not supported here: %s", e.key, o.why)
			}
		case o.setting && e.secret:
			t.fail("%s cannot be in secretOptions here; write it into options", e.key)
		case o.setting && o.form == toggle:
			t.setting(o.name, fmt.Sprint(t.is(o.name, false)))
		case o.setting:
			t.setting(o.name, t.expand(e, true))
		case o.to == "":
		case o.form == toggle:
			t.set(o.to, fmt.Sprint(t.is(o.name, false)))
		default:
			t.carry(e, o.to, o.form == template)
		}
	}
}
