//go:build integration

package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
