package session

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/ttl"
)

// memory is a router that keeps what it takes.
type memory struct {
	block chan struct{} // until it is closed, Send does not return; nil = it does
	deaf  bool          // not at the end of its context either
	again bool          // lines that it has already had do not count

	mu       sync.Mutex
	verify   error
	lines    []string
	blocked  bool
	closed   bool
	instance router.Instance // that the last encoder names
}

func (m *memory) Send(ctx context.Context, b *router.Batch) error {
	if m.block != nil {
		m.mu.Lock()
		m.blocked = true
		m.mu.Unlock()
		done := ctx.Done()
		if m.deaf {
			done = nil
		}
		select {
		case <-m.block:
		case <-done:
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for line := range strings.SplitSeq(strings.TrimSuffix(string(b.Body), "\n"), "\n") {
		if !m.again || !slices.Contains(m.lines, line) {
			m.lines = append(m.lines, line)
		}
	}
	return nil
}
func (m *memory) Verify(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.verify
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) isBlocked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blocked
}

func (m *memory) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func (m *memory) Batches() int          { return 0 }
func (m *memory) Router() router.Router { return m }
func (m *memory) AppendRecord(dst []byte, r *router.Record) []byte {
	return append(append(dst, r.Line...), '\n')
}
func (m *memory) Encoder(_ context.Context, s router.Session) (router.Encoder, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.instance = s.Instance
	return m, nil
}

func (m *memory) wait(t *testing.T, want string) {
	t.Helper()
	got := ""
	poll(func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		got = strings.Join(m.lines, " ")
		return got == want
	})
	if got != want {
		t.Fatalf("lines %q, want %q", got, want)
	}
}

// await waits for something that is polled.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	if !poll(is) {
		t.Fatalf("%s: not within 10 s", what)
	}
}

// poll looks every 5 ms whether something is so, and reports whether it was within 10 s.
func poll(is func() bool) bool {
	again, late := time.NewTicker(5*time.Millisecond), time.NewTimer(10*time.Second)
	defer again.Stop()
	defer late.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-late.C:
			return is()
		}
	}
	return true
}

// quick are the pauses of tests.
var quick = pauses{again: 20 * time.Millisecond, silence: 200 * time.Millisecond, hold: 500 * time.Millisecond, verify: 100 * time.Millisecond, linger: 10 * time.Millisecond, resolve: time.Second, denied: 10 * time.Millisecond}

// pause lets time pass in which something must not happen.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
	case <-t.Context().Done():
	}
}

// inMemory returns a directory whose file system is in memory: ten times as fast as a disk for small files.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "session-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func start(t *testing.T, dir string, m *memory) *Sessions {
	t.Helper()
	return startOn(t, dir, m, state.OS{})
}

func startOn(t *testing.T, dir string, m *memory, fsys state.FS) *Sessions {
	t.Helper()
	return startWith(t, dir, m, fsys, Config{})
}

// startRouter starts Sessions with a router other than memory.
func startRouter(t *testing.T, dir string, r router.Config) *Sessions {
	t.Helper()
	return startConfig(t, dir, r, state.OS{}, Config{})
}

// startWith starts Sessions with what c says of the time and of the spools' file system.
func startWith(t *testing.T, dir string, m *memory, fsys state.FS, c Config) *Sessions {
	t.Helper()
	return startConfig(t, dir, m, fsys, c)
}

func startConfig(t *testing.T, dir string, m router.Config, fsys state.FS, c Config) *Sessions {
	t.Helper()
	d, err := state.OpenFS(t.Context(), filepath.Join(dir, "state"), fsys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	kinds := []router.Kind{{Name: "memory", Options: []router.Option{{Name: "key"}}, New: func(router.Options) (router.Config, error) { return m, nil }}}
	cfg := &config.Config{AWS: config.AWS{Region: "eu-west-1"}}
	cfg.Logs.AllowOptions, cfg.Logs.ReadLogs, cfg.Logs.HistoryTotal = true, true, 1<<30
	cfg.Logs.SpoolMinFree, cfg.Logs.SpoolMaxBytes, cfg.Logs.SpoolTotal = -1, 64<<20, 1<<30
	if c.pauses == (pauses{}) {
		c.pauses = quick
	}
	r := resolve.New(awsconf.New(cfg.AWS, "test", "1"), resolve.Options{Timeout: c.pauses.resolve * 3 / 2, Policy: ttl.Policy{TTL: time.Minute}})
	c.State, c.Config, c.Resolver, c.Kinds = d, cfg, r, kinds
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(); _ = d.Close(); r.Close() })
	return s
}

// leave writes the state of sessions, as an earlier process would have left it.
func leave(t *testing.T, dir string, sessions ...state.Session) {
	t.Helper()
	d, err := state.Open(t.Context(), filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range sessions {
		if err := d.Save(x); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// makeFIFO opens a new one as the daemon does.
func makeFIFO(file string) (*os.File, error) {
	if err := unix.Mkfifo(file, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_RDWR, 0)
}

// newFIFO is makeFIFO for one that is closed with the test.
func newFIFO(t *testing.T, file string) *os.File {
	t.Helper()
	f, err := makeFIFO(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f *os.File, lines ...string) {
	t.Helper()
	for i, l := range lines {
		e := frame.Entry{Source: []byte("stdout"), TimeNano: int64(i + 1), Line: []byte(l)}
		if _, err := f.Write(frame.AppendFrame(nil, &e)); err != nil {
			t.Fatal(err)
		}
	}
}

func info(extra ...string) dockerplugin.Info {
	c := map[string]string{"logDriver": "memory"}
	for i := 0; i < len(extra); i += 2 {
		c[extra[i]] = extra[i+1]
	}
	return dockerplugin.Info{ContainerID: strings.Repeat("a", 64), ContainerName: "/web", Config: c}
}

func gone(t *testing.T, s *Sessions, file string) {
	t.Helper()
	await(t, "the end of the session", func() bool { return len(s.Status()) == 0 })
	if _, err := os.Lstat(s.spoolDir(file)); err == nil {
		t.Error("the spool is still there")
	}
}

func TestLinesRestartAndEnd(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	s := start(t, dir, m)
	for range 2 { // the daemon may repeat itself
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
	}
	write(t, f, "1", "2")
	m.wait(t, "1 2")
	e := frame.AppendFrame(nil, &frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: []byte("3")})
	_, _ = f.Write(e[:7])
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = s.dir.Close()
	_, _ = f.Write(e[7:])
	s = start(t, dir, m)
	s.Attach()
	m.wait(t, "1 2 3")
	_, _ = f.Write(e[:len(e)-1]) // a frame whose end never comes
	f.Close()
	gone(t, s, file)
	m.wait(t, "1 2 3")
}

func TestLeakedFIFO(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	for i, line := range []string{"old", "new"} {
		file := filepath.Join(dir, fmt.Sprint(i))
		f := newFIFO(t, file)
		write(t, f, line)
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
	}
	m.wait(t, "old new")
}

func TestPolicy(t *testing.T) {
	aws := fakeaws.New(t, fakeaws.Options{})
	for _, kv := range append(aws.Environ(), "AWS_CA_BUNDLE=") {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	arn := aws.PutSecret(fakeaws.Secret{Name: "k", String: "v"})
	tests := []struct {
		name    string
		fault   fakeaws.Fault
		info    dockerplugin.Info
		refused bool
		calls   int
	}{
		{"found", fakeaws.Fault{}, info("secretOptions.key", arn), false, 1},
		{"missing", fakeaws.Fault{}, info("secretOptions.key", strings.Replace(arn, ":k-", ":x-", 1)), true, 1},
		{"denied once", fakeaws.Fault{Kind: fakeaws.Custom, Code: "AccessDeniedException", Times: 1}, info("secretOptions.key", arn), false, 2},
		{"denied", fakeaws.Fault{Kind: fakeaws.Custom, Code: "AccessDeniedException"}, info("secretOptions.key", arn), true, 2},
		{"hang", fakeaws.Fault{Kind: fakeaws.Hang}, info("secretOptions.key", arn), false, 1},
		{"hang fail", fakeaws.Fault{Kind: fakeaws.Hang}, info("secretOptions.key", arn, "secret-failure", "fail"), true, 1},
		{"denied start", fakeaws.Fault{Kind: fakeaws.Custom, Code: "AccessDeniedException"}, info("secretOptions.key", arn, "secret-failure", "start"), false, 0},
		{"unknown router", fakeaws.Fault{}, info("logDriver", "x"), true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			waits := quick
			if tt.fault.Kind == fakeaws.Hang { // the others wait for an answer
				waits.resolve = 200 * time.Millisecond
			}
			s, file := startWith(t, dir, &memory{}, state.OS{}, Config{pauses: waits}), filepath.Join(dir, "f")
			newFIFO(t, file)
			aws.ResetCalls()
			if tt.fault.Kind != "" {
				aws.SetFault(tt.fault)
			}
			t.Cleanup(func() { _ = aws.ClearFaults() })
			err := s.Start(t.Context(), file, tt.info)
			_, there := os.Lstat(file)
			if (err != nil) != tt.refused || (there != nil) != tt.refused {
				t.Errorf("error %v, file %v; want refused %v", err, there, tt.refused)
			}
			if n := aws.CountCalls("GetSecretValue"); n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
		})
	}
}
