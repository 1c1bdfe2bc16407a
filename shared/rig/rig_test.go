package rig

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestCmd(t *testing.T) {
	for _, c := range []struct {
		name             string
		cmd              Cmd
		stdout, errs     string
		code             int
		err              string
		output           string
		deadlineExceeded bool
	}{
		{name: "both outputs", cmd: Cmd{Args: []string{"sh", "-c", "cat; echo bad >&2"}, Stdin: "in\n"}, stdout: "in\n", errs: "bad\n"},
		{name: "exit code", cmd: Cmd{Args: []string{"sh", "-c", "echo why >&2; exit 3"}}, errs: "why\n", code: 3, err: "why"},
		{name: "explicit environment", cmd: Cmd{Args: []string{"/usr/bin/env"}, Env: []string{"A=1", "A=2"}}, stdout: "A=2\n"},
		{name: "missing program", cmd: Cmd{Args: []string{"no-such-program"}}, code: -1, err: "install-test-deps"},
		{name: "timeout kills the group", cmd: Cmd{Args: []string{"sh", "-c", "echo begun; sleep 600.4242 & wait"}, Timeout: time.Second},
			stdout: "begun\n", code: -1, err: "killed", deadlineExceeded: true},
		{name: "other user", cmd: Cmd{Args: []string{"id", "-u"}, UID: 4242}, stdout: "4242\n"},
		{name: "leaves a process", cmd: Cmd{Args: []string{"sh", "-c", "sleep 4 & exit 0"}}, err: "left a process"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := c.cmd.Run(t.Context())
			if r.Stdout != c.stdout || r.Stderr != c.errs || r.Code != c.code {
				t.Errorf("Run = %+v, want %q, %q, %d", r, c.stdout, c.errs, c.code)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error = %v, want one with %q", err, c.err)
			}
			if errors.Is(err, context.DeadlineExceeded) != c.deadlineExceeded {
				t.Errorf("error = %v is DeadlineExceeded: %v", err, !c.deadlineExceeded)
			}
		})
	}
	checkEnded(t, "sleep 600.4242")
}

// checkEnded waits for the end of a process with these arguments: a kill takes effect a moment later.
func checkEnded(t *testing.T, args string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := await(ctx, nil, func(context.Context) error {
		for _, pid := range processes() {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // gone is fine
			if strings.ReplaceAll(strings.TrimSuffix(string(b), "\x00"), "\x00", " ") == args {
				return fmt.Errorf("process %d, %s, still runs", pid, args)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCanaryForms(t *testing.T) {
	c := NewCanary()
	v := c.Value()
	quoted, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{
		"plain": "x" + v + "y", "json": string(quoted), "hex": fmt.Sprintf("%x", "x"+v+"y"), "HEX": fmt.Sprintf("%X", v),
		"query": url.QueryEscape("a " + v), "path": url.PathEscape("a " + v), "form": url.Values{"password": {v}}.Encode(),
	}
	for n := range 4 {
		for m := range 4 {
			s := strings.Repeat("u", n) + v + strings.Repeat("z", m)
			forms[fmt.Sprintf("base64 std %d %d", n, m)] = base64.StdEncoding.EncodeToString([]byte(s))
			forms[fmt.Sprintf("base64 url %d %d", n, m)] = base64.RawURLEncoding.EncodeToString([]byte(s))
		}
	}
	for name, s := range forms {
		if !c.In(s) {
			t.Errorf("%s: not found in %s", name, s)
		}
		if NewCanary().In(s) {
			t.Errorf("%s: another canary is found in %s", name, s)
		}
	}
	if c.In(v[1:]) || c.In("") {
		t.Error("found where it is not")
	}
}

func TestFindInFiles(t *testing.T) {
	dir := t.TempDir()
	c := NewCanary()
	filler := bytes.Repeat([]byte("."), 1<<20)
	write := func(name string, parts ...[]byte) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, slices.Concat(parts...), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("clean", filler)
	write("sub/start", []byte(c.Value()), filler)
	write("sub/border", filler[:len(filler)-10], []byte(c.Value()), filler)
	write("sub/end", filler, filler, []byte(base64.StdEncoding.EncodeToString([]byte("u:"+c.Value()))))
	write("name-"+strings.ReplaceAll(url.QueryEscape(c.Value()), "/", ""), nil)
	if err := os.Symlink(filepath.Join(dir, "sub/start"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	// A time of modification in the past must not hide a file.
	if err := os.Chtimes(filepath.Join(dir, "sub/end"), time.Unix(0, 0), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	want := []string{"name-" + url.QueryEscape(c.Value()), "sub/border", "sub/end", "sub/start"}
	for _, c := range []*Canary{c, CanaryOf(c.Value())} {
		got, err := c.FindInFiles(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range got {
			got[i] = strings.TrimPrefix(p, dir+"/")
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("FindInFiles = %q, want %q", got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.FindInFiles(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled search = %v, want Canceled", err)
	}
	if found, err := c.FindInFiles(t.Context(), filepath.Join(dir, "gone"), "/proc"); err != nil || len(found) > 0 {
		t.Errorf("a root that is not there, and /proc: %v, %v", found, err)
	}
}

func TestFindInReaderOfSmallPieces(t *testing.T) {
	c := NewCanary()
	longest := fmt.Sprintf("%x", c.Value())
	for _, size := range []int{0, 1, 193, 200, 255, 256, 257, 1000} {
		text := strings.Repeat("-", size) + longest + strings.Repeat("-", size)
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)),
			"data with EOF": iotest.DataErrReader(strings.NewReader(text)),
		} {
			if ok, err := c.inReader(r, make([]byte, 256)); !ok || err != nil {
				t.Errorf("%s after %d bytes: %v, %v, want found", name, size, ok, err)
			}
		}
	}
	broken := errors.New("broken")
	if ok, err := c.inReader(iotest.ErrReader(broken), make([]byte, 256)); ok || !errors.Is(err, broken) {
		t.Errorf("broken reader: %v, %v", ok, err)
	}
}

func TestFindInProc(t *testing.T) {
	c := NewCanary()
	if found, err := c.FindInProc(); err != nil || len(found) > 0 {
		t.Fatalf("found before it was anywhere: %v, %v", found, err)
	}
	dir := t.TempDir()
	p, err := startProcess("sleep", dir, []string{"X=" + c.Value()}, "sh", "-c", "echo up; exec sleep 60", c.Value())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(time.Second); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = p.ready(ctx, func(context.Context) error {
		found, err := c.FindInProc()
		if want := fmt.Sprintf("/proc/%d/environ", p.cmd.Process.Pid); err == nil && !slices.Contains(found, want) {
			err = fmt.Errorf("found %v, want %s", found, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestProcess(t *testing.T) {
	start := func(script string) *process {
		t.Helper()
		p, err := startProcess("script", t.TempDir(), Env("/"), "sh", "-c", script)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	up := func(p *process) func(context.Context) error {
		return func(context.Context) error {
			if !strings.Contains(p.log(), "up\n") {
				return errors.New("not up")
			}
			return nil
		}
	}
	t.Run("stubborn one is killed with its group", func(t *testing.T) {
		p := start("trap '' TERM; sleep 600.4244 & echo up; while :; do wait; done")
		if err := p.ready(t.Context(), up(p)); err != nil {
			t.Fatal(err)
		}
		if err := p.stop(100 * time.Millisecond); err != nil {
			t.Error(err)
		}
		if err := p.stop(0); err != nil {
			t.Errorf("second stop: %v", err)
		}
		checkEnded(t, "sleep 600.4244")
	})
	t.Run("one that ends is not waited for", func(t *testing.T) {
		p := start("echo cannot bind; exit 1")
		err := p.ready(t.Context(), up(p))
		if err == nil || !strings.Contains(err.Error(), "it has ended; last answer: not up") || !strings.Contains(err.Error(), "cannot bind") {
			t.Errorf("error = %v, want cause and log", err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		p := start("sleep 600.4243; true")
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := p.ready(ctx, up(p)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want DeadlineExceeded", err)
		}
		if err := p.stop(time.Second); err != nil {
			t.Error(err)
		}
		checkEnded(t, "sleep 600.4243")
	})
}

func TestCA(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.ServerConfig("registry.example.com", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		client *tls.Config
		ok     bool
	}{
		{"trusted", &tls.Config{RootCAs: ca.Pool(), ServerName: "registry.example.com"}, true},
		{"address", &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"}, true},
		{"other name", &tls.Config{RootCAs: ca.Pool(), ServerName: "other.example.com"}, false},
		{"other authority", &tls.Config{RootCAs: other.Pool(), ServerName: "registry.example.com"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := tls.Listen("tcp4", "127.0.0.1:0", config)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			served := make(chan error, 1)
			go func() {
				a, err := l.Accept()
				if err == nil {
					err = a.(*tls.Conn).Handshake()
					a.Close()
				}
				served <- err
			}()
			b, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp4", l.Addr().String(), c.client)
			if err == nil {
				b.Close()
			}
			if serverErr := <-served; (err == nil) != c.ok || (serverErr == nil) != c.ok {
				t.Errorf("handshake: client %v, server %v, want success %v", err, serverErr, c.ok)
			}
		})
	}
}

// A fake TB shows what Use does for a test that fails.
type fakeTB struct {
	log     strings.Builder
	cleanup []func()
	fatal   string
	failed  bool
}

func (f *fakeTB) Helper()                    {}
func (f *fakeTB) Failed() bool               { return f.failed }
func (f *fakeTB) Cleanup(fn func())          { f.cleanup = append(f.cleanup, fn) }
func (f *fakeTB) Logf(s string, args ...any) { fmt.Fprintf(&f.log, s, args...) }
func (f *fakeTB) Fatalf(s string, args ...any) {
	f.fatal = fmt.Sprintf(s, args...)
}

type fakePart struct{ stopped error }

func (fakePart) Log() string   { return "the part's log" }
func (f fakePart) Stop() error { return f.stopped }

func TestUse(t *testing.T) {
	for _, c := range []struct {
		name              string
		start, stop       error
		failed            bool
		wantFatal, wantIn string
	}{
		{name: "fine"},
		{name: "does not start", start: errors.New("no port"), wantFatal: "no port"},
		{name: "does not stop", stop: errors.New("still there"), wantFatal: "still there"},
		{name: "test fails", failed: true, wantIn: "the part's log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tb := &fakeTB{failed: c.failed}
			Use(tb, func(ctx context.Context, _ struct{}) (fakePart, error) {
				if _, ok := ctx.Deadline(); !ok {
					t.Error("start has no deadline")
				}
				return fakePart{c.stop}, c.start
			}, struct{}{})
			for _, fn := range tb.cleanup {
				fn()
			}
			if tb.fatal != c.wantFatal || strings.Contains(tb.log.String(), "the part's log") != (c.wantIn != "") {
				t.Errorf("fatal %q, log %q, want %q, %q", tb.fatal, tb.log.String(), c.wantFatal, c.wantIn)
			}
		})
	}
}

func TestDockerCLIs(t *testing.T) {
	t.Setenv("PATH", t.TempDir()+":/usr/bin:/bin")
	clis, err := DockerCLIs()
	if err != nil || len(clis) != 1 || clis[0] != "/usr/bin/docker" {
		t.Errorf("DockerCLIs = %v, %v, want Debian's alone, once", clis, err)
	}
	own := t.TempDir()
	if err := os.WriteFile(own+"/docker", []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", own+":/usr/bin:/bin")
	clis, err = DockerCLIs()
	if want := []string{"/usr/bin/docker", own + "/docker"}; err != nil || !slices.Equal(clis, want) {
		t.Errorf("DockerCLIs = %v, %v, want %v", clis, err, want)
	}
}

func TestInMemory(t *testing.T) {
	c := NewCanary()
	if found, err := c.InMemory(os.Getpid()); err != nil || !found {
		t.Errorf("a value that this process holds: %v, %v", found, err)
	}
	if found, err := c.InMemory(os.Getppid()); err != nil || found {
		t.Errorf("a value that another process does not hold: %v, %v", found, err)
	}
}
