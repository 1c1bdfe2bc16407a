package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"testing"
)

const token = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:logs/splunk-AbCdEf:token::"

// Every way to write a destination comes out in the form of a container's log options.
func TestDestinations(t *testing.T) {
	want := map[string]map[string]string{"prod": {
		"logDriver": "splunk", "splunk-url": "https://hec.example.com:8088", "splunk-gzip": "true", "splunk-gzip-level": "5",
		"secretOptions.splunk-token": token, "secretOptions.splunk-capath": "/pki/ca", "tag": "",
	}}
	const plain = "[logs.destinations.prod]\nlogDriver = \"splunk\"\nsplunk-url = \"https://hec.example.com:8088\"\ntag = \"\"\n"
	for name, text := range map[string]string{
		"dotted keys": plain + "splunk-gzip = true\nsplunk-gzip-level = 5\nsecretOptions.splunk-token = '" + token + "'\nsecretOptions.splunk-capath = '/pki/ca'",
		"sub-table": plain + "splunk-gzip = \"true\"\nsplunk-gzip-level = 0x5\n[logs.destinations.prod.secretOptions]\n" +
			"splunk-token = '" + token + "'\nsplunk-capath = '/pki/ca'",
		"quoted keys":  plain + "splunk-gzip = true\nsplunk-gzip-level = '5'\n\"secretOptions.splunk-token\" = '" + token + "'\n\"secretOptions.splunk-capath\" = '/pki/ca'",
		"inline table": plain + "splunk-gzip = true\nsplunk-gzip-level = +5\nsecretOptions = {splunk-token = '" + token + "', splunk-capath = '/pki/ca'}",
		"list": plain + "splunk-gzip = true\nsplunk-gzip-level = 5\nsecretOptions = [\n  {name = 'splunk-token', valueFrom = '" + token + "'},\n" +
			"  {valueFrom = '/pki/ca', name = 'splunk-capath'},\n]",
		"list of tables": plain + "splunk-gzip = true\nsplunk-gzip-level = 5\n[[logs.destinations.prod.secretOptions]]\nname = 'splunk-token'\nvalueFrom = '" + token + "'\n" +
			"[[logs.destinations.prod.secretOptions]]\nname = 'splunk-capath'\nvalueFrom = '/pki/ca'",
	} {
		if got := load(t, map[string]string{"config.toml": text}).Logs.Destinations; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%q\nwant\n%q", name, got, want)
		}
	}
	// A header of FireLens has a blank in its name.
	header := load(t, map[string]string{"config.toml": plain + "\"Header X-A\" = \"1\"\nsecretOptions = [{name = 'header Authorization', valueFrom = '/pki/ca'}]"}).Logs.Destinations["prod"]
	if header["Header X-A"] != "1" || header["secretOptions.header Authorization"] != "/pki/ca" {
		t.Errorf("headers give %q", header)
	}
	// The JSON text of the list is what a container's own option may be, too.
	const list = `[{"name":"splunk-token","valueFrom":"/x"}]`
	got := load(t, map[string]string{"config.toml": plain + "secretOptions = '" + list + "'"}).Logs.Destinations["prod"]
	if got["secretOptions"] != list {
		t.Errorf("the JSON text gives %q", got)
	}
}

// Drop-ins add destinations; the user's file replaces one as a whole.
func TestDestinationsOfFiles(t *testing.T) {
	c := load(t, map[string]string{
		"config.toml":   "[logs.destinations.a]\nlogDriver = 'splunk'\ntag = 'x'",
		"conf.d/b.toml": "[logs]\ndefault_destination = 'b.1'\n[logs.destinations.\"b.1\"]\nlogDriver = 'fluentd'",
		"user.toml":     "[logs.destinations.a]\nlogDriver = 'fluentd'",
	})
	want := map[string]map[string]string{"a": {"logDriver": "fluentd"}, "b.1": {"logDriver": "fluentd"}}
	if !reflect.DeepEqual(c.Logs.Destinations, want) || c.Logs.DefaultDestination != "b.1" {
		t.Errorf("got %q, default %q, want %q", c.Logs.Destinations, c.Logs.DefaultDestination, want)
	}
	_, err := Load(layout(t, map[string]string{
		"config.toml":   "[logs.destinations.a]\nlogDriver = 'splunk'",
		"conf.d/b.toml": "[logs]\nhostname = 'x'\n[logs.destinations.a]\nlogDriver = 'splunk'",
	}))
	var e *Error
	if !errors.As(err, &e) || filepath.Base(e.File) != "b.toml" || e.Line != 3 {
		t.Fatalf("Load = %v, want an error in b.toml:3", err)
	}
	checkText(t, e, "logs.destinations.a is already given in", "config.toml:1")
}

func TestDestinationMistakes(t *testing.T) {
	const head = "[logs.destinations.prod]\nlogDriver = 'splunk'\n"
	const list = "[[logs.destinations.prod.secretOptions]]\n"
	for _, c := range []struct {
		name, text string
		line       int
		want       []string
	}{
		{"no table", "[logs]\ndestinations = 'prod'", 2, []string{"logs.destinations is a string, not a table"}},
		{"no table of its own", "[logs.destinations]\nprod = 'splunk'", 2, []string{"logs.destinations.prod is a string, not a table"}},
		{"misspelt", "[logs.destination.prod]\nlogDriver = 'splunk'", 1, []string{"unknown table destination in [logs]", "did you mean destinations?"}},
		{"no options", "\n[logs.destinations.prod]", 2, []string{"logs.destinations.prod has no options"}},
		{"bad name", "[logs.destinations.\"a b\"]\nlogDriver = 'splunk'", 1, []string{`"a b" is not a valid name`}},
		{"name begins with a dot", "[logs.destinations.\".a\"]\nlogDriver = 'splunk'", 1, []string{"not a valid name"}},
		{"empty name", "[logs.destinations.\"\"]\nlogDriver = 'splunk'", 1, []string{"not a valid name"}},
		{"long name", "[logs.destinations.a23456789012345678901234567890123456789012345678901234567890abcd]\nx='y'", 1, []string{"63 at most"}},
		{"name without quotes", "[logs.destinations.a.b]\nlogDriver = 'splunk'", 1, []string{"logs.destinations.a.b is a table, not a value"}},
		{"array", head + "labels = ['a', 'b']", 3, []string{"logs.destinations.prod.labels is an array, not a string, number or boolean"}},
		{"date", head + "tag = 2026-01-01", 3, []string{"is a date or time"}},
		{"table", head + "splunk = {url = 'x'}", 3, []string{"logs.destinations.prod.splunk is a table"}},
		{"dotted option", head + "splunk.url = 'x'", 3, []string{"only secretOptions has keys below it", `splunk-url = "VALUE"`}},
		{"secret option too deep", head + "secretOptions.splunk-token.x = 'y'", 3, []string{"only secretOptions"}},
		{"odd name of an option", head + "\"splunk url\" = 'y'", 3, []string{"not a valid name of an option"}},
		{"number too large", head + "splunk-gzip-level = 99999999999999999999", 3, []string{"not a number of 64 bits"}},
		{"NUL", head + "tag = \"a\\u0000b\"", 3, []string{"NUL"}},
		{"twice in two forms", head + "secretOptions.splunk-token = '/x'\n\"secretOptions.splunk-token\" = '/y'", 4, []string{"gives secretOptions.splunk-token, which is already given"}},
		{"twice in a list", head + "secretOptions = [{name='a', valueFrom='/x'}, {name='a', valueFrom='/y'}]", 3, []string{"gives secretOptions.a, which is already given"}},
		{"element without name", head + "secretOptions = [{valueFrom='/x'}]", 3, []string{"has an element without name"}},
		{"element without reference", head + list + "name='x'", 3, []string{"has an element without valueFrom"}},
		{"unknown key of an element", head + list + "name='x'\nvaluefrom='/x'", 5, []string{"unknown key valuefrom in logs.destinations.prod.secretOptions"}},
		{"element of another type", head + "secretOptions = ['/x']", 3, []string{"element 1, which is a string, not a table"}},
		{"list after keys", head + "secretOptions.a = '/x'\n" + list + "name='x'\nvalueFrom='/x'", 4, []string{"already given in line 3"}},
		{"keys after list", head + list + "name='x'\nvalueFrom='/x'\n[logs.destinations.prod.secretOptions]\na='/x'", 6, []string{"already given in line 3"}},
		{"another list of tables", "[[logs.destinations.prod]]\nlogDriver = 'splunk'", 1, []string{"makes a list of tables"}},
		{"default that is not there", "[logs]\ndefault_destination = 'prd'\n" + head, 2, []string{`is "prd", and there is no such destination`, "did you mean prod?"}},
		{"default without any", "[logs]\ndefault_destination = 'prod'", 2, []string{"add [logs.destinations.prod]"}},
		{"default is odd", "[logs]\ndefault_destination = 'a b'", 2, []string{"not a name of a destination"}},
	} {
		o := layout(t, map[string]string{"config.toml": c.text})
		cfg, err := Load(o)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: Load = %+v, %v, want an *Error", c.name, cfg, err)
			continue
		}
		if e.File != o.SystemFile || e.Line != c.line {
			t.Errorf("%s: points to %s, want line %d: %v", c.name, e.Origin, c.line, err)
		}
		checkText(t, e, c.want...)
	}
}

func TestRestartNeeded(t *testing.T) {
	for text, want := range map[string][]string{
		"":                          nil,
		"[aws]\nregion='eu-west-1'": nil,
		"[logs]\nspool_total='1GiB'\nallow_options=false": nil,
		"[logs]\nstate_dir='/srv/x'":                      {"logs.state_dir"},
		"[logs]\nmetrics_address=':9475'":                 {"logs.metrics_address"},
		"[logs]\nmetrics_address=':9475'\nstate_dir='/x'": {"logs.state_dir", "logs.metrics_address"},
	} {
		got := RestartNeeded(load(t, nil), load(t, map[string]string{"config.toml": text}))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// The text of a whole file in the environment replaces the files, and single variables override it.
func TestConfigText(t *testing.T) {
	const text = "SECRETREF_CONFIG_TOML=[aws]\nregion = 'eu-west-1'\ntimeout = '2s'\n[logs.destinations.a]\nlogDriver = 'splunk'\n"
	files := map[string]string{"config.toml": "[logs]\nhostname = 'x'", "user.toml": "x"}
	c, err := loadEnviron(t, files, text, "SECRETREF_AWS_REGION=eu-west-2")
	if err != nil || c.AWS.Region != "eu-west-2" || c.AWS.Timeout.Seconds() != 2 || c.Logs.Hostname != "" || c.Logs.Destinations["a"] == nil {
		t.Errorf("got %+v, %v", c, err)
	}
	if f := Fallback(Options{Environ: []string{"SECRETREF_CONFIG_TOML=[logs]\nstate_dir = '/x'\nnot = 1"}}); f.Logs.StateDir != "/x" {
		t.Errorf("Fallback gives state_dir %s", f.Logs.StateDir)
	}
	_, err = loadEnviron(t, nil, "SECRETREF_CONFIG_TOML=[aws]\n\nregoin = 1")
	var e *Error
	if !errors.As(err, &e) || e.File != "SECRETREF_CONFIG_TOML" || e.Line != 3 {
		t.Errorf("Load = %v, want an error in line 3 of the variable", err)
	}
	o := layout(t, files)
	o.OnlyFile, o.Environ = o.SystemFile, []string{text}
	if _, err = Load(o); !errors.As(err, &e) || e.File != "SECRETREF_CONFIG_TOML" {
		t.Errorf("with SECRETREF_CONFIG: %v, want an error", err)
	}
}

// A slip in a value is refused by name, and what is understood stays as it was.
func TestSlips(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"list in one string", "[logs]\nallow_references = [\"a, b\"]", "element 1, which has a comma or a quote"},
		{"list as a string", "[logs]\nallow_routers = \"https://a.example, https://b.example\"", "not an array of strings in brackets"},
		{"quotes in a pattern", "[logs]\nallow_references = [\"'a'\"]", "comma or a quote"},
		{"semicolons", "[aws]\nno_proxy = \"a.example;b.example\"", "put commas between hosts"},
		{"blanks", "[aws]\nno_proxy = \"a.example b.example\"", "put commas between hosts"},
		{"URL in no_proxy", "[aws]\nno_proxy = \"http://a.example\"", "without a scheme"},
		{"hole in no_proxy", "[aws]\nno_proxy = \"a.example,,b.example\"", "empty host"},
		{"quotes in quotes", "[aws]\nprofile = \"'prod'\"", "quotes at its ends"},
		{"profile as its header", "[aws]\nprofile = \"profile prod\"", `leave out the word profile, as in "prod"`},
		{"two endpoints", "[aws]\nendpoint_url = \"https://a.example,b.example\"", "not a host name"},
		{"digest as a host", "[aws]\nendpoint_url = \"https://sha256:0123456789abcdef\"", "not a URL"},
		{"port 0", "[aws]\nendpoint_url = \"https://a.example:0\"", "port"},
		{"port too large", "[aws]\nhttps_proxy = \"http://a.example:99999\"", "port"},
		{"port missing", "[aws]\nhttps_proxy = \"http://a.example:\"", "port"},
		{"path at a proxy", "[aws]\nhttps_proxy = \"http://a.example:3128/path\"", "without a path"},
		{"path for an address", "[logs]\nmetrics_address = \"/run/metrics.sock:1\"", "HOST:PORT"},
		{"quotes in an address", "[logs]\nmetrics_address = \"'127.0.0.1':9475\"", "HOST:PORT"},
		{"IPv6 without brackets", "[logs]\nmetrics_address = \"::1:9475\"", "IPv6 address stands in brackets"},
		{"brackets without IPv6", "[logs]\nmetrics_address = \"[localhost]:9475\"", "no IPv6 address in its brackets"},
		{"digest for a host", "[registries.\"docker.io/x@sha256:00\"]\nhelper = 'pass'", "has a digest"},
		{"tag for a host", "[registries.\"docker.io/library/nginx:1.27\"]\nhelper = 'pass'", "tag"},
		{"zone as a region", "[aws]\nregion = \"eu-west-1a\"", "not an AWS region"},
	} {
		_, err := Load(layout(t, map[string]string{"config.toml": c.text}))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: Load = %v, want an *Error", c.name, err)
			continue
		}
		checkText(t, e, c.want)
	}
	c := load(t, map[string]string{"config.toml": "[aws]\nno_proxy = '169.254.169.254, .internal,10.0.0.0/8,[::1]:80,*'\nendpoint_url = 'http://[::1]:4566/x'\nhttps_proxy = 'http://10.0.0.1:3128/'\n[logs]\nmetrics_address = '[::]:1'"})
	if c.AWS.NoProxy == "" || c.AWS.EndpointURL == "" || c.Logs.MetricsAddress == "" || c.AWS.HTTPSProxy == "" {
		t.Errorf("got %+v", c)
	}
}
