//go:build integration

package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
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
	"github.com/secretref/secretref/shared/fakeaws"
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

// host is a machine with the plugin on it, and everything that it talks to.
type host struct {
	t        *testing.T
	dir      string
	dockerd  *rig.Dockerd
	registry *rig.Registry
	aws      *fakeaws.Server
	hec      *hectest.Server
	token    *rig.Canary // of the log router
	password *rig.Canary // of the registry
	secret   string      // ARN of the token's secret
	id       string      // of the plugin
	config   string      // of the credential helper

	seen  int                // events of hec that are in byTag
	byTag map[string][]event // by container
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), token: rig.NewCanary(), password: rig.NewCanary(), byTag: map[string][]event{}}
	for _, version := range []string{"v1", "v2"} {
		build := rig.Cmd{Args: []string{"../../packaging/plugin/build", version, h.path(version)}, Env: os.Environ(), Timeout: 5 * time.Minute}
		if _, err := build.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"./credhelper/cmd/docker-credential-secretref", "./credhelper/cmd/secretref-resolve", "./packaging/plugin/testdata/counter"} {
		if _, err := rig.Build(t.Context(), h.path("bin")+"/", program); err != nil {
			t.Fatal(err)
		}
	}
	h.aws = fakeaws.New(t, fakeaws.Options{})
	h.aws.PutRole(fakeaws.Role{ARN: role})
	h.aws.SetIMDS(fakeaws.IMDS{Role: role})
	h.secret = h.aws.PutSecret(fakeaws.Secret{Name: "prod/splunk", String: `{"token":"` + h.token.Value() + `"}`})
	login := h.aws.PutSecret(fakeaws.Secret{Name: "prod/registry", String: `{"username":"` + user + `","password":"` + h.password.Value() + `"}`})
	var err error
	if h.hec, err = hectest.Start(hectest.Options{Tokens: []string{h.token.Value()}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.hec.Close)
	h.registry = rig.Use(t, rig.StartRegistry, rig.RegistryOptions{User: user, Password: h.password.Value()})
	h.dockerd = rig.Use(t, rig.StartDockerd, rig.DockerdOptions{Args: []string{"--debug"}})
	h.write("docker/config.json", `{"credHelpers": {"`+h.registry.Addr()+`": "secretref"}}`)
	h.config = h.write("config.toml", "[cache]\nstore = \"off\"\n[registries.\""+h.registry.Addr()+"\"]\ncredentialsParameter = \""+login+"\"\n")
	if err := h.dockerd.Import(t.Context(), "counter", h.path("bin/counter")); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, text string) string {
	h.t.Helper()
	p := h.path(name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return p
}

// try runs the docker CLI, whose credential helper is ours.
func (h *host) try(args ...string) (rig.Result, error) {
	env := h.dockerd.Env(append(h.aws.EnvironIMDS(), "DOCKER_CONFIG="+h.path("docker"), "SECRETREF_CONFIG="+h.config,
		"PATH="+h.path("bin")+":/usr/bin:/bin")...)
	return rig.Cmd{Args: append([]string{docker}, args...), Env: env}.Run(context.Background())
}

func (h *host) docker(args ...string) string {
	h.t.Helper()
	r, err := h.try(args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(r.Stdout)
}

// settings point the plugin at this test's AWS. Credentials and region are those of the instance.
func (h *host) settings() []string {
	return []string{"SECRETREF_AWS_ENDPOINT_URL=" + h.aws.URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + h.aws.IMDSURL,
		"SECRETREF_LOGS_ALLOW_REFERENCES=arn:aws:secretsmanager:*:*:secret:prod/*,/logs/*"}
}

// run starts a container that writes lines with a pause after every hundred.
func (h *host) run(container string, lines int, pause time.Duration) {
	h.t.Helper()
	h.docker("run", "-d", "--name", container, "--network", "none", "--log-driver", name, "--log-opt", "logDriver=splunk",
		"--log-opt", "splunk-url="+h.hec.URL(), "--log-opt", "tag="+container, "--log-opt", "secretOptions.splunk-token="+h.secret+":token::",
		"counter", strconv.Itoa(lines), pause.String())
}

type event struct {
	Host  string
	Event struct{ Line, Tag string }
}

// events returns what has arrived from a container.
func (h *host) events(tag string) []event {
	h.t.Helper()
	for _, e := range h.hec.Events()[h.seen:] {
		var ev event
		if err := json.Unmarshal([]byte(e.Text), &ev); err != nil {
			h.t.Fatalf("event %q: %v", e.Text, err)
		}
		h.byTag[ev.Event.Tag] = append(h.byTag[ev.Event.Tag], ev)
		h.seen++
	}
	return h.byTag[tag]
}

// arrived waits for so many lines of a container, and returns how many came more than once.
func (h *host) arrived(tag string, lines int, limit time.Duration) (twice int) {
	h.t.Helper()
	last := fmt.Sprintf("line %07d", lines-1)
	h.until(limit, "the last line of "+tag, func() bool {
		return slices.ContainsFunc(h.events(tag), func(e event) bool { return e.Event.Line == last })
	})
	return h.complete(tag)
}

// complete checks that no line is missing among those that have arrived, and that each came first after the one before
// it. It returns how many came more than once.
func (h *host) complete(tag string) (twice int) {
	h.t.Helper()
	next := 0
	for _, e := range h.events(tag) {
		switch n, err := strconv.Atoi(strings.TrimPrefix(e.Event.Line, "line ")); {
		case err != nil || n > next:
			h.t.Fatalf("%s: %q where line %d was to come", tag, e.Event.Line, next)
		case n < next:
			twice++
		default:
			next++
		}
	}
	return twice
}

// flows waits for so many more lines of a container.
func (h *host) flows(tag string, more int) {
	h.t.Helper()
	want := len(h.events(tag)) + more
	h.until(30*time.Second, "more lines of "+tag, func() bool { return len(h.events(tag)) >= want })
}

func (h *host) until(limit time.Duration, what string, is func() bool) {
	h.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !is(); <-tick.C {
		if time.Now().After(end) {
			h.t.Fatalf("%s: not within %v\n%s", what, limit, h.state())
		}
	}
}

// state is for a test that has failed.
func (h *host) state() string {
	list, _ := h.try("plugin", "ls")
	status, err := h.status()
	return fmt.Sprintf("%s\nprocesses %v; status %s (%v)", list.Output, h.processes(), status, err)
}

// data is where the daemon keeps the plugin.
func (h *host) data(sub string) string {
	return filepath.Join(h.dockerd.Dir(), "data/plugins", h.id, sub)
}

// status asks the plugin from outside, with the program that is in it, as an administrator does.
func (h *host) status() (string, error) {
	r, err := rig.Cmd{Args: []string{h.data("rootfs/bin/secretref-logdriver"), "status", "--json", "--state-dir", h.data("propagated-mount/.secretref")},
		Timeout: 5 * time.Second}.Run(context.Background())
	return strings.TrimSpace(r.Stdout), err
}

// idle waits until everything is delivered and every session has ended.
func (h *host) idle() {
	h.t.Helper()
	h.until(30*time.Second, "the sessions' end", func() bool {
		s, err := h.status()
		return err == nil && strings.Contains(s, `"sessions":[]`)
	})
}

// processes lists those of the plugin. They are in a cgroup of its name. One without arguments has ended, and somebody
// else has to wait for it.
func (h *host) processes() []int {
	var pids []int
	all, _ := filepath.Glob("/proc/[0-9]*/cgroup") // the pattern is fine
	for _, file := range all {
		text, _ := os.ReadFile(file) // may be gone
		args, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if pid, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil && len(args) > 0 && bytes.Contains(text, []byte(h.id)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// process waits for the one process of the plugin, which is not the former one.
func (h *host) process(former int) (pid int) {
	h.t.Helper()
	h.until(10*time.Second, "the plugin's process", func() bool {
		pids := h.processes()
		if len(pids) == 1 && pids[0] != former {
			pid = pids[0]
			args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // runc becomes the entrypoint
			return bytes.HasPrefix(args, []byte("/bin/secretref-logdriver"))
		}
		return false
	})
	return pid
}

// kill kills the plugin and returns the pid that it had.
func (h *host) kill(former int) int {
	h.t.Helper()
	pid := h.process(former)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		h.t.Fatal(err)
	}
	return pid
}

// saved is when the daemon last wrote the plugin's settings: it does so once it has reached the plugin after a start.
func (h *host) saved() time.Time {
	fi, err := os.Stat(h.data("config.json"))
	if err != nil {
		return time.Time{} // it is just being replaced
	}
	return fi.ModTime()
}

// enable enables the plugin after it did not come up. While the daemon clears up behind that, it answers that the id is in
// use, or enables the plugin by itself.
func (h *host) enable() {
	h.t.Helper()
	h.until(30*time.Second, "the plugin's being enabled", func() bool {
		_, _ = h.try("plugin", "enable", "--timeout", "0", name)
		return h.enabled() == "true"
	})
}

func (h *host) enabled() string { return h.docker("plugin", "inspect", "-f", "{{.Enabled}}", name) }

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
