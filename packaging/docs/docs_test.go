//go:build integration

// Package docs holds pages for users. Its tests carry out what they say.
package docs

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/rig"
)

const (
	program = "secretref-logdriver"
	token   = "11111111-2222-3333-4444-555555555555"
)

// blocks returns what a page has between ``` and ``` of a language, in order.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	var found []string
	for _, part := range strings.Split(text(t, page), "\n```"+language+"\n")[1:] {
		block, _, ok := strings.Cut(part, "\n```")
		if !ok {
			t.Fatalf("%s: a block of %s does not end", page, language)
		}
		found = append(found, block+"\n")
	}
	return found
}

// host is a machine with a daemon, a receiver and a log driver that can be taken away.
type host struct {
	t        *testing.T
	dockerd  *rig.Dockerd
	hec      *hectest.Server
	registry *rig.Registry
	name     string // of the log driver
	dir      string
	bin      string // the driver
	driver   *exec.Cmd
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), name: fmt.Sprintf("secretref-%d", os.Getpid())}
	ctx := t.Context()
	var err error
	if h.bin, err = rig.Build(ctx, filepath.Join(h.dir, program), "./logplugin/cmd/"+program); err != nil {
		t.Fatal(err)
	}
	talker, err := rig.Build(ctx, filepath.Join(h.dir, "talker"), "./logplugin/integration/testdata/talker")
	if err != nil {
		t.Fatal(err)
	}
	if h.hec, err = hectest.Start(hectest.Options{Tokens: []string{"another"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.hec.Close)
	h.dockerd = rig.Use(t, rig.StartDockerd, rig.DockerdOptions{})
	if err := h.dockerd.Import(ctx, "talker", talker); err != nil {
		t.Fatal(err)
	}
	h.write("config.toml", "[logs]\nstate_dir = \""+h.state()+"\"\n")
	t.Cleanup(h.stopDriver)
	return h
}

func (h *host) state() string { return filepath.Join(h.dir, "state") }

func (h *host) socket() string { return "/run/docker/plugins/" + h.name + ".sock" }

func (h *host) daemonJSON() string { return h.dockerd.Dir() + "/daemon.json" }

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) startDriver() {
	h.t.Helper()
	h.driver = exec.Command(h.bin, "serve", "--socket", h.socket(), "--config", filepath.Join(h.dir, "config.toml"))
	h.driver.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	h.driver.Env = rig.Env(h.dir)
	if err := h.driver.Start(); err != nil {
		h.t.Fatal(err)
	}
	routertest.Await(h.t, "the driver answers", func() bool {
		c, err := net.Dial("unix", h.socket())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// stopDriver takes the driver away, as far as a daemon can see.
func (h *host) stopDriver() {
	if h.driver != nil {
		_ = h.driver.Process.Kill()
		_ = h.driver.Wait()
		h.driver = nil
	}
	_ = os.Remove(h.socket())
}

func (h *host) halt() {
	h.t.Helper()
	if err := h.dockerd.Halt(syscall.SIGTERM); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) resume() {
	h.t.Helper()
	if err := h.dockerd.Resume(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// run carries a block of a page out. The paths of the machine become those of the test, and systemctl speaks to the test's
// daemon and driver.
func (h *host) run(block string) string {
	h.t.Helper()
	before, rest := "", block
	var out strings.Builder
	for rest != "" {
		line, next, _ := strings.Cut(rest, "\n")
		rest = next
		if !strings.HasPrefix(line, "systemctl ") {
			before += line + "\n"
			continue
		}
		out.WriteString(h.shell(before))
		before = ""
		switch line {
		case "systemctl reset-failed docker.service":
		case "systemctl start docker.service":
			h.resume()
		case "systemctl stop docker.socket docker.service":
			h.halt()
		case "systemctl start secretref-logdriver.socket secretref-logdriver.service":
			h.startDriver()
		default:
			h.t.Fatalf("a page says %q, and no test knows what that does", line)
		}
	}
	out.WriteString(h.shell(before))
	return out.String()
}

func (h *host) shell(script string) string {
	h.t.Helper()
	if strings.TrimSpace(script) == "" {
		return ""
	}
	pairs := []string{
		"/etc/docker/daemon.json", h.daemonJSON(), "/var/lib/docker/", h.dockerd.Dir() + "/data/", "/var/lib/secretref", h.state(),
	}
	if h.registry != nil {
		pairs = append(pairs, "registry.example.com", h.registry.Addr())
	}
	script = strings.NewReplacer(pairs...).Replace(script)
	out, err := rig.Cmd{Args: []string{"/bin/sh", "-euc", "cd " + h.dir + "\n" + script}, Env: h.dockerd.Env(), Timeout: time.Minute}.Run(h.t.Context())
	if err != nil {
		h.t.Fatalf("%v\n%s\n%s", err, script, out.Output)
	}
	return out.Stdout
}

func (h *host) events(tag string) (n int) {
	for _, e := range h.hec.Events() {
		if strings.Contains(e.Text, `"tag":"`+tag+`"`) {
			n++
		}
	}
	return n
}

// The host of this page has the old form of daemon.json, a container with undelivered lines, and no driver any more.
func TestWithoutSecretref(t *testing.T) {
	h := newHost(t)
	script := blocks(t, "without-secretref.md", "sh")
	if len(script) != 7 {
		t.Fatalf("the page has %d blocks, and this test knows 7", len(script))
	}
	h.startDriver()
	h.halt()
	// As a user has it, plain token aside.
	old := fmt.Sprintf(`{"log-driver": %q, "log-opts": {"logDriver": "splunk", "splunk-url": %q, "splunk-token": %q, "tag": "{{.Name}}"}}`, h.name, h.hec.URL(), token)
	if err := os.WriteFile(h.daemonJSON(), []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	h.resume()
	h.shell("docker run -d --name app --network none talker -n 500")
	h.shell("docker wait app")
	h.stopDriver()
	h.halt()

	err := h.dockerd.Resume(t.Context())
	if log := h.dockerd.Log(); err == nil || !strings.Contains(strings.ToLower(log), "log opts") && !strings.Contains(strings.ToLower(log), "log-opts") {
		t.Fatalf("the daemon without its log driver: %v, want that it does not start for its log opts\n%s", err, log)
	}
	h.run(script[0]) // 1: it starts
	if got := h.run(script[1]); got != "/app "+h.name+"\n" {
		t.Errorf("containers with the driver: %q", got)
	}
	h.run(script[2]) // 2: the container's log driver
	h.run(script[3])
	h.shell("docker wait app")
	if got := h.shell("docker logs app"); strings.Count(got, "\n") != 501 {
		t.Errorf("docker logs has %d lines, want 501", strings.Count(got, "\n"))
	}

	// 3: an image that needs a password, without a helper
	h.registry = rig.Use(t, rig.StartRegistry, rig.RegistryOptions{User: "ci", Password: "the-password"})
	h.shell("export DOCKER_CONFIG=$(mktemp -d); echo the-password | docker login --username ci --password-stdin registry.example.com\n" +
		"docker tag talker registry.example.com/app:1; docker push registry.example.com/app:1; docker rmi registry.example.com/app:1")
	h.write("password", "the-password")
	h.run(script[4])
	if got := h.shell("docker images -q registry.example.com/app:1"); got == "" {
		t.Error("no image was pulled")
	}

	// 5: every line arrives in the end
	if n := h.events("app"); n != 0 {
		t.Fatalf("%d lines have arrived too early for this test", n)
	}
	h.run(script[5])
	h.hec.SetTokens(token)
	h.run(script[6])
	routertest.Await(t, "every line that was in the spool", func() bool { return h.events("app") == 501 })
	h.shell("docker start app; docker wait app")
	routertest.Await(t, "the lines of the container with its old driver", func() bool { return h.events("app") == 1002 })
}

// dockerd starts with the documented daemon.json whatever became of the driver.
func TestDaemonDefault(t *testing.T) {
	h := newHost(t)
	page := blocks(t, "daemon-default.md", "json")
	if len(page) != 1 {
		t.Fatalf("the page has %d blocks of JSON, want 1", len(page))
	}
	text := strings.Replace(page[0], `"secretref"`, `"`+h.name+`"`, 1)
	if err := os.WriteFile(h.daemonJSON(), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	restart := func(t *testing.T) {
		t.Helper()
		h.t = t
		h.halt()
		began := time.Now()
		h.resume()
		if got := strings.TrimSpace(h.shell("docker info -f '{{.LoggingDriver}}'")); got != h.name {
			t.Errorf("the default log driver is %q, want %q", got, h.name)
		}
		h.shell("docker run --rm --network none --log-driver none talker -n 1")
		t.Logf("the daemon was back after %v", time.Since(began))
	}
	t.Run("absent", restart)
	t.Run("its socket is left over", func(t *testing.T) {
		l, err := net.Listen("unix", h.socket())
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
		restart(t)
		_ = os.Remove(h.socket())
	})
	t.Run("it does not answer", func(t *testing.T) {
		l, err := net.Listen("unix", h.socket())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		restart(t)
	})
	t.Run("its configuration is broken", func(t *testing.T) {
		h.t = t
		h.write("config.toml", "[logs]\nstate_drr = \"/x\"\n")
		h.startDriver()
		restart(t)
		h.stopDriver()
	})
	t.Run("the plugin is disabled", func(t *testing.T) {
		h.t = t
		plugin := filepath.Join(h.dir, "plugin")
		if _, err := (rig.Cmd{Args: []string{"../plugin/build", "test", plugin}, Env: append(os.Environ(), "CGO_ENABLED=0"), Timeout: 5 * time.Minute}).Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.shell("docker plugin create " + h.name + ":latest " + plugin)
		restart(t)
	})
}

// The configuration of the page is one.
func TestConfigurationOfThePage(t *testing.T) {
	for i, text := range blocks(t, "daemon-default.md", "toml") {
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(config.Options{OnlyFile: file, EUID: os.Geteuid()}); err != nil {
			t.Errorf("block %d: %v", i+1, err)
		}
	}
}
