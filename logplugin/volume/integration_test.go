//go:build integration

package volume_test

import (
	"context"
	"encoding/json"
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

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), name: fmt.Sprintf("srvol%d", os.Getpid()), aws: fakeaws.New(t, fakeaws.Options{})}
	h.program = h.build("secretref-logdriver", "./logplugin/cmd/secretref-logdriver")
	h.mount()
	h.write(`allow_references = ["arn:aws:secretsmanager:*:*:secret:prod/*"]`)
	h.dockerd = rig.Use(t, rig.StartDockerd, rig.DockerdOptions{}) // it has the mounts of this moment
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
	return h
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
	h.driver = exec.Command(h.program, "serve", "--socket", h.socket(""), "--volume-socket", h.socket("-files"), "--config", h.dir+"/config.toml")
	h.driver.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	h.driver.Env = append(rig.Env(h.dir), h.aws.Environ()...)
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

// run starts a container with a volume, which reads the file db for as long as it runs.
func (h *host) run(name, volume, reference string, more ...string) {
	h.t.Helper()
	args := append([]string{"run", "-d", "--network", "none", "--name", name, "--mount",
		"type=volume,src=" + volume + ",volume-driver=" + h.name + "-files,dst=/run/secrets,volume-opt=secrets.db=" + reference}, more...)
	h.mustDocker(append(args, "reader", "-follow", "/run/secrets/db")...)
}

// A file is there, the reference alone is visible, a rotation reaches the running container, and the value is on no disk.
func TestVolume(t *testing.T) {
	h := newHost(t)
	canary, rotated := rig.NewCanary(), rig.NewCanary()
	arn := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"password":"` + canary.Value() + `"}`})
	h.run("app", "app-secrets", arn+":password::", "--user", "1000:1000", "--restart", "always")
	h.says("app", canary.Value())

	t.Run("read-only", func(t *testing.T) {
		out := h.mustDocker("run", "--rm", "--network", "none", "-v", "app-secrets:/s", "reader", "-write", "x", "/s/db")
		if strings.Count(out, "read-only file system") != 2 {
			t.Errorf("a container can write: %s", out)
		}
	})
	t.Run("owner", func(t *testing.T) {
		volume := "type=volume,src=owned,volume-driver=" + h.name + "-files,dst=/s,volume-opt=secrets.db=" + arn + ",volume-opt=uid=1000,volume-opt=gid=7,volume-opt=mode=0400"
		h.mustDocker("run", "--rm", "--network", "none", "--user", "1000:7", "--mount", volume, "reader", "/s/db")
		if r, err := h.docker("run", "--rm", "--network", "none", "--user", "1001", "--mount", volume, "reader", "/s/db"); err == nil || !strings.Contains(r.Output, "permission denied") {
			t.Errorf("another user: %v, %q", err, r.Output)
		}
		h.mustDocker("volume", "rm", "owned")
	})
	t.Run("rotation", func(t *testing.T) {
		h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"password":"` + rotated.Value() + `"}`})
		h.says("app", rotated.Value())
	})
	t.Run("rotation after kill -9", func(t *testing.T) {
		h.end(syscall.SIGKILL)
		h.start()
		h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"password":"` + canary.Value() + `"}`})
		h.says("app", canary.Value())
	})
	t.Run("commands", func(t *testing.T) {
		for command, want := range map[string]string{"refresh app-secrets": "values: 1\n", "refresh": "values: 1\n", "status": "app-secrets  true     1      0 "} {
			r, err := rig.Cmd{Args: append([]string{h.program}, append(strings.Fields(command), "--config", h.dir+"/config.toml")...)}.Run(t.Context())
			if err != nil || !strings.Contains(r.Stdout, want) {
				t.Errorf("%s: %v, %q, want %q", command, err, r.Output, want)
			}
		}
		r, err := rig.Cmd{Args: []string{h.program, "refresh", "none", "--config", h.dir + "/config.toml"}}.Run(t.Context())
		if err == nil || !strings.Contains(r.Output, "no such volume") {
			t.Errorf("refresh of a volume that does not exist: %v, %q", err, r.Output)
		}
	})
	t.Run("docker cp", func(t *testing.T) {
		h.mustDocker("cp", "app:/run/secrets/db", h.dir+"/copied") // a symlink
		h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"password":"` + rotated.Value() + `"}`})
		h.says("app", rotated.Value())
	})
	t.Run("canary", func(t *testing.T) {
		h.mustDocker("commit", "app", "committed")
		h.mustDocker("export", "-o", h.dir+"/export.tar", "app")
		status, _ := json.Marshal(h.report())
		texts := map[string]string{
			"inspect": h.mustDocker("inspect", "app"), "volume inspect": h.mustDocker("volume", "inspect", "app-secrets"), "image": h.mustDocker("inspect", "committed"),
			"status": string(status), "the driver's log": h.log(), "the daemon's log": h.dockerd.Log(),
		}
		if !strings.Contains(texts["inspect"], arn) || !strings.Contains(texts["volume inspect"], arn) {
			t.Error("the reference is not shown")
		}
		h.mustDocker("rm", "-f", "app") // its log, which json-file keeps, has the values
		for _, c := range []*rig.Canary{canary, rotated} {
			for where, text := range texts {
				if c.In(text) {
					t.Errorf("the value is in %s", where)
				}
			}
			found, err := c.FindInFiles(t.Context(), h.dir+"/state", h.dir+"/export.tar", h.dir+"/driver.log", h.dockerd.Dir()+"/data", "/run/docker")
			if err != nil || len(found) > 0 {
				t.Errorf("the value is in %v (%v)", found, err)
			}
			if found, err := c.FindInProc(); err != nil || len(found) > 0 {
				t.Errorf("the value is in %v (%v)", found, err)
			}
		}
	})
	t.Run("remove", func(t *testing.T) {
		h.mustDocker("volume", "rm", "app-secrets")
		for _, pattern := range []string{"/state/volumes/*", "/values/*"} {
			if left, err := filepath.Glob(h.dir + pattern); err != nil || len(left) > 0 {
				t.Errorf("left: %q, %v", left, err)
			}
		}
	})
}

// Permanent errors and references that are not allowed keep a container from starting, with the reason.
func TestRefused(t *testing.T) {
	h := newHost(t)
	for _, c := range []struct{ name, option, want string }{
		{"not allowed", "secrets.db=arn:aws:secretsmanager:eu-west-1:111122223333:secret:other-AbCdEf", "allow_references"},
		{"not there", "secrets.db=arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/none-AbCdEf", "ResourceNotFoundException"},
		{"unknown option", "secretz.db=/x", "did you mean"},
		{"no file name", "secrets...x=arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/a-AbCdEf", "file name"},
	} {
		r, err := h.docker("run", "--rm", "--network", "none", "--mount", "type=volume,volume-driver="+h.name+"-files,dst=/s,volume-opt="+c.option, "reader", "/s/db")
		if err == nil || r.Code != 125 || !strings.Contains(r.Output, c.want) {
			t.Errorf("%s: %v, want exit code 125 and %q\n%s", c.name, err, c.want, r.Output)
		}
	}
	if left, err := filepath.Glob(h.dir + "/values/*/..2*/*"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

// The host restarts while AWS does not answer: the state is kept, the tmpfs is empty, and the container is up without its file,
// which comes as soon as AWS answers.
func TestRestartOfTheHost(t *testing.T) {
	h := newHost(t)
	arn := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "value-1"})
	options := arn
	if !*long {
		options += ",volume-opt=secret-failure=start" // does not wait
	}
	h.run("app", "app-secrets", options, "--restart", "always")
	h.says("app", "value-1")
	if err := h.dockerd.Halt(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.end(syscall.SIGTERM)
	if err := os.RemoveAll(h.dir + "/values/app-secrets"); err != nil {
		t.Fatal(err)
	}
	h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	h.start()
	if err := h.dockerd.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.says("app", "error: open /run/secrets/db: no such file or directory")
	if r := h.report(); len(r.Volumes) != 1 || len(r.Volumes[0].Missing) != 1 || len(r.Attention) == 0 {
		t.Errorf("status does not say that the file is missing: %+v", r)
	}
	if err := h.aws.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	h.says("app", "value-1")
	h.mustDocker("rm", "-f", "app")
}
