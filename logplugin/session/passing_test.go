package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/filebudget"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/logplugin/state/statetest"
)

// blocked returns the name of a FIFO that cannot be opened at the moment, and what makes it possible: a directory with the
// FIFO in it takes the place of a file in one step, so that nothing is ever gone.
func blocked(t *testing.T, dir string) (file string, unblock func() *os.File) {
	t.Helper()
	parent := filepath.Join(dir, "parent")
	if err := os.WriteFile(parent, nil, 0o600); err != nil { // "not a directory"
		t.Fatal(err)
	}
	return filepath.Join(parent, "f"), func() *os.File {
		ready := filepath.Join(dir, "ready")
		if err := os.Mkdir(ready, 0o700); err != nil {
			t.Fatal(err)
		}
		f := newFIFO(t, filepath.Join(ready, "f"))
		if err := unix.Renameat2(unix.AT_FDCWD, ready, unix.AT_FDCWD, parent, unix.RENAME_EXCHANGE); err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// A container that was accepted is not refused because its FIFO cannot be opened at the moment.
func TestAcceptedIsOpenedLater(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	if err := s.dir.Accept(info().ContainerID); err != nil {
		t.Fatal(err)
	}
	file, unblock := blocked(t, dir)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatalf("Start of an accepted container: %v", err)
	}
	awaitStatus(t, s, "that it is not read", func(st Status) bool { return strings.Contains(st.LastError, "cannot be read") })
	write(t, unblock(), "1")
	m.wait(t, "1")
}

// One that was never accepted is refused with the reason, and leaves nothing.
func TestNewIsRefusedWhenItsFIFOCannotBeOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir, &memory{})
	file, _ := blocked(t, dir)
	err := s.Start(t.Context(), file, info())
	if err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("Start: %v, want the reason", err)
	}
	if n := len(s.Status()); n != 0 || s.dir.Accepted(info().ContainerID) {
		t.Errorf("%d sessions, accepted %v; want none", n, s.dir.Accepted(info().ContainerID))
	}
}

// A Start whose time is over makes nothing: the daemon has its answer already.
func TestStartAfterItsTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, file := start(t, dir, &memory{}), filepath.Join(dir, "f")
	newFIFO(t, file)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Start(ctx, file, info()); err == nil {
		t.Error("Start with a context that has ended: no error")
	}
	assertNothing(t, s, file, false)
}

// A session that the daemon does not want after all ends, and a container is accepted only if it was before.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	for _, accepted := range []bool{false, true} {
		t.Run(fmt.Sprint("accepted before: ", accepted), func(t *testing.T) {
			dir := t.TempDir()
			s, file := start(t, dir, &memory{}), filepath.Join(dir, "f")
			newFIFO(t, file)
			if accepted {
				if err := s.dir.Accept(info().ContainerID); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Start(t.Context(), file, info()); err != nil {
				t.Fatal(err)
			}
			s.Withdraw(file)
			assertNothing(t, s, file, accepted)
			if s.dir.MayKnow(state.ID(file)) {
				t.Error("the state of the session is still there")
			}
		})
	}
}

func assertNothing(t *testing.T, s *Sessions, file string, accepted bool) {
	t.Helper()
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the FIFO: %v, want it gone", err)
	}
	if n := len(s.Status()); n != 0 {
		t.Errorf("%d sessions, want none", n)
	}
	if got := s.dir.Accepted(info().ContainerID); got != accepted {
		t.Errorf("accepted %v, want %v", got, accepted)
	}
}

// A new container that would take files which others need is refused; one that was accepted is not.
func TestFilesAreABudget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir, &memory{})
	s.admission.files = filebudget.Budget{Limit: 64, Sessions: 4}
	begin := func(i int) error {
		file := filepath.Join(dir, fmt.Sprint(i))
		newFIFO(t, file)
		in := info()
		in.ContainerID = fmt.Sprintf("%064d", i)
		return s.Start(t.Context(), file, in)
	}
	for i := range 2 {
		if err := begin(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := begin(2); err == nil || !strings.Contains(err.Error(), "LimitNOFILE") {
		t.Errorf("a third new container: %v, want a refusal that names the limit", err)
	}
	if err := s.dir.Accept(fmt.Sprintf("%064d", 3)); err != nil {
		t.Fatal(err)
	}
	if err := begin(3); err != nil {
		t.Errorf("a container that was accepted before: %v", err)
	}
}

// Places are kept for those that are about to begin: containers that start at once cannot all take the last one.
func TestPlacesAreReserved(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), &memory{})
	s.admission.files = filebudget.Budget{Limit: 64, Sessions: 4} // two FIFOs
	for i, want := range []bool{true, true, false} {
		if err := s.reserve(fmt.Sprint(i)); (err == nil) != want {
			t.Errorf("place %d: %v, want it given %v", i, err, want)
		}
	}
	s.unclaim("0")
	if err := s.reserve("2"); err != nil {
		t.Errorf("a place that was given back: %v", err)
	}
}

// numbered is a session of the container of info.
func numbered(n int, file string) state.Session {
	return state.Session{File: file, ContainerID: info().ContainerID, Number: uint64(n), Options: options.Options{Router: "memory"}} //nolint:gosec // small
}

// A state file that cannot be read at the moment is read later: nothing of its session is lost, and its lines come in their
// place.
func TestStateIsReadLater(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	fault := &statetest.FS{}
	old, next := filepath.Join(dir, "old"), filepath.Join(dir, "next")
	f, g := newFIFO(t, old), newFIFO(t, next)
	leave(t, dir, numbered(1, old), numbered(2, next))
	s := startOn(t, dir, m, fault)
	broken := make(chan struct{})
	fault.Fail(func(_ int, op, name string) error {
		select {
		case <-broken:
			return nil
		default:
		}
		if op == "open" && strings.HasSuffix(name, state.ID(old)+".json") {
			return unix.EMFILE
		}
		return nil
	})
	write(t, f, "1")
	s.Attach()
	if err := s.Unread(); err == nil || !strings.Contains(err.Error(), "1 earlier container") {
		t.Errorf("Unread: %v, want one", err)
	}
	if _, err := os.Lstat(old); err != nil {
		t.Errorf("the FIFO of a session that cannot be read yet: %v", err)
	}
	close(broken)
	m.wait(t, "1")
	await(t, "that all are read", func() bool { return s.Unread() == nil })
	f.Close()
	write(t, g, "2")
	m.wait(t, "1 2")
}

// While the state of an older session cannot be read, the lines of a newer one of the container wait, and for a while only.
func TestUnreadOlderComesFirst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		hold time.Duration
		want string
	}{{"read in time", time.Minute, "1 2"}, {"not read in time", 300 * time.Millisecond, "2 1"}} {
		t.Run(tt.name, func(t *testing.T) {
			dir, m, fault := t.TempDir(), &memory{}, &statetest.FS{}
			old, next := filepath.Join(dir, "old"), filepath.Join(dir, "next")
			write(t, newFIFO(t, old), "1")
			write(t, newFIFO(t, next), "2")
			leave(t, dir, numbered(1, old), numbered(2, next))
			s := startOn(t, dir, m, fault)
			s.pauses.hold = tt.hold
			fault.Fail(func(_ int, op, name string) error {
				if op == "open" && strings.HasSuffix(name, state.ID(old)+".json") {
					return unix.EMFILE
				}
				return nil
			})
			s.Attach()
			awaitStatus(t, s, "a word about it", func(st Status) bool { return strings.Contains(st.LastError, "older ones may come first") })
			if tt.hold < time.Minute {
				m.wait(t, "2")
			}
			if n := s.StateFailures(); n == 0 {
				t.Error("no failure is counted")
			}
			fault.Fail(nil)
			m.wait(t, tt.want)
		})
	}
}

// A failure that lasts is one line in the log, and its end is another.
func TestUnreadStateIsLoggedOnce(t *testing.T) {
	t.Parallel()
	dir, fault, file := t.TempDir(), &statetest.FS{}, filepath.Join(t.TempDir(), "f")
	newFIFO(t, file)
	leave(t, dir, numbered(1, file))
	s := startOn(t, dir, &memory{}, fault)
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	fault.Fail(func(_ int, op, name string) error {
		if op == "open" && strings.HasSuffix(name, ".json") {
			return unix.EMFILE
		}
		return nil
	})
	for range 3 {
		if s.attach() {
			t.Fatal("all states are read, with a fault in the way")
		}
	}
	fault.Fail(nil)
	if !s.attach() {
		t.Error("the state is not read without a fault")
	}
	if n := strings.Count(log.String(), "will retry"); n != 1 {
		t.Errorf("%d lines about a failure that lasts, want 1:\n%s", n, log.String())
	}
}

// A container that was accepted while the disk took nothing is one for the next process, too.
func TestMarkIsWrittenLater(t *testing.T) {
	t.Parallel()
	dir, fault, file := t.TempDir(), &statetest.FS{}, filepath.Join(t.TempDir(), "f")
	newFIFO(t, file)
	s := startOn(t, dir, &memory{}, fault)
	fault.Fail(func(_ int, op, name string) error {
		if op == "open" && strings.Contains(name, "/accepted/") {
			return unix.ENOSPC
		}
		return nil
	})
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(s.dir.Path(), "accepted", state.ID(info().ContainerID))
	if _, err := os.Lstat(marker); err == nil {
		t.Fatal("the disk took the mark")
	}
	fault.Fail(nil)
	await(t, "the mark on the disk", func() bool {
		_, err := os.Lstat(marker)
		return err == nil
	})
}

// Whatever the clock says, the session that began later is the newer one.
func TestClockIsNoOrder(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			dir, m := t.TempDir(), &memory{}
			files := []string{filepath.Join(dir, "1"), filepath.Join(dir, "2"), filepath.Join(dir, "3")}
			for i, file := range files { // the clock was set between each two
				x := numbered(i+1, file)
				x.Started = time.Now().Add(time.Duration(i) * step)
				leave(t, dir, x)
				write(t, newFIFO(t, file), fmt.Sprint(i+1))
			}
			s := start(t, dir, m)
			s.Attach()
			m.wait(t, "1 2 3") // the first two were leaked, and are left after a while
			await(t, "the end of the leaked ones", func() bool { return len(s.Status()) == 1 })
			if _, err := os.Lstat(files[2]); err != nil {
				t.Errorf("the FIFO of the session that began last: %v", err)
			}
		})
	}
}

// A session whose FIFO is gone says nothing about one whose FIFO is open.
func TestGoneDoesNotSupersede(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	open, lost := filepath.Join(dir, "open"), filepath.Join(dir, "lost")
	f := newFIFO(t, open)
	leave(t, dir, numbered(1, open), numbered(2, lost))
	s := start(t, dir, m)
	s.Attach()
	pause(t, 3*quick.silence)
	write(t, f, "1")
	m.wait(t, "1")
}

// What a session has used is free after its end.
func TestSessionsLeaveNothing(t *testing.T) {
	dir, m := inMemory(t), &memory{}
	s := start(t, dir, m)
	cycle := func(n int) {
		for i := range n {
			file := filepath.Join(dir, fmt.Sprint("f", i))
			f, err := makeFIFO(file)
			if err != nil {
				t.Fatal(err)
			}
			in := info()
			in.ContainerID = fmt.Sprintf("%064d", i%100)
			if err := s.Start(t.Context(), file, in); err != nil {
				t.Fatal(err)
			}
			s.Stop(file)
			f.Close()
			if i%100 == 99 {
				await(t, "the end of the sessions", func() bool { return len(s.Status()) == 0 })
			}
		}
	}
	cycle(1000) // pools, maps, and the like grow to their size
	before := usage(t)
	sessions := 9000
	if testing.Short() {
		sessions = 1000
	}
	cycle(sessions)
	await(t, "the end of goroutines and files", func() bool {
		u := usage(t)
		return u.goroutines <= before.goroutines && u.files <= before.files
	})
	if grown := usage(t).heap - before.heap; grown > int64(sessions)*100 {
		t.Errorf("%d sessions that have ended keep %d bytes", sessions, grown)
	}
}

type used struct {
	goroutines, files int
	heap              int64
}

func usage(t *testing.T) used {
	t.Helper()
	runtime.GC()
	runtime.GC() // what the first has finalized
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return used{runtime.NumGoroutine(), len(files), int64(mem.HeapAlloc)} //nolint:gosec // far below
}

// The files of sessions that have ended are removed when the disk takes it, also if it does not at first.
func TestEndedFilesAreRemovedLater(t *testing.T) {
	t.Parallel()
	dir, m, fault := t.TempDir(), &memory{}, &statetest.FS{}
	s := startOn(t, dir, m, fault)
	fault.Fail(func(_ int, op, name string) error {
		if op == "remove" && strings.HasSuffix(name, ".json") {
			return unix.EROFS
		}
		return nil
	})
	var files []string
	for i := range 3 {
		file := filepath.Join(dir, fmt.Sprint(i))
		f := newFIFO(t, file)
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
		f.Close()
		files = append(files, file)
	}
	await(t, "the end of the sessions", func() bool { return len(s.Status()) == 0 })
	for _, file := range files {
		if !s.dir.MayKnow(state.ID(file)) {
			t.Errorf("the state of %s is gone, with a fault in the way", file)
		}
	}
	before := s.StateFailures()
	await(t, "another try", func() bool { return s.StateFailures() > before })
	fault.Fail(nil)
	for _, file := range files {
		await(t, "the end of the state of "+file, func() bool { return !s.dir.MayKnow(state.ID(file)) })
	}
	await(t, "nothing left to do", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.later.ended) == 0
	})
}
