//go:build integration && engines

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// `docker compose logs` shows every line of every container of a project: of those that run, of those that have ended, the last ones, and
// as they are written. With -f compose waits for what happens to containers: it does not end for one that had ended before.
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
	follow := func(began func(), args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, compose, append([]string{"-p", w.name, "-f", filepath.Join(w.dir, "compose.yaml")}, args...)...)
		cmd.Env = w.dockerd.Env()
		out := &started{began: began}
		cmd.Stdout = out
		if err := cmd.Run(); err != nil {
			t.Fatalf("compose %v: %v\n%.2000s", args, err, out)
		}
		return out.String()
	}
	run := func(args ...string) string {
		t.Helper()
		return follow(func() {}, args...)
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
	stopped := make(chan error, 1)
	stop := func() {
		go func() { _, err := w.docker("stop", "-t", "5", w.name+"-runs"); stopped <- err }()
	}
	shows(follow(stop, "logs", "--no-color", "-f", "runs"), 0, "runs") // it ends with the container
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// started keeps what a program writes, and calls began when it begins to.
type started struct {
	bytes.Buffer
	began func()
}

// Write implements io.Writer.
func (s *started) Write(p []byte) (int, error) {
	if s.Len() == 0 {
		s.began()
	}
	return s.Buffer.Write(p)
}
