package session

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/state"
)

// kept counts the files that a history was given.
type kept struct {
	mu    sync.Mutex
	files int
}

func (k *kept) Keep(path string, _, _ int64, _ bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files++
	return os.Remove(path)
}

func (k *kept) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.files
}

// keeping is a file system on which what was delivered stays, as after a kill.
type keeping struct{ spool.System }

func (keeping) Remove(path string) error {
	if filepath.Ext(path) == ".seg" {
		return unix.EIO
	}
	return os.Remove(path)
}

// delivered leaves n sessions on the disk whose lines were delivered, and returns their FIFOs.
func delivered(t *testing.T, dir string, n int) (paths []string) {
	t.Helper()
	s := startWith(t, dir, &memory{}, state.OS{}, Config{spoolFS: keeping{}})
	s.readLogs = false
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("f%d", i))
		f := newFIFO(t, path)
		in := info()
		in.ContainerID = fmt.Sprintf("%064x", i)
		if err := s.Start(t.Context(), path, in); err != nil {
			t.Fatal(err)
		}
		write(t, f, "1")
		paths = append(paths, path)
	}
	await(t, "delivery", func() bool {
		for _, x := range s.sessions() {
			if st := x.spool.Stats(); st.End == 0 || st.Committed < st.End {
				return false
			}
		}
		return true
	})
	end(t, s)
	return paths
}

// looking is a file system that sees how much is in the history each time a spool is read.
type looking struct {
	spool.System
	history string

	mu     sync.Mutex
	spools int // that were read
	early  int // pieces of history at that time
}

func (l *looking) ReadDir(dir string) ([]fs.DirEntry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spools++
	l.early += pieces(l.history)
	return l.System.ReadDir(dir)
}

func pieces(history string) int {
	found, _ := filepath.Glob(filepath.Join(history, "*", "*")) // the pattern is fine
	return len(found)
}

// At a start nothing is moved into the history before all sessions are there: a container whose pipe is full waits for that.
func TestHistoryWaitsForSessions(t *testing.T) {
	t.Parallel()
	const sessions = 20
	dir := t.TempDir()
	delivered(t, dir, sessions)
	fsys := &looking{history: filepath.Join(dir, "state", "history")}
	if n := pieces(fsys.history); n > 0 {
		t.Fatalf("the history has %d pieces before the start", n)
	}
	patient := quick
	patient.hold = time.Hour
	s := startWith(t, dir, &memory{}, state.OS{}, Config{spoolFS: fsys, pauses: patient})
	s.Attach()
	await(t, "the history of all", func() bool { return pieces(fsys.history) == sessions })
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	if fsys.spools < sessions || fsys.early > 0 {
		t.Errorf("%d pieces were in the history while %d spools were read", fsys.early, fsys.spools)
	}
	for _, x := range s.sessions() {
		if _, open := x.input.unreadBytes(); !open {
			t.Errorf("the FIFO %s is not open", x.meta.File)
		}
	}
}

// Nor is anything moved while one FIFO has not been opened.
func TestTidyWaitsForFIFOs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	paths := delivered(t, dir, 2)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var history kept
		store := spool.NewStore(spool.Config{Dir: filepath.Join(dir, "state"), Total: 1 << 30, Memory: 1 << 20, Retry: time.Second})
		s := &Sessions{ctx: ctx, byFile: map[string]*session{}, pauses: usual}
		opened := 0
		s.attaching.opened = func() { opened++ }
		var last *session
		for _, path := range paths {
			last = &session{meta: state.Session{File: path}, input: input{tried: make(chan struct{})}}
			last.spool = store.Open(filepath.Join(dir, "state", "spool", state.ID(path)), spool.Options{MaxBytes: 1 << 20, History: &history})
			s.byFile[path] = last
			if path == paths[0] {
				close(last.input.tried)
			}
		}
		go s.tidy()
		synctest.Wait()
		if n := history.count(); n > 0 || opened > 0 {
			t.Errorf("%d files were moved, and %d calls have said that all FIFOs are open, before the last one was opened", n, opened)
		}
		close(last.input.tried)
		synctest.Wait()
		if n := history.count(); n != len(paths) || opened != 1 {
			t.Errorf("%d files were moved, want %d; %d calls have said that all FIFOs are open, want 1", n, len(paths), opened)
		}
		for _, x := range s.byFile {
			if err := x.spool.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
