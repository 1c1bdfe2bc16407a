//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

var cachedLog = regexp.MustCompile(`^secretref: output from before the log driver answered docker logs is not shown; it is in (containers/[0-9a-f]{64}/container-cached\.log) below the data-root`)

// read_logs is switched on and off, with a container that runs meanwhile and a router that takes nothing at the time. The daemon asks the
// driver from the next start of the container on, and its own copy after the next start that follows the way back; what a user does not see
// then is where the first line says, or comes back with the setting; and every line arrives.
func TestSwitchedReadLogs(t *testing.T) {
	const perRun = 101 // lines, with the last
	w := newWorld(t, worldOptions{logs: "read_logs = false\n"})
	set := func(from, to string) {
		t.Helper()
		w.end(syscall.SIGTERM)
		text, err := os.ReadFile(filepath.Join(w.dir, "config.toml"))
		if err != nil {
			t.Fatal(err)
		}
		w.write("config.toml", strings.Replace(string(text), "read_logs = "+from, "read_logs = "+to, 1))
		w.start()
	}
	shows := func(when string, runs int, hint bool) {
		t.Helper()
		var got shown
		until(t, 20*time.Second, "docker logs "+when, func() bool {
			got = w.logs("switched")
			return strings.Count(got.stdout, "\n") >= runs*perRun
		})
		if n := strings.Count(got.stdout, "\n"); n != runs*perRun || got.err != nil {
			t.Errorf("%s: docker logs shows %d lines, %v, want those of %d runs", when, n, got.err, runs)
		}
		found := cachedLog.FindStringSubmatch(got.stderr)
		if (found != nil) != hint || !hint && got.stderr != "" {
			t.Errorf("%s: docker logs says %q, want a word on the daemon's copy: %v", when, got.stderr, hint)
		}
		if !hint {
			return
		}
		if _, err := os.Stat(filepath.Join(w.dockerd.Dir(), "data", found[1])); err != nil {
			t.Errorf("%s: the file that docker logs names: %v", when, err)
		}
		if got := w.logs("--tail", "1", "switched"); got.stderr != "" || got.stdout != "end 100\n" {
			t.Errorf("%s: docker logs --tail 1 shows %q and %q", when, got.stdout, got.stderr)
		}
	}
	arrived := func(runs int) {
		t.Helper()
		w.hec.FailAlways(nil)
		until(t, time.Minute, "every line", func() bool { return w.hec.Count() >= runs*perRun })
		if n := w.hec.Count(); n != runs*perRun {
			t.Errorf("%d events, want those of %d runs", n, runs)
		}
	}

	w.hec.FailAlways(&hectest.Fault{Code: 9})
	w.run("switched", nil, "-n", "100", "-stay")
	shows("of the daemon's copy", 1, false)
	set("false", "true")
	shows("of one that runs since before", 1, false)
	w.mustDocker("restart", "-t", "5", "switched")
	shows("after its next start", 2, true) // the lines of the first wait for the router
	arrived(2)
	shows("after delivery", 2, true)

	w.hec.FailAlways(&hectest.Fault{Code: 9})
	set("true", "false")
	shows("of one that runs since before the way back", 2, true)
	w.mustDocker("restart", "-t", "5", "switched")
	shows("of the daemon's copy again", 2, false) // of the first run and the third
	arrived(3)
	w.mustDocker("stop", "-t", "5", "switched")
	set("false", "true")
	shows("of what was kept", 2, true) // of the first run and the second
	w.gone()
}
