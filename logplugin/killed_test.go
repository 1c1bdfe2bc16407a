package logplugin

import (
	"context"
	"fmt"
	"net/http"
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
	"github.com/secretref/secretref/logplugin/router/routertest"
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

func startKillable(t *testing.T) *killable {
	t.Helper()
	k := &killable{driver: driver{dir: t.TempDir(), log: &buffer{}}}
	k.socket = filepath.Join(k.dir, "plugin.sock")
	k.aws = fakeaws.New(t, fakeaws.Options{})
	k.env = append(append(os.Environ(), k.aws.Environ()...), "AWS_CA_BUNDLE=", asDriver+"=1")
	k.reference = k.aws.PutSecret(fakeaws.Secret{Name: "logs/token", String: `{"token":"` + token + `"}`}) + ":token::"
	conf := filepath.Join(k.dir, "config.toml")
	text := "[aws]\nregion = \"eu-west-1\"\n[logs]\nstate_dir = \"" + k.state() + "\"\nspool_min_free = \"0B\"\n"
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

// Two containers write 20,000 lines, while the driver is killed twice, the secret is rotated, and the receiver is away.
// Then it refuses some lines. Every other line arrives, those of a container in order, and what comes twice was under way.
func TestRoutersLoseNothing(t *testing.T) {
	for _, start := range []func() target{lokiTarget, otlpTarget, datadogTarget, newrelicTarget, httpTarget, elasticTarget} {
		x := start()
		t.Run(x.name, func(t *testing.T) {
			t.Cleanup(x.receiver.Close)
			x.setToken(token)
			losesNothing(t, x)
		})
	}
}

const (
	killedLines     = 10_000 // of each container
	quarter         = killedLines / 4
	refusedAtTheEnd = 7
)

func losesNothing(t *testing.T, x target) {
	k := startKillable(t)
	options := map[string]string{}
	for name, value := range x.options {
		options[name] = strings.ReplaceAll(value, "SECRET", k.reference)
	}
	names := []string{"c1", "c2"}
	files := map[string]*os.File{}
	for _, name := range names {
		files[name] = k.fifo(t, name)
		if a := k.startWith(t, name, options); a != `{"Err":""}` {
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
	arrives := func(n int) {
		t.Helper()
		polltest.Until(t, 60*time.Second, fmt.Sprintf("%d lines arrive", n), func() bool { return len(distinct(x)) >= n })
	}
	for i := range 2 { // the driver is killed while it delivers
		done := put(i*quarter, (i+1)*quarter)
		arrives(2*i*quarter + quarter/2)
		k.kill()
		k.launch(t)
		done()
		arrives(2 * (i + 1) * quarter)
	}
	const rotated = "ffffffff-4e5f-6071-8293-a4b5c6d7e8f9"
	k.aws.RotateSecret("logs/token", `{"token":"`+rotated+`"}`)
	x.setToken(rotated)
	put(2*quarter, 3*quarter)()
	arrives(6 * quarter)

	x.receiver.FailAlways(&routertest.Mishap{Status: http.StatusServiceUnavailable})
	tries := len(x.receiver.Exchanges())
	put(3*quarter, killedLines)()
	polltest.Until(t, 30*time.Second, "the driver tries five times", func() bool { return len(x.receiver.Exchanges()) >= tries+5 }) // about three seconds
	x.receiver.FailAlways(nil)
	arrives(2 * killedLines)
	checkKilled(t, x, names)
	refuses(t, k, x, files["c1"])
	for _, secret := range []string{token, rotated} {
		if strings.Contains(k.log.String(), secret) {
			t.Errorf("the log holds the token %s", secret)
		}
	}
}

func distinct(x target) map[string]bool {
	seen := map[string]bool{}
	for _, l := range x.lines() {
		seen[l] = true
	}
	return seen
}

// checkKilled looks at all lines that have arrived: those of a container are in order, but for what comes again after a
// kill: once for each, and nothing that was written after the last.
func checkKilled(t *testing.T, x target, names []string) {
	t.Helper()
	next, times, again := map[string]int{}, map[string]int{}, 0
	lines := x.lines()
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
		if times[l]++; times[l] > 2 || n >= 2*quarter {
			t.Fatalf("line %q comes again where %d is due", l, next[name])
		}
	}
	for _, name := range names {
		if next[name] != killedLines {
			t.Errorf("%d lines of %s arrived, want %d", next[name], name, killedLines)
		}
	}
	t.Logf("%d lines came again after two kills", again)
}

// refuses writes lines that the receiver refuses, among others.
func refuses(t *testing.T, k *killable, x target, f *os.File) {
	t.Helper()
	all := len(x.lines())
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
		return len(x.lines()) == all+refusedAtTheEnd && rejected == refusedAtTheEnd
	})
	if code, out := k.run(t, "status"); code != 0 {
		t.Errorf("status: %d, %s", code, out)
	}
}

// check asks the receiver of each new router, tells a wrong credential from a missing receiver, and sends a line when asked to.
// Where containers may send to is looked at before that.
func TestCheckNewRouters(t *testing.T) {
	for _, start := range []func() target{lokiTarget, otlpTarget, elasticTarget} {
		x := start()
		t.Run(x.name, func(t *testing.T) {
			t.Cleanup(x.receiver.Close)
			d := startDriver(t, "allow_routers = [\""+x.receiver.URL()+"\", \"http://127.0.0.1:1\"]\n")
			check := func(extra ...string) (int, string) {
				args := append([]string{"check"}, extra...)
				for name, value := range x.options {
					args = append(args, "--log-opt", name+"="+strings.ReplaceAll(value, "SECRET", d.reference))
				}
				return d.run(t, args...)
			}
			x.setToken(token)
			if code, out := check(); code != 0 || !strings.Contains(out, "ok     the router answers") || !strings.Contains(out, x.receiver.URL()) {
				t.Errorf("check: %d\n%s", code, out)
			}
			if n := len(x.lines()); n != 0 {
				t.Errorf("check has sent %d lines", n)
			}
			if code, out := check("--send"); code != 0 || !strings.Contains(out, "ok     the router takes a line") || len(x.lines()) != 1 {
				t.Errorf("check --send: %d, %d lines\n%s", code, len(x.lines()), out)
			}
			x.setToken("another")
			if code, out := check(); code != 1 || !strings.Contains(out, "answer 401") || strings.Contains(out, token) {
				t.Errorf("check with a wrong token: %d\n%s", code, out)
			}
			for name, value := range x.options {
				if value == x.receiver.URL() {
					x.options[name] = "http://127.0.0.2:1"
				}
			}
			if code, out := check(); code != 1 || !strings.Contains(out, "allow_routers") {
				t.Errorf("check with an address that is not allowed: %d\n%s", code, out)
			}
		})
	}
}
