package spool

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/polltest"
)

// idleStore is a Store that closes idle files soon.
func idleStore(t *testing.T, cfg Config) *Store {
	t.Helper()
	st := newStore(t, cfg)
	st.files.idle = 5 * time.Millisecond
	return st
}

func awaitFiles(t *testing.T, st *Store, want int64) {
	t.Helper()
	polltest.Until(t, 10*time.Second, fmt.Sprintf("%d files are open", want), func() bool { return st.files.open.Load() == want })
}

// An idle spool holds no file but its FIFO, and goes on where it was.
func TestIdleHoldsNoFiles(t *testing.T) {
	const spools = 20
	st := idleStore(t, Config{Dir: t.TempDir()})
	var lines []func()
	var readers []*reader
	for i := range spools {
		s := open(st, fmt.Sprintf("%s/%d", st.cfg.Dir, i), Options{})
		lines, readers = append(lines, writer(t, s)), append(readers, newReader(t, s))
	}
	for n := range 3 {
		for i := range spools {
			lines[i]()
			readers[i].until(n + 1)
		}
		awaitFiles(t, st, 0)
		if got := st.Stats().OpenFiles; got != 2 {
			t.Errorf("%d files are open, want those of the poller alone, 2", got)
		}
	}
	for i := range spools {
		if got := files(t, fmt.Sprintf("%s/%d", st.cfg.Dir, i)); len(got) != 2 {
			t.Errorf("a spool of three lines in %v", got)
		}
	}
}

// With fewer files than all spools would use, none loses a line, and none is in memory in the end.
func TestFewFiles(t *testing.T) {
	const spools, lines = 40, 300
	st := newStore(t, Config{Dir: t.TempDir(), Retry: 10 * time.Millisecond})
	var all []*Spool
	var pipes []*pair
	for i := range spools {
		s, p := open(st, fmt.Sprintf("%s/%d", st.cfg.Dir, i), Options{segmentBytes: 8000}), newFIFO(t)
		_ = startDrain(t, s, p)
		all, pipes = append(all, s), append(pipes, p)
	}
	open := len(files(t, "/proc/self/fd"))
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: uint64(open + 20), Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	for i, s := range all {
		pipes[i].write(t, appendLines(nil, 0, lines))
		r := newReader(t, s)
		r.lax = true
		r.until(lines)
		if len(r.gaps) > 0 || r.garbage > 0 {
			t.Errorf("spool %d: gaps %+v, garbage %d", i, r.gaps, r.garbage)
		}
	}
	for _, s := range all {
		settled(t, s, "well")
	}
}

// A pipe for which the poller cannot wait, for lack of files, is read at intervals.
func TestWithoutPoller(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	s := open(st, st.cfg.Dir+"/one", Options{})
	defer shut(t, s)
	p := newFIFO(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 0, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_ = startDrain(t, s, p)
	await(t, s, "the fault is shown", func(g Stats) bool { return g.Err != nil })
	p.write(t, appendLines(nil, 0, 10))
	end := int64(len(appendLines(nil, 0, 10)))
	await(t, s, "all bytes", func(g Stats) bool { return g.End == end && g.Mode == Memory })
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	settled(t, s, "well again")
	newReader(t, s).until(10)
}

// Another reader reads from where it likes, and keeps nothing from the delivery.
func TestReaders(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	s := open(st, st.cfg.Dir+"/one", Options{segmentBytes: 4000})
	defer shut(t, s)
	put(t, s, appendLines(nil, 0, 200))
	history := s.NewReader(0)
	buf := make([]byte, 1<<20)
	n, g, err := history.Peek(buf)
	if all := appendLines(nil, 0, 200); string(buf[:n]) != string(all) || g.To != 0 || err != nil {
		t.Fatalf("%d bytes of %d, gap %+v, %v", n, len(all), g, err)
	}
	history.Skip(n)
	late := s.NewReader(0)
	newReader(t, s).until(100) // removes what it has accepted
	n, g, err = late.Peek(buf)
	if n != 0 || g.From != 0 || g.To == 0 || g.To > s.Stats().Committed || err != nil {
		t.Fatalf("behind what was removed: %d bytes, gap %+v, %v", n, g, err)
	}
	late.SkipGap()
	if n, _, _ = late.Peek(buf); late.Taken() != g.To || int64(n) != s.Stats().End-g.To {
		t.Errorf("at %d, and reads %d bytes", late.Taken(), n)
	}
	put(t, s, appendLines(nil, 200, 201))
	s.Finish()
	n, _, err = history.Peek(buf)
	if string(buf[:n]) != string(appendLines(nil, 200, 201)) || err == nil {
		t.Errorf("after its end: %q, %v, want the new line and EOF", buf[:n], err)
	}
	if got := s.Taken(); got == 0 || got == s.Stats().End {
		t.Errorf("the delivery has taken %d", got)
	}
}

// The first start on a full disk, or in a directory that takes nothing: containers notice nothing.
func TestStartOnFullDisk(t *testing.T) {
	dir := smallDisk(t, "size=1m")
	free := fillDisk(t, dir)
	st := newStore(t, Config{Dir: dir, Retry: time.Millisecond})
	if !st.CanSplice() {
		t.Error("a full file system is taken for one that cannot splice")
	}
	s := open(st, dir+"/one", Options{segmentBytes: minSegmentBytes})
	p := newFIFO(t)
	_ = startDrain(t, s, p)
	p.write(t, appendLines(nil, 0, 1000))
	end := int64(len(appendLines(nil, 0, 1000)))
	await(t, s, "all bytes", func(g Stats) bool { return g.End == end && g.Mode == Memory && g.Err != nil })
	free()
	settled(t, s, "on disk")
	newReader(t, s).until(1000)
	shut(t, s)
	for _, errno := range []unix.Errno{unix.EMFILE, unix.EROFS, unix.EIO} {
		fsys := &faultyFS{fail: func(int, string) error { return errno }}
		if st := newFaultyStore(t, Config{Dir: t.TempDir()}, fsys, systemClock{time.Now()}); !st.CanSplice() {
			t.Errorf("%v is taken for a file system that cannot splice", errno)
		}
	}
}
