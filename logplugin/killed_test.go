package logplugin

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router/firelens"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
)

// asDriver makes the test binary a log driver that can be killed.
const asDriver = "SECRETREF_TEST_AS_DRIVER"

func TestMain(m *testing.M) {
	if os.Getenv(asDriver) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	code := Run(ctx, Program{Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Version: "1"})
	stop()
	os.Exit(code)
}

// killable is a driver in a process of its own.
type killable struct {
	driver
	env []string
	cmd *exec.Cmd
}

func (k *killable) launch(t *testing.T) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k.cmd = exec.Command(program, append([]string{"serve", "--socket", k.socket}, k.args...)...)
	k.cmd.Env = k.env
	k.cmd.Stdout, k.cmd.Stderr = k.log, k.log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	polltest.Until(t, 20*time.Second, "the driver answers", func() bool { code, _ := k.run(t, "status"); return code != 1 })
}

func (k *killable) kill() {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
}

func startKillable(t *testing.T) *killable { return startKillableWith(t, "") }

// startKillableWith is startKillable with more lines under [logs], and more variables.
func startKillableWith(t *testing.T, extra string, env ...string) *killable {
	t.Helper()
	k := &killable{driver: driver{dir: t.TempDir(), log: &buffer{}}}
	k.socket = filepath.Join(k.dir, "plugin.sock")
	k.aws = fakeaws.New(t, fakeaws.Options{})
	k.env = append(append(os.Environ(), k.aws.Environ()...), "AWS_CA_BUNDLE=", asDriver+"=1")
	k.env = append(k.env, env...)
	k.reference = k.aws.PutSecret(fakeaws.Secret{Name: "logs/token", String: `{"token":"` + token + `"}`}) + ":token::"
	conf := filepath.Join(k.dir, "config.toml")
	text := "[aws]\nregion = \"eu-west-1\"\n[logs]\nstate_dir = \"" + k.state() + "\"\nspool_min_free = \"0B\"\n" + extra
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	k.args = []string{"--config", conf}
	k.launch(t)
	t.Cleanup(func() {
		k.kill()
		if t.Failed() {
			log := k.log.String()
			t.Logf("the driver's log ends with\n%s", log[max(0, len(log)-4000):])
		}
	})
	return k
}

// Two containers write 20,000 lines, while the driver is killed twice, the secret is rotated, and the receiver is away for about
// three seconds. Then it refuses some lines. Every other line arrives, those of a container in order, and what comes twice was
// under way. With SECRETREF_TEST_LONG they are 200,000 lines, ten kills and half a minute.
func TestRoutersLoseNothing(t *testing.T) {
	how, long := trial{lines: 10_000, kills: 2, tries: 5}, os.Getenv("SECRETREF_TEST_LONG") != ""
	if long {
		how = trial{lines: 100_000, kills: 10, tries: 10}
	}
	for _, name := range slices.Sorted(maps.Keys(answeringTargets())) {
		if (name == "splunk" || name == "fluentd") && !long {
			continue // the integration tests have them killed, under a daemon
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			how := how
			if strings.HasPrefix(name, firelens.Name) && !long {
				how = trial{lines: 2000, kills: 1, tries: 2} // the router itself has its own
			}
			losesNothing(t, answeringTargets()[name], how)
		})
	}
}

// trial is how much a router has to endure.
type trial struct {
	lines int // of each container
	kills int
	tries int // of the driver while the receiver is away
}

// part is how many lines of a container are written between two events.
func (h trial) part() int { return h.lines / (h.kills + 2) }

const refusedAtTheEnd = 7

func losesNothing(t *testing.T, make func() target, how trial) {
	k := startKillable(t)
	x := k.target(t, make)
	names := []string{"c1", "c2"}
	files := map[string]*os.File{}
	for _, name := range names {
		files[name] = k.fifo(t, name)
		if a := k.startWith(t, name, x.options); a != `{"Err":""}` {
			t.Fatalf("StartLogging: %s", a)
		}
	}
	base := time.Now().Add(-time.Minute).UnixNano()
	// put writes the lines from from to to-1 of both containers. While the driver is away it waits at a full pipe.
	put := func(from, to int) (done func()) {
		var wg sync.WaitGroup
		for _, name := range names {
			wg.Go(func() {
				for i := from; i < to; i++ {
					e := frame.Entry{Source: []byte("stdout"), TimeNano: base + int64(i), Line: fmt.Appendf(nil, "%s %06d", name, i)}
					if _, err := files[name].Write(frame.AppendFrame(nil, &e)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		return wg.Wait
	}
	arrived := map[string]bool{}
	looked := 0
	arrives := func(n int) {
		t.Helper()
		polltest.Until(t, 2*time.Minute, fmt.Sprintf("%d lines arrive", n), func() bool {
			more := x.lines(looked)
			looked += len(more)
			for _, l := range more {
				arrived[l] = true
			}
			return len(arrived) >= n
		})
	}
	part := how.part()
	for i := range how.kills { // the driver is killed while it delivers
		done := put(i*part, (i+1)*part)
		arrives(2*i*part + part/2)
		k.kill()
		k.launch(t)
		done()
		arrives(2 * (i + 1) * part)
	}
	const rotated = "ffffffff-4e5f-6071-8293-a4b5c6d7e8f9"
	k.aws.RotateSecret("logs/token", `{"token":"`+rotated+`"}`)
	if x.setToken != nil {
		x.setToken(rotated)
	}
	put(how.kills*part, (how.kills+1)*part)()
	arrives(2 * (how.kills + 1) * part)

	x.away(true)
	tries := x.tries()
	put((how.kills+1)*part, how.lines)()
	polltest.Until(t, 2*time.Minute, "the driver tries again and again", func() bool { return x.tries() >= tries+how.tries })
	x.away(false)
	arrives(2 * how.lines)
	checkKilled(t, x, names, how)
	refuses(t, k, x, files["c1"])
	for _, secret := range []string{token, rotated} {
		if strings.Contains(k.log.String(), secret) {
			t.Errorf("the log holds the token %s", secret)
		}
	}
}

// checkKilled looks at all lines that have arrived: those of a container are in order, but for what comes again after a
// kill: once for each, and nothing that was written after the last.
func checkKilled(t *testing.T, x target, names []string, how trial) {
	t.Helper()
	next, times, again := map[string]int{}, map[string]int{}, 0
	lines := x.lines(0)
	if x.stored {
		slices.Sort(lines)
		if n := len(lines); len(slices.Compact(slices.Clone(lines))) != n {
			t.Errorf("%d lines are stored, and some of them twice", n)
		}
	}
	for _, l := range lines {
		name, digits, _ := strings.Cut(l, " ")
		var n int
		if _, err := fmt.Sscanf(digits, "%d", &n); err != nil || n > next[name] {
			t.Fatalf("line %q comes where %d is due", l, next[name])
		}
		if n == next[name] {
			next[name]++
			continue
		}
		again++
		if times[l]++; times[l] > how.kills || n >= how.kills*how.part() {
			t.Fatalf("line %q comes again where %d is due", l, next[name])
		}
	}
	for _, name := range names {
		if next[name] != how.lines {
			t.Errorf("%d lines of %s arrived, want %d", next[name], name, how.lines)
		}
	}
	t.Logf("%d of %d lines came again after %d kills", again, 2*how.lines, how.kills)
}

// refuses writes lines that the receiver refuses, among others.
func refuses(t *testing.T, k *killable, x target, f *os.File) {
	t.Helper()
	if x.refused == nil {
		return
	}
	all := len(x.lines(0))
	for i := range refusedAtTheEnd {
		e := frame.Entry{Source: []byte("stdout"), TimeNano: time.Now().UnixNano()}
		e.Line = []byte(x.refused(&e, i))
		good := frame.Entry{Source: []byte("stdout"), TimeNano: time.Now().UnixNano(), Line: fmt.Appendf(nil, "good %d", i)}
		if _, err := f.Write(frame.AppendFrame(frame.AppendFrame(nil, &e), &good)); err != nil {
			t.Fatal(err)
		}
	}
	polltest.Until(t, 30*time.Second, "the good ones arrive, and the others are counted", func() bool {
		var rejected int64
		for _, s := range k.sessions(t) {
			rejected += s.RejectedLines
		}
		return len(x.lines(all)) == refusedAtTheEnd && rejected == refusedAtTheEnd
	})
	if code, out := k.run(t, "status"); code != 0 {
		t.Errorf("status: %d, %s", code, out)
	}
}
