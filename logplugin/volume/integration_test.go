//go:build integration

package volume_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/rig"
)

var long = flag.Bool("long", false, "wait for AWS as long as the driver does when the host starts")

// host is a daemon, an AWS endpoint, the tmpfs, and a driver that can be killed.
type host struct {
	t       *testing.T
	dockerd *rig.Dockerd
	aws     *fakeaws.Server
	dir     string
	name    string // of the volume driver
	program string
	driver  *exec.Cmd
}

// daemons counts the hosts of this process: each has sockets of its own.
var daemons int

func newHost(t *testing.T, o rig.DockerdOptions) *host {
	t.Helper()
	h := prepare(t)
	o.Args = append(o.Args, h.runtimes()...)
	h.startWith(o)
	return h
}

// prepare makes a host on which nothing runs.
func prepare(t *testing.T) *host {
	t.Helper()
	daemons++
	h := &host{t: t, dir: t.TempDir(), name: fmt.Sprintf("srvol%d-%d", os.Getpid(), daemons), aws: fakeaws.New(t, fakeaws.Options{})}
	h.program = h.build("secretref-logdriver", "./logplugin/cmd/secretref-logdriver")
	h.mount()
	h.write(`allow_references = ["arn:aws:secretsmanager:*:*:secret:prod/*", "arn:aws:s3:::config/*"]`)
	return h
}

// startWith starts a daemon and the driver.
func (h *host) startWith(o rig.DockerdOptions) {
	h.t.Helper()
	t := h.t
	h.dockerd = rig.Use(t, rig.StartDockerd, o) // it has the mounts of this moment
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.dockerd.Import(ctx, "reader", h.build("reader", "./logplugin/volume/testdata/reader")); err != nil {
		t.Fatal(err)
	}
	h.start()
	t.Cleanup(func() {
		h.end(syscall.SIGKILL)
		_ = os.Remove(h.socket("-files"))
		_ = os.Remove(h.socket(""))
		if t.Failed() {
			t.Logf("the driver's log:\n%s", h.log())
		}
	})
}

func (h *host) build(name, pkg string) string {
	h.t.Helper()
	p, err := rig.Build(h.t.Context(), filepath.Join(h.dir, name), pkg)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// mount does what the mount units do.
func (h *host) mount() {
	h.t.Helper()
	for _, m := range []struct {
		source, dir, kind string
		flags             uintptr
		data              string
	}{
		{"tmpfs", "values", "tmpfs", 0, "size=1m,mode=0700"},
		{h.dir + "/values", "volumes", "", unix.MS_BIND, ""},
		{"", "volumes", "", unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	} {
		dir := filepath.Join(h.dir, m.dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			h.t.Fatal(err)
		}
		if err := unix.Mount(m.source, dir, m.kind, m.flags, m.data); err != nil {
			h.t.Fatal(err)
		}
		if m.flags&unix.MS_REMOUNT == 0 {
			h.t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		}
	}
}

func (h *host) write(secrets string) {
	h.t.Helper()
	text := "[aws]\nregion = \"eu-west-1\"\ntimeout = \"2s\"\n[cache]\nttl = \"1s\"\n[logs]\nstate_dir = \"" + h.dir + "/state\"\n[secrets]\nvalues_dir = \"" + h.dir +
		"/values\"\nvolumes_dir = \"" + h.dir + "/volumes\"\n" + secrets + "\n"
	if err := os.WriteFile(h.dir+"/config.toml", []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) socket(suffix string) string {
	return "/run/docker/plugins/" + h.name + suffix + ".sock"
}

func (h *host) log() string {
	text, _ := os.ReadFile(h.dir + "/driver.log")
	return string(text)
}

func (h *host) start() {
	h.t.Helper()
	log, err := os.OpenFile(h.dir+"/driver.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	h.driver = exec.Command("/bin/sh", "-c", `ulimit -c unlimited; exec "$@"`, "sh", h.program, "serve", "--socket", h.socket(""), "--volume-socket", h.socket("-files"), "--runtime-socket", h.dir+"/resolve.sock", "--config", h.dir+"/config.toml")
	h.driver.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	h.driver.Dir = h.dir // where a core dump would be
	h.driver.Env = append(rig.Env(h.dir), append(h.aws.Environ(), "GOTRACEBACK=crash")...)
	h.driver.Stdout, h.driver.Stderr = log, log
	if err := h.driver.Start(); err != nil {
		h.t.Fatal(err)
	}
	polltest.Until(h.t, 20*time.Second, "the driver", func() bool {
		_, err := control.NewClient(h.dir + "/state").Report(h.t.Context())
		return err == nil
	})
}

func (h *host) end(sig syscall.Signal) {
	_ = h.driver.Process.Signal(sig)
	_ = h.driver.Wait()
}

func (h *host) docker(args ...string) (rig.Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.t.Context()), time.Minute)
	defer cancel()
	return h.dockerd.Docker(ctx, args...)
}

func (h *host) mustDocker(args ...string) string {
	h.t.Helper()
	r, err := h.docker(args...)
	if err != nil {
		h.t.Fatalf("docker %v: %v\n%s", args, err, r.Output)
	}
	return r.Stdout
}

// report is what status says.
func (h *host) report() control.Report {
	h.t.Helper()
	r, err := control.NewClient(h.dir + "/state").Report(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// says waits until the container's log ends with text.
func (h *host) says(container, text string) {
	h.t.Helper()
	polltest.Until(h.t, 20*time.Second, container+" says "+text, func() bool {
		return strings.HasSuffix(h.mustDocker("logs", container), text+"\n")
	})
}

// step runs one part of a story. The next begins where it has ended.
func (h *host) step(name string, do func(t *testing.T)) {
	parent := h.t
	ok := parent.Run(name, func(t *testing.T) {
		h.t = t
		defer func() { h.t = parent }()
		do(t)
	})
	if !ok {
		parent.FailNow()
	}
}

// put gives the secret prod/NAME a value, and returns its ARN.
func (h *host) put(name, value string) string {
	return h.aws.PutSecret(fakeaws.Secret{Name: "prod/" + name, String: value})
}

// reads waits until a container reads text in its file db.
func (h *host) reads(container, text string) {
	h.t.Helper()
	polltest.Until(h.t, 20*time.Second, container+" reads "+text, func() bool {
		r, _ := h.docker("exec", container, "/app", "/run/secrets/db") // not while it is being restarted
		return r.Stdout == text+"\n"
	})
}

// attention is all that status says a person should look at.
func (h *host) attention() string { return strings.Join(h.report().Attention, "\n") }

// nothingLeft looks for state and files of volumes.
func (h *host) nothingLeft() {
	h.t.Helper()
	for _, pattern := range []string{"/state/volumes/*", "/values/*"} {
		if left, err := filepath.Glob(h.dir + pattern); err != nil || len(left) > 0 {
			h.t.Errorf("left: %q, %v", left, err)
		}
	}
}

// run starts a container with a volume, which reads the file db for as long as it runs.
func (h *host) run(name, volume, reference string, more ...string) {
	h.t.Helper()
	args := append([]string{"run", "-d", "--network", "none", "--name", name, "--mount",
		"type=volume,src=" + volume + ",volume-driver=" + h.name + "-files,dst=/run/secrets,volume-opt=secrets.db=" + reference}, more...)
	h.mustDocker(append(args, "reader", "-follow", "/run/secrets/db")...)
}
