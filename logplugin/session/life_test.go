package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/logplugin/state/statetest"
)

// moments is how many there are in a life.
const moments = 8

// life is that of a container which is started twice, and of the driver, which is started twice too. It wants each line once and in
// its order, and nothing left in the end. at is called at each moment, from 0.
func life(t *testing.T, fsys state.FS, c Config, at func(moment int)) {
	t.Helper()
	// Lines whose acceptance the file system did not take when the driver ended come again.
	dir, m := t.TempDir(), &memory{again: c.spoolFS != nil}
	begin := func() *Sessions {
		t.Helper()
		return startWith(t, dir, m, fsys, c)
	}
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	f := newFIFO(t, first)
	at(0)
	s := begin()
	at(1)
	if err := s.Start(t.Context(), first, info()); err != nil {
		t.Fatal(err)
	}
	at(2)
	write(t, f, "1")
	m.wait(t, "1")
	write(t, f, "2")
	at(3)
	end(t, s)
	write(t, f, "3")
	at(4)
	s = begin()
	s.Attach()
	write(t, f, "4")
	at(5)
	m.wait(t, "1 2 3 4") // a FIFO that nobody has open keeps nothing
	write(t, f, "5")
	s.Stop(first)
	f.Close()
	g := newFIFO(t, second)
	if err := s.Start(t.Context(), second, info()); err != nil {
		t.Fatal(err)
	}
	write(t, g, "6")
	at(6)
	m.wait(t, "1 2 3 4 5 6")
	at(7)
	s.Stop(second)
	g.Close()
	await(t, "the end of the sessions", func() bool { return len(s.Status()) == 0 })
	for _, file := range []string{first, second} {
		await(t, "the end of the spool of "+file, func() bool {
			_, err := os.Lstat(s.spoolDir(file))
			return errors.Is(err, os.ErrNotExist)
		})
		await(t, "the end of the state of "+file, func() bool { return !s.dir.MayKnow(state.ID(file)) })
	}
}

// The clock is set by an hour at any moment: that changes nothing but the times that people are shown.
func TestClockStepsInALife(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		for moment := range moments {
			t.Run(fmt.Sprintf("%v at %d", step, moment), func(t *testing.T) {
				t.Parallel()
				var offset atomic.Int64
				now := func() time.Time { return time.Now().Round(0).Add(time.Duration(offset.Load())) }
				life(t, state.OS{}, Config{Now: now}, func(i int) {
					if i == moment {
						offset.Store(int64(step))
					}
				})
			})
		}
	}
}

// passing are the failures that say nothing about a file.
var passing = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EINTR}

// The file system refuses any one call for the state: that costs no line, and in the end everything is as without it.
func TestStateFaultsInALife(t *testing.T) {
	faults := append(slices.Clone(passing), statetest.ShortWrite)
	none := &statetest.FS{}
	life(t, none, Config{}, func(int) {})
	calls := none.Calls()
	if calls < 30 {
		t.Fatalf("a life makes %d calls for the state: are they looked at?", calls)
	}
	for call := 1; call <= calls; call++ {
		fault := faults[call%len(faults)]
		t.Run(fmt.Sprintf("call %d: %v", call, fault), func(t *testing.T) {
			t.Parallel()
			fs := &statetest.FS{}
			fs.Fail(func(n int, _, _ string) error {
				if n == call {
					return fault
				}
				return nil
			})
			life(t, fs, Config{}, func(int) {})
			if fs.Calls() < call {
				t.Errorf("%d calls: the fault was not met", fs.Calls())
			}
		})
	}
}

// The same for the calls for spools. How many there are depends on how fast lines come: a fault behind the last call is none.
func TestSpoolFaultsInALife(t *testing.T) {
	none := &refusing{}
	life(t, state.OS{}, Config{spoolFS: none}, func(int) {})
	calls := none.count()
	if calls < 30 {
		t.Fatalf("a life makes %d calls for spools: are they looked at?", calls)
	}
	var met atomic.Int64
	t.Run("each", func(t *testing.T) {
		for call := 1; call <= calls; call++ {
			fault := passing[call%len(passing)]
			t.Run(fmt.Sprintf("call %d: %v", call, fault), func(t *testing.T) {
				t.Parallel()
				fs := &refusing{at: call, fault: fault}
				life(t, state.OS{}, Config{spoolFS: fs}, func(int) {})
				if fs.count() >= call {
					met.Add(1)
				}
			})
		}
	})
	if n := int(met.Load()); n < calls*3/4 {
		t.Errorf("%d of %d faults were met", n, calls)
	}
}
