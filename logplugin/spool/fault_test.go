package spool

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/polltest"
)

// smallDisk mounts a file system of so many bytes.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	err := os.WriteFile(path, make([]byte, 16<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever is wrong with the disk, the FIFO is drained; when it works again the spool goes back to it, and all
// lines are there in order.
func TestDiskFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string) (repair func())
	}{
		{"full", fillDisk},
		{"read-only", func(t *testing.T, dir string) func() {
			// A file that is open for writing keeps a file system from becoming read-only: this one is over it.
			if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, "size=1m"); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStore(t, Config{Dir: smallDisk(t, "size=2m"), Total: 1 << 30, Retry: 20 * time.Millisecond})
			s := open(st, st.cfg.Dir+"/one", Options{segmentBytes: minSegmentBytes})
			defer shut(t, s)
			p := newFIFO(t)
			_ = startDrain(t, s, p)
			p.write(t, appendLines(nil, 0, 1000))
			r := newReader(t, s)
			r.until(100)

			repair := c.spoil(t, st.cfg.Dir)
			p.write(t, appendLines(nil, 1000, 3000))
			await(t, s, "into memory", func(g Stats) bool { return g.Mode == Memory && g.RAMBytes > 0 && g.Err != nil })
			p.write(t, appendLines(nil, 3000, 3010)) // is drained
			all := int64(len(appendLines(nil, 0, 3010)))
			await(t, s, "all bytes", func(g Stats) bool { return g.End == all })

			repair()
			await(t, s, "back to disk", func(g Stats) bool { return g.Mode == Splice && g.RAMBytes == 0 && g.Err == nil })
			p.write(t, appendLines(nil, 3010, 4000))
			r.until(4000)
			if got := s.Stats(); got.DroppedLines != 0 || len(r.gaps) != 0 || r.garbage != 0 {
				t.Errorf("lost something: %+v, gaps %v", got, r.gaps)
			}
		})
	}
}

// The disk is full for so long that memory is, too: the oldest goes, exactly counted, and memory stays within its limit.
func TestFullForLong(t *testing.T) {
	for _, c := range []struct {
		name  string
		store int64 // the limit of all spools
		one   int64
	}{{"limit of the spool", 0, 128 << 10}, {"limit of all", 128 << 10, 0}} {
		t.Run(c.name, func(t *testing.T) {
			st := newStore(t, Config{Dir: smallDisk(t, "size=1m"), Total: 1 << 30, Memory: c.store, Retry: 20 * time.Millisecond})
			s := open(st, st.cfg.Dir+"/one", Options{segmentBytes: minSegmentBytes, memoryBytes: c.one})
			defer shut(t, s)
			p := newFIFO(t)
			_ = startDrain(t, s, p)
			p.write(t, appendLines(nil, 0, 1000))
			r := newReader(t, s)
			r.until(10)
			repair := fillDisk(t, st.cfg.Dir)
			const lines = 20_000
			end := int64(len(appendLines(nil, 0, 1000)))
			for n := 1000; n < lines; n += 500 {
				b := appendLines(nil, n, n+500)
				p.write(t, b)
				end += int64(len(b))
				if got := s.Stats().RAMBytes; got > 128<<10+3*chunkBytes {
					t.Fatalf("%d bytes in memory", got)
				}
			}
			if got := s.Stats(); got.DroppedLines < 1000 || got.Mode != Memory && got.DiskBytes == 0 {
				t.Errorf("%+v", got)
			}
			repair()
			await(t, s, "back to disk", func(g Stats) bool { return g.Mode == Splice && g.End == end })
			s.Finish()
			r.until(-1)
			if r.next != lines || r.garbage != 0 || len(r.gaps) == 0 {
				t.Errorf("read and counted %d lines, want %d; gaps %+v, garbage %d", r.next, lines, r.gaps, r.garbage)
			}
			var want Gap
			for _, g := range r.gaps {
				want.Lines += g.Lines
				want.To += g.To - g.From
			}
			if got := s.Stats(); got.DroppedLines != want.Lines || got.DroppedBytes != want.To {
				t.Errorf("%+v, but the gaps have %d lines, %d bytes", got, want.Lines, want.To)
			}
		})
	}
}

// What is only in memory is written out by Close if possible, and named if not.
func TestCloseWritesMemory(t *testing.T) {
	st := newStore(t, Config{Dir: smallDisk(t, "size=1m"), Total: 1 << 30, Retry: time.Hour})
	p := newFIFO(t)
	s := open(st, st.cfg.Dir+"/one", Options{segmentBytes: minSegmentBytes})
	repair := fillDisk(t, st.cfg.Dir)
	_ = startDrain(t, s, p)
	b := appendLines(nil, 0, 1000)
	p.write(t, b)
	await(t, s, "all bytes", func(g Stats) bool { return g.End == int64(len(b)) && g.Mode == Memory })
	repair()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(st, st.cfg.Dir+"/one", Options{segmentBytes: minSegmentBytes})
	r := newReader(t, s)
	r.until(1000)

	repair = fillDisk(t, st.cfg.Dir)
	defer repair()
	_ = startDrain(t, s, p)
	p.write(t, b)
	await(t, s, "all bytes", func(g Stats) bool { return g.End == 2*int64(len(b)) && g.Mode == Memory })
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "bytes of log were only in memory") {
		t.Errorf("Close = %v", err)
	}
	if got := st.Stats(); got.RAMBytes != 0 || got.DiskBytes != 0 {
		t.Errorf("still counted: %+v", got)
	}
	s = open(st, st.cfg.Dir+"/one", Options{segmentBytes: minSegmentBytes})
	defer shut(t, s)
	s.Finish()
	r = newReader(t, s)
	r.until(-1)
	if want := (Gap{From: int64(len(b)), To: 2 * int64(len(b)), Lines: 1000}); len(r.gaps) != 1 || r.gaps[0] != want {
		t.Errorf("after a restart gaps %+v, want %+v", r.gaps, want)
	}
}

// A quiet container whose spool tries again and again to return to the disk fills its memory before anything is dropped.
func TestQuietInMemory(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, st *Store)
	}{
		{"low space", func(_ *testing.T, st *Store) {
			st.space.cfg.MinFree = 1 << 60
			st.space.at.Store(int64(never))
		}},
		{"full", func(t *testing.T, st *Store) { fillDisk(t, st.cfg.Dir) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStore(t, Config{Dir: smallDisk(t, "size=1m"), Total: 1 << 30, Retry: time.Millisecond})
			s := open(st, st.cfg.Dir+"/one", Options{memoryBytes: 4 * chunkBytes})
			c.spoil(t, st)
			p := newFIFO(t)
			_ = startDrain(t, s, p)
			end := int64(0)
			write := func(lines []byte) {
				t.Helper()
				p.write(t, lines)
				end += int64(len(lines))
				await(t, s, "all bytes", func(g Stats) bool { return g.End == end && g.Mode == Memory })
			}
			for n := range 20 {
				write(appendLines(nil, n, n+1))
				tried := s.Stats().Failures
				await(t, s, "another try to return to the disk", func(g Stats) bool { return g.Failures > tried+1 })
			}
			if got := s.Stats(); got.RAMBytes != smallChunk || got.DroppedLines != 0 {
				t.Errorf("%d bytes use %d, %d lines dropped", end, got.RAMBytes, got.DroppedLines)
			}
			n := 20
			for ; end < 4*chunkBytes-4000; n += 20 {
				write(appendLines(nil, n, n+20))
			}
			if got := s.Stats(); got.DroppedLines != 0 {
				t.Errorf("%d lines dropped with %d bytes of %d", got.DroppedLines, end, 4*chunkBytes)
			}
			write(appendLines(nil, n, n+200))
			await(t, s, "its limit", func(g Stats) bool { return g.DroppedLines > 0 && g.RAMBytes <= 4*chunkBytes })
			s.Finish()
			r := newReader(t, s)
			for r.next < n+200 { // where there is no disk there may be no cursor
				if _, err := r.step(1000); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
			if r.garbage != 0 || len(r.gaps) != 1 {
				t.Errorf("gaps %+v, garbage %d", r.gaps, r.garbage)
			}
			_ = s.Close()
		})
	}
}

// A drain that hangs in the file system keeps neither Close nor Remove, and releases the spool when it ends.
func TestHangs(t *testing.T) {
	for name, end := range map[string]func(*Spool) error{"Close": (*Spool).Close, "Remove": (*Spool).Remove} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t, Config{Dir: t.TempDir()})
			st.closeWait = 10 * time.Millisecond
			s := open(st, st.cfg.Dir+"/one", Options{})
			put(t, s, appendLines(nil, 0, 10))
			s.segs.out.Lock()
			s.segs.setCurrent(nil)
			s.segs.out.Unlock()
			st.space.cfg.MinFree = 1 << 60
			st.space.at.Store(int64(never))
			st.room.Lock() // where it will hang, once it has asked for free space
			p := newFIFO(t)
			ended := startDrain(t, s, p)
			polltest.Until(t, 10*time.Second, "it asks for free space", func() bool { return st.space.at.Load() != int64(never) })
			// It may hold any of these.
			s.drops.Lock()
			s.segs.out.Lock()
			s.ledger.marks.Lock()
			err := end(s)
			if err == nil || !strings.Contains(err.Error(), "has not answered") {
				t.Errorf("= %v", err)
			}
			if n := st.Stats().Spools; n != 0 {
				t.Errorf("%d spools", n)
			}
			s.ledger.marks.Unlock()
			s.segs.out.Unlock()
			s.drops.Unlock()
			st.room.Unlock()
			if err := ended(); !errors.Is(err, context.Canceled) {
				t.Errorf("Drain = %v", err)
			}
			if got := st.Stats(); got.DiskBytes != 0 || got.RAMBytes != 0 {
				t.Errorf("still counted: %+v", got)
			}
			if err := s.Remove(); err != nil || len(files(t, st.cfg.Dir)) != 0 {
				t.Errorf("Remove: %v, leaves %v", err, files(t, st.cfg.Dir))
			}
		})
	}
}

// The directory does not exist and cannot be made, and then it can; later somebody removes it.
func TestMissingDirectory(t *testing.T) {
	top := t.TempDir()
	blocked := filepath.Join(top, "state")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	st := newStore(t, Config{Dir: blocked, Retry: 20 * time.Millisecond})
	s := open(st, filepath.Join(blocked, "one"), Options{})
	defer shut(t, s)
	if s.Stats().Err == nil {
		t.Error("nothing is wrong")
	}
	p := newFIFO(t)
	_ = startDrain(t, s, p)
	p.write(t, appendLines(nil, 0, 10))
	r := newReader(t, s)
	for r.next < 5 { // without a place for the cursor
		if err := waitFor(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		_, _ = r.step(5)
	}
	if err := s.Commit(s.Taken()); err == nil {
		t.Error("a cursor was written to nowhere")
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	await(t, s, "to disk", func(g Stats) bool { return g.Mode == Splice && g.RAMBytes == 0 })
	p.write(t, appendLines(nil, 10, 20))
	r.until(20)

	if err := os.RemoveAll(blocked); err != nil {
		t.Fatal(err)
	}
	b := appendLines(nil, 20, 120_000) // more than a segment
	go func() { _, _ = p.w.Write(b) }()
	r.until(120_000)
	if len(r.gaps) != 0 || r.garbage != 0 {
		t.Errorf("gaps %v, garbage %d", r.gaps, r.garbage)
	}
	if m, ok, err := readMark(System{}, filepath.Join(blocked, "one", cursorName)); !ok || m.cursor != s.Stats().Committed {
		t.Errorf("the cursor is not in the new directory: %+v, %v", m, err)
	}
}

// With less free space than there has to be the oldest goes, and what comes waits in memory.
func TestMinFree(t *testing.T) {
	dir := smallDisk(t, "size=4m")
	st := newStore(t, Config{Dir: dir, Total: 1 << 30, MinFree: 1 << 20, Retry: 20 * time.Millisecond})
	s := open(st, dir+"/one", Options{segmentBytes: minSegmentBytes})
	defer shut(t, s)
	p := newFIFO(t)
	_ = startDrain(t, s, p)
	const lines = 15_000 // 2 MB
	b := appendLines(nil, 0, lines)
	p.write(t, b)
	await(t, s, "all bytes", func(g Stats) bool { return g.End == int64(len(b)) })
	if n := s.Stats().DroppedLines; n != 0 {
		t.Fatalf("%d lines dropped while there was space", n)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	st.space.at.Store(int64(never)) // as if it had been asked long ago
	p.write(t, appendLines(nil, lines, lines+10))
	await(t, s, "room for others", func(g Stats) bool {
		var fs unix.Statfs_t
		return unix.Statfs(dir, &fs) == nil && int64(fs.Bavail)*fs.Bsize >= 1<<20 && g.DroppedLines > 0
	})
	// Others take more than there is to give.
	if err := os.WriteFile(filler, make([]byte, 3500<<10), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	st.space.at.Store(int64(never)) // as if it had been asked long ago
	p.write(t, appendLines(nil, lines+10, lines+20))
	await(t, s, "into memory", func(g Stats) bool { return g.Mode == Memory && errors.Is(g.Err, errLowSpace) })
	if !st.Stats().LowSpace {
		t.Error("the store does not say so")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	await(t, s, "back to disk", func(g Stats) bool { return g.Mode == Splice })
	s.Finish()
	r := newReader(t, s)
	r.until(-1)
	if r.next != lines+20 || r.garbage != 0 {
		t.Errorf("read and counted %d, want %d; gaps %+v", r.next, lines+20, r.gaps)
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	if err := probe(System{}, dir); err != nil {
		t.Errorf("probe(%s) = %v", dir, err)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("probe leaves %v", left)
	}
	if err := probe(System{}, filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing directory can be spliced into")
	}
	st := NewStore(Config{Dir: smallDisk(t, "size=1m"), Total: 1 << 30})
	if got := st.Stats().MaxBytes; got != (1<<20)/10 {
		t.Errorf("limit of a file system of 1 MiB: %d, want a tenth", got)
	}
}

// overtaken is an error about which somebody asks while the spool makes its own words of it.
type overtaken struct{ asked func() }

func (e overtaken) Error() string { e.asked(); return "refused" }

// onceFS refuses the next file that is made, with err.
type onceFS struct {
	System
	err error
}

func (f *onceFS) Open(path string, flag int) (File, error) {
	if err := f.err; err != nil && flag&os.O_CREATE != 0 {
		f.err = nil
		return nil, err
	}
	return f.System.Open(path, flag)
}

// A write of the cursor that fails is followed at once by one of another goroutine that does not: the spool does not go on
// to say that it fails, for nothing would ever take that back.
func TestLateErrorOfCursor(t *testing.T) {
	fsys := &onceFS{}
	s := open(newFaultyStore(t, Config{Dir: t.TempDir(), Retry: time.Hour}, fsys, systemClock{time.Now()}), t.TempDir(), Options{})
	defer shut(t, s)
	other := func() error {
		if !s.ledger.marks.TryLock() { // the first write has not ended: the other waits for it
			return nil
		}
		s.ledger.marks.Unlock()
		return s.persist()
	}
	fsys.err = overtaken{func() {
		if err := other(); err != nil {
			t.Error(err)
		}
	}}
	if err := s.persist(); err == nil {
		t.Fatal("no error from a file system that refuses")
	}
	if err := s.Stats().Err; (err != nil) != s.ledger.dirty {
		t.Errorf("says %v; cursor to be written again: %v", err, s.ledger.dirty)
	}
}
