//go:build integration

// Package parity runs the same container twice, with one of Docker's own log drivers and with ours under the same
// options, into the same receiver. Both must give the same events, but for the differences that the router's package
// declares; a declared one that does not show is a failure, too.
package parity

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

func TestDockersDrivers(t *testing.T) {
	h := newHost(t)
	for group, test := range map[string]func(*testing.T, *host){
		"splunk": testSplunk, "fluentd": testFluentd, "syslog": testSyslog, "gelf": testGELF, "awslogs": testAwslogs, "options": testOptions,
		"lists": testLists,
	} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			test(t, h)
		})
	}
}

// host is a daemon and our driver beside it.
type host struct {
	t       *testing.T
	dockerd *rig.Dockerd
	driver  string // the name under which the daemon knows ours
	old     bool   // the engine is 20.10
	dir     string
	files   string // a directory of files that options may name
	log     string // file with the driver's output
	pid     int    // of our driver
}

const image = "example/emit:1.0"

func newHost(t *testing.T) *host {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	h := &host{t: t, dir: t.TempDir(), driver: "srrf" + strconv.Itoa(os.Getpid()) + fmt.Sprint(rand.N(1000))}
	bin, err := rig.Build(ctx, filepath.Join(h.dir, "secretref-logdriver"), "./logplugin/cmd/secretref-logdriver")
	if err != nil {
		t.Fatal(err)
	}
	emit, err := rig.Build(ctx, filepath.Join(h.dir, "emit"), "./logplugin/parity/testdata/emit")
	if err != nil {
		t.Fatal(err)
	}
	h.serve(bin)
	h.dockerd = rig.Use(t, rig.StartDockerd, rig.DockerdOptions{})
	if err := h.dockerd.Import(ctx, image, emit); err != nil {
		t.Fatal(err)
	}
	r, err := h.dockerd.Docker(ctx, "version", "--format", "{{.Server.Version}}")
	if err != nil {
		t.Fatal(err)
	}
	h.old = strings.HasPrefix(r.Stdout, "20.10.")
	t.Logf("engine %s", strings.TrimSpace(r.Stdout))
	return h
}

// serve starts our driver and waits until it listens.
func (h *host) serve(bin string) {
	h.t.Helper()
	config := filepath.Join(h.dir, "config.toml")
	h.files = h.t.TempDir()
	text := fmt.Sprintf("[aws]\nregion = %q\n[logs]\nstate_dir = %q\nallow_files = [%q]\n", region, filepath.Join(h.dir, "state"), h.files)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.log = filepath.Join(h.dir, "driver.log")
	out, err := os.Create(h.log)
	if err != nil {
		h.t.Fatal(err)
	}
	socket := "/run/docker/plugins/" + h.driver + ".sock"
	cmd := exec.Command(bin, "serve", "--socket", socket, "--config", config)
	cmd.Env, cmd.Stdout, cmd.Stderr = rig.Env(h.dir, "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+awsKey), out, out
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.pid = cmd.Process.Pid
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = out.Close()
		_ = os.Remove(socket)
		if h.t.Failed() {
			h.t.Logf("the driver's log:\n%s", h.driverLog())
		}
	})
	routertest.Await(h.t, "the driver listens", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
}

func (h *host) driverLog() string {
	text, err := os.ReadFile(h.log)
	if err != nil {
		h.t.Error(err)
	}
	return string(text)
}

// container is one that is run twice.
type container struct {
	lines   []routertest.InputLine
	tty     bool
	labels  map[string]string
	env     map[string]string
	options map[string]string // of the log driver
}

const name = "emitter" // of every container, once it is masked: it is in records and tags

// named is what the containers of a group of tests are called, which runs them one after the other.
func named(t *testing.T) string { return name + "-" + strings.Split(t.Name(), "/")[1] }

// run runs c to its end with Docker's driver or with ours, and returns its id.
func (h *host) run(t *testing.T, c container, driver string, ours bool) string {
	t.Helper()
	id, err := h.try(t, c, driver, ours)
	if err != nil || len(id) != 64 {
		t.Fatalf("%v, id %.2000s", err, id)
	}
	return id
}

// try is run for a container that may be refused; what the daemon says is returned in place of the id then.
func (h *host) try(t *testing.T, c container, driver string, ours bool) (string, error) {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(c.lines)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/lines", text, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--rm", "--name", named(t), "--network", "none", "--cidfile", dir + "/id", "-v", dir + "/lines:/lines:ro"}
	if c.tty {
		args = append(args, "-t")
	}
	for k, v := range c.labels {
		args = append(args, "--label", k+"="+v)
	}
	for k, v := range c.env {
		args = append(args, "--env", k+"="+v)
	}
	if ours {
		args = append(args, "--log-driver", h.driver, "--log-opt", "logDriver="+driver)
	} else {
		args = append(args, "--log-driver", driver)
	}
	for k, v := range c.options {
		args = append(args, "--log-opt", k+"="+v)
	}
	if r, err := h.dockerd.Docker(t.Context(), append(args, image)...); err != nil {
		return r.Stderr, err
	}
	id, err := os.ReadFile(dir + "/id")
	return string(id), err
}

// tricky are the lines of the captures, and some that only a program that looks into lines could mind.
func tricky(t *testing.T) []routertest.InputLine {
	t.Helper()
	lines := routertest.Input(t, "full")
	last := len(lines) - 1 // has no newline
	for _, text := range []string{
		strings.Repeat("[", 600) + strings.Repeat("]", 600),
		`{"time":"1.000000","event":{"line":"not ours"}}`,
		"literal \\b \\f \\u0008 and real \b \f",
		strings.Repeat("é", 30_000),
		`{"long":"` + strings.Repeat("x", 40_000) + `"}`,
	} {
		lines = slices.Insert(lines, last, routertest.InputLine{Stream: "stdout", Line: []byte(text), Newline: true})
	}
	return lines
}

// onto moves all lines to one stream: where an event does not tell its stream, there is an order then all the same.
func onto(stream string, lines []routertest.InputLine) []routertest.InputLine {
	out := slices.Clone(lines)
	for i := range out {
		out[i].Stream = stream
	}
	return out
}

// of returns the lines of one stream, as the daemon sees them.
func (c container) of(stream string) []routertest.InputLine {
	lines := c.lines
	if c.tty {
		lines = onto("stdout", lines)
	}
	return slices.DeleteFunc(slices.Clone(lines), func(l routertest.InputLine) bool { return l.Stream != stream })
}

// The labels and variables that most containers have. The names are not in order, so that Docker's map is not by chance.
var (
	labels = map[string]string{"tier": "front", "com.example.team": "blue", "com.example.app": "shop", "shared": "label", "quote": `a"b<c>&é\`}
	env    = map[string]string{"ZONE": "a", "APP_EMPTY": "", "OTHER": "1", "shared": "variable"}
	picks  = map[string]string{"labels": "tier,shared,quote,missing", "labels-regex": `^com\.example`, "env": "ZONE,APP_EMPTY,shared,MISSING", "env-regex": "^OTH"}
)

// with returns the union; later ones win.
func with(maps ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

var names = regexp.MustCompile(name + "-[a-z]+")

// masked hides the container's id and name.
func masked(text, id string) string {
	return names.ReplaceAllString(strings.NewReplacer(id, "ID64", id[:12], "ID12").Replace(text), name)
}

// differences are the declared ones of one router. Each is called by the beginning of what Docker does.
type differences struct {
	t     *testing.T
	texts []string        // what Docker does
	seen  map[string]bool // by text
}

func newDifferences(t *testing.T, declared []struct{ Docker, Here string }) *differences {
	known := &differences{t: t, seen: map[string]bool{}}
	for _, d := range declared {
		known.texts = append(known.texts, d.Docker)
	}
	return known
}

// shows says that a difference was met.
func (d *differences) shows(beginning string) { d.seen[d.find(beginning)] = true }

func (d *differences) find(beginning string) string {
	d.t.Helper()
	i := slices.IndexFunc(d.texts, func(s string) bool { return strings.HasPrefix(s, beginning) })
	if i < 0 {
		d.t.Fatalf("no declared difference begins with %q", beginning)
	}
	return d.texts[i]
}

// complete checks that each declared difference has shown, but for absent ones, which cannot show here.
func (d *differences) complete(absent ...string) {
	d.t.Helper()
	for i, a := range absent {
		absent[i] = d.find(a)
	}
	for _, text := range d.texts {
		if d.seen[text] == slices.Contains(absent, text) {
			d.t.Errorf("a declared difference shows: %v, want %v: %s", d.seen[text], !d.seen[text], text)
		}
	}
}
