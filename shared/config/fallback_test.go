package config

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever is wrong with the configuration, the log driver finds its state again, and allows no user anything.
func TestFallback(t *testing.T) {
	const good = "[logs]\nstate_dir = \"/srv/logs\"\nspool_total = \"7MiB\"\nallow_routers = [\"*\"]\nmetrics_address = \":9475\"\n"
	for name, c := range map[string]struct {
		text    string
		environ []string
		dir     string
		total   int64
		metrics string
	}{
		"fine":                      {good, nil, "/srv/logs", 7 << 20, ":9475"},
		"nothing":                   {"", nil, "/var/lib/secretref", 2 << 30, ""},
		"unknown key":               {good + "state_drr = 1\n", nil, "/srv/logs", 7 << 20, ":9475"},
		"syntax, after it":          {good + "[aws\n", nil, "/srv/logs", 7 << 20, ":9475"},
		"syntax, before it":         {"[aws\n" + good, nil, "/var/lib/secretref", 2 << 30, ""},
		"bad value":                 {"[logs]\nstate_dir = 5\nspool_total = \"7MiB\"\n", nil, "/var/lib/secretref", 7 << 20, ""},
		"bad variable":              {good, []string{"SECRETREF_AWS_TIMEOUT=soon"}, "/srv/logs", 7 << 20, ":9475"},
		"variable, and another bad": {good, []string{"SECRETREF_LOGS_STATE_DRR=/x", "SECRETREF_LOGS_STATE_DIR=/y", "SECRETREF_LOGS_ALLOW_ROUTERS=*"}, "/y", 7 << 20, ":9475"},
	} {
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := Fallback(Options{OnlyFile: file, EUID: os.Geteuid(), Environ: c.environ}).Logs
		if l.StateDir != c.dir || l.SpoolTotal != c.total || l.SpoolMaxBytes == 0 {
			t.Errorf("%s: state_dir %s, spool_total %d, want %s, %d", name, l.StateDir, l.SpoolTotal, c.dir, c.total)
		}
		if l.AllowReferences == nil || len(l.AllowReferences) > 0 || l.AllowRouters == nil || len(l.AllowRouters) > 0 || l.MetricsAddress != c.metrics {
			t.Errorf("%s: it allows references %v, routers %v, metrics %q", name, l.AllowReferences, l.AllowRouters, l.MetricsAddress)
		}
	}
	// A file that a stranger may have written says nothing.
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if l := Fallback(Options{OnlyFile: file, EUID: os.Geteuid()}).Logs; l.StateDir != "/var/lib/secretref" {
		t.Errorf("state_dir %s from a file that anybody may write", l.StateDir)
	}
}
