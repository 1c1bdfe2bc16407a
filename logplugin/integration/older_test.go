//go:build integration && older

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

// A driver of an older version, which SECRETREF_TEST_OLDER names, and this one take turns, with containers that run on, others that start
// meanwhile, and a router that takes nothing at each change. Every line arrives once and in order, what docker logs shows of this version is
// there again after the older one, and what the daemon has kept meanwhile is named.
func TestOlderVersion(t *testing.T) {
	older := os.Getenv("SECRETREF_TEST_OLDER")
	if older == "" {
		t.Fatal("SECRETREF_TEST_OLDER does not name a program")
	}
	const perRun = 101 // lines, with the last
	toOlder := []string{"/bin/sh", "-c", `shift; exec "$0" "$@"`, older}
	w := newWorld(t, worldOptions{prefix: toOlder})
	w.run("steady", nil, "-pause", "20ms", "-both")
	runs, all := 0, 0               // of again, and lines of all that end
	var waiting, kept, cached []int // runs of again: in the spool, in our history, in the daemon's copy
	for i, turn := range []struct {
		version  string
		delivers bool // else the next version gets the lines
	}{{"older", false}, {"this", true}, {"older", true}, {"this", false}, {"older", false}, {"this", true}} {
		now := turn.version
		before := w.history()
		if i > 0 {
			w.end([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[i/2%2])
			if w.prefix = nil; now == "older" {
				w.prefix = toOlder
			}
			w.start()
		}
		if i == 0 {
			w.hec.FailAlways(&hectest.Fault{Code: 9})
			w.run("again", nil, "-n", "100", "-stay")
		} else {
			w.mustDocker("restart", "-t", "5", "again")
		}
		w.run(fmt.Sprint("once-", i), nil, "-n", "100")
		w.run(fmt.Sprint("long-", i), nil, "-wide", "-n", "50")
		waiting, runs, all = append(waiting, i), runs+1, all+2*perRun+50
		shows := len(waiting) + len(kept)
		if now == "older" {
			cached = append(cached, i)
			shows = len(cached)
		} else if i == 1 {
			w.run("asked", nil, "-pause", "20ms") // the daemon asks this version for its log, as long as it runs
		}
		var got shown
		until(t, 20*time.Second, "docker logs of again", func() bool {
			got = w.logs("again")
			return strings.Count(got.stdout, "\n") >= shows*perRun
		})
		if n := strings.Count(got.stdout, "\n"); n != shows*perRun || got.err != nil {
			t.Errorf("%d, %s version: docker logs shows %d lines, %v, want those of %d runs", i, now, n, got.err, shows)
		}
		if named := cachedLog.MatchString(got.stderr); named != (now == "this") {
			t.Errorf("%d, %s version: docker logs says %q, want a word on the daemon's copy: %v", i, now, got.stderr, now == "this")
		}
		if after := w.history(); now == "older" && !slices.Equal(after, before) {
			t.Errorf("%d: the older version has changed the history from %v to %v", i, before, after)
		}
		if !turn.delivers {
			continue
		}
		w.hec.FailAlways(nil)
		until(t, time.Minute, "all lines of those that have ended", func() bool {
			return w.counted("again")+w.counted("once-")+w.counted("long-") >= all
		})
		w.hec.FailAlways(&hectest.Fault{Code: 9})
		if now == "this" {
			kept = append(kept, waiting...)
		}
		waiting = nil // the older version keeps nothing
	}
	w.hec.FailAlways(nil)
	w.mustDocker("stop", "-t", "10", "steady", "again", "asked")
	for name, sources := range map[string][]string{"steady": {"stdout", "stderr"}, "asked": {"stdout"}} {
		if _, twice := w.arrived(name, time.Minute, sources...); twice > 0 {
			t.Errorf("%d lines of %s came twice", twice, name)
		}
	}
	w.gone()
	if n := w.counted("again") + w.counted("once-") + w.counted("long-"); n != all {
		t.Errorf("%d lines of those that end arrived, want %d", n, all)
	}
	var times []float64
	for _, e := range w.hec.Events() {
		var ev struct {
			Time  json.Number
			Event event
		}
		if err := json.Unmarshal([]byte(e.Text), &ev); err != nil {
			t.Fatal(err)
		}
		if at, err := ev.Time.Float64(); err == nil && ev.Event.Tag == "again" {
			times = append(times, at)
		}
	}
	if len(times) != runs*perRun || !slices.IsSorted(times) {
		t.Errorf("%d lines of %d runs of again, in order: %v", len(times), runs, slices.IsSorted(times))
	}
	// The older version keeps nothing of what it has delivered, nor what this one has not moved to its history yet. The rest is there.
	got := w.logs("asked")
	shows := newStream()
	for line := range strings.Lines(got.stdout) {
		shows.take(strings.TrimSuffix(line, "\n"))
	}
	if s := w.stream("asked", "stdout"); got.err != nil || got.stderr != "" || shows.lines < 10 || shows.end != s.end || shows.next != s.end || shows.jumps > 1 || shows.twice > 0 {
		t.Errorf("docker logs of a container that ran under each version shows %+v of %d lines, %q, %v", *shows, s.end, got.stderr, got.err)
	}
}

// counted returns how many lines have arrived with a tag that begins so, each time that they did.
func (w *world) counted(tag string) (n int) {
	for _, e := range w.hec.Events() {
		if strings.Contains(e.Text, `"tag":"`+tag) {
			n++
		}
	}
	return n
}

// history lists the files that are kept of delivered lines, with their sizes.
func (w *world) history() (all []string) {
	w.t.Helper()
	files, err := filepath.Glob(w.state + "/history/*/*")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			all = append(all, fmt.Sprint(filepath.Base(f), " ", st.Size()))
		}
	}
	return all
}
