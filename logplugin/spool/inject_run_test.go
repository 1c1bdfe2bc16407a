package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// steppingClock is a clock whose wall time is moved by by, from the look number at on.
type steppingClock struct {
	systemClock
	looks atomic.Int64
	at    int64
	by    time.Duration
}

func newSteppingClock(at int64, by time.Duration) *steppingClock {
	return &steppingClock{systemClock: systemClock{time.Now()}, at: at, by: by}
}

func (c *steppingClock) Wall() time.Time {
	now := time.Now().Round(0) // without the monotonic time: what a person's clock says
	if c.looks.Add(1) > c.at {
		now = now.Add(c.by)
	}
	return now
}

// leave makes a spool of lines up to n in dir, of which half are accepted, as an earlier process leaves it. begun is of a frame
// that follows.
func leave(t *testing.T, dir string, n int, begun ...byte) {
	t.Helper()
	st := newStore(t, Config{Dir: dir})
	s := open(st, filepath.Join(dir, "one"), Options{segmentBytes: 4000})
	put(t, s, append(appendLines(nil, 0, n), begun...))
	newReader(t, s).until(n / 2)
	shut(t, s)
}

// settled waits until a spool has nothing in memory and no error.
func settled(t *testing.T, s *Spool, what string) {
	t.Helper()
	await(t, s, what, func(g Stats) bool {
		if _, _, err := s.Peek(make([]byte, 10)); err == nil { // as the delivery does after each Notify
			s.Skip(0)
		}
		s.ledger.mu.Lock()
		dirty := s.ledger.dirty
		s.ledger.mu.Unlock()
		return g.Loaded && g.Mode != Memory && g.RAMBytes == 0 && g.Err == nil && !dirty
	})
}

// session is what happens to a spool from a restart on: lines of an earlier process are read, others come, it is closed and
// opened again. Each line has to come once and in order, whatever fails meanwhile.
func session(t *testing.T, fsys FileSystem, clk clock, copies bool) {
	t.Helper()
	const before, lines = 60, 200
	dir := tmpfs(t)
	leave(t, dir, before)
	p := newFIFO(t)
	next := before / 2
	write := before
	for round := range 2 {
		st := newFaultyStore(t, Config{Dir: dir, Retry: time.Millisecond}, fsys, clk)
		if copies {
			st.copies.Store(true)
		}
		s := open(st, filepath.Join(dir, "one"), Options{segmentBytes: 4000})
		ended := startDrain(t, s, p)
		r := newReader(t, s)
		r.next, r.lax = next, true
		for range 3 {
			p.write(t, appendLines(nil, write, write+lines/6))
			write += lines / 6
			r.until(write - 5)
			s.segs.closeUnused(true)
			s.ledger.closeUnused(st, true)
		}
		next = r.next
		end := int64(len(appendLines(nil, 0, write)))
		await(t, s, "all bytes", func(g Stats) bool { return g.Loaded && g.End == end })
		settled(t, s, fmt.Sprintf("well again in round %d", round))
		if got := s.Stats(); got.DroppedLines != 0 || len(r.gaps) != 0 || r.garbage != 0 {
			t.Fatalf("lost something: %+v, gaps %v, garbage %d", got, r.gaps, r.garbage)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := ended(); err == nil {
			t.Fatal("a drain that was ended has no error")
		}
		await(t, s, "nothing that is counted after Close", func(Stats) bool { // a retry may be about to end
			got := st.Stats()
			return got.DiskBytes == 0 && got.RAMBytes == 0 && got.OpenFiles == 0
		})
	}
	s := open(newStore(t, Config{Dir: dir}), filepath.Join(dir, "one"), Options{segmentBytes: 4000})
	defer shut(t, s)
	s.Finish()
	r := newReader(t, s)
	r.next = next
	r.until(-1)
	if r.next != write || len(r.gaps) != 0 || r.garbage != 0 {
		t.Fatalf("read up to %d of %d, gaps %v, garbage %d", r.next, write, r.gaps, r.garbage)
	}
}

// Each call into the file system fails in turn, once and for a while. No line is lost, order holds, and when the fault is gone
// all is well again. The errors that the spool tells apart are tried at each call, the others at every fifth.
func TestEachCallFails(t *testing.T) {
	for _, copies := range []bool{false, true} {
		calls := &faultyFS{}
		session(t, calls, systemClock{time.Now()}, copies)
		total := calls.total
		if total < 50 {
			t.Fatalf("a session makes only %d calls: %v", total, calls.calls)
		}
		for _, errno := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EIO, unix.ENOSPC, unix.EROFS, unix.EINTR} {
			every := 5
			switch errno {
			case unix.EMFILE, unix.EIO, unix.ENOSPC:
				every = 1
			}
			for _, last := range []int{1, 12} {
				t.Run(fmt.Sprintf("%v for %d calls, copies %v", errno, last, copies), func(t *testing.T) {
					t.Parallel()
					for at := int(errno) % every; at < total; at += every * min(last, 3) {
						fsys := &faultyFS{fail: func(n int, op string) error {
							if n >= at && n < at+last {
								return errno
							}
							return nil
						}}
						fsys.short = func(int, string) bool { return at%2 == 0 }
						session(t, fsys, systemClock{time.Now()}, copies)
						if t.Failed() {
							t.Fatalf("with the fault at call %d", at)
						}
					}
				})
			}
		}
	}
}

// One kind of call fails for as long as the session lasts, from before or after the spool is opened, and then works again.
func TestAllFailsForLong(t *testing.T) {
	for _, op := range []string{"open", "create", "read", "readdir", "lstat", "write", "splice", "remove", "rename", "statfs", "stat", "allocate"} {
		for _, errno := range []unix.Errno{unix.EMFILE, unix.EIO} {
			for _, later := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %v later %v", op, errno, later), func(t *testing.T) { failsForLong(t, op, errno, later) })
			}
		}
	}
}

func failsForLong(t *testing.T, op string, errno unix.Errno, later bool) {
	dir := t.TempDir()
	leave(t, dir, 60)
	var fails atomic.Bool
	fails.Store(!later)
	fsys := &faultyFS{fail: func(_ int, o string) error {
		if o == op && fails.Load() {
			return errno
		}
		return nil
	}}
	st := newFaultyStore(t, Config{Dir: dir, Retry: time.Millisecond}, fsys, systemClock{time.Now()})
	s := open(st, filepath.Join(dir, "one"), Options{segmentBytes: 4000})
	defer shut(t, s)
	fails.Store(true)
	p := newFIFO(t)
	_ = startDrain(t, s, p)
	lines := appendLines(nil, 60, 1000)
	end := s.Stats().End
	p.write(t, lines) // is drained
	await(t, s, "all bytes", func(g Stats) bool { return g.End-end >= int64(len(lines)) })
	r := newReader(t, s)
	r.next, r.lax = 30, true
	for range 20 {
		_, _ = r.step(100)
		r.commit()
	}
	if n, _ := r.step(0); n > 0 {
		t.Error("takes lines that were not asked for")
	}
	fails.Store(false)
	r.until(1000)
	settled(t, s, "well again")
	if got := s.Stats(); got.DroppedLines != 0 || got.DroppedBytes != 0 || len(r.gaps) != 0 || r.garbage != 0 {
		t.Errorf("lost something: %+v, gaps %v, garbage %d", got, r.gaps, r.garbage)
	}
}

// While files are missing, what was in files cannot be read, and memory is too small for what comes: each line is read in the
// end or counted in the gap where it was.
func TestCountsWithoutFiles(t *testing.T) {
	for _, when := range []string{"running", "restarted"} {
		for _, errno := range []unix.Errno{unix.EMFILE, unix.EIO} {
			t.Run(when+" "+errno.Error(), func(t *testing.T) {
				const lines = 20_000
				dir := t.TempDir()
				b := appendLines(nil, 500, lines)
				leave(t, dir, 500, b[:50]...)
				b = b[50:] // the frame goes on in memory
				var fail atomic.Bool
				fail.Store(when == "restarted")
				fsys := &faultyFS{fail: func(_ int, op string) error {
					if fail.Load() && (op == "open" || op == "create" || op == "readdir" || op == "read" || op == "splice") {
						return errno
					}
					return nil
				}}
				st := newFaultyStore(t, Config{Dir: dir, Retry: time.Millisecond}, fsys, systemClock{time.Now()})
				s := open(st, filepath.Join(dir, "one"), Options{segmentBytes: 4000, memoryBytes: 128 << 10})
				fail.Store(true)
				s.segs.closeUnused(true)
				s.ledger.closeUnused(st, true)
				p := newFIFO(t)
				_ = startDrain(t, s, p)
				end := s.Stats().End
				p.write(t, b)
				await(t, s, "all bytes", func(g Stats) bool { return g.End == end+int64(len(b)) && g.RAMBytes <= 128<<10 })
				if got := s.Stats(); got.DroppedLines < 10_000 || got.Err == nil || got.Failures == 0 {
					t.Errorf("%+v, want many lines dropped, and why", got)
				}
				fail.Store(false)
				settled(t, s, "well again")
				s.Finish()
				r := newReader(t, s)
				r.next = 250
				r.until(-1)
				if r.next != lines || len(r.gaps) == 0 || r.gaps[0].Lines == 0 {
					t.Errorf("read and counted %d lines, want %d; gaps %+v", r.next, lines, r.gaps)
				}
				if got := s.Stats().DroppedLines; got != r.gaps[0].Lines || len(r.gaps) != 1 {
					t.Errorf("dropped %d lines, gaps %+v", got, r.gaps)
				}
				shut(t, s)
			})
		}
	}
}

// The memory of all spools has a limit that holds, however many there are; all FIFOs are drained, and all lines counted.
func TestMemoryOfAll(t *testing.T) {
	const spools, lines, limit = 100, 600, 256 << 10
	fsys := &faultyFS{fail: func(_ int, op string) error {
		if op == "create" {
			return unix.ENOSPC
		}
		return nil
	}}
	dir := t.TempDir()
	st := newFaultyStore(t, Config{Dir: dir, Memory: limit, Retry: time.Hour}, fsys, systemClock{time.Now()})
	b := appendLines(nil, 0, lines)
	var all sync.WaitGroup
	var opened []*Spool
	for i := range spools {
		s, p := open(st, fmt.Sprintf("%s/%d", dir, i), Options{}), newFIFO(t)
		opened = append(opened, s)
		_ = startDrain(t, s, p)
		all.Go(func() {
			for n := 0; n < len(b); n += 1000 {
				_, _ = p.w.Write(b[n:min(n+1000, len(b))])
			}
		})
	}
	all.Wait()
	for _, s := range opened {
		await(t, s, "all bytes", func(g Stats) bool {
			if used := st.Stats().RAMBytes; used > limit {
				t.Fatalf("%d bytes in memory, limit %d", used, limit)
			}
			return g.End == int64(len(b))
		})
	}
	for i, s := range opened {
		s.Finish()
		r := newReader(t, s)
		r.lax = true
		r.until(-1)
		if r.next != lines {
			t.Errorf("spool %d: read and counted %d lines, want %d; gaps %+v, garbage %d", i, r.next, lines, r.gaps, r.garbage)
		}
		_ = s.Close()
	}
	if used := st.Stats().RAMBytes; used != 0 {
		t.Errorf("%d bytes in memory without a spool", used)
	}
}

// The clock steps by an hour at every moment at which the spool looks at it. Ages stay sensible, and nothing else changes.
func TestClockSteps(t *testing.T) {
	calm := newSteppingClock(1<<40, 0)
	session(t, System{}, calm, false)
	looks := min(calm.looks.Load(), 40)
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		for at := range looks {
			session(t, System{}, newSteppingClock(at, by), false)
			if t.Failed() {
				t.Fatalf("with a step of %v at look %d", by, at)
			}
		}
	}
}

// Ages in a process do not depend on the wall clock; those of an earlier one are not negative, and not older than a clock that
// was not set.
func TestAgesWithSteps(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, time.Hour, 24 * 365 * time.Hour} {
		clk := newSteppingClock(1<<40, by)
		st := newFaultyStore(t, Config{Dir: t.TempDir()}, System{}, clk)
		s := open(st, st.cfg.Dir+"/one", Options{})
		line := writer(t, s)
		line()
		clk.at = 0 // now
		got := s.Stats()
		if age := got.Age(clk.Wall()); age < 0 || age > time.Minute || clk.Wall().Sub(got.Last) > time.Minute {
			t.Errorf("after a step of %v: age %v, last %v", by, age, got.Last)
		}
		shut(t, s)
	}
	for _, c := range []struct {
		changed time.Time
		most    time.Duration
	}{
		{time.Now().Add(time.Hour), time.Minute},                    // the clock has stepped back since
		{time.Unix(1000, 0), time.Minute},                           // it was not set
		{time.Now().Add(-2 * time.Hour), 2*time.Hour + time.Minute}, // as it should be
	} {
		dir := t.TempDir()
		leave(t, dir, 10)
		for _, name := range files(t, dir+"/one") {
			if err := os.Chtimes(dir+"/one/"+name, c.changed, c.changed); err != nil {
				t.Fatal(err)
			}
		}
		s := open(newStore(t, Config{Dir: dir}), dir+"/one", Options{})
		if age := s.Stats().Age(time.Now()); age < c.most-2*time.Minute || age < 0 || age > c.most {
			t.Errorf("a file of %v: age %v, want at most %v", c.changed, age, c.most)
		}
		shut(t, s)
	}
}

// A step of the clock does not keep free space from being looked at.
func TestMinFreeWithStep(t *testing.T) {
	dir := smallDisk(t, "size=4m")
	clk := newSteppingClock(1<<40, -time.Hour)
	st := newFaultyStore(t, Config{Dir: dir, MinFree: 1 << 20}, System{}, clk)
	clk.at = 0
	if err := os.WriteFile(dir+"/filler", make([]byte, 3500<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for !st.space.low(false) {
		if time.Now().After(deadline) {
			t.Fatal("low space is not seen")
		}
	}
}
