package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// loadEnviron loads files and variables.
func loadEnviron(t *testing.T, files map[string]string, environ ...string) (*Config, error) {
	t.Helper()
	o := layout(t, files)
	o.Environ = environ
	return Load(o)
}

// Each key once, and what it changes.
func TestVariables(t *testing.T) {
	var seen []string
	for _, c := range []struct {
		name, text string
		got        func(*Config) any
		want       any
	}{
		{"SECRETREF_AWS_REGION", "eu-west-1", func(c *Config) any { return c.AWS.Region }, "eu-west-1"},
		{"SECRETREF_AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/r", func(c *Config) any { return c.AWS.RoleARN }, "arn:aws:iam::111122223333:role/r"},
		{"SECRETREF_AWS_EXTERNAL_ID", "fleet=7", func(c *Config) any { return c.AWS.ExternalID }, "fleet=7"},
		{"SECRETREF_AWS_PROFILE", "p 1", func(c *Config) any { return c.AWS.Profile }, "p 1"},
		{"SECRETREF_AWS_ENDPOINT_URL", "https://vpce.example.com", func(c *Config) any { return c.AWS.EndpointURL }, "https://vpce.example.com"},
		{"SECRETREF_AWS_STS_ENDPOINT_URL", "http://10.0.0.1:4566", func(c *Config) any { return c.AWS.STSEndpointURL }, "http://10.0.0.1:4566"},
		{"SECRETREF_AWS_AUDIT", "true", func(c *Config) any { return c.AWS.Audit }, true},
		{"SECRETREF_CONFIG_TOML", "[aws]\nregion = 'eu-west-1'\n", func(c *Config) any { return c.AWS.Region }, "eu-west-1"},
		{"SECRETREF_LOGS_ALLOW_OPTIONS", "false", func(c *Config) any { return c.Logs.AllowOptions }, false},
		{"SECRETREF_LOGS_DEFAULT_DESTINATION", "prod", func(c *Config) any { return c.Logs.DefaultDestination }, "prod"},
		{"SECRETREF_LOGS_METRICS_PER_CONTAINER", "false", func(c *Config) any { return c.Logs.MetricsPerContainer }, false},
		{"SECRETREF_AWS_TIMEOUT", "3s", func(c *Config) any { return c.AWS.Timeout }, 3 * time.Second},
		{"SECRETREF_AWS_CA_BUNDLE", "/ca.pem", func(c *Config) any { return c.AWS.CABundle }, "/ca.pem"},
		{"SECRETREF_AWS_USE_FIPS_ENDPOINT", "true", func(c *Config) any { return c.AWS.UseFIPS }, true},
		{"SECRETREF_AWS_USE_DUALSTACK_ENDPOINT", "true", func(c *Config) any { return c.AWS.UseDualstack }, true},
		{"SECRETREF_AWS_HTTPS_PROXY", "http://proxy.example.com:3128", func(c *Config) any { return c.AWS.HTTPSProxy }, "http://proxy.example.com:3128"},
		{"SECRETREF_AWS_NO_PROXY", "169.254.169.254,.internal", func(c *Config) any { return c.AWS.NoProxy }, "169.254.169.254,.internal"},
		{"SECRETREF_CACHE_TTL", "0", func(c *Config) any { return c.Cache.Policy.TTL }, time.Duration(0)},
		{"SECRETREF_CACHE_STALE", "2h", func(c *Config) any { return c.Cache.Policy.Stale }, 2 * time.Hour},
		{"SECRETREF_CACHE_STORE", "off", func(c *Config) any { return c.Cache.Store }, StoreOff},
		{"SECRETREF_LOGS_STATE_DIR", "/state", func(c *Config) any { return c.Logs.StateDir }, "/state"},
		{"SECRETREF_LOGS_SPOOL_MAX_BYTES", "1m", func(c *Config) any { return c.Logs.SpoolMaxBytes }, int64(1 << 20)},
		{"SECRETREF_LOGS_SPOOL_TOTAL", "4096", func(c *Config) any { return c.Logs.SpoolTotal }, int64(4096)},
		{"SECRETREF_LOGS_SPOOL_MIN_FREE", "0", func(c *Config) any { return c.Logs.SpoolMinFree }, int64(0)},
		{"SECRETREF_LOGS_INSTANCE_METADATA", "false", func(c *Config) any { return c.Logs.InstanceMetadata }, false},
		{"SECRETREF_LOGS_READ_LOGS", "false", func(c *Config) any { return c.Logs.ReadLogs }, false},
		{"SECRETREF_LOGS_HISTORY_TOTAL", "1GiB", func(c *Config) any { return c.Logs.HistoryTotal }, int64(1 << 30)},
		{"SECRETREF_LOGS_KEEP_ENDED", "24h", func(c *Config) any { return c.Logs.KeepEnded }, 24 * time.Hour},
		{"SECRETREF_LOGS_ALLOW_REFERENCES", "/logs/*, arn:aws:ssm:*:*:parameter/a", func(c *Config) any { return c.Logs.AllowReferences },
			[]string{"/logs/*", "arn:aws:ssm:*:*:parameter/a"}},
		{"SECRETREF_LOGS_ALLOW_ROLES", "arn:aws:iam::111122223333:role/logs-*", func(c *Config) any { return c.Logs.AllowRoles }, []string{"arn:aws:iam::111122223333:role/logs-*"}},
		{"SECRETREF_LOGS_ALLOW_FILES", "/etc/ssl,/srv/x", func(c *Config) any { return c.Logs.AllowFiles }, []string{"/etc/ssl", "/srv/x"}},
		{"SECRETREF_LOGS_ALLOW_ROUTERS", "https://*.example.com:*", func(c *Config) any { return c.Logs.AllowRouters }, []string{"https://*.example.com:*"}},
		{"SECRETREF_LOGS_METRICS_ADDRESS", ":9475", func(c *Config) any { return c.Logs.MetricsAddress }, ":9475"},
		{"SECRETREF_SECRETS_ALLOW_REFERENCES", "/app/*", func(c *Config) any { return c.Secrets.AllowReferences }, []string{"/app/*"}},
		{"SECRETREF_SECRETS_VALUES_DIR", "/v", func(c *Config) any { return c.Secrets.ValuesDir }, "/v"},
		{"SECRETREF_SECRETS_VOLUMES_DIR", "/w", func(c *Config) any { return c.Secrets.VolumesDir }, "/w"},
		{"SECRETREF_LOGS_HOSTNAME", "i-0abc", func(c *Config) any { return c.Logs.Hostname }, "i-0abc"},
	} {
		environ := []string{"HOME=/root", c.name + "=" + c.text}
		if c.name == "SECRETREF_AWS_EXTERNAL_ID" {
			environ = append(environ, "SECRETREF_AWS_ROLE_ARN=arn:aws:iam::111122223333:role/r") // one goes with the other
		}
		cfg, err := loadEnviron(t, map[string]string{"config.toml": "logs.destinations.prod.logDriver = 'splunk'"}, environ...)
		if err != nil {
			t.Errorf("%s=%s: %v", c.name, c.text, err)
			continue
		}
		if got := c.got(cfg); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s=%s gives %v, want %v", c.name, c.text, got, c.want)
		}
		if reflect.DeepEqual(c.got(defaults()), c.want) {
			t.Errorf("%s=%s is the default: the row shows nothing", c.name, c.text)
		}
		// An empty one is not given.
		cfg, err = loadEnviron(t, nil, c.name+"=")
		if err != nil || !reflect.DeepEqual(c.got(cfg), c.got(defaults())) {
			t.Errorf("%s= gives %v, %v, want the default", c.name, cfg, err)
		}
		seen = append(seen, c.name)
	}
	want := Variables()
	slices.Sort(want)
	slices.Sort(seen)
	if !slices.Equal(seen, want) {
		t.Errorf("tried\n%v\nwant\n%v", seen, want)
	}
}

func TestVariableLists(t *testing.T) {
	for text, want := range map[string][]string{
		"[]":     {},
		"*":      {"*"},
		"a,b":    {"a", "b"},
		" a , b": {"a", "b"},
	} {
		cfg, err := loadEnviron(t, nil, "SECRETREF_LOGS_ALLOW_REFERENCES="+text)
		if err != nil || !reflect.DeepEqual(cfg.Logs.AllowReferences, want) {
			t.Errorf("%q gives %v, %v, want %q", text, cfg, err, want)
		}
	}
}

// Variables override every file, also the one that replaces all others.
func TestVariablesOverride(t *testing.T) {
	const file = "[aws]\nregion=\"eu-west-1\"\nrole_arn=\"arn:aws:iam::111122223333:role/r\"\nexternal_id=\"x1\"\n[logs]\nspool_total=\"2MiB\"\nspool_max_bytes=\"1MiB\"\n"
	environ := []string{"SECRETREF_AWS_REGION=eu-west-2", "SECRETREF_LOGS_SPOOL_TOTAL=3MiB"}
	for name, prepare := range map[string]func(*Options){
		"system": func(*Options) {},
		"user's": func(o *Options) { o.SystemFile, o.UserFile = "", o.SystemFile },
		"only":   func(o *Options) { o.OnlyFile = o.SystemFile },
	} {
		o := layout(t, map[string]string{"config.toml": file})
		prepare(&o)
		o.Environ = environ
		c, err := Load(o)
		if err != nil {
			t.Errorf("%s file: %v", name, err)
		} else if c.AWS.Region != "eu-west-2" || c.Logs.SpoolTotal != 3<<20 || c.Logs.SpoolMaxBytes != 1<<20 || c.AWS.ExternalID != "x1" {
			t.Errorf("%s file: %+v", name, c)
		}
	}
	// The external id of a file belongs to that file's role; the order of the variables does not matter.
	role, external := "SECRETREF_AWS_ROLE_ARN=arn:aws:iam::111122223333:role/other", "SECRETREF_AWS_EXTERNAL_ID=x2"
	for want, environ := range map[string][][]string{"": {{role}}, "x2": {{role, external}, {external, role}}} {
		for _, e := range environ {
			c, err := loadEnviron(t, map[string]string{"config.toml": file}, e...)
			if err != nil || c.AWS.ExternalID != want {
				t.Errorf("%q gives %+v, %v, want external_id %q", e, c, err, want)
			}
		}
	}
	// The credential helper does not read them.
	if c, err := Load(layout(t, map[string]string{"config.toml": file})); err != nil || c.AWS.Region != "eu-west-1" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestVariableMistakes(t *testing.T) {
	for _, c := range []struct {
		name, environ string
		want          []string
	}{
		{"unknown", "SECRETREF_LOGS_SPOOL_TOTALS=1GiB", []string{"unknown variable", "did you mean SECRETREF_LOGS_SPOOL_TOTAL?"}},
		{"lower case", "SECRETREF_AWS_region=eu-west-1", []string{"unknown variable", "did you mean SECRETREF_AWS_REGION?"}},
		{"far from all", "SECRETREF_CACHE_XYLOPHONE=1", []string{"known are SECRETREF_CACHE_TTL, SECRETREF_CACHE_STALE, SECRETREF_CACHE_STORE"}},
		{"key of another table", "SECRETREF_CACHE_REGION=eu-west-1", []string{"unknown variable"}},
		{"region", "SECRETREF_AWS_REGION=Ireland", []string{`the value is "Ireland", which is not an AWS region`, "write SECRETREF_AWS_REGION=eu-west-1"}},
		{"boolean", "SECRETREF_AWS_USE_FIPS_ENDPOINT=1", []string{`is "1", neither true nor false`, "write SECRETREF_AWS_USE_FIPS_ENDPOINT=true"}},
		{"boolean in capitals", "SECRETREF_AWS_USE_DUALSTACK_ENDPOINT=True", []string{`is "True", neither true nor false`}},
		{"duration", "SECRETREF_CACHE_TTL=300", []string{`is "300", which is not a duration`, "write SECRETREF_CACHE_TTL=5m"}},
		{"too long", "SECRETREF_AWS_TIMEOUT=1h", []string{"not between"}},
		{"one of several", "SECRETREF_CACHE_STORE=on", []string{`is "on"`, "write SECRETREF_CACHE_STORE=auto or off"}},
		{"size", "SECRETREF_LOGS_SPOOL_TOTAL=2P", []string{`is "2P", which is not a size`, "write SECRETREF_LOGS_SPOOL_TOTAL=2GiB"}},
		{"quotes of TOML", `SECRETREF_LOGS_SPOOL_TOTAL="2GiB"`, []string{"not a size"}},
		{"path", "SECRETREF_LOGS_STATE_DIR=spool", []string{"clean absolute path"}},
		{"address", "SECRETREF_LOGS_METRICS_ADDRESS=9475", []string{"HOST:PORT"}},
		{"host name", "SECRETREF_LOGS_HOSTNAME=a b", []string{"not a host name"}},
		{"list of TOML", `SECRETREF_LOGS_ALLOW_REFERENCES=["*"]`, []string{"list in brackets", "write SECRETREF_LOGS_ALLOW_REFERENCES=arn:aws:secretsmanager:*:*:secret:logs/*"}},
		{"hole in a list", "SECRETREF_LOGS_ALLOW_REFERENCES=a,,b", []string{"element 2, which is empty"}},
		{"router without scheme", "SECRETREF_LOGS_ALLOW_ROUTERS=https://a.example,b.example", []string{"element 2"}},
		{"control character", "SECRETREF_AWS_PROFILE=a\nb", []string{"control character"}},
		{"external id without role", "SECRETREF_AWS_EXTERNAL_ID=x1", []string{"external_id without role_arn"}},
	} {
		cfg, err := loadEnviron(t, nil, c.environ)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: Load with %q = %+v, %v, want an *Error", c.name, c.environ, cfg, err)
			continue
		}
		if name, _, _ := strings.Cut(c.environ, "="); e.File != name {
			t.Errorf("%s: it points to %s, want the variable: %v", c.name, e.Origin, e)
		}
		checkText(t, e, c.want...)
	}

	// Of other programs, of the helper, or of a version that knew more.
	environ := []string{"SECRETREF_CONFIG=/x", "SECRETREF_DEADLINE=1", "AWS_REGION=Ireland", "XSECRETREF_AWS_X=1", "SECRETREF_LOGS_GONE=", "NONE"}
	if _, err := loadEnviron(t, nil, environ...); err != nil {
		t.Errorf("%q: %v", environ, err)
	}
}

func TestVariablesDoNotQuoteSecrets(t *testing.T) {
	const canary = "s3cr3t-c4n4ry"
	for _, name := range []string{"SECRETREF_AWS_HTTPS_PROXY", "SECRETREF_AWS_ENDPOINT_URL", "SECRETREF_LOGS_ALLOW_ROUTERS", "SECRETREF_LOGS_TOKEN"} {
		_, err := loadEnviron(t, nil, name+"=https://user:"+canary+"@x.example")
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want an error that does not show the value", name, err)
		}
	}
}
