//go:build integration

// Package integration runs the log driver with a real daemon and real containers.
package integration

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/rig"
)

const (
	program = "secretref-logdriver"
	service = program + ".service"
	socket  = program + ".socket"
	secret  = "prod/splunk"
)

// programs are built once.
var programs struct {
	driver, talker string
}

// shared is the daemon of all tests that do not end theirs.
var shared *rig.Dockerd

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "sr-logs-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of a test that is over
	// Those that run side by side wait for pauses between tries: it does not take a processor for each.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		return fail(err)
	}
	if programs.driver, err = rig.Build(ctx, dir+"/"+program, "./logplugin/cmd/"+program); err != nil {
		return fail(err)
	}
	if programs.talker, err = rig.Build(ctx, dir+"/talker", "./logplugin/integration/testdata/talker"); err != nil {
		return fail(err)
	}
	if shared, err = rig.StartDockerd(ctx, rig.DockerdOptions{}); err != nil {
		return fail(err)
	}
	code := 1
	if err = shared.Import(ctx, "talker", programs.talker); err == nil {
		code = m.Run()
	}
	if code != 0 {
		log := shared.Log()
		fmt.Fprintln(os.Stderr, "the daemon's log ends with\n", log[max(0, len(log)-4000):])
	}
	if err := shared.Stop(); err != nil {
		return fail(err)
	}
	if err != nil {
		return fail(err)
	}
	return code
}

// worldOptions say what is special. The zero value is the usual.
type worldOptions struct {
	token   string          // of the receiver, and in the secret; "" = token-1
	logs    string          // further lines under [logs]
	dockerd *rig.Dockerd    // nil = that of all tests
	systemd bool            // the driver is run by a systemd of our own, with the units that we ship
	state   string          // the state directory; "" = one below dir
	prefix  []string        // the command that starts the driver, such as that of limits
	hec     hectest.Options // Tokens are set
}

// world is a daemon, a receiver, an AWS endpoint, and a driver that can be killed.
type world struct {
	t       *testing.T
	dockerd *rig.Dockerd
	aws     *fakeaws.Server
	hec     *hectest.Server
	name    string // of the log driver
	dir     string // of configuration, state and the driver's log
	state   string
	arn     string
	systemd *rig.Systemd
	env     []string
	prefix  []string
	mine    []string // containers

	mu     sync.Mutex
	driver *exec.Cmd // without systemd

	receivers []*receiver // hec first
	streams   map[string]*stream
}

var worlds atomic.Int32

func newWorld(t *testing.T, o worldOptions) *world {
	t.Helper()
	if o.token == "" {
		o.token = "token-1"
	}
	w := &world{t: t, dir: t.TempDir(), dockerd: o.dockerd, state: o.state, prefix: o.prefix, streams: map[string]*stream{},
		name: fmt.Sprintf("srld%d-%d", os.Getpid(), worlds.Add(1))}
	if w.dockerd == nil {
		w.dockerd = shared
	}
	if w.state == "" {
		w.state = filepath.Join(w.dir, "state")
	}
	if o.systemd {
		w.state = "/var/lib/secretref" // of its own
	}
	w.aws = fakeaws.New(t, fakeaws.Options{})
	w.arn = w.aws.PutSecret(fakeaws.Secret{Name: secret, String: `{"token":"` + o.token + `"}`})
	o.hec.Tokens = []string{o.token}
	w.hec = w.receiver(o.hec)
	w.env = w.aws.Environ()
	config := "[aws]\nregion = \"eu-west-1\"\n[logs]\nstate_dir = \"" + w.state + "\"\nallow_references = [\"arn:aws:secretsmanager:*:*:secret:prod/*\"]\n" + o.logs
	if o.systemd {
		w.startSystemd(config)
	} else {
		w.write("config.toml", config)
		w.start()
		t.Cleanup(func() { w.end(syscall.SIGKILL); _ = os.Remove(w.socket()) })
	}
	t.Cleanup(w.removeContainers)
	t.Cleanup(func() {
		if t.Failed() {
			all, err := w.status()
			t.Logf("status: %+v, %v; %d events", all, err, w.hec.Count())
			text, _ := os.ReadFile(w.logFile())
			t.Logf("the driver's log:\n%s", text[max(0, len(text)-8000):])
		}
	})
	return w
}

// step is a subtest in the same world.
func (w *world) step(name string, f func(t *testing.T)) {
	parent := w.t
	defer func() { w.t = parent }()
	parent.Run(name, func(t *testing.T) {
		w.t = t
		f(t)
	})
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) socket() string { return "/run/docker/plugins/" + w.name + ".sock" }

func (w *world) logFile() string {
	if w.systemd != nil {
		return w.systemd.Dir() + "/logs/" + service + ".log"
	}
	return w.dir + "/driver.log"
}

// driverLog is what the driver has written so far.
func (w *world) driverLog() string {
	w.t.Helper()
	text, err := os.ReadFile(w.logFile())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// start starts the driver and waits until it answers.
func (w *world) start() {
	w.t.Helper()
	w.launch()
	w.answers()
}

func (w *world) launch() {
	w.t.Helper()
	log, err := os.OpenFile(w.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	args := []string{programs.driver, "serve", "--socket", w.socket(), "--config", filepath.Join(w.dir, "config.toml")}
	args = append(slices.Clone(w.prefix), args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = w.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test die
	cmd.Env = append(rig.Env(w.dir), w.env...)
	cmd.Stderr, cmd.Stdout = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.driver = cmd
	w.mu.Unlock()
}

// limits is a prefix that sets a limit, with the arguments of ulimit.
func limits(ulimit string) []string {
	return []string{"/bin/sh", "-c", "ulimit " + ulimit + `; exec "$@"`, "sh"}
}

// answers waits until the driver answers users and listens to the daemon: either may be later, when its first try to
// listen has failed.
func (w *world) answers() {
	w.t.Helper()
	until(w.t, 20*time.Second, "the driver's status", func() bool {
		_, err := w.status()
		return err == nil
	})
	until(w.t, 20*time.Second, "the driver's socket", func() bool {
		conn, err := net.Dial("unix", w.socket())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// statusText asks the driver. The exit code says whether all is well; the text is there in both cases.
func (w *world) statusText(args ...string) (rig.Result, error) {
	args = append([]string{"status"}, args...)
	if w.systemd != nil {
		return w.systemd.Run(context.Background(), append([]string{program}, args...)...)
	}
	return rig.Cmd{
		Args: append(append([]string{programs.driver}, args...), "--config", filepath.Join(w.dir, "config.toml")), Timeout: 10 * time.Second,
	}.Run(context.Background())
}

func (w *world) status() ([]session.Status, error) {
	r, err := w.statusText("--json")
	var report control.Report
	if jerr := json.Unmarshal([]byte(r.Stdout), &report); jerr != nil {
		if err == nil {
			err = jerr
		}
		return nil, err
	}
	return report.Sessions, nil
}

// statusOf returns the sessions of one container, the oldest first.
func (w *world) statusOf(name string) (found []session.Status) {
	all, _ := w.status() // none
	for _, s := range all {
		if strings.TrimPrefix(s.ContainerName, "/") == name {
			found = append(found, s)
		}
	}
	return found
}

// end ends the driver and waits for that.
func (w *world) end(sig syscall.Signal) {
	w.t.Helper()
	if w.systemd != nil {
		w.systemctl("kill", "--kill-who=main", "--signal="+strconv.Itoa(int(sig)), service)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.driver != nil {
		_ = w.driver.Process.Signal(sig)
		_ = w.driver.Wait()
		w.driver = nil
	}
}

func (w *world) pid() int { return w.driver.Process.Pid }

// until waits for something that is polled.
func until(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	polltest.Until(t, limit, what, is)
}

// pause lets time pass, for what has to happen at any moment.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal("out of time")
	}
}

// docker runs the CLI. A call that hangs is killed after 30 seconds.
func (w *world) docker(args ...string) (rig.Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 30*time.Second)
	defer cancel()
	return w.dockerd.Docker(ctx, args...)
}

func (w *world) mustDocker(args ...string) string {
	w.t.Helper()
	r, err := w.docker(args...)
	if err != nil {
		w.t.Fatalf("docker %v: %v", args, err)
	}
	return r.Stdout
}

// args are those of `docker run` for this world's log driver. The container is removed with the test.
func (w *world) args(name string, opts ...string) []string {
	w.mine = append(w.mine, name)
	return append(w.unnamed(opts...), "--name", name)
}

func (w *world) unnamed(opts ...string) []string {
	args := []string{"run", "-d", "--network", "none", "--log-driver", w.name,
		"--log-opt", "logDriver=splunk", "--log-opt", "splunk-url=" + w.hec.URL(), "--log-opt", "secretOptions.splunk-token=" + w.arn + ":token::",
		"--log-opt", "tag={{.Name}}"}
	for _, o := range opts {
		args = append(args, "--log-opt", o)
	}
	return args
}

// run starts a talker. Its name is the tag of its lines.
func (w *world) run(name string, opts []string, talker ...string) {
	w.t.Helper()
	w.mustDocker(append(append(w.args(name, opts...), "talker"), talker...)...)
}

func (w *world) removeContainers() {
	if len(w.mine) > 0 {
		_, _ = w.docker(append([]string{"rm", "-f"}, w.mine...)...) // those that are still there
	}
}

// running fails unless the container runs.
func (w *world) running(name string) {
	w.t.Helper()
	if got := w.mustDocker("inspect", "-f", "{{.State.Running}}", name); got != "true\n" {
		w.t.Errorf("container %s runs: %q", name, got)
	}
}

// gone waits until the driver has nothing more to do, and checks that nothing is left of it.
func (w *world) gone() {
	w.t.Helper()
	until(w.t, 60*time.Second, "the sessions' end", func() bool {
		all, err := w.status()
		return err == nil && len(all) == 0
	})
	state := w.state
	if w.systemd != nil {
		state = w.systemd.Dir() + "/lib/secretref"
	}
	for _, pattern := range []string{"/sessions/*", "/spool/*"} {
		until(w.t, 10*time.Second, "that nothing is left of "+pattern+" in the state directory", func() bool {
			left, err := filepath.Glob(state + pattern)
			return err == nil && len(left) == 0
		})
	}
}
