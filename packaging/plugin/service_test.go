//go:build integration

package plugin_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/porttest"
)

// services have the managed plugin for their log driver, in a swarm of one node: `docker service logs` shows every line of every
// task, of those that run and of those that have ended. They are few, because Docker 20.10 takes tens of seconds for a few thousand lines,
// with json-file as well.
func (h *host) services(t *testing.T) {
	const service, replicas, count = "served", 2, 50
	defer h.swarm()()
	create := func(service string, lines int, pause time.Duration) {
		h.docker("service", "create", "--name", service, "--replicas", strconv.Itoa(replicas), "--restart-condition", "none", "--no-resolve-image", "--detach",
			"--log-driver", name, "--log-opt", "logDriver=splunk", "--log-opt", "splunk-url="+h.hec.URL(), "--log-opt", "tag="+service,
			"--log-opt", "secretOptions.splunk-token="+h.secret+":token::", "counter", strconv.Itoa(lines), pause.String())
	}
	create(service, count, 0)
	h.until(time.Minute, "the end of the tasks", func() bool {
		return strings.Count(h.docker("service", "ps", "--format", "{{.CurrentState}}", service), "Complete") == replicas
	})
	for _, args := range [][]string{{"service", "logs", service}, {"service", "logs", "-t", "--tail", "all", service}} {
		h.eachTask(h.docker(args...), replicas, 0, count)
	}
	h.eachTask(h.docker("service", "logs", "--tail", "5", service), replicas, count-5, count)

	const running = "running"
	create(running, 100*lines, slow)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, docker, "service", "logs", "-f", running)
	cmd.Env = h.dockerd.Env()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	followed := map[string]int{}
	for in := bufio.NewScanner(out); in.Scan() && (len(followed) < replicas || followed[fewest(followed)] < count); {
		task, line, _ := strings.Cut(in.Text(), " | ")
		if want := fmt.Sprintf("line %07d", followed[task]); strings.TrimSpace(line) != want {
			t.Fatalf("docker service logs -f shows %q, want %s", in.Text(), want)
		}
		followed[task]++
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	if len(followed) != replicas {
		t.Errorf("docker service logs -f shows %d tasks, want %d: %v", len(followed), replicas, followed)
	}
	h.docker("service", "rm", service, running)
	h.until(time.Minute, "the end of all tasks", func() bool { return h.docker("ps", "-q", "--filter", "label=com.docker.swarm.service.name") == "" })
	h.idle()
}

// swarm makes a swarm of this one node. The function that it returns ends it.
func (h *host) swarm() (end func()) {
	h.t.Helper()
	const gateway = "docker_gwbridge"
	address := porttest.Address(h.t)
	// The swarm's bridge on this machine has a name of its own, and goes with the swarm.
	h.docker("network", "create", "--subnet", "10.213.0.0/24", "--opt", fmt.Sprint("com.docker.network.bridge.name=srgw-", os.Getpid()), gateway)
	h.docker("swarm", "init", "--listen-addr", address, "--advertise-addr", address)
	return func() {
		h.docker("swarm", "leave", "--force")
		h.docker("network", "rm", gateway)
	}
}

// swarmSecrets is a service whose secret is a reference: each task has the value of its time, and the swarm keeps the reference alone.
func (h *host) swarmSecrets(put func(i int) string, reads func(container string, i int)) {
	h.t.Helper()
	defer h.swarm()()
	const path = "/run/secrets/dbpw"
	h.docker("secret", "create", "--driver", name, "--label", "valueFrom="+put(0)+":password::", "dbpw")
	task := func() string {
		return h.docker("ps", "-q", "--filter", "label=com.docker.swarm.service.name=app", "--filter", "status=running")
	}
	running := func(what string, not string) (container string) {
		h.until(time.Minute, what, func() bool { container = task(); return container != not && len(strings.Fields(container)) == 1 })
		return container
	}
	h.docker("service", "create", "--name", "app", "--detach", "--no-resolve-image", "--stop-grace-period", "1ms", "--log-driver", "none",
		"--secret", "source=dbpw,target=dbpw,mode=0400", "reader", "-follow", path)
	first := running("a task with its secret", "")
	reads(first, 0)
	put(1)
	h.docker("service", "update", "--detach", "--force", "app")
	reads(running("the next task", first), 1)
	if text := h.docker("secret", "inspect", "dbpw"); !strings.Contains(text, "secret:prod/db") {
		h.t.Errorf("docker secret inspect does not show the reference:\n%s", text)
	}
	h.docker("secret", "create", "--driver", name, "--label", "valueFrom=/outside", "outside")
	h.docker("service", "create", "--name", "refused", "--detach", "--no-resolve-image", "--log-driver", "none", "--secret", "outside", "reader", "-follow", path)
	h.until(time.Minute, "status names the secret that is refused", func() bool {
		s, _ := h.status() // which ends with 3, because somebody should look
		return strings.Contains(s, "secret outside of the swarm: ") && strings.Contains(s, "under [secrets]")
	})
	h.docker("service", "rm", "app", "refused")
	h.docker("secret", "rm", "dbpw", "outside")
	h.until(time.Minute, "the end of all tasks", func() bool { return task() == "" })
}

func fewest(of map[string]int) (key string) {
	for k, n := range of {
		if key == "" || n < of[key] {
			key = k
		}
	}
	return key
}

var taskLine = regexp.MustCompile(`^(?:\S+Z )?(served\.\d)\S* +\| line (\d+)$`)

// eachTask wants the lines from first to last, in order, of so many tasks.
func (h *host) eachTask(logs string, tasks, first, last int) {
	h.t.Helper()
	next := map[string]int{}
	for line := range strings.Lines(logs) {
		f := taskLine.FindStringSubmatch(strings.TrimSpace(line))
		if f == nil {
			h.t.Fatalf("docker service logs shows %q", line)
		}
		if n, _ := strconv.Atoi(f[2]); n != first+next[f[1]] {
			h.t.Fatalf("%s: line %d follows on %d lines from %d on", f[1], n, next[f[1]], first)
		}
		next[f[1]]++
	}
	for task, n := range next {
		if n != last-first {
			h.t.Errorf("%s: docker service logs shows %d lines, want %d", task, n, last-first)
		}
	}
	if len(next) != tasks {
		h.t.Errorf("docker service logs shows %d tasks, want %d", len(next), tasks)
	}
}
