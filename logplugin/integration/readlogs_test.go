//go:build integration

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// shown is what one `docker logs` has shown.
type shown struct {
	stdout, stderr string
	err            error
}

// logs runs `docker logs`. Times are masked.
func (w *world) logs(args ...string) shown {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"logs"}, args...)...)
	cmd.Env = w.dockerd.Env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return shown{masked(stdout.String()), masked(stderr.String()), err}
}

var stamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z `)

func masked(text string) string { return stamp.ReplaceAllString(text, "TIME ") }

// asJSON returns text as json-file shows it.
func asJSON(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text { // one U+FFFD for each bad byte, as encoding/json writes it
		b.WriteRune(r)
	}
	return b.String()
}

// differ says where two texts differ first.
func differ(got, want string) string {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	return fmt.Sprintf("%d bytes, want %d; from byte %d on %.80q, want %.80q", len(got), len(want), n, got[n:], want[n:])
}

// pair is a container with our driver and one with a driver of Docker's, which write the same.
type pair struct{ ours, theirs, driver string }

func (w *world) pair(driver, name string, docker []string, talker ...string) pair {
	w.t.Helper()
	p := pair{name, name + "-" + driver, driver}
	args := w.args(p.ours)
	w.mustDocker(slices.Concat(args[:1], docker, args[1:], []string{"talker"}, talker)...)
	w.mine = append(w.mine, p.theirs)
	w.mustDocker(slices.Concat([]string{"run", "-d", "--network", "none", "--log-driver", driver, "--name", p.theirs}, docker, []string{"talker"}, talker)...)
	return p
}

// wait waits until both have ended.
func (w *world) wait(p pair) {
	w.t.Helper()
	w.mustDocker("wait", p.ours, p.theirs)
}

// same fails unless `docker logs` shows the same of both.
func (w *world) same(p pair, when string, args ...string) {
	w.t.Helper()
	got, want := w.logs(append(slices.Clone(args), p.ours)...), w.logs(append(slices.Clone(args), p.theirs)...)
	if got.err != nil || want.err != nil {
		w.t.Errorf("%s: docker logs %v: %v %.200s; %s: %v", when, args, got.err, got.stderr, p.driver, want.err)
		return
	}
	if p.driver == "json-file" {
		got.stdout, got.stderr = asJSON(got.stdout), asJSON(got.stderr)
	}
	if got.stdout != want.stdout {
		w.t.Errorf("%s: docker logs %v: stdout has %s", when, args, differ(got.stdout, want.stdout))
	}
	if got.stderr != want.stderr {
		w.t.Errorf("%s: docker logs %v: stderr has %s", when, args, differ(got.stderr, want.stderr))
	}
}

// The options of `docker logs` that are compared. Times are years away, because the two containers do not write at the same
// moment. Of two streams nobody knows in which order their lines come.
var (
	queries = [][]string{
		nil, {"-t"}, {"--details"}, {"--since", "1h"}, {"--since", "2000-01-01"}, {"--until", "2000-01-01"}, {"--until", "2100-01-01"},
	}
	tails = [][]string{
		{"--tail", "0"}, {"--tail", "1"}, {"--tail", "30"}, {"--tail", "all"}, {"--tail", "-3"}, {"-t", "--tail", "5"},
		{"--tail", "3", "--since", "1h"}, {"--tail", "4", "--until", "2100-01-01"},
	}
)

// Of bytes that are not UTF-8 `docker logs` shows what it shows with the driver local: what was written. json-file replaces them.
// Characters that stand across the end of a piece of a long line are shown as they were written, too; they are not compared with local,
// which leaves out the newline of such lines.
func TestDockerLogsOfBytes(t *testing.T) {
	w := newWorld(t, worldOptions{})
	p := w.pair("local", "logs-bytes", nil, "-bytes", "-n", "2000")
	w.run("logs-wide", nil, "-wide", "-n", "50")
	w.wait(p)
	w.mustDocker("wait", "logs-wide")
	var wide strings.Builder
	for i := range 50 {
		wide.WriteString(strings.Repeat("日", 5500+i) + "\n")
	}
	compare := func(when string, queries ...[]string) {
		t.Helper()
		for _, q := range queries {
			w.same(p, when, q...)
		}
		if got := w.logs("logs-wide"); got.err != nil || got.stdout != wide.String() {
			t.Errorf("%s: docker logs of long lines: %v; stdout has %s", when, got.err, differ(got.stdout, wide.String()))
		}
	}
	if text := w.logs(p.ours).stdout; len(text) < 100_000 || utf8.ValidString(text) {
		t.Errorf("docker logs shows %d bytes, UTF-8: %v; want more, that are not", len(text), utf8.ValidString(text))
	}
	compare("after its end", slices.Concat([][]string{nil, {"-t"}, {"--until", "2100-01-01"}, {"-f"}}, tails)...)
	w.end(syscall.SIGKILL)
	w.start()
	compare("after kill -9 of the driver", nil, []string{"--tail", "7"})
}

// `docker logs` shows of a container with our driver what it shows with json-file, whatever happens to the driver, and to the
// router.
func TestDockerLogs(t *testing.T) {
	w := newWorld(t, worldOptions{})
	shapes := w.pair("json-file", "logs-shapes", nil, "-shapes")
	tty := w.pair("json-file", "logs-tty", []string{"-t"}, "-n", "50")
	running := w.pair("json-file", "logs-running", nil, "-n", "300", "-stay")
	both := w.pair("json-file", "logs-both", nil, "-n", "5000", "-both")
	for _, p := range []pair{shapes, tty, both} {
		w.wait(p)
	}
	until(t, 20*time.Second, "the lines of containers that run", func() bool {
		return strings.Contains(w.logs(running.ours).stdout, "end") && strings.Contains(w.logs(running.theirs).stdout, "end")
	})
	compare := func(when string, of [][]string, pairs ...pair) {
		for _, q := range of {
			for _, p := range pairs {
				w.same(p, when, q...)
			}
		}
	}
	compare("while it runs", slices.Concat(queries, tails), running)
	compare("of one that has ended", tails, tty)
	compare("of one that has ended", [][]string{nil, {"-t"}, {"--until", "2100-01-01"}}, shapes, both)
	w.end(syscall.SIGKILL)
	w.start()
	few := [][]string{nil, {"--tail", "2"}}
	compare("after kill -9 of the driver", few, running, tty)
	w.delivered(running.ours)
	compare("after delivery", few, running, tty)
	compare("after delivery", [][]string{nil, {"-t"}}, shapes, both)
	w.mustDocker("restart", "-t", "5", running.ours, running.theirs)
	compare("after a restart of the container", few, running)
	w.mustDocker("stop", "-t", "5", running.ours, running.theirs)
	compare("after a stop", append(tails, nil, []string{"-f"}), running)
}

// delivered waits until all is delivered of all but one container.
func (w *world) delivered(except string) {
	w.t.Helper()
	until(w.t, 60*time.Second, "the sessions' end", func() bool {
		all, err := w.status()
		return err == nil && len(all) == len(w.statusOf(except))
	})
}
