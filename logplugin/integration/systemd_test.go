//go:build integration

package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// startSystemd has the driver run by a systemd, with the units that we ship. Only the socket's name differs, because
// /run/docker/plugins is the machine's, and the environment, which leads to AWS.
func (w *world) startSystemd(config string) {
	w.t.Helper()
	units := map[string]string{
		socket + ".d/test.conf": "[Socket]\nListenStream=\nListenStream=" + w.socket() + "\n",
		service + ".d/test.conf": `[Service]
Environment="` + strings.Join(w.env, `" "`) + `"
`,
	}
	for _, name := range []string{service, socket} {
		text, err := os.ReadFile("../../packaging/systemd/" + name)
		if err != nil {
			w.t.Fatal(err)
		}
		units[name] = string(text)
	}
	w.systemd = rig.Use(w.t, rig.StartSystemd, rig.SystemdOptions{
		Units: units, Etc: map[string]string{"secretref/config.toml": config}, Programs: []string{programs.driver},
	})
	w.systemctl("enable", "--now", socket, service)
	w.answers()
	w.t.Cleanup(func() { _ = os.Remove(w.socket()) })
}

func (w *world) systemctl(args ...string) string {
	w.t.Helper()
	r, err := w.systemd.Systemctl(w.t.Context(), args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(r.Stdout)
}

// The driver runs as it does on an AMI: by systemd, in its sandbox.
func TestSystemd(t *testing.T) {
	w := newWorld(t, worldOptions{systemd: true})
	w.run("sd-lines", nil, "-n", "20000", "-both")
	if _, twice := w.arrived("sd-lines", time.Minute, "stdout", "stderr"); twice != 0 {
		t.Errorf("%d lines came twice", twice)
	}
	w.gone()
	if log := w.driverLog(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "splice") {
		t.Errorf("the sandbox is in the way:\n%s", log)
	}
	w.refused("unknown option", w.args("sd-refused", "splunk-ulr=x"), "splunk-url")
	w.noFIFO() // it may remove them

	proc := "/proc/" + w.systemctl("show", "-p", "MainPID", "--value", service) + "/"
	confined, err := w.systemd.Run(t.Context(), "cat", proc+"status", proc+"mountinfo")
	for _, want := range []string{
		"CapEff:\t0000000000000001\n", "CapBnd:\t0000000000000001\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n",
		" / ro,", " /run ro,", " /var/lib ro,", " /var/lib/secretref rw,", " /run/docker/logging rw,",
	} {
		if err != nil || !strings.Contains(confined.Stdout, want) {
			t.Errorf("the process is not confined, want %q: %v\n%s", want, err, confined.Stdout)
		}
	}

	w.step("restart gap", func(t *testing.T) {
		plain := timeCalls(t, w, "sd-plain", jsonFile, nil)
		// One kill before each call, so that each finds nobody who answers.
		gap := timeCalls(t, w, "sd-gap", w.unnamed(), func() { w.answers(); w.end(syscall.SIGKILL) })
		compare(t, plain, gap, 2*time.Second)
		w.answers()
		if n := w.systemctl("show", "-p", "NRestarts", "--value", service); n != "5" {
			t.Errorf("%s restarts, want one for each call", n)
		}
	})
	w.step("kill", func(t *testing.T) {
		w.run("sd-kill", nil, "-pause", "100us", "-both")
		for range 5 {
			w.talks("sd-kill")
			w.end(syscall.SIGKILL)
			w.answers()
		}
		w.mustDocker("stop", "-t", "10", "sd-kill")
		w.arrived("sd-kill", time.Minute, "stdout", "stderr")
		w.gone()
	})
	w.step("upgrade", func(t *testing.T) {
		w.run("sd-up", nil, "-pause", "100us")
		w.talks("sd-up")
		began := time.Now()
		w.systemctl("restart", service)
		w.answers()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the driver was away for %v", took)
		}
		w.mustDocker("stop", "-t", "10", "sd-up")
		w.arrived("sd-up", time.Minute)
		w.gone()
	})
	w.step("mistake in the configuration", func(t *testing.T) {
		file := filepath.Join(w.systemd.Dir(), "etc/secretref/config.toml")
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// From inside: an overlay is not to be changed below.
		write := func(text string) {
			t.Helper()
			if _, err := w.systemd.Run(t.Context(), "/bin/sh", "-c", `printf %s "$1" >/etc/secretref/config.toml`, "sh", text); err != nil {
				t.Fatal(err)
			}
		}
		w.run("sd-runs", nil, "-n", "3000", "-pause", "1ms")
		write("[logs]\nstate_drr = \"/x\"\n")
		w.end(syscall.SIGKILL)
		r, err := w.docker(append(w.args("sd-broken"), "talker", "-n", "1")...)
		if err == nil || r.Code != 125 || !strings.Contains(r.Output, "state_drr") {
			t.Errorf("docker run: %v, want a refusal that names state_drr\n%s", err, r.Output)
		}
		// The driver finds by itself that it is fixed.
		write(string(good))
		w.arrived("sd-runs", 30*time.Second)
		w.run("sd-new", nil, "-n", "10")
		w.arrived("sd-new", 30*time.Second)
		if s := w.systemctl("show", "-p", "ActiveState", "--value", socket); s != "active" {
			t.Errorf("the socket is %s", s)
		}
		w.gone()
	})
	w.step("reload", func(t *testing.T) {
		pid := w.systemctl("show", "-p", "MainPID", "--value", service)
		w.run("sd-reload", nil, "-n", "3000", "-pause", "1ms")
		w.systemctl("reload", service)
		until(t, 10*time.Second, "the configuration again", func() bool { return strings.Contains(w.driverLog(), "the configuration is read again") })
		w.arrived("sd-reload", 30*time.Second)
		if now := w.systemctl("show", "-p", "MainPID", "--value", service); now != pid {
			t.Errorf("the process is %s, want %s as before", now, pid)
		}
		w.gone()
	})
	// As in daemon.json: the daemon looks the driver up when it starts, and would not start without.
	w.step("default of the daemon", func(t *testing.T) {
		args := []string{"--log-driver", w.name}
		run := w.args("sd-default")
		for i, a := range run {
			if a == "--log-opt" {
				args = append(args, a, run[i+1])
			}
		}
		w.end(syscall.SIGKILL)
		d := rig.Use(t, rig.StartDockerd, rig.DockerdOptions{Args: args})
		if err := d.Import(t.Context(), "talker", programs.talker); err != nil {
			t.Fatal(err)
		}
		if r, err := d.Docker(t.Context(), "run", "-d", "--name", "sd-default", "--network", "none", "talker", "-n", "1000"); err != nil {
			t.Errorf("%v %s", err, r.Output)
		}
		w.arrived("sd-default", 30*time.Second)
		w.end(syscall.SIGKILL)
		if err := d.Halt(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := d.Resume(t.Context()); err != nil {
			t.Error(err)
		}
		w.gone()
	})
	w.step("stop", func(t *testing.T) {
		w.systemctl("stop", socket, service)
		if _, err := os.Lstat(w.socket()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket's file: %v", err)
		}
		if info, err := os.Lstat("/run/docker/logging"); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("the directory of FIFOs, which containers of other drivers use: %v, %v", info, err)
		}
	})
}

// jsonFile starts a container with Docker's own default log driver.
var jsonFile = []string{"run", "-d", "--network", "none", "--log-driver", "json-file"}

// calls are what people wait for, in this order.
var calls = []string{"run", "ps", "inspect", "stop", "rm"}

// timeCalls starts two containers that talk a lot, and times the calls to the daemon about them: the one is stopped, the
// other removed while it talks. Before each call, before is called. run is all of `docker run` but for name and image.
func timeCalls(t *testing.T, w *world, name string, run []string, before func()) map[string]time.Duration {
	t.Helper()
	other := name + "-2"
	w.mine = append(w.mine, name, other)
	start := func(name string) []string {
		args := append(slices.Clone(run), "--name", name, "talker")
		// More than fits into all pipes and buffers on the way: with nobody who reads, stop would hang.
		return append(args, "-size", "16000", "-pause", "500us")
	}
	args := map[string][]string{
		"run": start(name), "ps": {"ps", "-a"}, "inspect": {"inspect", name, other}, "stop": {"stop", "-t", "5", name}, "rm": {"rm", "-f", other},
	}
	if r, err := w.docker(start(other)...); err != nil {
		t.Fatalf("%v\n%s", err, r.Output)
	}
	took := map[string]time.Duration{}
	for _, c := range calls {
		if before != nil {
			before()
		}
		began := time.Now()
		if r, err := w.docker(args[c]...); err != nil {
			t.Fatalf("docker %s: %v\n%s", c, err, r.Output)
		}
		took[c] = time.Since(began)
		if c == "run" {
			pause(t, time.Second)
		}
	}
	return took
}

// compare wants each call to take at most slack longer than that of a container with json-file.
func compare(t *testing.T, plain, got map[string]time.Duration, slack time.Duration) {
	t.Helper()
	for _, c := range calls {
		t.Logf("docker %-8s %6.2f s, with json-file %.2f s", c, got[c].Seconds(), plain[c].Seconds())
		if got[c] > plain[c]+slack {
			t.Errorf("docker %s takes %v, with json-file %v", c, got[c], plain[c])
		}
	}
}
