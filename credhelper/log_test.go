package credhelper_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
)

// hostLog makes a log of the host, and returns what reads the lines since the last look.
func (w *world) hostLog() func() []string {
	w.t.Helper()
	path := filepath.Join(w.dir, "log")
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = log.Close() })
	if err := os.Chmod(path, 0o777); err != nil {
		w.t.Fatal(err)
	}
	w.setenv("SECRETREF_SYSLOG=" + path)
	return func() (lines []string) {
		w.t.Helper()
		buf := make([]byte, 8192)
		for {
			// All that was sent is in the socket, since the programs have ended.
			if err := log.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				w.t.Fatal(err)
			}
			n, err := log.Read(buf)
			if err != nil {
				return lines
			}
			lines = append(lines, string(buf[:n]))
		}
	}
}

// A failure is one line in the log of the host, once a minute for each registry; an answer and "not found" are none.
func TestFailuresAreLogged(t *testing.T) {
	w := newWorld(t, fakeaws.Options{})
	arn := w.secret("prod/registry")
	w.config("[registries.\"ok.example.com\"]\ncredentialsParameter = \"" + arn + "\"\n" +
		"[registries.\"a.example.com\"]\ncredentialsParameter = \"prod/none\"\n[registries.\"b.example.com\"]\ncredentialsParameter = \"prod/none\"\n")
	logged := w.hostLog()
	for _, host := range []string{"a.example.com", "ok.example.com", "unmapped.example.com", "a.example.com", "https://a.example.com", "b.example.com", "ok.example.com"} {
		w.get(host)
	}
	w.run(nil, `{"ServerURL": "b.example.com", "Username": "u", "Secret": "`+w.canary.Value()+`"}`, "store")
	w.setenv("SECRETREF_SYSLOG=off")
	w.get("c.example.com")

	lines := logged()
	if len(lines) != 2 || !strings.Contains(lines[0], "]: get: registry a.example.com: get secret prod/none in ") || !strings.Contains(lines[1], "]: get: registry b.example.com: ") {
		t.Errorf("the log has %d lines, want one for each of two registries:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, "<11>docker-credential-secretref[") || w.canary.In(l) {
			t.Errorf("line %q", w.show(l))
		}
	}
}

// With audit, each reference that AWS is asked for is one line in the log of the host, and an answer of the cache is none.
func TestAudit(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/registry"
	for _, c := range []struct {
		name, audit string
		hosts       []string
		want        []string // in the lines that are not of a failure, in order
	}{
		{"a value, once, and its answer from the cache", "true", []string{"ok.example.com", "ok.example.com"},
			[]string{"]: audit: for=ok.example.com reference=" + arn}},
		{"a refusal", "true", []string{"none.example.com"},
			[]string{"]: audit: for=none.example.com reference=prod/none result=not_found"}},
		{"no rule", "true", []string{"unmapped.example.com"}, nil},
		{"not asked for", "false", []string{"ok.example.com", "none.example.com"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, fakeaws.Options{})
			w.config("[aws]\ntimeout = \"5s\"\naudit = " + c.audit + "\n[registries.\"ok.example.com\"]\ncredentialsParameter = \"" + w.secret("prod/registry") +
				"\"\n[registries.\"none.example.com\"]\ncredentialsParameter = \"prod/none\"\n")
			logged := w.hostLog()
			for _, host := range c.hosts {
				w.get(host)
			}
			lines := slices.DeleteFunc(logged(), func(l string) bool { return strings.HasPrefix(l, "<11>") })
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(c.want), strings.Join(lines, "\n"))
			}
			for i, l := range lines {
				if !strings.HasPrefix(l, "<14>docker-credential-secretref[") || !strings.Contains(l, c.want[i]) || w.canary.In(l) {
					t.Errorf("line %q, want %q in it", w.show(l), c.want[i])
				}
				if strings.Contains(l, "for=ok.") && (!strings.Contains(l, " result=ok ") || !strings.Contains(l, " version=")) {
					t.Errorf("line %q, want a result and a version in it", w.show(l))
				}
			}
		})
	}
}

// SECRETREF_DEBUG says what was decided, never a value, and leaves standard output as it is.
func TestDebug(t *testing.T) {
	w := newWorld(t, fakeaws.Options{})
	w.config("[registries.\"ok.example.com\"]\ncredentialsParameter = \"" + w.secret("prod/registry") + "\"\n[registries.\"a.example.com\"]\ncredentialsParameter = \"prod/none\"\n")
	w.setenv("SECRETREF_DEBUG=1")
	for _, c := range []struct {
		host string
		want []string
	}{
		{"ok.example.com", []string{"configuration: $WORK/config.toml", "registry ok.example.com is answered from secret ", "cache: no answer", "hand over to secretref-resolve", "the value has the version "}},
		{"ok.example.com", []string{"cache: it has an answer, AWS is not asked"}},
		{"a.example.com", []string{"AWS: get secret prod/none"}},
		{"unmapped.example.com", []string{"get: credentials not found in native keychain"}},
	} {
		r := w.get(c.host)
		stderr := w.show(r.stderr)
		for _, want := range c.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("get %s: standard error has no %q:\n%s", c.host, want, stderr)
			}
		}
		if w.canary.In(r.stderr) || strings.Contains(r.stdout, "debug:") {
			t.Errorf("get %s: %s", c.host, w.show(render(r)))
		}
	}
}
