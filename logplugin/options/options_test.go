package options

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/fault"

	"github.com/secretref/secretref/logplugin/router"
)

const (
	canary = "Zq7-canary-4f81" // stands for a secret in a place where none belongs
	arn    = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf"
	id     = "e9e312e154ae588d25d5e3f30fd94fdf64277f6fac0236d28e0d75daf28ad8c8"
)

func rules() *Rules {
	return &Rules{
		Hostname: "wirehost",
		Kinds: []router.Kind{
			router.AddressForm{
				Option: "splunk-url", Ports: map[string]string{"https": "443", "http": "80"}, Example: "https://HOST:8088",
			}.Kind(router.Kind{
				Name: "splunk",
				Options: []router.Option{
					{Name: "splunk-url", Required: true, Address: true}, {Name: "splunk-token", Required: true, Credential: true},
					{Name: "splunk-capath"}, {Name: "splunk-gzip"}, {Name: "splunk-index", Session: true, Apart: true},
					{Name: "splunk-source", Session: true, Template: true}, {Name: "splunk-format", Session: true},
					{Name: "splunk-header", Family: true, Credential: true},
					{Name: "splunk-labels", Session: true, Template: true, Pairs: true},
				},
				EmptyTag: true, Refused: map[string]string{"splunk-pipeline": "lines are sent as they are"},
			}),
			router.AddressForm{
				Option: "fluentd-address", Default: "tcp://127.0.0.1:24224", Scheme: "tcp", Example: "tcp://HOST:24224",
				Ports: map[string]string{"tcp": "24224", "tls": "24224", "unix": ""},
			}.Kind(router.Kind{
				Name:    "fluentd",
				Options: []router.Option{{Name: "fluentd-address", Address: true}, {Name: "fluentd-shared-key"}},
			}),
		},
	}
}

// splunk returns options that are enough, changed by NAME, value pairs; a value of "-" removes.
func splunk(pairs ...string) map[string]string {
	m := map[string]string{"logDriver": "splunk", "splunk-url": "https://hec.example.com:8088", "secretOptions.splunk-token": arn + ":token::"}
	for i := 0; i < len(pairs); i += 2 {
		if m[pairs[i]] = pairs[i+1]; pairs[i+1] == "-" {
			delete(m, pairs[i])
		}
	}
	return m
}

func info() Info {
	return Info{
		ContainerID: id, ContainerName: "/wire-app", ContainerEntrypoint: "/app", ContainerArgs: []string{"short"},
		ContainerImageID:   "sha256:9b1e8db6d7fc1c69e48a1d6bea94e43adcd40272d118a095b26a9c6e2b0642bc",
		ContainerImageName: "wire/emit:1.0", DaemonName: "docker",
		ContainerEnv: NewEnv("APP_ENV=prod", "APP_QUOTE=a=b", "OTHER=1", "shared=fromenv", "APP_EMPTY=", "PASSWORD="+canary, "odd"),
		ContainerLabels: map[string]string{
			"com.example.team": "blue", "com.example.app": "shop", "tier": "front", "shared": "fromlabel", "quote": `a"b`,
		},
	}
}

// Each value of a list is a template of its own, and what it gives may hold what separates the list.
func TestPairsAreTemplates(t *testing.T) {
	i := info()
	i.ContainerLabels["list"] = `a,b\c=d`
	for given, want := range map[string]string{
		"job=docker": "job=docker", "job={{.Name}},id={{.ID}}": "job=wire-app,id=" + id[:12],
		`l={{index .ContainerLabels "list"}},x=y`: `l=a\,b\\c=d,x=y`, `a=1\,2`: `a=1\,2`,
	} {
		o, err := rules().Parse(splunk("splunk-labels", given), i)
		if err != nil || o.Plain["splunk-labels"] != want {
			t.Errorf("%s gives %q, %v; want %q", given, o.Plain["splunk-labels"], err, want)
		}
	}
	for _, bad := range []string{"job", "a=1,,", "a={{.Nope}}", "a={{"} {
		if _, err := rules().Parse(splunk("splunk-labels", bad), i); err == nil || !strings.Contains(err.Error(), "splunk-labels") {
			t.Errorf("%s: %v, want an error that names the option", bad, err)
		}
	}
}

// A family has as many options as are given; each of them may be a reference, and counts for the connection.
func TestFamily(t *testing.T) {
	o, err := rules().Parse(splunk("splunk-header.X-A", "1", "secretOptions.splunk-header.X-B", arn+":b::"), info())
	if err != nil || o.Plain["splunk-header.X-A"] != "1" || o.References["splunk-header.X-B"].String() == "" {
		t.Fatalf("%v, %v", o, err)
	}
	if got := rules().InPlain(o); !slices.Equal(got, []string{"splunk-header.X-A"}) {
		t.Errorf("InPlain: %q", got)
	}
	seen := map[Connection]string{}
	for _, pairs := range [][]string{{}, {"splunk-header.X-A", "1"}, {"splunk-header.X-A", "2"}, {"splunk-header.X-B", "1"}, {"secretOptions.splunk-header.X-A", arn + ":b::"}} {
		o, err := rules().Parse(splunk(pairs...), info())
		if err != nil {
			t.Fatal(err)
		}
		c, err := rules().Connection(o)
		if other, ok := seen[c]; err != nil || ok {
			t.Errorf("%q has the connection of %s, %v", pairs, other, err)
		}
		seen[c] = fmt.Sprintf("%q", pairs)
	}
	for _, bad := range []string{"splunk-header", "splunk-header.", "splunk-headerX"} {
		if _, err := rules().Parse(splunk(bad, "1"), info()); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// A router may say with its own options where an event begins.
func TestMultilineOfARouter(t *testing.T) {
	r := rules()
	k := r.kind("splunk")
	k.Options = append(k.Options, router.Option{Name: "splunk-multiline", Session: true})
	k.Multiline = func(v *router.Values) string {
		if v.String("splunk-multiline", "") == "both" {
			v.Refuse("log-opt splunk-multiline: no")
		}
		return v.String("splunk-multiline", "")
	}
	for name, c := range map[string]struct {
		given []string
		want  string // the pattern, or a piece of the error
	}{
		"neither":       {nil, ""},
		"the router's":  {[]string{"splunk-multiline", "^a"}, "^a"},
		"of all":        {[]string{"multiline-pattern", "^b "}, "^b "},
		"two":           {[]string{"multiline-pattern", "^b", "splunk-multiline", "^a"}, "both say where an event begins"},
		"not a pattern": {[]string{"splunk-multiline", "("}, "log-opt multiline-pattern: error parsing regexp"},
		"refused":       {[]string{"splunk-multiline", "both"}, "log-opt splunk-multiline: no"},
	} {
		o, err := r.Parse(splunk(c.given...), info())
		if err == nil && o.Lines.MultilinePattern != c.want || err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %q, %v; want %q", name, o.Lines.MultilinePattern, err, c.want)
		}
	}
}

func TestAbout(t *testing.T) {
	for name, c := range map[string]struct {
		labels map[string]string
		want   router.About
	}{
		"neither": {nil, router.About{Image: "wire/emit:1.0"}},
		"Compose": {map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}, router.About{Image: "wire/emit:1.0", Project: "shop", Service: "web"}},
		"Swarm":   {map[string]string{"com.docker.stack.namespace": "shop", "com.docker.swarm.service.name": "shop_web"}, router.About{Image: "wire/emit:1.0", Project: "shop", Service: "shop_web", Swarm: true}},
		"long":    {map[string]string{"com.docker.compose.project": strings.Repeat("é", 1000)}, router.About{Image: "wire/emit:1.0", Project: strings.Repeat("é", maxAbout/2)}},
	} {
		i := info()
		maps.Copy(i.ContainerLabels, c.labels)
		c.want.ImageID, c.want.Created = i.ContainerImageID, i.ContainerCreated
		if o, err := rules().Parse(splunk(), i); err != nil || o.About != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, o.About, err, c.want)
		}
	}
}

// The command line is kept for a router that sends it, and for no other.
func TestCommand(t *testing.T) {
	r := rules()
	i := info()
	i.ContainerEntrypoint, i.ContainerArgs = "/app", []string{"a", strings.Repeat("é", 1000)}
	for _, sends := range []bool{false, true} {
		r.Kinds[0].Command = sends
		o, err := r.Parse(splunk(), i)
		if want := sends; err != nil || (o.About.Command != "") != want || len(o.About.Command) > maxAbout || sends && !strings.HasPrefix(o.About.Command, "/app a é") {
			t.Errorf("sent: %v; kept: %.20q, %v", sends, o.About.Command, err)
		}
	}
}

func TestRefusedOption(t *testing.T) {
	_, err := rules().Parse(splunk("splunk-pipeline", "x"), info())
	if want := "log-opt splunk-pipeline is not supported by logDriver splunk: lines are sent as they are"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestParse(t *testing.T) {
	o, err := rules().Parse(splunk("splunk-index", "main", "mode", "non-blocking", "max-buffer-size", "4m", "max-size", "1m", "max-file", "2",
		"compress", "true", "cache-disabled", "true", "cache-max-size", "1m", "cache-max-file", "2", "cache-compress", "false",
		"spool-max-bytes", "64MiB", "secret-failure", "fail", "labels", "tier"), info())
	if err != nil {
		t.Fatal(err)
	}
	if want := (Plain{"splunk-url": "https://hec.example.com:8088", "splunk-index": "main"}); !maps.Equal(o.Plain, want) {
		t.Errorf("plain options %q, want %q", map[string]string(o.Plain), map[string]string(want))
	}
	if len(o.References) != 1 || o.References["splunk-token"].String() != arn+":token::" {
		t.Errorf("references %v", o.References)
	}
	if o.Router != "splunk" || o.Address != "https://hec.example.com:8088" || o.SpoolMaxBytes != 64<<20 || o.SecretFailure != SecretFailureFail || o.Tag != id[:12] || o.Attributes["tier"] != "front" {
		t.Errorf("%s %s spool %d failure %q tag %q attributes %q", o.Router, o.Address, o.SpoolMaxBytes, o.SecretFailure, o.Tag, o.Attributes)
	}
}

func TestParseDefaults(t *testing.T) {
	o, err := rules().Parse(map[string]string{"logDriver": "fluentd"}, Info{ContainerID: "short"})
	if err != nil {
		t.Fatal(err)
	}
	if o.Address != "tcp://127.0.0.1:24224" || o.SpoolMaxBytes != 0 || o.SecretFailure != SecretFailureAuto || o.Tag != "short" {
		t.Errorf("%s spool %d failure %q tag %q", o.Address, o.SpoolMaxBytes, o.SecretFailure, o.Tag)
	}
}

func TestBothSyntaxesAndAnyOption(t *testing.T) {
	o, err := rules().Parse(splunk("secretOptions", `[ {"name":"splunk-capath","valueFrom":"/ca"}, {"valueFrom":"/idx:3","name":"splunk-index"} ]`), info())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range slices.Sorted(maps.Keys(o.References)) {
		got = append(got, name+"="+o.References[name].String())
	}
	want := []string{"splunk-capath=/ca", "splunk-index=/idx:3", "splunk-token=" + arn + ":token::"}
	if !slices.Equal(got, want) {
		t.Errorf("references %q, want %q", got, want)
	}
}

// Every mistake is one line that names the option and the remedy, and shows no value that may be a secret.
func TestMistakes(t *testing.T) {
	const token = "11111111-2222-3333-4444-555555555555"
	list := func(s string) map[string]string { return splunk("secretOptions.splunk-token", "-", "secretOptions", s) }
	for name, c := range map[string]struct {
		config map[string]string
		want   []string
	}{
		"no logDriver":                {splunk("logDriver", "-"), []string{"logDriver is missing", "splunk, fluentd"}},
		"empty logDriver":             {splunk("logDriver", ""), []string{"logDriver is missing"}},
		"unknown logDriver":           {splunk("logDriver", "splnk"), []string{`"splnk"`, "did you mean splunk?"}},
		"firelens":                    {splunk("logDriver", "awsfirelens"), []string{`"awsfirelens"`, "known are fluentd, splunk"}},
		"unknown option":              {splunk("splunk-ulr", canary), []string{`"splunk-ulr"`, "did you mean splunk-url?"}},
		"option of another router":    {splunk("fluentd-address", "x"), []string{`"fluentd-address"`, "logDriver splunk", "it belongs to logDriver fluentd"}},
		"each known option once":      {splunk("zzzzzzzzzzzzzz", "x"), []string{"splunk-gzip, splunk-header.NAME, splunk-index, splunk-labels, splunk-source"}},
		"unknown common option":       {splunk("lables", "x"), []string{"did you mean labels?"}},
		"case of secretOptions":       {splunk("SecretOptions", "[]"), []string{"did you mean secretOptions?"}},
		"missing required":            {splunk("secretOptions.splunk-token", "-"), []string{"splunk-token is required", "secretOptions.splunk-token"}},
		"empty required":              {splunk("splunk-url", ""), []string{"splunk-url is required"}},
		"plain and reference":         {splunk("splunk-token", canary), []string{"secretOptions and splunk-token both give", "remove one", "daemon.json", "--log-opt splunk-token="}},
		"both syntaxes":               {splunk("secretOptions", `[{"name":"splunk-token","valueFrom":"`+arn+`"}]`), []string{"both give splunk-token"}},
		"list: duplicate":             {list(`[{"name":"splunk-token","valueFrom":"/a"},{"name":"splunk-token","valueFrom":"/b"}]`), []string{"twice", "entry 2"}},
		"list: not JSON":              {list(canary), []string{"is not a JSON list", `"valueFrom"`}},
		"list: an object":             {list(`{"splunk-token":"` + canary + `"}`), []string{"is an object that is not one of a name and a valueFrom"}},
		"list: a string":              {list(`["` + canary + `"]`), []string{"entry 1", "is not a JSON object"}},
		"list: cut":                   {list(`[{"name":"splunk-token","valueFrom":"` + canary), []string{"entry 1"}},
		"list: no end":                {list(`[{"name":"splunk-token","valueFrom":"/a"}`), []string{"without its end"}},
		"list: goes on":               {list(`[{"name":"splunk-token","valueFrom":"/a"}] ` + canary), []string{"goes on"}},
		"list: other key":             {list(`[{"name":"splunk-token","value":"` + canary + `"}]`), []string{"entry 1", "neither name nor valueFrom"}},
		"list: case of key":           {list(`[{"Name":"splunk-token","valueFrom":"/a"}]`), []string{"has the key Name", "name and valueFrom"}},
		"list: key twice":             {list(`[{"name":"splunk-token","valueFrom":"/a","valueFrom":"` + canary + `"}]`), []string{"valueFrom twice"}},
		"list: number":                {list(`[{"name":"splunk-token","valueFrom":12}]`), []string{"no text as valueFrom"}},
		"list: null":                  {list(`[{"name":"splunk-token","valueFrom":null}]`), []string{"no text as valueFrom"}},
		"list: object as value":       {list(`[{"name":"splunk-token","valueFrom":{"a":"` + canary + `"}}]`), []string{"entry 1"}},
		"list: no name":               {list(`[{"valueFrom":"` + canary + `"}]`), []string{"has no name"}},
		"list: no valueFrom":          {list(`[{"name":"splunk-token"}]`), []string{"has no valueFrom"}},
		"list: empty name":            {list(`[{"name":"","valueFrom":"/a"}]`), []string{"no text as name"}},
		"list: unknown option":        {list(`[{"name":"splunk-tokn","valueFrom":"` + canary + `"}]`), []string{`"splunk-tokn"`, "did you mean splunk-token?"}},
		"list: second one bad":        {list(`[{"name":"splunk-token","valueFrom":"/a"},{"name":5}]`), []string{"entry 2"}},
		"dotted: unknown option":      {splunk("secretOptions.tag", "/a"), []string{`"tag", which is not an option of logDriver splunk`}},
		"dotted: no name":             {splunk("secretOptions.", "/a"), []string{`names ""`}},
		"dotted: empty":               {splunk("secretOptions.splunk-token", ""), []string{"splunk-token is required"}},
		"dotted: a token":             {splunk("secretOptions.splunk-token", token), []string{"looks like a token"}},
		"dotted: a token in capitals": {splunk("secretOptions.splunk-token", "AAAAAAAA-2222-3333-4444-55555555BBBB"), []string{"looks like a token"}},
		"dotted: a value":             {splunk("secretOptions.splunk-token", canary+"=="), []string{"secretOptions.splunk-token", "not the secret itself"}},
		"dotted: PEM":                 {splunk("secretOptions.splunk-capath", "-----BEGIN "+canary+"\nx"), []string{"not the secret itself"}},
		"dotted: bad ARN":             {splunk("secretOptions.splunk-token", arn+":token"), []string{"fields after the name: 1"}},
		"bad labels-regex":            {splunk("labels-regex", "a(\nb"), []string{"labels-regex: error parsing regexp"}},
		"bad env-regex":               {splunk("env-regex", "[z-a]"), []string{"env-regex: error parsing regexp"}},
		"bad tag":                     {splunk("tag", "{{.ID"), []string{"log-opt tag: template"}},
		"unknown field in tag":        {splunk("tag", "{{.Nope}}"), []string{"Nope"}},
		"environment in tag":          {splunk("tag", "{{.ContainerEnv}}"), []string{"ContainerEnv"}},
		"options in tag":              {splunk("tag", "{{.Config}}"), []string{"Config"}},
		"huge tag":                    {splunk("tag", strings.Repeat("x", 5000)), []string{"more than 4096 bytes"}},
		"huge padding":                {splunk("tag", `{{pad .ID 1000000000 0}}`), []string{"padding is not between"}},
		"negative padding":            {splunk("tag", `{{pad .ID -1 0}}`), []string{"padding is not between"}},
		"negative length":             {splunk("tag", `{{truncate .ID -1}}`), []string{"a length is negative"}},
		"bad size":                    {splunk("spool-max-bytes", "much"), []string{`"much"`, "64MiB"}},
		"small size":                  {splunk("spool-max-bytes", "10k"), []string{"between 64 KiB and 1 TiB"}},
		"bad include-pattern":         {splunk("include-pattern", "a("), []string{"log-opt include-pattern: error parsing regexp"}},
		"bad exclude-pattern":         {splunk("exclude-pattern", "(?=a)"), []string{"log-opt exclude-pattern: error parsing regexp"}},
		"bad max-rate":                {splunk("max-rate", "1/h"), []string{`log-opt max-rate is "1/h"; write lines a second`}},
		"bad max-rate-mode":           {splunk("max-rate", "1", "max-rate-mode", "x"), []string{"write keep or drop"}},
		"a mode alone":                {splunk("max-rate-mode", "drop"), []string{"without max-rate"}},
		"a pattern by reference":      {splunk("secretOptions.include-pattern", "/a"), []string{`"include-pattern", which is not an option of logDriver splunk`}},
		"nearly a pattern":            {splunk("includepattern", "a"), []string{"did you mean include-pattern?"}},
		"bad secret-failure":          {splunk("secret-failure", "maybe"), []string{`"maybe"`, "write fail or start"}},
		"URL without scheme":          {splunk("splunk-url", "hec.example.com:8088"), []string{"splunk-url", "it has no scheme; write https://hec.example.com:8088"}},
		"URL of another scheme":       {splunk("splunk-url", "tcp://hec.example.com"), []string{"scheme"}},
		"URL with user":               {splunk("splunk-url", "https://u:"+canary+"@hec.example.com"), []string{"user name"}},
		"URL without host":            {splunk("splunk-url", "https://:8088"), []string{"names no host"}},
		"URL with a bad port":         {splunk("splunk-url", "https://h:"+canary), []string{"it is not a valid address"}},
		"many attributes":             {splunk("labels", "big"), []string{"65536"}},
	} {
		t.Run(name, func(t *testing.T) {
			i := info()
			i.ContainerLabels["big"] = strings.Repeat("x", maxAttributes)
			_, err := rules().Parse(c.config, i)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q in it", err, want)
				}
			}
			for _, secret := range []string{canary, token, "AAAAAAAA-2222"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error %q shows a value", err)
				}
			}
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("error %q is more than one line", err)
			}
		})
	}
}

func TestErrorOfAReferenceHasItsKind(t *testing.T) {
	for _, text := range []string{"arn:aws:s3:::x", "11111111-2222-3333-4444-555555555555"} {
		if _, err := rules().Parse(splunk("secretOptions.splunk-token", text), info()); fault.KindOf(err) != fault.BadReference {
			t.Errorf("%q: error %v of kind %q", text, err, fault.KindOf(err))
		}
	}
}

func TestInPlain(t *testing.T) {
	for _, c := range []struct {
		config map[string]string
		want   []string
	}{
		{splunk(), nil},
		{splunk("secretOptions.splunk-token", "-", "splunk-token", canary), []string{"splunk-token"}},
	} {
		o, err := rules().Parse(c.config, info())
		if err != nil {
			t.Fatal(err)
		}
		if got := rules().InPlain(o); !slices.Equal(got, c.want) {
			t.Errorf("InPlain = %q, want %q", got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"65536": 64 << 10, "64k": 64 << 10, "64KB": 64 << 10, "100m": 100 << 20, "64MiB": 64 << 20, " 1 g ": 1 << 30, "1T": 1 << 40, "131072b": 128 << 10,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "b", "k", "1.5g", "-1", "0", "65535", "2t", "9223372036854775807g", "99999999999999999999", "0x10000", "1_000_000", "+70000", "1mm"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}

// What prints, logs or encodes these types never shows the environment or the value of an option.
func TestNothingPrintsASecret(t *testing.T) {
	i := info()
	i.Config = splunk("secretOptions.splunk-token", "-", "splunk-token", canary)
	i.ContainerArgs = []string{canary}
	o, err := rules().Parse(i.Config, i)
	if err != nil {
		t.Fatal(err)
	}
	buried := struct {
		Env  Env
		env  Env
		Info Info
		Opt  Options
		P    Plain
	}{i.ContainerEnv, i.ContainerEnv, i, o, o.Plain}
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&text, verb+verb+verb+verb+verb, i, &i, o, buried, &buried)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
		slog.New(h).Info("x", "info", i, "env", i.ContainerEnv, "options", o, "plain", o.Plain, "buried", struct{ Info Info }{i})
	}
	if strings.Contains(text.String(), canary) || strings.Contains(text.String(), "prod") {
		t.Errorf("shown: %s", text.String())
	}
	if want := "e9e312e154ae (wire-app)"; !strings.Contains(text.String(), want) {
		t.Errorf("no %q in %s", want, text.String())
	}
}

func FuzzParse(f *testing.F) {
	f.Add("secretOptions", `[{"name":"splunk-token","valueFrom":"/a"}]`, "tag", "{{.ID}}")
	f.Add("secretOptions.splunk-token", arn, "splunk-url", "https://[::1]:8088")
	f.Add("labels-regex", "a|b", "env", "APP_ENV,,")
	f.Add("tag", "{{range 100000000000}}{{end}}", "env-regex", "(a{30}){30}")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		o, err := rules().Parse(splunk(k1, v1, k2, v2), info())
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("error %q is more than one line", err)
			}
			return
		}
		if o.Router == "" || o.Plain["splunk-url"] == "" && o.References["splunk-url"].IsZero() {
			t.Errorf("Parse took options without router or address: %q %q %q %q", k1, v1, k2, v2)
		}
		if _, err := rules().Connection(o); err != nil {
			t.Error(err)
		}
	})
}
