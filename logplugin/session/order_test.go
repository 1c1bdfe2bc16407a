package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/state"
)

// `docker logs` of a container that has stopped may be handled after the call for its next start. What it begins and ends
// without a line must not end the session of the container that runs, however quiet that is.
func TestQuietContainerAndDockerLogs(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	running, phantom := filepath.Join(dir, "running"), filepath.Join(dir, "phantom")
	f, p := newFIFO(t, running), newFIFO(t, phantom)
	for _, file := range []string{running, phantom} {
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
	}
	s.Stop(phantom)
	p.Close()
	await(t, "the end of what docker logs began", func() bool { return len(s.Status()) == 1 })
	pause(t, 3*quick.silence)
	write(t, f, "still", "read")
	m.wait(t, "still read")
	if st := only(t, s); st.State != Reading {
		t.Errorf("state %s, want %s", st.State, Reading)
	}
}

// While the router is away, what `docker logs` begins ends at once and does not pile up; and a session that comes behind
// such a one still waits for the lines that came before it.
func TestEmptySessionsDoNotPileUp(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{block: make(chan struct{})}
	s := start(t, dir, m)
	old := filepath.Join(dir, "old")
	f := newFIFO(t, old)
	if err := s.Start(t.Context(), old, info()); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1", "2")
	await(t, "a request", m.isBlocked)
	write(t, f, "3") // behind the batch that is under way
	f.Close()
	for _, name := range []string{"a", "b", "c"} {
		file := filepath.Join(dir, name)
		p := newFIFO(t, file)
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
		s.Stop(file)
		p.Close()
	}
	await(t, "the end of the empty ones", func() bool { return len(s.Status()) == 1 })
	next := filepath.Join(dir, "next")
	g := newFIFO(t, next)
	if err := s.Start(t.Context(), next, info()); err != nil {
		t.Fatal(err)
	}
	write(t, g, "4")
	close(m.block)
	m.wait(t, "1 2 3 4")
}

// An empty session that ends before an older one with lines must not let a newer one overtake that.
func TestEmptySessionBetween(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{block: make(chan struct{})}
	s := start(t, dir, m)
	begin := func(name string) *os.File {
		t.Helper()
		file := filepath.Join(dir, name)
		f := newFIFO(t, file)
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
		return f
	}
	a := begin("a")
	write(t, a, "1")
	await(t, "a request", m.isBlocked)
	b := begin("b")
	c := begin("c") // knows b, not a
	write(t, c, "3")
	b.Close()
	await(t, "the end of the empty one", func() bool { return len(s.Status()) == 2 })
	write(t, a, "2")
	a.Close()
	close(m.block)
	m.wait(t, "1 2 3")
}

// A FIFO that cannot be opened for another reason than that it is gone is tried again, and stays.
func TestUnreadableForAWhile(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	file, unblock := blocked(t, dir)
	leave(t, dir, state.Session{File: file, ContainerID: "c", Options: options.Options{Router: "memory"}})
	s := start(t, dir, m)
	s.Attach()
	awaitStatus(t, s, "a word about it", func(st Status) bool { return strings.Contains(st.LastError, "cannot be read") })
	write(t, unblock(), "1")
	m.wait(t, "1")
	awaitStatus(t, s, "that all is well", func(st Status) bool { return st.LastError == "" && st.State == Reading })
}

// One that cannot be opened is not given up for a newer one of its container: there may be lines in it.
func TestUnreadableIsNotSuperseded(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	old, _ := blocked(t, dir)
	leave(t, dir, state.Session{File: old, ContainerID: info().ContainerID, Options: options.Options{Router: "memory"}})
	s := start(t, dir, m)
	s.Attach()
	file := filepath.Join(dir, "new")
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1")
	pause(t, 3*quick.silence)
	if n := len(s.Status()); n != 2 {
		t.Errorf("%d sessions, want both", n)
	}
}

// Spools without a session do not stay for ever; those of a state that was set aside do.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir, &memory{})
	spoolDir := func(id string) string { return filepath.Join(s.dir.Path(), "spool", id) }
	lost, kept := state.ID("/lost"), state.ID("/kept")
	for _, id := range []string{lost, kept} {
		if err := os.MkdirAll(spoolDir(id), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir.Path(), "sessions", kept+".json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Attach()
	if _, err := os.Stat(spoolDir(lost)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the spool of nobody: %v, want it gone", err)
	}
	if _, err := os.Stat(spoolDir(kept)); err != nil {
		t.Errorf("the spool of a damaged state: %v, want it there", err)
	}
}

// Lines that still lie in the FIFO of an older session come before those of a newer one, also when they are the first of the older.
func TestUndrainedOlderComesFirst(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	old, next := filepath.Join(dir, "old"), filepath.Join(dir, "next")
	fsys := &stalled{dir: filepath.Join(dir, "state", "spool", state.ID(old)), release: make(chan struct{})}
	s := startWith(t, dir, m, state.OS{}, Config{spoolFS: fsys})
	if err := s.dir.Accept(info().ContainerID); err != nil {
		t.Fatal(err)
	}
	for i, file := range []string{old, next} {
		write(t, newFIFO(t, file), fmt.Sprint(i+1))
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the newer line in its spool", func() bool { return s.byFile[next].spool.Stats().End > 0 })
	pause(t, quick.silence)
	close(fsys.release)
	m.wait(t, "1 2")
}
