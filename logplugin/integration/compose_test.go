//go:build integration && engines

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// `docker compose logs` shows every line of every container of a project: of those that run, of those that have ended, the last ones, and
// as they are written. With -f compose waits for what happens to containers: it does not end for one that ends before compose listens, so
// the test interrupts it.
func TestComposeLogs(t *testing.T) {
	const count = 500
	compose, err := rig.Tool("docker-compose")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, worldOptions{})
	service := func(name string, args string) string {
		return fmt.Sprintf(`  %s:
    image: talker
    network_mode: none
    container_name: %s-%s
    command: [%s]
    logging:
      driver: %s
      options: {logDriver: splunk, splunk-url: %q, secretOptions.splunk-token: %q, tag: %q}
`, name, w.name, name, args, w.name, w.hec.URL(), w.arn+":token::", name)
	}
	w.write("compose.yaml", "services:\n"+service("ended", fmt.Sprintf(`"-n", "%d"`, count))+service("runs", fmt.Sprintf(`"-n", "%d", "-stay"`, count)))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, compose, append([]string{"-p", w.name, "-f", filepath.Join(w.dir, "compose.yaml")}, args...)...)
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 10 * time.Second
		cmd.Env = w.dockerd.Env()
		return cmd
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := command(ctx, args...).Output()
		if err != nil {
			t.Fatalf("compose %v: %v\n%.2000s", args, err, out)
		}
		return string(out)
	}
	run("up", "-d")
	defer run("down", "-t", "2")
	until(t, 30*time.Second, "all lines", func() bool { return w.hec.Count() == 2*(count+1) })
	shows := func(text string, first int, services ...string) {
		t.Helper()
		next := map[string]int{}
		for line := range strings.Lines(text) {
			name, rest, found := strings.Cut(line, "|")
			if !found && strings.Contains(line, "exited with code") {
				continue // it is compose that says so
			}
			name, rest = strings.TrimPrefix(strings.TrimSpace(name), w.name+"-"), strings.TrimSpace(rest)
			if n := first + next[name]; rest != fmt.Sprintf("line %07d", n) && rest != fmt.Sprint("end ", n) {
				t.Fatalf("compose logs shows %q, want line %d", line, n)
			}
			next[name]++
		}
		for _, s := range services {
			if next[s] != count+1-first {
				t.Errorf("compose logs shows %d lines of %s, want %d", next[s], s, count+1-first)
			}
		}
	}
	shows(run("logs", "--no-color"), 0, "ended", "runs")
	shows(run("logs", "--no-color", "--tail", "5"), count-4, "ended", "runs")
	shown, interrupt := context.WithCancel(ctx)
	defer interrupt()
	follow := command(shown, "logs", "--no-color", "-f", "runs")
	out := &awaited{text: fmt.Sprint("end ", count), came: func() {
		go func() { // the container ends while it is followed
			defer interrupt()
			if _, err := w.docker("stop", "-t", "5", w.name+"-runs"); err != nil {
				t.Error(err)
			}
		}()
	}}
	follow.Stdout = out
	if err := follow.Run(); ctx.Err() != nil || !out.done {
		t.Fatalf("compose logs -f: %v; it shows %.2000s", err, out.all.String())
	}
	<-shown.Done()
	shows(out.all.String(), 0, "runs")
}

// awaited keeps what a program writes, and calls came once the text is in it. It has no method ReadFrom, which would be called in place of
// Write.
type awaited struct {
	all  bytes.Buffer
	text string
	came func()
	done bool
}

// Write implements io.Writer.
func (a *awaited) Write(p []byte) (int, error) {
	n, err := a.all.Write(p)
	if !a.done && bytes.Contains(a.all.Bytes(), []byte(a.text)) {
		a.done = true
		a.came()
	}
	return n, err
}
