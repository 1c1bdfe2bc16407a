package credhelper_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
)

// A failure is one line in the log of the host, once a minute for each registry; an answer and "not found" are none.
func TestFailuresAreLogged(t *testing.T) {
	w := newWorld(t, fakeaws.Options{})
	arn := w.secret("prod/registry")
	w.config("[registries.\"ok.example.com\"]\ncredentialsParameter = \"" + arn + "\"\n" +
		"[registries.\"a.example.com\"]\ncredentialsParameter = \"prod/none\"\n[registries.\"b.example.com\"]\ncredentialsParameter = \"prod/none\"\n")
	path := filepath.Join(w.dir, "log")
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // of a test that is over
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	w.setenv("SECRETREF_SYSLOG=" + path)
	for _, host := range []string{"a.example.com", "ok.example.com", "unmapped.example.com", "a.example.com", "https://a.example.com", "b.example.com", "ok.example.com"} {
		w.get(host)
	}
	w.run(nil, `{"ServerURL": "b.example.com", "Username": "u", "Secret": "`+w.canary.Value()+`"}`, "store")
	w.setenv("SECRETREF_SYSLOG=off")
	w.get("c.example.com")

	var lines []string
	buf := make([]byte, 8192)
	for {
		// All that was sent is in the socket, since the programs have ended.
		if err := log.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := log.Read(buf)
		if err != nil {
			break
		}
		lines = append(lines, string(buf[:n]))
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "]: get: registry a.example.com: get secret prod/none in ") || !strings.Contains(lines[1], "]: get: registry b.example.com: ") {
		t.Errorf("the log has %d lines, want one for each of two registries:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, "<11>docker-credential-secretref[") || w.canary.In(l) {
			t.Errorf("line %q", w.show(l))
		}
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
