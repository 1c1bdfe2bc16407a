//go:build integration

package volume_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/rig"
)

// The life of volumes under a daemon: each step leaves nothing behind for the next.
func TestVolume(t *testing.T) {
	h := newHost(t, rig.DockerdOptions{})
	h.step("a container", h.container)
	h.step("refused", h.refused)
	h.step("--rm", h.removed)
	h.step("a full tmpfs", h.full)
	h.step("the daemon is killed", h.daemonKilled)
	h.step("the host restarts while AWS is away", h.hostRestarts)
}

// A file is there, the reference alone is visible, a rotation reaches the running container, and the value is on no disk.
func (h *host) container(t *testing.T) {
	canary, rotated := rig.NewCanary(), rig.NewCanary()
	put := func(c *rig.Canary) string { return h.put("db", `{"password":"`+c.Value()+`"}`) }
	arn := put(canary)
	h.run("app", "app-secrets", arn+":password::", "--user", "1000:1000", "--restart", "always")
	h.says("app", canary.Value())

	out := h.mustDocker("run", "--rm", "--network", "none", "-v", "app-secrets:/s", "reader", "-write", "x", "/s/db")
	if strings.Count(out, "read-only file system") != 2 {
		t.Errorf("a container can write: %s", out)
	}
	h.owner(arn)

	put(rotated)
	h.says("app", rotated.Value())
	next := []*rig.Canary{canary, rotated}
	for i, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGABRT} { // it is killed, upgraded, and crashes
		h.end(sig)
		h.start()
		put(next[i%2])
		h.says("app", next[i%2].Value())
	}
	h.commands(arn)
	h.mustDocker("cp", "app:/run/secrets/db", h.dir+"/copied") // a symlink
	h.mustDocker("cp", "-L", "app:/run/secrets/db", h.dir+"/values/copied")
	put(rotated)
	h.says("app", rotated.Value())
	if err := os.Remove(h.dir + "/values/copied"); err != nil {
		t.Error(err)
	}

	h.mustDocker("commit", "app", "committed")
	h.mustDocker("export", "-o", h.dir+"/export.tar", "app")
	put(canary)
	h.says("app", canary.Value())
	h.visible(arn, canary, rotated)
	h.mustDocker("volume", "rm", "app-secrets")
	h.nothingLeft()
}

// owner gives a file to one user.
func (h *host) owner(arn string) {
	h.t.Helper()
	volume := "type=volume,src=owned,volume-driver=" + h.name + "-files,dst=/s,volume-opt=secrets.db=" + arn + ",volume-opt=uid=1000,volume-opt=gid=7,volume-opt=mode=0400"
	h.mustDocker("run", "--rm", "--network", "none", "--user", "1000:7", "--mount", volume, "reader", "/s/db")
	if r, err := h.docker("run", "--rm", "--network", "none", "--user", "1001", "--mount", volume, "reader", "/s/db"); err == nil || !strings.Contains(r.Output, "permission denied") {
		h.t.Errorf("another user: %v, %q", err, r.Output)
	}
	h.mustDocker("volume", "rm", "owned")
}

func (h *host) commands(arn string) {
	h.t.Helper()
	for command, want := range map[string]string{
		"refresh app-secrets": "values: 1\n", "refresh": "values: 1\n", "status": "app-secrets  true     1      0 ",
		"check --volume-opt secrets.db=" + arn: "ok     volume option secrets.db: " + arn + ", version ",
	} {
		r, err := rig.Cmd{Args: append([]string{h.program}, append(strings.Fields(command), "--config", h.dir+"/config.toml")...)}.Run(h.t.Context())
		if err != nil || !strings.Contains(r.Stdout, want) {
			h.t.Errorf("%s: %v, %q, want %q", command, err, r.Output, want)
		}
	}
}

// visible looks for values everywhere but in the container that has them, and removes that.
func (h *host) visible(arn string, values ...*rig.Canary) {
	t := h.t
	t.Helper()
	status, err := json.Marshal(h.report())
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"inspect": h.mustDocker("inspect", "app"), "volume inspect": h.mustDocker("volume", "inspect", "app-secrets"), "image": h.mustDocker("inspect", "committed"),
		"status": string(status), "the driver's log": h.log(), "the daemon's log": h.dockerd.Log(),
	}
	if !strings.Contains(texts["inspect"], arn) || !strings.Contains(texts["volume inspect"], arn) {
		t.Error("the reference is not shown")
	}
	h.mustDocker("rm", "-f", "app") // its log, which json-file keeps, has the values
	for _, c := range values {
		for where, text := range texts {
			if c.In(text) {
				t.Errorf("the value is in %s", where)
			}
		}
		// The driver has crashed: a core dump would be in its directory, as logplugin/integration shows of another program.
		if cores, err := filepath.Glob(h.dir + "/core*"); err != nil || len(cores) > 0 {
			t.Errorf("core dumps %v, %v", cores, err)
		}
		found, err := c.FindInFiles(t.Context(), h.dir+"/state", h.dir+"/export.tar", h.dir+"/driver.log", h.dockerd.Dir()+"/data", "/run/docker")
		if err != nil || len(found) > 0 {
			t.Errorf("the value is in %v (%v)", found, err)
		}
		if found, err := c.FindInProc(); err != nil || len(found) > 0 {
			t.Errorf("the value is in %v (%v)", found, err)
		}
	}
}

// Permanent errors, references that are not allowed and hostile options have a clear error, and leave nothing.
func (h *host) refused(t *testing.T) {
	arn := h.put("a", "value")
	for _, c := range []struct{ name, option, want string }{
		{"not allowed", "secrets.db=arn:aws:secretsmanager:eu-west-1:111122223333:secret:other-AbCdEf", "allow_references"},
		{"not there", "secrets.db=arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/none-AbCdEf", "ResourceNotFoundException"},
		{"unknown option", "secretz.db=/x", "did you mean"},
		{"no file name", "secrets...x=" + arn, "file name"},
		{"a path", "secrets.a/b=" + arn, "file name"},
		{"too large", "secrets.db=" + h.put("large", strings.Repeat("x", 2<<20)), "more than 1024 KiB"},
	} {
		r, err := h.docker("run", "--rm", "--network", "none", "--mount", "type=volume,src=refused,volume-driver="+h.name+"-files,dst=/s,volume-opt="+c.option, "reader", "/s/db")
		if err == nil || r.Code != 125 || !strings.Contains(r.Output, c.want) {
			t.Errorf("%s: %v, want exit code 125 and %q\n%.500s", c.name, err, c.want, r.Output)
		}
		if files, _ := filepath.Glob(h.dir + "/state/volumes/refused.json"); len(files) > 0 { // Mount has refused it, not Create
			h.mustDocker("volume", "rm", "refused")
		}
	}
	many := []string{"volume", "create", "--driver", h.name + "-files"}
	for i := range 10_000 {
		many = append(many, "--opt", fmt.Sprintf("secrets.f%d=/prod/a", i))
	}
	if r, err := h.docker(append(many, "many")...); err == nil || !strings.Contains(r.Output, "at most 64 files") {
		t.Errorf("10,000 secrets: %v, %.500s", err, r.Output)
	}
	// The name of a volume that there is: the first options stay.
	create := []string{"volume", "create", "--driver", h.name + "-files", "--opt"}
	h.mustDocker(append(create, "secrets.db="+arn, "one")...)
	_, _ = h.docker(append(create, "secrets.other="+arn, "one")...) // what the daemon says differs between versions
	if text := h.mustDocker("run", "--rm", "--network", "none", "-v", "one:/s", "reader", "/s/db"); text != "value\n" {
		t.Errorf("the volume has %q", text)
	}
	h.mustDocker("volume", "rm", "one")
	h.nothingLeft()
}

// An anonymous volume goes with its container.
func (h *host) removed(t *testing.T) {
	arn := h.put("a", "value")
	out := h.mustDocker("run", "--rm", "--network", "none", "--mount", "type=volume,volume-driver="+h.name+"-files,dst=/s,volume-opt=secrets.db="+arn, "reader", "/s/db")
	if out != "value\n" {
		t.Errorf("the container reads %q", out)
	}
	h.nothingLeft()
}

// A tmpfs that is full keeps the version that a container has, and status says so; when there is room the new one comes.
func (h *host) full(t *testing.T) {
	arn := h.put("db", "value-1")
	h.run("app", "app-secrets", arn)
	h.says("app", "value-1")
	filler, err := os.Create(h.dir + "/values/filler")
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	h.put("db", "value-2")
	polltest.Until(t, 20*time.Second, "status says that the tmpfs is full", func() bool {
		return strings.Contains(h.attention(), "volume app-secrets: the tmpfs "+h.dir+"/values is full")
	})
	h.reads("app", "value-1")
	// A container that starts gets the old version, too; a new volume is refused.
	h.mustDocker("restart", "-t", "0", "app")
	h.reads("app", "value-1")
	r, err := h.docker("run", "--rm", "--network", "none", "--mount", "type=volume,src=new,volume-driver="+h.name+"-files,dst=/s,volume-opt=secrets.db="+arn, "reader", "/s/db")
	if err == nil || !strings.Contains(r.Output, "is full") {
		t.Errorf("a new volume on a full tmpfs: %v, %s", err, r.Output)
	}
	h.mustDocker("volume", "rm", "new")
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	_ = filler.Close()
	h.says("app", "value-2")
	polltest.Until(t, 20*time.Second, "status is well again", func() bool { return !strings.Contains(h.attention(), "is full") })
	h.mustDocker("rm", "-f", "app")
	h.mustDocker("volume", "rm", "app-secrets") // not those of volume ls, which asks every driver whose socket lies on this machine
	h.nothingLeft()
}

// The daemon is killed, and starts the container again.
func (h *host) daemonKilled(t *testing.T) {
	h.run("app", "app-secrets", h.put("db", "value-1"), "--restart", "always")
	h.says("app", "value-1")
	if err := h.dockerd.Halt(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.put("db", "value-2")
	if err := h.dockerd.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.says("app", "value-2")
	h.mustDocker("rm", "-f", "app")
	h.mustDocker("volume", "rm", "app-secrets")
}

// The host restarts while AWS does not answer: the state is kept, the tmpfs is empty, and the container is up without its file,
// which comes as soon as AWS answers.
func (h *host) hostRestarts(t *testing.T) {
	options := h.put("db", "value-1")
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

// With --live-restore containers outlive their daemon, and their files follow rotations while it is away and afterwards.
func TestLiveRestore(t *testing.T) {
	h := newHost(t, rig.DockerdOptions{Args: []string{"--live-restore"}})
	h.run("app", "app-secrets", h.put("db", "value-0"), "--restart", "always", "--runtime", "secretref", "-e", "secrets.VARIABLE="+h.put("variable", "v"))
	h.reads("app", "value-0")
	for i, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		h.step(sig.String(), func(t *testing.T) {
			if err := h.dockerd.Halt(sig); err != nil {
				t.Fatal(err)
			}
			away, back := fmt.Sprintf("value-%d-away", i), fmt.Sprintf("value-%d-back", i)
			h.put("db", away)
			polltest.Until(t, 20*time.Second, "the file while the daemon is away", func() bool {
				b, err := os.ReadFile(h.dir + "/volumes/app-secrets/db")
				return err == nil && string(b) == away
			})
			if err := h.dockerd.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.reads("app", away)
			if environ := h.mustDocker("exec", "app", "/app", "/proc/self/environ"); !strings.Contains("\x00"+environ, "\x00VARIABLE=v\x00") {
				t.Errorf("docker exec after the daemon has come back: %q", environ)
			}
			h.mustDocker("cp", "app:/run/secrets/db", h.dir+"/copied-"+away)
			h.put("db", back)
			h.reads("app", back)
			h.mustDocker("restart", "-t", "0", "app")
			h.reads("app", back)
		})
	}
	h.mustDocker("rm", "-f", "app")
	h.mustDocker("volume", "rm", "app-secrets")
	h.nothingLeft()
}
