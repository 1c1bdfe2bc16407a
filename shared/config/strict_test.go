package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/registryhost"
)

const someRole = `"arn:aws:iam::111122223333:role/r"`

// TestMistakes has one row per mistake; line is where the error must point, want what it must say.
func TestMistakes(t *testing.T) {
	reg := func(keys string) string { return "\n[registries.\"r.example.com\"]\n" + keys + "\n" }
	ok := `credentialsParameter = "prod/r"` + "\n"
	for _, c := range []struct {
		name, text string
		line       int
		want       []string
	}{
		{"unknown key", "[aws]\n\nregoin = \"eu-west-1\"", 3, []string{"unknown key regoin in [aws]", "did you mean region?"}},
		{"unknown key far from all", "[cache]\nxylophone = 1", 2, []string{"unknown key xylophone", "known are ttl, stale, store"}},
		{"unknown key of a rule", reg("credentialParameter = \"x\""), 3, []string{`in [registries."r.example.com"]`, "did you mean credentialsParameter?"}},
		{"unknown key on top", "notfound = \"error\"", 1, []string{"unknown key notfound", "not_found"}},
		{"key of another table", "[ecr]\ntimeout = \"5s\"", 2, []string{"unknown key timeout in [ecr]"}},
		{"unknown table", "[registry.\"r.example.com\"]\nhelper=\"pass\"", 1, []string{"unknown table registry", "did you mean registries?"}},
		{"unknown table in a table", "[aws.extra]\nx=1", 1, []string{"unknown table extra in [aws]"}},
		{"wrong case", "[aws]\nRegion = \"eu-west-1\"", 2, []string{"unknown key Region in [aws]", "write region, since case matters"}},
		{"wrong case of a rule's key", reg("CredentialsParameter = \"x\""), 3, []string{"write credentialsParameter, since case matters"}},
		{"wrong case of a table", "[AWS]\nregion = \"eu-west-1\"", 1, []string{"write aws, since case matters"}},
		{"snake case", reg("credentials_parameter = \"x\""), 3, []string{"did you mean credentialsParameter?"}},

		{"host without quotes", "[registries.registry.example.com]\n" + ok, 1, []string{`[registries."registry.example.com"]`, "quotes"}},
		{"host of two labels without quotes", "[registries.ghcr.io]\n" + ok, 1, []string{`[registries."ghcr.io"]`}},
		{"host with a label like a key", "[registries.public.ecr.aws]\necr=true", 1, []string{`[registries."public.ecr.aws"]`}},
		{"host without quotes, dotted", "registries.registry.example.com.helper = \"pass\"", 1, []string{`[registries."registry.example.com"]`}},
		{"host with port without quotes", "[registries.registry.example.com:5000]\n" + ok, 1, []string{`[registries."registry.example.com:5000"]`}},
		{"wildcard without quotes", "\n[registries.*.example.com] # x\n" + ok, 2, []string{`[registries."*.example.com"]`}},

		{"two spellings", "[registries.\"index.docker.io\"]\n" + ok + "[registries.\"docker.io\"]\n" + ok, 3,
			[]string{`registries."docker.io" and registries."index.docker.io"`, "config.toml:1", "same registry"}},
		{"two spellings of a port", "[registries.\"H.example:443\"]\n" + ok + "[registries.\"h.example\"]\n" + ok, 3, []string{"config.toml:1", "same registry"}},
		{"table twice", reg(ok) + "[registries.\"r.example.com\"]\n", 5, []string{"already given in line 2"}},
		{"key twice", "[aws]\nregion = \"eu-west-1\"\nregion = \"eu-west-1\"", 3, []string{"aws.region is already given in line 2"}},
		{"key twice, dotted and table", "aws.region = \"eu-west-1\"\n[aws]\ntimeout=\"5s\"", 2, []string{"aws is already given in line 1"}},
		{"key twice, inline and table", "aws = {region=\"eu-west-1\"}\n[aws]\n", 2, []string{"aws is already given in line 1"}},
		{"key twice in an inline table", "aws = {region=\"eu-west-1\", region=\"eu-west-2\"}", 1, []string{"aws.region is already given in line 1"}},
		{"inline table reopened below", "registries = {}\n[registries.\"a.example\"]\nhelper=\"x\"", 2, []string{"registries is already given in line 1"}},
		{"table reopened by dots", "[registries.\"a.example\"]\nhelper=\"x\"\n[registries]\n\"a.example\".ecr=false", 4, []string{"already given in line 1"}},

		{"wrong type of a string", "[aws]\nregion = 5", 2, []string{"aws.region is an integer, not a string", `write region = "eu-west-1"`}},
		{"wrong type of a boolean", "[ecr]\nenabled = \"true\"", 2, []string{"ecr.enabled is a string, not a boolean", "write enabled = true"}},
		{"wrong type of a duration", "[cache]\nttl = 300", 2, []string{"cache.ttl is an integer, not a string", `write ttl = "5m"`}},
		{"wrong type of a size", "[logs]\nspool_total = 1024", 2, []string{"an integer, not a string"}},
		{"wrong type of an array", "[logs]\nallow_routers = \"*\"", 2, []string{"a string, not an array"}},
		{"wrong type in an array", "[logs]\nallow_references = [\"*\", 1]", 2, []string{"element 2", "integer"}},
		{"wrong type of a reference", reg("credentialsParameter = [\"a\"]"), 3, []string{"an array, not a string"}},
		{"date", "[aws]\nregion = 2026-01-01", 2, []string{"a date or time"}},
		{"float", "[cache]\nttl = 1.5", 2, []string{"a float"}},
		{"value for a table", "aws = \"eu-west-1\"", 1, []string{"aws is a string, not a table", "write [aws]"}},
		{"value for a rule", "[registries]\n\"r.example.com\" = \"prod/r\"", 2, []string{`registries."r.example.com" is a string, not a table`}},
		{"value for the rules", "registries = 1", 1, []string{"registries is an integer, not a table"}},
		{"table for a value", "[aws.region]\nx = 1", 1, []string{"aws.region is a table, not a value"}},
		{"table for a rule's value", "[registries.\"r.example.com\".ecr]\nx = 1", 1, []string{"ecr is a table, not a value"}},
		{"table for not_found", "[not_found]\n", 1, []string{"not_found is a table, not a value"}},
		{"list of tables", "[[registries]]\nhost = \"r.example.com\"", 1, []string{"[[registries]]", "single brackets"}},

		{"bad region", "[aws]\nregion = \"Ireland\"", 2, []string{`"Ireland"`, "not an AWS region"}},
		{"region in capitals", reg(ok + "region = \"EU-WEST-1\""), 4, []string{"not an AWS region"}},
		{"empty region", "[aws]\nregion = \"\"", 2, []string{"aws.region is empty"}},
		{"bad role", "[aws]\nrole_arn = \"host-secrets\"", 2, []string{"not the ARN of a role"}},
		{"role of a user", "[aws]\nrole_arn = \"arn:aws:iam::111122223333:user/u\"", 2, []string{"not the ARN of a role"}},
		{"assumed role", "[aws]\nrole_arn = \"arn:aws:sts::111122223333:assumed-role/r/s\"", 2, []string{"not the ARN of a role"}},
		{"role without account", "[ecr]\nrole_arn = \"arn:aws:iam::1111:role/r\"", 2, []string{"not the ARN of a role"}},
		{"bad external id", "[aws]\nrole_arn=" + someRole + "\nexternal_id = \"a b\"", 3, []string{"not an external id"}},
		{"bad duration", "[cache]\nttl = \"5 minutes\"", 2, []string{`"5 minutes"`, "not a duration"}},
		{"duration without unit", "[cache]\nttl = \"300\"", 2, []string{"not a duration"}},
		{"negative ttl", "[cache]\nttl = \"-5m\"", 2, []string{"negative"}},
		{"negative stale", "[cache]\nstale = \"-1s\"", 2, []string{"negative"}},
		{"ttl too long", "[cache]\nttl = \"12h0m1s\"", 2, []string{"not between 0s and 12h0m0s"}},
		{"stale too long", "[cache]\nstale = \"169h\"", 2, []string{"not between"}},
		{"no timeout", "[aws]\ntimeout = \"0\"", 2, []string{"not between 1ms and 5m0s"}},
		{"timeout too long", "[aws]\ntimeout = \"1h\"", 2, []string{"not between"}},
		{"bad store", "[cache]\nstore = \"on\"", 2, []string{`"on"`, `"auto" or "off"`}},
		{"bad not_found", "not_found = \"empty\"", 1, []string{`"empty"`, `"error" or "anonymous"`}},
		{"bad size", "[logs]\nspool_total = \"2 gigs\"", 2, []string{"not a size", `write spool_total = "2GiB"`}},
		{"fractional size", "[logs]\nspool_total = \"1.5GiB\"", 2, []string{"not a size"}},
		{"negative size", "[logs]\nspool_min_free = \"-1\"", 2, []string{"not a size"}},
		{"size too large", "[logs]\nspool_total = \"9000000TiB\"", 2, []string{"too large"}},
		{"size too small", "[logs]\nspool_max_bytes = \"0\"", 2, []string{"too small"}},
		{"relative path", "[logs]\nstate_dir = \"spool\"", 2, []string{"clean absolute path"}},
		{"path with dots", "[aws]\nca_bundle = \"/etc/../x.pem\"", 2, []string{"clean absolute path"}},
		{"bad endpoint", "[aws]\nendpoint_url = \"vpce.example.com\"", 2, []string{"not a URL"}},
		{"endpoint of another scheme", "[aws]\nendpoint_url = \"ftp://x.example\"", 2, []string{"not a URL"}},
		{"endpoint with query", "[aws]\nendpoint_url = \"https://x.example/?a=b\"", 2, []string{"not a URL"}},
		{"relative directory", "[logs]\nallow_files = [\"/etc/ssl\", \"certificates\"]", 2, []string{"element 2", "absolute path"}},
		{"root as a directory", "[logs]\nallow_files = [\"/\"]", 2, []string{"element 1", "absolute path"}},
		{"pattern as a directory", "[logs]\nallow_files = [\"/etc/*\"]", 2, []string{"element 1", "absolute path"}},
		{"router without scheme", "[logs]\nallow_routers = [\"splunk.example.com\"]", 2, []string{"element 1", "https://"}},
		{"empty pattern", "[logs]\nallow_references = [\"\"]", 2, []string{"element 1", "empty"}},
		{"bad metrics address", "[logs]\nmetrics_address = \"9475\"", 2, []string{"HOST:PORT"}},
		{"metrics address without port", "[logs]\nmetrics_address = \"localhost:\"", 2, []string{"HOST:PORT"}},
		{"control character", "[aws]\nprofile = \"a\\nb\"", 2, []string{"control character"}},
		{"white space", "[aws]\nprofile = \"a \"", 2, []string{"white space"}},

		{"account not a number", "[accounts.\"prod\"]\nrole_arn=" + someRole, 1, []string{"twelve digits"}},
		{"account of eleven digits", "[accounts.\"44445555666\"]\nrole_arn=" + someRole, 1, []string{"twelve digits"}},
		{"bucket with its key", "[buckets.\"secrets/app.env\"]\nregion=\"eu-west-1\"", 1, []string{"not the name of a bucket"}},
		{"bucket with dots", "[buckets.my.secrets]\nregion=\"eu-west-1\"", 1, []string{"put it in quotes: [buckets.\"my.secrets\"]"}},
		{"bucket without anything", "[buckets.secrets]", 1, []string{"changes nothing"}},
		{"bucket without role", "[buckets.secrets]\nregion=\"eu-west-1\"\nexternal_id=\"x1\"", 3, []string{"add role_arn"}},
		{"bucket's region", "[buckets.secrets]\nregion=\"ireland\"", 2, []string{"not an AWS region"}},
		{"unknown key of a bucket", "[buckets.secrets]\nregio=\"eu-west-1\"", 2, []string{"did you mean region?"}},
		{"bucket that is not a table", "[buckets]\nsecrets=\"eu-west-1\"", 2, []string{"not a table"}},
		{"account without role", "[accounts.\"444455556666\"]\nexternal_id=\"x1\"", 1, []string{"no role_arn"}},
		{"external id without role", "[aws]\nexternal_id=\"x1\"", 2, []string{"[aws] has external_id without role_arn"}},
		{"external id without role, ecr", "[ecr]\nexternal_id=\"x1\"", 2, []string{"[ecr] has external_id without role_arn"}},
		{"external id without role, rule", reg(ok + "external_id=\"x1\""), 4, []string{"has external_id without role_arn"}},

		{"rule without answer", reg(""), 2, []string{"no credentialsParameter, no helper and no ecr = true", "exactly one"}},
		{"rule with ecr = false alone", reg("ecr = false"), 2, []string{"no credentialsParameter, no helper and no ecr = true"}},
		{"rule with two answers", reg(ok + "helper = \"pass\""), 4, []string{"has credentialsParameter and helper"}},
		{"rule with three answers", reg(ok + "helper = \"pass\"\necr = true"), 4, []string{"has credentialsParameter and helper and ecr"}},
		{"username with helper", reg("username=\"u\"\nhelper=\"pass\""), 3, []string{"username, which goes with credentialsParameter only, and helper"}},
		{"role with helper", reg("helper=\"pass\"\nrole_arn=" + someRole), 4, []string{"role_arn, which another helper does not use"}},
		{"region with helper", reg("region=\"eu-west-1\"\nhelper=\"pass\""), 3, []string{"region, which another helper does not use"}},
		{"region with ecr", "[registries.\"public.ecr.aws\"]\necr=true\nregion=\"us-east-1\"", 3, []string{"in its host"}},
		{"ecr for another host", reg("ecr = true"), 3, []string{"not a host of ECR"}},
		{"ecr for every host", "[registries.\"*\"]\necr = true", 2, []string{"not a host of ECR"}},
		{"password under *", "[registries.\"*\"]\n" + ok, 2, []string{`registries."*"`, "hosts of other owners"}},
		{"password under *.com", "[registries.\"*.com\"]\n" + ok, 2, []string{"hosts of other owners"}},
		{"password under *:5000", "[registries.\"*:5000\"]\n" + ok, 2, []string{"hosts of other owners"}},
		{"password under registry.*.com", "[registries.\"registry.*.com\"]\n" + ok, 2, []string{"hosts of other owners"}},
		{"password under *.co.uk", "[registries.\"*.co.uk\"]\n" + ok, 2, []string{"hosts of other owners"}},
		{"password under part of an address", "[registries.\"*.0.0.5\"]\n" + ok, 2, []string{"hosts of other owners"}},
		{"bad pattern", "[registries.\"reg*.example.com\"]\n" + ok, 1, []string{"whole label"}},
		{"empty host", "[registries.\"\"]\n" + ok, 1, []string{"empty"}},
		{"helper is a path", reg("helper = \"../x\""), 3, []string{"not the end of a program's name"}},
		{"helper with prefix", reg("helper = \"docker-credential-pass\""), 3, []string{"leave out docker-credential-"}},
		{"helper is us", reg("helper = \"secretref\""), 3, []string{"this program itself"}},
		{"bad reference", reg("credentialsParameter = \"arn:aws:sqs:::b\""), 3, []string{"credentialsParameter: "}},
		{"empty reference", reg("credentialsParameter = \"\""), 3, []string{"it is empty"}},

		{"not TOML", "[aws]\nregion: eu-west-1", 2, []string{"not TOML"}},
		{"open string", "[aws]\nregion = \"eu-west-1\n", 2, []string{"not TOML"}},
		{"open bracket", "\n\n[aws\n", 3, []string{"not TOML"}},
		{"value without quotes", "[aws]\nregion = eu-west-1", 2, []string{"not TOML"}},
		{"not UTF-8", "[aws]\nregion = \"\xff\"", 0, []string{"UTF-8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := layout(t, map[string]string{"config.toml": c.text})
			cfg, err := Load(o)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("Load = %+v, %v, want an *Error", cfg, err)
			}
			if e.File != o.SystemFile || e.Line != c.line {
				t.Errorf("points to %s, want line %d: %v", e.Origin, c.line, err)
			}
			checkText(t, e, c.want...)
		})
	}
}

// checkText wants one line with place, and every part of want.
func checkText(t *testing.T, e *Error, want ...string) {
	t.Helper()
	text := e.Error()
	for _, w := range append(want, e.Origin.String()) {
		if !strings.Contains(text, w) {
			t.Errorf("error %q\nhas no %q", text, w)
		}
	}
	if strings.ContainsAny(text, "\n\r\x00") || strings.Contains(text, "%!") {
		t.Errorf("error is not one clean line: %q", text)
	}
}

func TestMistakesBetweenFiles(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		want                string
	}{
		{"key", "[aws]\nregion=\"eu-west-1\"", "[aws]\nregion=\"eu-west-1\"", "aws.region is already given in"},
		{"top key", "not_found=\"error\"", "not_found=\"error\"", "not_found is already given in"},
		{"rule", "[registries.\"a.example\"]\nhelper=\"x\"", "[registries.\"a.example\"]\nhelper=\"x\"", `registries."a.example" is already given in`},
		{"rule in two parts", "[registries.\"a.example\"]\ncredentialsParameter=\"x\"", "[registries.\"a.example\"]\nregion=\"eu-west-1\"\ncredentialsParameter=\"x\"", "already given in"},
		{"rule, other spelling", "[registries.\"docker.io\"]\nhelper=\"x\"", "[registries.\"index.docker.io\"]\nhelper=\"x\"", "are the same registry"},
		{"bucket", "[buckets.secrets]\nregion=\"eu-west-1\"", "[buckets.secrets]\nregion=\"eu-west-1\"", "buckets.secrets is already given in"},
		{"account", "[accounts.444455556666]\nrole_arn=" + someRole, "[accounts.444455556666]\nrole_arn=" + someRole, "accounts.444455556666 is already given in"},
	} {
		o := layout(t, map[string]string{"config.toml": c.first, "conf.d/10.toml": c.second})
		_, err := Load(o)
		var e *Error
		if !errors.As(err, &e) || filepath.Base(e.File) != "10.toml" {
			t.Errorf("%s: Load gives %v, want an error in 10.toml", c.name, err)
			continue
		}
		checkText(t, e, c.want, o.SystemFile+":")
		if _, err = Load(layout(t, map[string]string{"config.toml": c.first, "user.toml": c.second})); err != nil {
			t.Errorf("%s: the user's file does not override: %v", c.name, err)
		}
	}
}

func TestTheFirstMistakeIsReported(t *testing.T) {
	files := map[string]string{"config.toml": "[aws]\nregion=1\ntimeout=2", "conf.d/1.toml": "[[", "user.toml": "x=1"}
	for range 20 {
		_, err := Load(layout(t, files))
		var e *Error
		if !errors.As(err, &e) || filepath.Base(e.File) != "config.toml" || e.Line != 2 {
			t.Fatalf("Load gives %v, want the mistake in config.toml:2", err)
		}
	}
}

// A password that was put where none belongs is not repeated.
func TestErrorsDoNotQuoteSecrets(t *testing.T) {
	const canary = "s3cr3t-c4n4ry"
	for _, text := range []string{
		"[aws]\nhttps_proxy = \"http://user:" + canary + "@proxy.example.com:3128\"",
		"[aws]\nendpoint_url = \"https://user:" + canary + "@x.example\"",
		"[logs]\nallow_routers = [\"https://user:" + canary + "@x.example\"]",
		"[registries.\"r.example.com\"]\npassword = \"" + canary + "\"",
		"[registries.\"r.example.com\"]\ncredentialsParameter = \"" + canary + " \"",
		"[registries.\"r.example.com\"]\ncredentialsParameter = \"user:" + canary + "\"",
		"[registries.\"r.example.com\"]\ncredentialsParameter = " + canary,
		"[registries.\"r.example.com\"]\ncredentialsParameter = \"" + canary,
	} {
		_, err := Load(layout(t, map[string]string{"config.toml": text}))
		if err == nil {
			t.Errorf("no error for %q", text)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("the error shows the value: %v", err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"ttl", "stale", "store", "spool_max_bytes"}
	for in, want := range map[string]string{"tll": "ttl", "stall": "stale", "spool-max-bytes": "spool_max_bytes", "bananas": "", "STORE": "store"} {
		if got := Nearest(in, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{full, "[[x]]", "a.b.c = {d=[{e=1}]}", "[registries.a.b]", "x = \"\\u12", "a='''\n'''\n[b\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := loader{cfg: defaults(), given: map[string]given{}, rules: map[registryhost.Pattern]int{}}
		err := l.file(source{path: "f", data: data})
		if err == nil {
			return
		}
		if n := strings.Count(string(data), "\n") + 1; err.Line < 0 || err.Line > n {
			t.Errorf("line %d of %d", err.Line, n)
		}
		if text := err.Error(); strings.ContainsAny(text, "\n\x00") {
			t.Errorf("the error is not one line: %q", text)
		}
		err = err.scoped([]source{{data: append(data, "\n[registries.\"r.example.com\"]"...)}})
		if !err.Concerns(host(t, "r.example.com")) {
			t.Errorf("a rule after %q goes unseen", data)
		}
	})
}
