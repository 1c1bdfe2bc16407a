package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	dir, m := inMemory(t), &memory{again: c.spoolFS != nil}
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
	one := s.byFile[first].spool.Stats().End
	write(t, f, "2")
	at(3)
	await(t, "the state on the disk", func() bool { // else the next process knows nothing of the session, as the log says
		_, err := os.Lstat(filepath.Join(s.dir.Path(), "sessions", state.ID(first)+".json"))
		return err == nil
	})
	await(t, "all lines on the disk", func() bool { return s.byFile[first].spool.Stats().End > one && s.Store().RAMBytes == 0 })
	end(t, s)
	write(t, f, "3")
	at(4)
	s = begin()
	s.Attach()
	write(t, f, "4")
	at(5)
	m.wait(t, "1 2 3 4") // before the FIFO is closed: the kernel drops what is in one that no process has open
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

// outage is what a file system says to so many calls, from one of them on.
type outage struct {
	at, calls int
	err       error
}

func (o outage) of(call int) error {
	if call >= o.at && call < o.at+o.calls {
		return o.err
	}
	return nil
}

// faults calls try side by side for each call of so many, with one failure for each, and in the long form with each failure, for one
// call and for a dozen. They say nothing about a file.
func faults(t *testing.T, calls int, try func(t *testing.T, o outage)) {
	t.Helper()
	if calls < 30 {
		t.Fatalf("a life makes %d calls: are they looked at?", calls)
	}
	errs := []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EINTR, statetest.ShortWrite}
	t.Run("each", func(t *testing.T) {
		for call := 1; call <= calls; call++ {
			for i, err := range errs {
				for _, last := range []int{1, 12} {
					if testing.Short() && (i != call%len(errs) || last > 1) || last > 1 && i%4 != call%4 { // outages of several overlap
						continue
					}
					t.Run(fmt.Sprintf("call %d, %d times: %v", call, last, err), func(t *testing.T) {
						t.Parallel()
						try(t, outage{call, last, err})
					})
				}
			}
		}
	})
}

// The file system refuses calls for the state: that costs no line, and in the end everything is as without it.
func TestStateFaultsInALife(t *testing.T) {
	none := &statetest.FS{}
	life(t, none, Config{}, func(int) {})
	faults(t, none.Calls(), func(t *testing.T, o outage) {
		fs := &statetest.FS{}
		fs.Fail(func(n int, _, _ string) error { return o.of(n) })
		life(t, fs, Config{}, func(int) {})
		if fs.Calls() < o.at {
			t.Errorf("%d calls: the fault was not met", fs.Calls())
		}
	})
}

// The same for the calls for spools. How many there are depends on how fast lines come: a fault behind the last call is none.
func TestSpoolFaultsInALife(t *testing.T) {
	none := &refusing{}
	life(t, state.OS{}, Config{spoolFS: none}, func(int) {})
	var met, all atomic.Int64
	faults(t, none.count(), func(t *testing.T, o outage) {
		fs := &refusing{outage: o}
		life(t, state.OS{}, Config{spoolFS: fs}, func(int) {})
		all.Add(1)
		if fs.count() >= o.at {
			met.Add(1)
		}
	})
	if met.Load() < all.Load()*3/4 {
		t.Errorf("%d of %d faults were met", met.Load(), all.Load())
	}
}
