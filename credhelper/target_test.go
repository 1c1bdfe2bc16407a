package credhelper

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/hostcache"
	"github.com/secretref/secretref/shared/registryhost"
)

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Options{OnlyFile: file, EUID: os.Geteuid()})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const rules = `
[aws]
region = "eu-north-1"
role_arn = "arn:aws:iam::111122223333:role/default"

[accounts."444455556666"]
role_arn = "arn:aws:iam::444455556666:role/account"
external_id = "fleet-7"

[ecr]
enabled = true
role_arn = "arn:aws:iam::111122223333:role/ecr"

[registries."exact.example.com"]
credentialsParameter = "arn:aws:secretsmanager:us-east-2:444455556666:secret:x-AbCdEf"
region = "eu-south-1"

[registries."*.example.com"]
credentialsParameter = "wild"
region = "eu-south-1"
role_arn = "arn:aws:iam::111122223333:role/rule"
external_id = "rule-9"

[registries."exact.example.com/team"]
credentialsParameter = "team"
username = "robot"

[registries."111122223333.dkr.ecr.eu-west-1.amazonaws.com"]
credentialsParameter = "mirror"

[registries."222222222222.dkr.ecr.eu-west-1.amazonaws.com"]
ecr = true
role_arn = "arn:aws:iam::222222222222:role/puller"

[registries."*.dkr.ecr.eu-west-2.amazonaws.com"]
ecr = true

[registries."*"]
helper = "other"
`

func TestFind(t *testing.T) {
	cfg := load(t, rules)
	for _, c := range []struct {
		name, serverURL        string
		source, region, role   string
		external, user, helper string
	}{
		{name: "exact beats wildcard; the ARN's region, the account's role", serverURL: "https://exact.example.com/v2/",
			source: "secret arn:aws:secretsmanager:us-east-2:444455556666:secret:x-AbCdEf", region: "us-east-2",
			role: "arn:aws:iam::444455556666:role/account", external: "fleet-7"},
		{name: "wildcard; the rule's region and role", serverURL: "other.example.com",
			source: "secret wild", region: "eu-south-1", role: "arn:aws:iam::111122223333:role/rule", external: "rule-9"},
		{name: "longer path; the region and role of [aws]", serverURL: "exact.example.com/team/app",
			source: "secret team", region: "eu-north-1", role: "arn:aws:iam::111122223333:role/default", user: "robot"},
		{name: "[ecr] beats the rule for the rest", serverURL: "333333333333.dkr.ecr.eu-west-3.amazonaws.com",
			source: "an ECR token of eu-west-3", region: "eu-west-3", role: "arn:aws:iam::111122223333:role/ecr"},
		{name: "ECR Public", serverURL: "public.ecr.aws/docker/library/alpine",
			source: "an ECR Public token", region: "us-east-1", role: "arn:aws:iam::111122223333:role/ecr"},
		{name: "an exact rule beats [ecr]", serverURL: "111122223333.dkr.ecr.eu-west-1.amazonaws.com",
			source: "secret mirror", region: "eu-north-1", role: "arn:aws:iam::111122223333:role/default"},
		{name: "ecr = true with a role", serverURL: "222222222222.dkr.ecr.eu-west-1.amazonaws.com",
			source: "an ECR token of eu-west-1", region: "eu-west-1", role: "arn:aws:iam::222222222222:role/puller"},
		{name: "ecr = true under a wildcard", serverURL: "333333333333.dkr.ecr.eu-west-2.amazonaws.com",
			source: "an ECR token of eu-west-2", region: "eu-west-2"},
		{name: "the rest", serverURL: "elsewhere.example.org:5000", source: "docker-credential-other", region: "eu-north-1", helper: "other"},
		{name: "a key that is not a registry", serverURL: registryhost.HubKey + "access-token", source: "docker-credential-other", helper: "other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := find(cfg, c.serverURL)
			if err != nil {
				t.Fatalf("find(%q): %v", c.serverURL, err)
			}
			for _, f := range []struct{ what, got, want string }{
				{"Source", got.Source(), c.source}, {"region", got.region(), c.region}, {"Role", got.Role.RoleARN, c.role},
				{"ExternalID", got.Role.ExternalID, c.external}, {"Username", got.Username, c.user}, {"Helper", got.Helper, c.helper},
			} {
				if f.got != f.want {
					t.Errorf("find(%q): %s is %q, want %q", c.serverURL, f.what, f.got, f.want)
				}
			}
		})
	}
}

func TestFindNothing(t *testing.T) {
	cfg := load(t, "[registries.\"a.example.com:5000\"]\ncredentialsParameter = \"x\"\n"+
		"[registries.\"*.dkr.ecr.eu-west-1.amazonaws.com\"]\necr = true\n")
	for _, serverURL := range []string{
		"b.example.com", "a.example.com", "a.example.com:5001", "x.a.example.com:5000", "b.example.com/a.example.com:5000",
		"public.ecr.aws", registryhost.HubKey + "refresh-token", "ftp://a.example.com:5000",
	} {
		if got, err := find(cfg, serverURL); !credentials.IsErrCredentialsNotFound(err) {
			t.Errorf("find(%q) = %v, %v; want not found", serverURL, got, err)
		}
	}
	for _, serverURL := range []string{"", "a b", "me:sesame@a.example.com:5000", "a.example.com:5000/../x", "nobody.dkr.ecr.eu-west-1.amazonaws.com"} {
		if got, err := find(cfg, serverURL); err == nil || credentials.IsErrCredentialsNotFound(err) {
			t.Errorf("find(%q) = %v, %v; want an error of its own", serverURL, got, err)
		}
	}
}

// Everything that decides the answer changes the key, and nothing else does.
func TestKey(t *testing.T) {
	env := map[string]string{"HOME": t.TempDir()}
	key := func(t *testing.T, text, serverURL string, env map[string]string) hostcache.Key {
		t.Helper()
		cfg := load(t, text)
		target, err := find(cfg, serverURL)
		if err != nil {
			t.Fatal(err)
		}
		return target.key(cfg, func(name string) string { return env[name] })
	}
	const host = "a.example.com"
	rule := "[registries.\"a.example.com\"]\ncredentialsParameter = \"x\"\n"
	want := key(t, rule, host, env)
	if want.ID == "" {
		t.Fatal("the key is empty")
	}
	for _, same := range []struct{ name, text, serverURL string }{
		{"another spelling", rule, "https://A.example.com:443/v2/"},
		{"a repository", rule, "a.example.com/team/app"},
		{"another timeout", "[aws]\ntimeout = \"1s\"\n" + rule, host},
		{"another rule beside it", rule + "[registries.\"b.example.com\"]\nhelper = \"other\"\n", host},
	} {
		t.Run(same.name, func(t *testing.T) {
			if got := key(t, same.text, same.serverURL, env); got != want {
				t.Errorf("key %v, want %v", got, want)
			}
		})
	}

	ids := map[string]string{want.ID: "the rule as it is"}
	other := func(name, text, serverURL string, env map[string]string, sameGroup bool) {
		t.Run(name, func(t *testing.T) {
			got := key(t, text, serverURL, env)
			if with, ok := ids[got.ID]; ok {
				t.Errorf("%s and %s share a key", name, with)
			}
			ids[got.ID] = name
			if (got.Group == want.Group) != sameGroup {
				t.Errorf("group %s, and of the rule as it is %s; the same: want %v", got.Group, want.Group, sameGroup)
			}
		})
	}
	other("another ttl", "[cache]\nttl = \"1m\"\n"+rule, host, env, true)
	other("no stale window", "[cache]\nstale = \"0\"\n"+rule, host, env, true)
	other("another host of the secret", "[registries.\"*.example.com\"]\ncredentialsParameter = \"x\"\n", "b.example.com", env, true)
	other("another user name", rule+"username = \"robot\"\n", host, env, true)
	other("the rule's region", rule+"region = \"eu-west-1\"\n", host, env, true)
	other("the file's region", "[aws]\nregion = \"eu-west-2\"\n"+rule, host, env, true)
	other("role", rule+"role_arn = \"arn:aws:iam::111122223333:role/a\"\n", host, env, true)
	other("external id", rule+"role_arn = \"arn:aws:iam::111122223333:role/a\"\nexternal_id = \"fleet\"\n", host, env, true)
	other("profile", "[aws]\nprofile = \"p\"\n"+rule, host, env, true)
	other("endpoint", "[aws]\nendpoint_url = \"https://x.example.com\"\n"+rule, host, env, true)
	other("FIPS", "[aws]\nuse_fips_endpoint = true\n"+rule, host, env, true)
	other("dual-stack", "[aws]\nuse_dualstack_endpoint = true\n"+rule, host, env, true)
	other("another secret", "[registries.\"a.example.com\"]\ncredentialsParameter = \"y\"\n", host, env, false)
	other("another json-key", "[registries.\"a.example.com\"]\ncredentialsParameter = \"arn:aws:secretsmanager:eu-west-1:111122223333:secret:x:k::\"\n", host, env, false)
	other("a parameter", "[registries.\"a.example.com\"]\ncredentialsParameter = \"/x\"\n", host, env, false)
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER",
		"AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_STS",
	} {
		with := maps.Clone(env)
		with[name] = "something"
		other(name, rule, host, with, true)
	}
	for _, name := range []string{
		"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	} {
		with := maps.Clone(env)
		with[name] = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(with[name], []byte("one"), 0o600); err != nil {
			t.Fatal(err)
		}
		other(name, rule, host, with, true)
		if err := os.Chtimes(with[name], time.Time{}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		other(name+", written again", rule, host, with, true)
	}
}

// One token of ECR serves every registry of the region, and none of another.
func TestKeyOfECR(t *testing.T) {
	cfg := load(t, "[ecr]\nenabled = true\n")
	id := func(host string) string {
		target, err := find(cfg, host)
		if err != nil {
			t.Fatal(err)
		}
		return target.key(cfg, func(string) string { return "" }).ID
	}
	one := id("111122223333.dkr.ecr.eu-west-1.amazonaws.com")
	if other := id("444455556666.dkr.ecr.eu-west-1.amazonaws.com"); other != one {
		t.Errorf("two registries of one region have keys %s and %s", one, other)
	}
	seen := []string{one}
	for _, host := range []string{
		"111122223333.dkr.ecr.eu-west-2.amazonaws.com", "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", "public.ecr.aws",
		"111122223333.dkr.ecr-fips.us-east-1.amazonaws.com", "111122223333.dkr.ecr.us-east-1.amazonaws.com",
		"111122223333.dkr-ecr.eu-west-1.on.aws",
	} {
		got := id(host)
		if slices.Contains(seen, got) {
			t.Errorf("%s shares its key with another", host)
		}
		seen = append(seen, got)
	}
}

func TestList(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       map[string]string
	}{
		{"nothing", "", map[string]string{}},
		{"all kinds of rules", rules, map[string]string{
			"exact.example.com":                            "(by reference)",
			"111122223333.dkr.ecr.eu-west-1.amazonaws.com": "(by reference)",
			"222222222222.dkr.ecr.eu-west-1.amazonaws.com": "AWS",
		}},
		{"Docker Hub under its own key", "[registries.\"docker.io\"]\ncredentialsParameter = \"x\"\nusername = \"me\"\n",
			map[string]string{registryhost.HubKey: "me"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &Helper{cfg: load(t, c.text)}
			got, err := h.List()
			if err != nil || !maps.Equal(got, c.want) || got == nil {
				t.Errorf("List() = %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// A file that cannot be looked at counts by its name, and a missing one as nothing.
func TestStamp(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := stamp("", ""); got != "" {
		t.Errorf("stamp of no file is %q", got)
	}
	if got := stamp("", filepath.Join(dir, "none")); got != "" {
		t.Errorf("stamp of a missing file is %q", got)
	}
	if got, fallback := stamp(file, "/nonexistent"), stamp("", file); got == "" || got != fallback {
		t.Errorf("stamps of one file, named and by default: %q, %q", got, fallback)
	}
	if got := stamp(filepath.Join(file, "x"), ""); got != filepath.Join(file, "x") {
		t.Errorf("stamp of a file that cannot be looked at is %q", got)
	}
	if _, err := os.Stat(filepath.Join(file, "x")); errors.Is(err, os.ErrNotExist) {
		t.Errorf("the test means an error other than %v", err)
	}
}
