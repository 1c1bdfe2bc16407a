//go:build integration

package volume_test

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/rig"
)

// A daemon takes what configure runtime has written when it is reloaded, and starts with it; its containers run on.
func TestConfigureRuntime(t *testing.T) {
	h := prepare(t)
	h.startWith(rig.DockerdOptions{})
	if err := h.dockerd.Import(t.Context(), "environ", h.build("environ", "./logplugin/volume/testdata/environ")); err != nil {
		t.Fatal(err)
	}
	reference := h.put("db", "value")
	value := func(args ...string) {
		t.Helper()
		args = append(append([]string{"run", "--rm", "--network", "none"}, args...), "-e", "secrets.DB="+reference, "environ", "DB")
		if got := h.mustDocker(args...); got != line("DB", "value") {
			t.Errorf("docker %q: %q, want %q", args, got, line("DB", "value"))
		}
	}
	refused := func() {
		t.Helper()
		if r, err := h.docker("run", "--rm", "--network", "none", "--runtime", "secretref", "environ", "DB"); err == nil || !strings.Contains(strings.ToLower(r.Output), "unknown ") || !strings.Contains(r.Output, "runtime") {
			t.Errorf("without the entry: %v, %s", err, r.Output)
		}
	}
	refused()
	h.mustDocker("run", "-d", "--network", "none", "--name", "before", "environ", "-wait", "DB")

	h.configureRuntime()
	h.reload("runc", "secretref")
	value("--runtime", "secretref")
	h.configureRuntime("--default")
	h.reload("secretref", "secretref")
	value()
	if got := h.mustDocker("inspect", "-f", "{{.State.Running}} {{.RestartCount}}", "before"); got != "true 0\n" {
		t.Errorf("the container of before: %s", got)
	}
	restart := func() {
		t.Helper()
		if err := h.dockerd.Halt(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := h.dockerd.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	value()
	h.configureRuntime("--undo")
	restart() // a reload does not take a runtime away
	h.reload("runc", "")
	refused()
	if log := h.log(); strings.Contains(log, "cannot be read") {
		t.Errorf("looking whether the service is there leaves a warning:\n%s", log)
	}
}

// configureRuntime runs the command on the daemon's file. The program knows the socket of this test.
func (h *host) configureRuntime(args ...string) {
	h.t.Helper()
	dir := h.dir + "/installed"
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as /usr/bin
		h.t.Fatal(err)
	}
	front := h.script("installed/secretref-runtime", "exec "+h.build("secretref-runtime", "./logplugin/cmd/secretref-runtime")+" --socket "+h.dir+`/resolve.sock "$@"`)
	var out bytes.Buffer
	code := logplugin.Run(h.t.Context(), logplugin.Program{
		Args: append([]string{"configure", "runtime", "--config", h.dir + "/config.toml"}, args...), Stdout: &out, Stderr: &out, Getenv: os.Getenv,
		DaemonConfig: h.dockerd.Dir() + "/daemon.json", Runtime: front, RuntimeSocket: h.dir + "/resolve.sock",
	})
	if code != 0 {
		h.t.Fatalf("configure runtime %q: exit status %d: %s", args, code, out.String())
	}
}

// reload has the daemon read its file, until it has a default runtime and another runtime; "" means none.
func (h *host) reload(byDefault, other string) {
	h.t.Helper()
	if err := syscall.Kill(h.dockerd.PID(), syscall.SIGHUP); err != nil {
		h.t.Fatal(err)
	}
	polltest.Until(h.t, 20*time.Second, "default runtime "+byDefault+" and the runtime "+other, func() bool {
		got := h.mustDocker("info", "-f", `{{.DefaultRuntime}}{{range $name, $r := .Runtimes}}{{if eq $name "secretref"}} secretref{{end}}{{end}}`)
		return strings.TrimSpace(got) == strings.TrimSpace(byDefault+" "+other)
	})
}
