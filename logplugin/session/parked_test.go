package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/state"
)

// only returns the one session that there is.
func only(t *testing.T, s *Sessions) Status {
	t.Helper()
	all := s.Status()
	if len(all) != 1 {
		t.Fatalf("%d sessions, want 1: %+v", len(all), all)
	}
	return all[0]
}

// awaitStatus waits until the one session is as it should be.
func awaitStatus(t *testing.T, s *Sessions, what string, is func(Status) bool) Status {
	t.Helper()
	var last Status
	await(t, what, func() bool {
		last = only(t, s)
		return is(last)
	})
	return last
}

// A container that was accepted is read, and not refused, whatever has become of the host's rules meanwhile. Its lines are
// sent once the rules allow it.
func TestAcceptedAndNotAllowed(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	form := router.AddressForm{Option: "url", Ports: map[string]string{"https": "443"}}
	allow := func(s *Sessions, patterns []string) {
		k := s.admission.kinds["memory"]
		k.Options = []router.Option{{Name: "url", Address: true}}
		*k = form.Kind(*k)
		s.admission.rules.AllowRouters = patterns
	}
	allow(s, []string{})
	there := info("url", "https://hec.example.com")
	if err := s.dir.Accept(there.ContainerID); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, there); err != nil {
		t.Fatalf("an accepted container is refused: %v", err)
	}
	write(t, f, "1", "2")
	st := awaitStatus(t, s, "the lines in the spool", func(st Status) bool { return st.WaitingBytes > 0 })
	if st.State != Parked || !strings.Contains(st.LastError, "allow_routers") || st.IsWell() {
		t.Errorf("status %+v, want it parked for lack of allow_routers", st)
	}
	other := there
	other.ContainerID = strings.Repeat("b", 64)
	file2 := filepath.Join(dir, "f2")
	newFIFO(t, file2)
	if err := s.Start(t.Context(), file2, other); err == nil || !strings.Contains(err.Error(), "allow_routers") {
		t.Errorf("a container that was never accepted: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = s.dir.Close()

	s = start(t, dir, m)
	allow(s, []string{"https://hec.example.com"})
	s.Attach()
	m.wait(t, "1 2")
	f.Close()
	gone(t, s, file)
}

// A session of a router or a version that is not known here is read, and waits.
func TestUnknownHere(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(text string) string{
		"router":  func(text string) string { return text },
		"version": func(text string) string { return strings.Replace(text, `"version":1`, `"version":99`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, m := t.TempDir(), &memory{}
			file := filepath.Join(dir, "f")
			f := newFIFO(t, file)
			leave(t, dir, state.Session{File: file, ContainerID: "c", Options: options.Options{Router: "later"}})
			kept := filepath.Join(dir, "state", "sessions", state.ID(file)+".json")
			text, err := os.ReadFile(kept)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(kept, []byte(change(string(text))), 0o600); err != nil {
				t.Fatal(err)
			}
			s := start(t, dir, m)
			s.Attach()
			// More than a pipe holds: the daemon would wait for ever.
			line := frame.AppendFrame(nil, &frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: make([]byte, 1000)})
			for range 200 {
				if _, err := f.Write(line); err != nil {
					t.Fatal(err)
				}
			}
			st := awaitStatus(t, s, "all bytes", func(st Status) bool { return st.WaitingBytes == int64(200*len(line)) })
			if st.State != Parked || st.LastError == "" {
				t.Errorf("status %+v, want it parked", st)
			}
			f.Close()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(kept); err != nil {
				t.Errorf("the session's state is gone: %v", err)
			}
		})
	}
}

// One that has nothing to deliver does not stay.
func TestParkedWithoutLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	leave(t, dir, state.Session{File: file, ContainerID: "c", Options: options.Options{Router: "later"}})
	s := start(t, dir, &memory{})
	s.Attach()
	gone(t, s, file)
}

func TestForget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := &memory{}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1")
	m.wait(t, "1")
	id := only(t, s).Session
	for _, tt := range []struct {
		id   string
		how  Forgetting
		says string
	}{
		{"", Forgetting{}, "no session"}, {id[:3], Forgetting{Force: true}, "no session"}, {"ffffffffffff0", Forgetting{}, "no session"},
		{id, Forgetting{}, "stop it first"}, {id, Forgetting{Discard: true}, "stop it first"},
	} {
		if _, err := s.Forget(tt.id, tt.how); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("forget %q %+v: %v, want %q", tt.id, tt.how, err, tt.says)
		}
	}
	if _, err := s.Forget(id[:4], Forgetting{Force: true}); err != nil {
		t.Fatal(err)
	}
	gone(t, s, file)
	if _, err := os.Lstat(file); err == nil {
		t.Error("the FIFO is still there")
	}
}

// What a router that never answers holds can be given up, and the router goes with its last session.
func TestForgetAndDiscard(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := &memory{block: make(chan struct{})}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1", "2")
	await(t, "a request", m.isBlocked)
	f.Close()
	st := awaitStatus(t, s, "the end of the FIFO", func(st Status) bool { return st.State == Delivering })
	if _, err := s.Forget(st.Session, Forgetting{}); err == nil || !strings.Contains(err.Error(), "--discard") {
		t.Errorf("forget without discard: %v", err)
	}
	if _, err := s.Forget(st.Session, Forgetting{Discard: true}); err != nil {
		t.Fatal(err)
	}
	gone(t, s, file)
	if tallies, _ := s.Tallies(); len(tallies) != 1 || tallies[0].Sent != 0 || tallies[0].Sessions != 0 {
		t.Errorf("tallies %+v", tallies)
	}
	await(t, "the router's end", m.isClosed)
}

// A router that does not even hear the end of its context keeps nobody: what it holds stays in the spool.
func TestCloseWhileARouterHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := &memory{block: make(chan struct{}), deaf: true}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1", "2")
	await(t, "a request", m.isBlocked)
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "did not end") {
		t.Errorf("Close: %v, want it to say what did not end", err)
	}
	close(m.block)
	_ = s.dir.Close()
	m2 := &memory{}
	s2 := start(t, dir, m2)
	s2.Attach()
	m2.wait(t, "1 2")
}

var _ router.Verifier = (*memory)(nil)

// A router is asked before there are lines, and what it says is shown.
func TestVerify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := &memory{verify: &router.Error{Class: router.ClassRetry, Op: "reach it", Cause: "it is away", Bad: router.NoRecord}}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, "the word of the router", func(st Status) bool { return strings.Contains(st.LastError, "reach it: it is away") })
	if tallies, _ := s.Tallies(); len(tallies) != 1 || !tallies[0].Failing {
		t.Errorf("tallies %+v, want one that fails", tallies)
	}
	m.mu.Lock()
	m.verify = nil
	m.mu.Unlock()
	awaitStatus(t, s, "a router that is there without a line", func(st Status) bool { return st.LastError == "" })
	write(t, f, "1")
	m.wait(t, "1")
	st := awaitStatus(t, s, "the recovery", func(st Status) bool { return st.LastError == "" && st.SentLines == 1 })
	if !st.IsWell() {
		t.Errorf("status %+v", st)
	}
}
