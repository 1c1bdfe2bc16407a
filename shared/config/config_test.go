package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/registryhost"
	"github.com/secretref/secretref/shared/secretref"
	"github.com/secretref/secretref/shared/ttl"
)

// write puts text into name below dir, readable for all.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// layout writes files by name and returns options for them: config.toml, conf.d/*, and user.toml for the user's layer.
func layout(t testing.TB, files map[string]string) Options {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, dir, name, text)
	}
	return Options{
		SystemFile: filepath.Join(dir, "config.toml"),
		SystemDir:  filepath.Join(dir, "conf.d"),
		UserFile:   filepath.Join(dir, "user.toml"),
		EUID:       os.Geteuid(),
	}
}

func load(t testing.TB, files map[string]string) *Config {
	t.Helper()
	c, err := Load(layout(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func host(t testing.TB, s string) registryhost.Name {
	t.Helper()
	n, err := registryhost.Normalize(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustPattern(t testing.TB, s string) registryhost.Pattern {
	t.Helper()
	p, err := registryhost.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustRef(t testing.TB, s string) secretref.Ref {
	t.Helper()
	r, err := secretref.ParseCredentialsParameter(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDefaults(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no file":        {},
		"empty file":     {"config.toml": ""},
		"only a comment": {"config.toml": "# nothing\n"},
		"empty tables":   {"config.toml": "[aws]\n[cache]\n[accounts]\n[buckets]\n[registries]\n[ecr]\n[logs]\n[secrets]\n"},
	} {
		got := load(t, files)
		if len(got.Files) != len(files) {
			t.Errorf("%s: read %v", name, got.Files)
		}
		got.Files = nil
		want := &Config{
			NotFound: "error",
			AWS:      AWS{Timeout: 10 * time.Second},
			Cache:    Cache{Policy: ttl.Policy{TTL: 5 * time.Minute, Stale: time.Hour}, Store: "auto"},
			Accounts: map[string]Role{},
			Buckets:  map[string]Bucket{},
			Logs: Logs{StateDir: "/var/lib/secretref", SpoolMaxBytes: 268435456, SpoolTotal: 2147483648, SpoolMinFree: 1073741824,
				AllowFiles: []string{"/etc/ssl", "/etc/pki", "/etc/secretref"}, ReadLogs: true, InstanceMetadata: true, HistoryTotal: 4294967296, KeepEnded: 168 * time.Hour,
				MetricsPerContainer: true, AllowOptions: true},
			Secrets: Secrets{ValuesDir: "/run/secretref/values", VolumesDir: "/run/secretref/volumes"},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v\nwant %+v", name, got, want)
		}
	}
}

const full = `not_found = "anonymous"
[aws]
region = "us-gov-west-1"
role_arn = "arn:aws-us-gov:iam::111122223333:role/path/host-secrets"
external_id = "fleet:7/a"
profile = "ci"
endpoint_url = "https://vpce.example.com:8443/aws"
timeout = "2s500ms"
ca_bundle = "/etc/ssl/ca.pem"
use_fips_endpoint = true
use_dualstack_endpoint = true
https_proxy = "http://proxy.example.com:3128"
no_proxy = "169.254.169.254,.internal"
sts_endpoint_url = "http://[::1]:4566"
audit = true
[cache]
ttl = "0"
stale = "90m"
store = "off"
[accounts.444455556666]
role_arn = "arn:aws:iam::444455556666:role/secret-reader"
external_id = "fleet-7"
[ecr]
enabled = true
role_arn = "arn:aws:iam::111122223333:role/ecr"
external_id = "e-1"
[registries."Registry.Example.com:443"]
credentialsParameter = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/registry-AbCdEf"
[registries."*.corp.example:5000"]
credentialsParameter = "corp/registry"
region = "eu-west-1"
role_arn = "arn:aws:iam::111122223333:role/registry-reader"
external_id = "x1"
[registries."quay.io"]
username = "acme+robot"
credentialsParameter = "arn:aws:ssm:eu-west-1:111122223333:parameter/quay/token"
[registries."111122223333.dkr.ecr.eu-west-1.amazonaws.com"]
ecr = true
role_arn = "arn:aws:iam::111122223333:role/pull"
[registries."*"]
ecr = false
helper = "ecr-login"
[logs]
state_dir = "/srv/secretref"
spool_max_bytes = "1024"
spool_total = "3 TiB"
spool_min_free = "0"
read_logs = false
history_total = "1GiB"
keep_ended = "24h"
allow_references = ["arn:aws:secretsmanager:*:*:secret:logs/*", "*"]
allow_routers = []
allow_files = ["/etc/ssl", "/srv/certificates"]
metrics_address = "[::1]:9475"
metrics_per_container = false
allow_options = false
default_destination = "prod"
instance_metadata = false
hostname = "web-1"
[secrets]
allow_references = ["/app/*"]
values_dir = "/run/v"
volumes_dir = "/run/w"
[logs.destinations.prod]
logDriver = "splunk"
[buckets."my.secrets"]
role_arn = "arn:aws:iam::444455556666:role/object-reader"
external_id = "fleet-8"
region = "us-east-1"
[buckets.plain]
region = "eu-west-1"
`

func TestEveryKey(t *testing.T) {
	got := load(t, map[string]string{"config.toml": full})
	file := got.Files[0]
	at := func(line int) Origin { return Origin{file, line} }
	want := &Config{
		NotFound: NotFoundAnonymous,
		AWS: AWS{
			Region: "us-gov-west-1", RoleARN: "arn:aws-us-gov:iam::111122223333:role/path/host-secrets", ExternalID: "fleet:7/a",
			Profile: "ci", EndpointURL: "https://vpce.example.com:8443/aws", Timeout: 2500 * time.Millisecond,
			CABundle: "/etc/ssl/ca.pem", UseFIPS: true, UseDualstack: true,
			HTTPSProxy: "http://proxy.example.com:3128", NoProxy: "169.254.169.254,.internal",
			STSEndpointURL: "http://[::1]:4566", Audit: true,
		},
		Cache:    Cache{Policy: ttl.Policy{Stale: 90 * time.Minute}, Store: StoreOff},
		Accounts: map[string]Role{"444455556666": {"arn:aws:iam::444455556666:role/secret-reader", "fleet-7"}},
		Buckets: map[string]Bucket{
			"my.secrets": {Role{"arn:aws:iam::444455556666:role/object-reader", "fleet-8"}, "us-east-1"},
			"plain":      {Region: "eu-west-1"},
		},
		ECR: ECR{true, "arn:aws:iam::111122223333:role/ecr", "e-1"},
		Registries: []Registry{
			{Pattern: mustPattern(t, "registry.example.com"), Origin: at(27),
				CredentialsParameter: mustRef(t, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/registry-AbCdEf")},
			{Pattern: mustPattern(t, "*.corp.example:5000"), Origin: at(29), CredentialsParameter: mustRef(t, "corp/registry"),
				Region: "eu-west-1", RoleARN: "arn:aws:iam::111122223333:role/registry-reader", ExternalID: "x1"},
			{Pattern: mustPattern(t, "quay.io"), Origin: at(34), Username: "acme+robot",
				CredentialsParameter: mustRef(t, "arn:aws:ssm:eu-west-1:111122223333:parameter/quay/token")},
			{Pattern: mustPattern(t, "111122223333.dkr.ecr.eu-west-1.amazonaws.com"), Origin: at(37), ECR: true,
				RoleARN: "arn:aws:iam::111122223333:role/pull"},
			{Pattern: mustPattern(t, "*"), Origin: at(40), Helper: "ecr-login"},
		},
		Logs: Logs{
			StateDir: "/srv/secretref", SpoolMaxBytes: 1024, SpoolTotal: 3 << 40, SpoolMinFree: 0,
			ReadLogs: false, HistoryTotal: 1 << 30, KeepEnded: 24 * time.Hour,
			AllowReferences: []string{"arn:aws:secretsmanager:*:*:secret:logs/*", "*"},
			AllowFiles:      []string{"/etc/ssl", "/srv/certificates"},
			AllowRouters:    []string{}, MetricsAddress: "[::1]:9475",
			Hostname: "web-1", DefaultDestination: "prod", Destinations: map[string]map[string]string{"prod": {"logDriver": "splunk"}},
		},
		Secrets: Secrets{AllowReferences: []string{"/app/*"}, ValuesDir: "/run/v", VolumesDir: "/run/w"},
		Files:   []string{file},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestSpellings(t *testing.T) {
	want := load(t, map[string]string{"config.toml": "[aws]\nregion=\"eu-west-1\"\n[registries.\"quay.io\"]\nhelper=\"pass\"\n"})
	for name, text := range map[string]string{
		"dotted keys":      `aws.region = "eu-west-1"` + "\n" + `registries."quay.io".helper = "pass"` + "\n" + `registries."quay.io".ecr = false`,
		"inline tables":    `aws = { region = "eu-west-1" }` + "\n" + `registries = { "quay.io" = { helper = "pass" } }`,
		"literal strings":  "[aws]\nregion='eu-west-1'\n[registries.'quay.io']\nhelper='pass'",
		"spaces":           "[ aws ]\n\tregion = \"eu-west-1\" # why\n[ registries . \"quay.io\" ]\n helper=\"pass\"",
		"CRLF":             "[aws]\r\nregion=\"eu-west-1\"\r\n[registries.\"quay.io\"]\r\nhelper=\"pass\"\r\n",
		"byte order mark":  "\uFEFF[aws]\nregion=\"eu-west-1\"\n[registries.\"quay.io\"]\nhelper=\"pass\"",
		"escapes":          `aws.region = "eu\u002dwest-1"` + "\n" + `[registries."quay\u002eio"]` + "\nhelper=\"pass\"",
		"parent afterward": "[registries.\"quay.io\"]\nhelper=\"pass\"\n[registries]\n[aws]\nregion=\"eu-west-1\"",
	} {
		got := load(t, map[string]string{"config.toml": text})
		got.Files, got.Registries[0].Origin = want.Files, want.Registries[0].Origin
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestLayers(t *testing.T) {
	files := map[string]string{
		"config.toml": `[aws]
region = "eu-west-1"
timeout = "3s"
[accounts."444455556666"]
role_arn = "arn:aws:iam::444455556666:role/system"
external_id = "system"
[registries."docker.io"]
credentialsParameter = "system/hub"
role_arn = "arn:aws:iam::111122223333:role/system"
[registries."quay.io"]
credentialsParameter = "system/quay"
`,
		"conf.d/20-b.toml":       `registries."b.example".helper = "two"`,
		"conf.d/10-a.toml":       `registries."a.example".helper = "one"`,
		"conf.d/readme.txt":      `not = toml of ours`,
		"conf.d/.#10-a.toml":     `lock`,
		"conf.d/30-c.toml.saved": `x`,
		"user.toml": `[aws]
region = "us-east-1"
[accounts."444455556666"]
role_arn = "arn:aws:iam::444455556666:role/user"
[registries."https://index.docker.io/v1/"]
credentialsParameter = "user/hub"
`,
	}
	o := layout(t, files)
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	var read []string
	for _, f := range c.Files {
		read = append(read, filepath.Base(f))
	}
	if got := strings.Join(read, " "); got != "config.toml 10-a.toml 20-b.toml user.toml" {
		t.Errorf("read %s", got)
	}
	if c.AWS.Region != "us-east-1" || c.AWS.Timeout != 3*time.Second {
		t.Errorf("aws is %+v, want the user's region and the system's timeout", c.AWS)
	}
	if got := c.Accounts["444455556666"]; got != (Role{RoleARN: "arn:aws:iam::444455556666:role/user"}) {
		t.Errorf("account is %+v, want the user's alone", got)
	}
	r, ok := c.Rule(host(t, "docker.io"))
	if !ok || r.CredentialsParameter != mustRef(t, "user/hub") || r.RoleARN != "" || filepath.Base(r.Origin.File) != "user.toml" {
		t.Errorf("docker.io is %+v, want the user's table alone", r)
	}
	if r, ok = c.Rule(host(t, "quay.io")); !ok || r.CredentialsParameter != mustRef(t, "system/quay") {
		t.Errorf("quay.io is %+v, want the system's", r)
	}
	if len(c.Registries) != 4 {
		t.Errorf("%d rules, want 4", len(c.Registries))
	}

	o.SystemOnly = true
	if c, err = Load(o); err != nil || c.AWS.Region != "eu-west-1" || len(c.Files) != 3 {
		t.Errorf("SystemOnly read %+v, %v", c, err)
	}
	o.OnlyFile = write(t, t.TempDir(), "only.toml", `not_found = "anonymous"`)
	if c, err = Load(o); err != nil || c.NotFound != NotFoundAnonymous || len(c.Registries) != 0 || len(c.Files) != 1 {
		t.Errorf("OnlyFile read %+v, %v", c, err)
	}
}

// An external id belongs to its role: that of the system must not go along with a role of the user's.
func TestLayersOfRoles(t *testing.T) {
	const system, user = "arn:aws:iam::111122223333:role/system", "arn:aws:iam::111122223333:role/user"
	for _, c := range []struct {
		name, keys string
		want       Role
	}{
		{"nothing", "", Role{system, "system"}},
		{"role", `role_arn = "` + user + `"`, Role{user, ""}},
		{"role and external id", "role_arn = \"" + user + "\"\nexternal_id = \"user\"", Role{user, "user"}},
		{"external id and role", "external_id = \"user\"\nrole_arn = \"" + user + `"`, Role{user, "user"}},
		{"external id", `external_id = "user"`, Role{system, "user"}},
	} {
		for _, table := range []string{"aws", "ecr"} {
			t.Run(c.name+", "+table, func(t *testing.T) {
				cfg := load(t, map[string]string{
					"config.toml": "[" + table + "]\nrole_arn = \"" + system + "\"\nexternal_id = \"system\"",
					"user.toml":   "[" + table + "]\n" + c.keys,
				})
				got := Role{cfg.AWS.RoleARN, cfg.AWS.ExternalID}
				if table == "ecr" {
					got = Role{cfg.ECR.RoleARN, cfg.ECR.ExternalID}
				}
				if got != c.want {
					t.Errorf("role is %+v, want %+v", got, c.want)
				}
			})
		}
	}
	cfg := load(t, map[string]string{
		"config.toml":   "[aws]\nexternal_id = \"system\"",
		"conf.d/1.toml": "[aws]\nrole_arn = \"" + system + `"`,
	})
	if cfg.AWS.RoleARN != system || cfg.AWS.ExternalID != "system" {
		t.Errorf("two files of the system's layer give %+v, want role and external id", cfg.AWS)
	}
}

func TestRule(t *testing.T) {
	c := load(t, map[string]string{"config.toml": `
[registries."*.example.com"]
helper = "wild"
[registries."*.example.com/acme"]
helper = "wild-path"
[registries."a.example.com"]
helper = "exact"
[registries."a.example.com/acme/app"]
helper = "longer"
[registries."a.example.com/acme"]
helper = "path"
[registries."*"]
helper = "any"
[registries."index.docker.io"]
helper = "hub"
`})
	for in, want := range map[string]string{
		"a.example.com":                 "exact",
		"https://A.example.com:443/v2/": "exact",
		"a.example.com/other":           "exact",
		"a.example.com/acme":            "path",
		"a.example.com/acme/app/x":      "longer",
		"b.example.com":                 "wild",
		"b.example.com/acme/x":          "wild-path",
		"b.example.com:5000":            "any",
		"localhost:5000":                "any",
		"https://index.docker.io/v1/":   "hub",
	} {
		if r, ok := c.Rule(host(t, in)); !ok || r.Helper != want {
			t.Errorf("Rule(%q) = %+v, want %s", in, r, want)
		}
	}
	if r, ok := (&Config{}).Rule(host(t, "a.example.com")); ok || r != nil {
		t.Errorf("a rule without configuration: %+v", r)
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		name       string
		env        map[string]string
		user, only string
	}{
		{"home", map[string]string{"HOME": "/home/a"}, "/home/a/.config/secretref/config.toml", ""},
		{"XDG", map[string]string{"HOME": "/home/a", "XDG_CONFIG_HOME": "/x"}, "/x/secretref/config.toml", ""},
		{"relative XDG is ignored", map[string]string{"HOME": "/home/a", "XDG_CONFIG_HOME": "x"}, "/home/a/.config/secretref/config.toml", ""},
		{"nothing", nil, "", ""},
		{"only", map[string]string{"SECRETREF_CONFIG": "/c.toml"}, "", "/c.toml"},
	} {
		want := Options{SystemFile: "/etc/secretref/config.toml", SystemDir: "/etc/secretref/conf.d", UserFile: c.user, OnlyFile: c.only, EUID: os.Geteuid()}
		if got := Paths(func(k string) string { return c.env[k] }); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
}

// The warm path of the credential helper pays for the initialisation of everything that is linked.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		switch {
		case dep == "net", dep == "net/http", dep == "regexp", dep == "encoding/json",
			strings.HasPrefix(dep, "crypto/"), strings.HasPrefix(dep, "github.com/aws/"):
			t.Errorf("the package depends on %s", dep)
		}
	}
}

func BenchmarkLoad20(b *testing.B) {
	var text strings.Builder
	text.WriteString("[aws]\nregion = \"eu-west-1\"\n")
	for i := range 20 {
		h := string(rune('a' + i))
		text.WriteString("[registries.\"" + h + ".example.com:5000\"]\n" +
			"credentialsParameter = \"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/" + h + "-AbCdEf\"\n" +
			"role_arn = \"arn:aws:iam::111122223333:role/registry-reader\"\n")
	}
	o := layout(b, map[string]string{"config.toml": text.String()})
	n := host(b, "t.example.com:5000")
	b.ReportAllocs()
	for b.Loop() {
		c, err := Load(o)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := c.Rule(n); !ok {
			b.Fatal("no rule")
		}
	}
}
