//go:build integration

package integration

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

// long is set by SECRETREF_TEST_LONG: then the tests here do as much as the promise says, and take minutes.
var long = os.Getenv("SECRETREF_TEST_LONG") != ""

// countLogs returns how many lines `docker logs` shows, and fails where one is not the next.
func (w *world) countLogs(name string) (n int) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "docker", "logs", name)
	cmd.Env = w.dockerd.Env()
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	for in := bufio.NewScanner(out); in.Scan(); n++ {
		if want := fmt.Sprintf("line %07d", n); !strings.HasPrefix(in.Text(), want) && in.Text() != "end "+strconv.Itoa(n) {
			w.t.Errorf("docker logs shows %.40q, want %s", in.Text(), want)
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		w.t.Errorf("docker logs: %v", err)
	}
	return n
}

// `docker logs` shows each line of a container that writes as fast as it can, the moment that it has ended: while the router takes
// lines, while it refuses connections, and while it takes requests and answers none.
func TestDockerLogsAreComplete(t *testing.T) {
	lines, rounds := 50_000, 2
	if long {
		lines, rounds = 500_000, 10
	}
	w := newWorld(t, worldOptions{})
	away, hung := newDoor(t, w.hec.URL()), w.receiver(hectest.Options{Tokens: []string{"token-1"}})
	hung.FailAlways(&hectest.Fault{Hang: true})
	for _, router := range []struct {
		name string
		opts []string
		took func() bool // reports whether the router has seen a request; nil for one that never does
	}{
		{"takes", nil, func() bool { return w.hec.Count() > 0 }},
		{"away", []string{"splunk-url=http://" + away.addr}, nil},
		{"hangs", []string{"splunk-url=" + hung.URL()}, func() bool { return hung.Connections() > 0 }},
	} {
		for round := range rounds {
			name := fmt.Sprintf("fast-%s-%d", router.name, round)
			w.run(name, router.opts, "-n", strconv.Itoa(lines), "-size", "100")
			w.mustDocker("wait", name)
			if n := w.countLogs(name); n != lines+1 {
				t.Errorf("router %s, round %d: docker logs shows %d lines, want %d", router.name, round, n, lines+1)
			}
			if router.took != nil {
				until(t, 20*time.Second, "a request to the router that "+router.name, router.took)
			}
			w.mustDocker("rm", name)
		}
	}
	if n := hung.Count(); n > 0 {
		t.Errorf("the router that hangs has taken %d events, want none", n)
	}
}

// files counts the open files of a process.
func files(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Clients of `docker logs -f` that go away without a word leave nothing in the driver, nor in the daemon, though the container is silent.
func TestAbortedFollowers(t *testing.T) {
	clients, waves := 40, 1
	if long {
		clients, waves = 200, 5
	}
	w := newWorld(t, worldOptions{})
	w.run("silent", nil, "-n", "3", "-stay")
	until(t, 20*time.Second, "the lines", func() bool { return w.hec.Count() == 4 })
	if n := w.countLogs("silent"); n != 4 {
		t.Fatalf("docker logs shows %d lines, want 4", n)
	}
	goroutines := func() (n int) {
		text := w.mustDocker("info", "-f", "{{.NGoroutines}}")
		if _, err := fmt.Sscan(text, &n); err != nil || n < 10 {
			t.Fatalf("docker info says that there are %q goroutines: %v", text, err)
		}
		return n
	}
	driver, daemon, before := files(t, w.pid()), files(t, w.dockerd.PID()), goroutines()
	for range waves {
		var all sync.WaitGroup
		for range clients {
			cmd := exec.CommandContext(t.Context(), "docker", "logs", "-f", "silent")
			cmd.Env = w.dockerd.Env()
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				in := bufio.NewReader(out)
				for range 4 {
					if _, err := in.ReadString('\n'); err != nil {
						t.Errorf("docker logs -f: %v", err)
					}
				}
				_ = cmd.Process.Signal(syscall.SIGKILL)
				_ = cmd.Wait() // it was killed
			})
		}
		all.Wait()
	}
	until(t, 30*time.Second, "the end of all followers in the driver and the daemon", func() bool {
		return files(t, w.pid()) <= driver+2 && files(t, w.dockerd.PID()) <= daemon+4 && goroutines() <= before+8
	})
	w.running("silent")
	w.mustDocker("rm", "-f", "silent")
	w.noFollowers()
}

// A follower sees a line soon, and ends when the container does.
func TestFollowed(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.run("followed", nil, "-pause", "20ms")
	cmd := exec.CommandContext(t.Context(), "docker", "logs", "-f", "--tail", "0", "followed")
	cmd.Env = w.dockerd.Env()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var stopped sync.WaitGroup
	defer stopped.Wait()
	in, last, seen := bufio.NewScanner(out), -1, 0
	for in.Scan() {
		var n int
		if _, err := fmt.Sscanf(in.Text(), "line %d", &n); err == nil {
			if last >= 0 && n != last+1 {
				t.Errorf("line %d follows on line %d", n, last)
			}
			last = n
		}
		if strings.HasPrefix(in.Text(), "end") {
			break
		}
		if seen++; seen == 20 {
			stopped.Go(func() { _, _ = w.docker("stop", "-t", "5", "followed") }) // the last line says whether it has
		}
	}
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(in.Text(), "end") {
		t.Errorf("docker logs -f has ended with %v after %q, want the container's last line", err, in.Text())
	}
}
