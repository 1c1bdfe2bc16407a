//go:build integration

// Package integration runs the log driver with a real daemon and real containers.
package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// world is a daemon, a receiver, an AWS endpoint, and a driver that can be killed.
type world struct {
	t       *testing.T
	dockerd *rig.Dockerd
	aws     *fakeaws.Server
	hec     *hectest.Server
	name    string // of the log driver
	dir     string // of configuration and state
	bin     string
	arn     string
	log     *os.File

	mu     sync.Mutex
	driver *exec.Cmd
}

func newWorld(t *testing.T, token string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := &world{t: t, dir: t.TempDir(), name: "srld" + strconv.Itoa(os.Getpid()) + fmt.Sprint(rand.N(1000))}
	var err error
	if w.bin, err = rig.Build(ctx, filepath.Join(w.dir, "secretref-logdriver"), "./logplugin/cmd/secretref-logdriver"); err != nil {
		t.Fatal(err)
	}
	w.aws = fakeaws.New(t, fakeaws.Options{})
	w.arn = w.aws.PutSecret(fakeaws.Secret{Name: "prod/splunk", String: `{"token":"` + token + `"}`})
	if w.hec, err = hectest.Start(hectest.Options{Tokens: []string{token}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.hec.Close)
	config := "[aws]\nregion = \"eu-west-1\"\n[logs]\nstate_dir = \"" + filepath.Join(w.dir, "state") + "\"\nallow_references = [\"arn:aws:secretsmanager:*:*:secret:prod/*\"]\n"
	if err := os.WriteFile(filepath.Join(w.dir, "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if w.log, err = os.Create(filepath.Join(w.dir, "driver.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			all, err := w.status()
			t.Logf("status: %+v, %v; %d events", all, err, w.hec.Count())
			text, _ := os.ReadFile(w.log.Name())
			t.Logf("the driver's log:\n%s", text)
		}
	})
	w.start()
	t.Cleanup(func() { w.kill(); _ = os.Remove(w.socket()) })
	w.dockerd = rig.Use(t, rig.StartDockerd, rig.DockerdOptions{})
	talker, err := rig.Build(ctx, filepath.Join(w.dir, "talker"), "./logplugin/integration/testdata/talker")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.dockerd.Import(ctx, "talker", talker); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) socket() string { return "/run/docker/plugins/" + w.name + ".sock" }

// start starts the driver and waits until it answers.
func (w *world) start() {
	w.t.Helper()
	cmd := exec.Command(w.bin, "serve", "--socket", w.socket(), "--config", filepath.Join(w.dir, "config.toml"))
	cmd.Env = append(rig.Env(w.dir), w.aws.Environ()...)
	cmd.Stderr, cmd.Stdout = w.log, w.log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.driver = cmd
	w.mu.Unlock()
	until(w.t, 10*time.Second, "the driver's status", func() bool {
		_, err := w.status()
		return err == nil
	})
}

// status asks the driver.
func (w *world) status() ([]session.Status, error) {
	r, err := rig.Cmd{Args: []string{w.bin, "status", "--json", "--config", filepath.Join(w.dir, "config.toml")}, Timeout: 5 * time.Second}.Run(context.Background())
	if err != nil {
		return nil, err
	}
	var all []session.Status
	err = json.Unmarshal([]byte(r.Stdout), &all)
	return all, err
}

func (w *world) end(sig syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.driver != nil {
		_ = w.driver.Process.Signal(sig)
		_ = w.driver.Wait()
		w.driver = nil
	}
}

func (w *world) kill() { w.end(syscall.SIGKILL) }

// until waits for something that is polled.
func until(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// run starts a container and returns what the CLI says.
func (w *world) run(name string, opts []string, args ...string) (rig.Result, error) {
	cmd := []string{"run", "-d", "--name", name, "--network", "none", "--log-driver", w.name,
		"--log-opt", "logDriver=splunk", "--log-opt", "splunk-url=" + w.hec.URL(), "--log-opt", "secretOptions.splunk-token=" + w.arn + ":token::"}
	for _, o := range opts {
		cmd = append(cmd, "--log-opt", o)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	return w.dockerd.Docker(ctx, append(append(cmd, "talker"), args...)...)
}

func (w *world) mustRun(name string, opts []string, args ...string) {
	w.t.Helper()
	if r, err := w.run(name, opts, args...); err != nil {
		w.t.Fatalf("%v\n%s", err, r.Output)
	}
}

// lines returns how often each line of a container has arrived, and whether first arrivals came in order.
func (w *world) lines(tag string) (count map[int]int, inOrder bool) {
	count, inOrder = map[int]int{}, true
	next := 0
	for _, e := range w.hec.Events() {
		var ev struct {
			Event struct{ Line, Tag string }
		}
		if err := json.Unmarshal([]byte(e.Text), &ev); err != nil {
			w.t.Fatalf("event %q: %v", e.Text, err)
		}
		if ev.Event.Tag != tag {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(ev.Event.Line, "line "))
		if err != nil {
			w.t.Fatalf("line %q", ev.Event.Line)
		}
		if count[n] == 0 {
			inOrder = inOrder && n == next
			next++
		}
		count[n]++
	}
	return count, inOrder
}

// arrived waits until n lines of a container are there, and checks that none is missing and the order is right.
func (w *world) arrived(tag string, n int, limit time.Duration) (twice int) {
	w.t.Helper()
	until(w.t, limit, fmt.Sprintf("%d lines of %s", n, tag), func() bool {
		count, _ := w.lines(tag)
		return len(count) >= n
	})
	count, inOrder := w.lines(tag)
	if len(count) != n || !inOrder {
		w.t.Errorf("%s: %d different lines, in order: %v, want %d", tag, len(count), inOrder, n)
	}
	for _, c := range count {
		twice += c - 1
	}
	return twice
}

// gone waits until the driver has nothing more to do.
func (w *world) gone() {
	w.t.Helper()
	until(w.t, 30*time.Second, "the sessions' end", func() bool {
		all, err := w.status()
		return err == nil && len(all) == 0
	})
}

func (w *world) inspect(name string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	r, err := w.dockerd.Docker(ctx, "inspect", name)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Stdout
}

func TestLinesArrive(t *testing.T) {
	canary := rig.NewCanary()
	w := newWorld(t, canary.Value())
	w.mustRun("aa", []string{"tag=aa"}, "20000")
	if twice := w.arrived("aa", 20000, 30*time.Second); twice != 0 {
		t.Errorf("%d lines came twice", twice)
	}
	if text := w.inspect("aa"); strings.Contains(text, canary.Value()) || !strings.Contains(text, w.arn) {
		t.Errorf("docker inspect shows the token, or not the reference:\n%s", text)
	}
	w.gone()

	t.Run("docker logs", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		w.aws.Deny("*", "secretsmanager:GetSecretValue", "*")
		defer w.aws.Allow("*", "secretsmanager:GetSecretValue", "*")
		r, err := w.dockerd.Docker(ctx, "logs", "--tail", "1", "aa")
		if err != nil || strings.TrimSpace(r.Stdout) != "line 0019999" {
			t.Errorf("docker logs of a stopped container while access is denied: %v, %q", err, r.Stdout)
		}
		w.gone()
	})
	t.Run("refused", func(t *testing.T) {
		for name, c := range map[string]struct{ opt, says string }{
			"unknown option": {"splunk-ulr=x", "splunk-url"},
			"missing secret": {"secretOptions.splunk-index=arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/none-AbCdEf", "log-opt splunk-index"},
			"not allowed":    {"secretOptions.splunk-index=arn:aws:secretsmanager:eu-west-1:111122223333:secret:other-AbCdEf", "allow_references"},
			"twice":          {"splunk-token=x", "splunk-token"},
		} {
			r, err := w.run("refused", []string{c.opt}, "1")
			if err == nil || !strings.Contains(r.Output, c.says) {
				t.Errorf("%s: %v, want a refusal that says %q\n%s", name, err, c.says, r.Output)
			}
			_, _ = w.dockerd.Docker(t.Context(), "rm", "-f", "refused")
		}
		w.gone()
	})
	t.Run("canary", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w.mustRun("bb", []string{"tag=bb"}, "2000", "1000")
		found, err := canary.FindInFiles(ctx, w.dir, w.dockerd.Dir(), "/run/docker", "/var/log")
		if err != nil || len(found) > 0 {
			t.Errorf("the token is in %v (%v)", found, err)
		}
		if found, err := canary.FindInProc(); err != nil || len(found) > 0 {
			t.Errorf("the token is in %v (%v)", found, err)
		}
		w.arrived("bb", 2000, 30*time.Second)
	})
}

// The driver is killed at random moments under load, and every line arrives.
func TestKilledDriver(t *testing.T) {
	w := newWorld(t, "token-1")
	const lines, containers = 30000, 3
	for i := range containers {
		w.mustRun(fmt.Sprintf("c%d", i), []string{fmt.Sprintf("tag=c%d", i)}, strconv.Itoa(lines), "100")
	}
	for range 10 {
		pause := time.NewTimer(time.Duration(50+rand.N(400)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-t.Context().Done():
			t.Fatal("out of time")
		}
		w.kill()
		w.start()
	}
	total := 0
	for i := range containers {
		total += w.arrived(fmt.Sprintf("c%d", i), lines, 90*time.Second)
	}
	t.Logf("%d of %d lines came twice", total, lines*containers)
	w.gone()
}

// The token is replaced while a container runs, and while the router is out of order.
func TestRotationAndOutage(t *testing.T) {
	w := newWorld(t, "token-1")
	w.mustRun("rr", []string{"tag=rr"}, "5000", "1000")
	until(t, 20*time.Second, "the first lines", func() bool { return w.hec.Count() > 0 })
	w.aws.RotateSecret("prod/splunk", `{"token":"token-2"}`)
	w.hec.SetTokens("token-2")
	before := w.hec.Count()
	until(t, 20*time.Second, "lines with the new token", func() bool { return w.hec.Count() > before })
	w.hec.FailAlways(&hectest.Fault{Hang: true})
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		w.mustRun("qq", []string{"tag=qq"}, "1000")
		_, err := w.dockerd.Docker(ctx, "stop", "-t", "1", "qq")
		stopped <- err
	}()
	if err := <-stopped; err != nil {
		t.Errorf("docker stop while the router hangs: %v", err)
	}
	w.hec.FailAlways(nil)
	w.arrived("rr", 5000, 120*time.Second)
	w.arrived("qq", 1000, 120*time.Second)
	w.gone()
}

// SIGTERM keeps what is not delivered; the next driver goes on.
func TestRestartedDriver(t *testing.T) {
	w := newWorld(t, "token-1")
	w.hec.FailAlways(&hectest.Fault{Code: 9})
	w.mustRun("ss", []string{"tag=ss"}, "3000", "500")
	until(t, 20*time.Second, "lines in the spool", func() bool {
		all, err := w.status()
		return err == nil && len(all) == 1 && all[0].WaitingBytes > 0 && all[0].LastError != ""
	})
	began := time.Now()
	w.end(syscall.SIGTERM)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the driver took %v to end", took)
	}
	w.hec.FailAlways(nil)
	w.start()
	w.arrived("ss", 3000, 60*time.Second)
	w.gone()
}
