//go:build integration

package plugin_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/rig"
)

const (
	name = "secretref"
	role = "arn:aws:iam::111122223333:role/app-host"
	user = "builder" // of the registry

	// What most containers write: ten thousand lines a second, for ten seconds at least.
	lines  = 100_000
	slow   = 10 * time.Millisecond
	docker = "/usr/bin/docker"
)

func TestManagedPlugin(t *testing.T) {
	h := newHost(t)
	for _, step := range []struct {
		name string
		test func(*testing.T)
	}{
		{"mistake", h.mistake},
		{"create", h.create},
		{"killed", h.killed},
		{"killed before the daemon has reached it", h.killedTwice},
		{"started with the daemon", h.started},
		{"docker logs", h.logs},
		{"docker service logs", h.services},
		{"a destination", h.destination},
		{"upgraded", h.upgraded},
		{"with volumes", h.volumes},
		{"installed", h.installed},
		{"removed", h.removed},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			h.t = t
			defer func() { h.t = nil }()
			step.test(t)
		})
		if !ok {
			t.FailNow() // a step goes on where the one before it has ended
		}
	}
}

// A wrong setting is told to whoever starts a container: a plugin that ended because of it would be disabled, with no word.
func (h *host) mistake(t *testing.T) {
	h.docker("plugin", "create", name, h.path("v1"))
	h.docker("plugin", "set", name, "SECRETREF_CACHE_TTL=300")
	h.enable()
	r, err := h.try("run", "--name", "refused", "--network", "none", "--log-driver", name, "--log-opt", "logDriver=fluentd", "counter", "1", "0s")
	const want = `SECRETREF_CACHE_TTL: the value is "300", which is not a duration`
	if err == nil || !strings.Contains(r.Output, want) {
		t.Errorf("docker run with a wrong setting: %v, want %s\n%s", err, want, r.Output)
	}
	h.docker("rm", "-f", "refused")
	h.docker("plugin", "disable", name)
	h.docker("plugin", "set", name, "SECRETREF_CACHE_TTL=") // as if it was never set
}

func (h *host) create(t *testing.T) {
	h.docker(append([]string{"plugin", "set", name}, h.settings()...)...)
	h.enable()
	h.id = h.docker("plugin", "inspect", "-f", "{{.Id}}", name)
	h.run("first", 20000, 0)
	if twice := h.arrived("first", 20000, 30*time.Second); twice > 0 {
		t.Errorf("%d lines came more than once", twice)
	}
	for _, text := range []string{h.docker("plugin", "inspect", name), h.docker("inspect", "first"), h.dockerd.Log()} {
		if h.token.In(text) {
			t.Errorf("the token is in\n%s", text)
		}
	}
	if text := h.docker("inspect", "first"); !strings.Contains(text, h.secret) {
		t.Errorf("docker inspect does not show the reference:\n%s", text)
	}
	h.idle()
	h.docker("rm", "-f", "first")
}

// The daemon starts the plugin again, and does not announce the containers again.
func (h *host) killed(t *testing.T) {
	for _, c := range []string{"k0", "k1"} {
		h.run(c, lines, slow)
	}
	pid := 0
	for range 4 {
		h.flows("k0", 1)
		before := h.saved()
		pid = h.kill(pid)
		began := time.Now()
		h.process(pid)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the plugin was started again after %v", took)
		}
		h.until(10*time.Second, "the daemon's word that the plugin is up", func() bool { return h.saved().After(before) })
	}
	for _, c := range []string{"k0", "k1"} {
		t.Logf("%s: %d of %d lines came more than once", c, h.arrived(c, lines, 60*time.Second), lines)
	}
	h.idle()
	h.docker("rm", "-f", "k0", "k1")
}

// The daemon, of 20.10 as of 29, gives a plugin half a second, then dials it four times with pauses of three seconds. It
// sees the end of a plugin only after that, so one that dies before the first dial is not started again: the daemon takes
// it for one that never listened, and disables it. Enabled by hand it goes on, and no line is lost of a container that
// still runs. Of one that has ended meanwhile the daemon gives up what it holds in memory, after ten seconds.
func (h *host) killedTwice(t *testing.T) {
	h.run("twice", 100*lines, slow) // more than the daemon has room for
	h.flows("twice", 1)
	h.kill(h.kill(0))
	h.until(30*time.Second, "the plugin's being disabled", func() bool { return h.enabled() == "false" })
	if pids := h.processes(); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
	h.enable()
	h.flows("twice", lines/2)
	h.complete("twice")
	h.docker("rm", "-f", "twice")
	h.idle()
}

// The plugin ends and starts with the daemon, and delivers what its spool holds, also of containers that are gone.
func (h *host) started(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		h.hec.FailAlways(&hectest.Fault{Code: 9})
		h.run(sig.String(), 1000, 0)
		h.docker("wait", sig.String())
		h.docker("rm", sig.String())
		pid := h.process(0)
		if err := h.dockerd.Halt(sig); err != nil {
			t.Fatal(err)
		}
		h.hec.FailAlways(nil)
		if err := h.dockerd.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.process(pid)
		h.arrived(sig.String(), 1000, 30*time.Second)
		h.idle()
	}
}

// The time limit with which the plugin is enabled is that of `docker logs -f`, too: it is cut with the words that the document has. With 0
// there is none, and what was written before is still shown.
func (h *host) logs(t *testing.T) {
	const limit, count = 2 * time.Second, 30_000 // lines, which take a little longer than limit
	enable := func(limit string) {
		h.docker("plugin", "disable", "-f", name)
		h.docker("plugin", "enable", "--timeout", limit, name)
	}
	enable("2")
	h.run("cut", count, slow)
	began := time.Now()
	r, err := h.try("logs", "-f", "cut")
	says := strings.Contains(r.Output, "Client.Timeout or context cancellation while reading body") || strings.Contains(r.Output, "context deadline exceeded")
	if took := time.Since(began); err == nil || !says || took > limit+time.Second {
		t.Errorf("docker logs -f has ended with %v after %v, want a cut after %v:\n%.500s", err, took, limit, r.Output)
	}
	enable("0")
	h.run("whole", count, slow)
	for _, container := range []string{"whole", "cut"} {
		r, err := h.try("logs", "-f", container)
		if got := strings.Count(r.Stdout, "\n"); err != nil || got != count {
			t.Errorf("docker logs -f %s shows %d lines, %v; want %d", container, got, err, count)
		}
	}
	h.docker("rm", "-f", "cut", "whole")
	h.idle()
}

// The whole configuration in one setting: containers have no log option at all, and a destination that changes takes a running
// container along.
func (h *host) destination(t *testing.T) {
	set := func(source string) {
		h.docker("plugin", "disable", "-f", name)
		h.docker("plugin", "set", name, "SECRETREF_CONFIG_TOML=[logs]\ndefault_destination = 'prod'\n[logs.destinations.prod]\nlogDriver = 'splunk'\nsplunk-url = '"+h.hec.URL()+
			"'\nsplunk-source = '"+source+"'\n'secretOptions.splunk-token' = '"+h.secret+":token::'\n")
		h.docker("plugin", "enable", "--timeout", "0", name)
	}
	arrived := func(source string) {
		h.until(30*time.Second, "a line of "+source, func() bool {
			return slices.ContainsFunc(h.hec.Events(), func(e hectest.Event) bool { return strings.Contains(e.Text, `"source":"`+source+`"`) })
		})
	}
	set("before")
	h.docker("run", "-d", "--name", "named", "--network", "none", "--log-driver", name, "--log-opt", "tag=named", "counter", strconv.Itoa(100*lines), slow.String())
	arrived("before")
	if text := h.docker("inspect", "named"); strings.Contains(text, h.secret) || strings.Contains(text, h.hec.URL()) {
		t.Errorf("docker inspect shows more than the container's own options:\n%s", text)
	}
	set("after")
	arrived("after")
	h.docker("rm", "-f", "named")
	h.idle()
	h.docker("plugin", "disable", "-f", name)
	h.docker("plugin", "set", name, "SECRETREF_CONFIG_TOML=")
	h.docker("plugin", "enable", "--timeout", "0", name)
}

// An upgrade with a running container: it waits while the plugin is disabled.
func (h *host) upgraded(t *testing.T) {
	image := h.registry.Addr() + "/logdriver:2"
	h.docker("plugin", "create", image, h.path("v2"))
	h.docker("plugin", "push", image)
	h.docker("plugin", "rm", image)

	h.run("upgraded", 100*lines, slow)
	h.flows("upgraded", 1)
	h.docker("plugin", "disable", "-f", name)
	before := len(h.events("upgraded"))
	h.docker("plugin", "set", name, "SECRETREF_LOGS_HOSTNAME=web-1")
	h.docker("plugin", "upgrade", "--skip-remote-check", "--grant-all-permissions", name, image)
	if pids, n := h.processes(), len(h.events("upgraded")); len(pids) > 0 || n > before {
		t.Errorf("processes %v and %d more lines while the plugin is disabled", pids, n-before)
	}
	h.docker("plugin", "enable", "--timeout", "0", name)
	h.flows("upgraded", lines/2)
	h.complete("upgraded")
	if id := h.docker("plugin", "inspect", "-f", "{{.Id}} {{.PluginReference}}", name); id != h.id+" "+image {
		t.Errorf("the plugin is now %q, want the old id and %s", id, image)
	}
	version, err := rig.Cmd{Args: []string{h.data("rootfs/bin/secretref-logdriver"), "version"}}.Run(t.Context())
	if err != nil || !strings.HasSuffix(version.Stdout, " v2\n") {
		t.Errorf("version %q, %v, want v2", version.Stdout, err)
	}
	events := h.events("upgraded")
	if first, last := events[0].Host, events[len(events)-1].Host; first == "web-1" || last != "web-1" {
		t.Errorf("the host is %q first and %q at last, want web-1 from the time that it was set", first, last)
	}
	h.docker("rm", "-f", "upgraded")
	h.idle()
	h.docker("plugin", "disable", name) // without force: the daemon counts no user
	h.docker("plugin", "rm", name)
}

// A fresh host installs the plugin from a registry with a password, whose name alone is known there.
func (h *host) installed(t *testing.T) {
	image := h.registry.Addr() + "/logdriver:2"
	r, err := h.try("plugin", "install", "--alias", name, image) // with nobody who says yes
	if asked := regexp.MustCompile(`(?m)^ - .*$`).FindAllString(r.Stdout, -1); err == nil || !slices.Equal(asked, []string{" - network: [host]"}) {
		t.Errorf("install asks for %q (%v), want the host's network alone\n%s", asked, err, r.Output)
	}
	h.docker(append([]string{"plugin", "install", "--alias", name, "--grant-all-permissions", image}, h.settings()...)...)
	h.id = h.docker("plugin", "inspect", "-f", "{{.Id}}", name)
	h.run("installed", 5000, 0)
	if twice := h.arrived("installed", 5000, 30*time.Second); twice > 0 {
		t.Errorf("%d lines came more than once", twice)
	}
	h.idle()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for what, canary := range map[string]*rig.Canary{"token": h.token, "password": h.password} {
		files, err := canary.FindInFiles(ctx, h.dir, h.dockerd.Dir(), "/run/docker", "/var/log")
		if err != nil || len(files) > 0 {
			t.Errorf("the %s is in %q (%v)", what, files, err)
		}
		if found, err := canary.FindInProc(); err != nil || len(found) > 0 {
			t.Errorf("the %s is in %q (%v)", what, found, err)
		}
	}
}

func (h *host) removed(t *testing.T) {
	h.docker("rm", "-f", "installed")
	h.docker("plugin", "disable", name)
	h.docker("plugin", "rm", name)
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", h.dockerd.PID()))
	if err != nil || bytes.Contains(mounts, []byte(h.id)) {
		t.Errorf("a mount is left (%v):\n%s", err, mounts)
	}
	h.nothingLeft(t)
}

// nothingLeft looks for what a plugin may leave outside of a daemon's mounts.
func (h *host) nothingLeft(t *testing.T) {
	t.Helper()
	if pids := h.processes(); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
	left, _ := filepath.Glob("/sys/fs/cgroup/*/" + h.id) // the pattern is fine
	for _, p := range append(left, h.data(""), "/run/docker/plugins/"+h.id, "/sys/fs/cgroup/"+h.id) {
		if _, err := os.Lstat(p); err == nil {
			t.Errorf("%s is left", p)
		}
	}
}

// These tests leave nothing behind either when the daemon was killed and its plugin runs on.
func TestKilledDaemon(t *testing.T) {
	var h *host
	ok := t.Run("daemon", func(t *testing.T) {
		h = newHost(t)
		h.docker("plugin", "create", name, h.path("v1"))
		h.docker("plugin", "enable", "--timeout", "0", name)
		h.id = h.docker("plugin", "inspect", "-f", "{{.Id}}", name)
		h.process(0)
		if err := h.dockerd.Halt(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		h.process(0)
	})
	if ok {
		h.nothingLeft(t)
	}
}
