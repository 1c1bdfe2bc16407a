package spool

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// ended returns a spool that has ended with lines a up to b.
func ended(t *testing.T, st *Store, dir string, a, b int, o Options) *Spool {
	t.Helper()
	s := open(st, dir, o)
	if a < b {
		put(t, s, appendLines(nil, a, b))
	}
	s.Finish()
	return s
}

// What is appended is read behind what was there, from one file as long as that is small, also by a delivery that has begun, and by the next
// process.
func TestAppend(t *testing.T) {
	for _, read := range []int{0, 20} {
		dir := tmpfs(t)
		st := newStore(t, Config{Dir: dir})
		one := ended(t, st, filepath.Join(dir, "one"), 0, 50, Options{segmentBytes: 16 << 10})
		r := newReader(t, one)
		r.buf = r.buf[:1000] // it has not been told where the end is
		r.until(read)
		for i := range 30 {
			next := ended(t, st, filepath.Join(dir, "next"), 50+10*i, 60+10*i, Options{})
			size := next.Stats().End
			before := one.Stats().End
			if !one.Append(next) || one.Stats().End != before+size || next.Stats().DiskBytes != 0 {
				t.Fatalf("after %d: %+v, and %+v is left", i, one.Stats(), next.Stats())
			}
			if err := next.Remove(); err != nil {
				t.Fatal(err)
			}
		}
		if st := st.Stats(); st.DiskBytes != one.Stats().DiskBytes {
			t.Errorf("all spools have %d bytes, want the %d of one", st.DiskBytes, one.Stats().DiskBytes)
		}
		if names, most := files(t, filepath.Join(dir, "one")), 5; len(names) > most {
			t.Errorf("files %v, want at most %d", names, most)
		}
		if read == 0 {
			shut(t, one)
			one = open(newStore(t, Config{Dir: dir}), filepath.Join(dir, "one"), Options{})
			one.Finish()
			r = newReader(t, one)
		}
		if r.until(-1); r.next != 350 || len(r.gaps) > 0 || r.garbage > 0 {
			t.Errorf("read up to %d, gaps %v, garbage %d; want 350 lines", r.next, r.gaps, r.garbage)
		}
		shut(t, one)
	}
}

func TestAppendRefuses(t *testing.T) {
	fault := &faultyFS{}
	for _, tt := range []struct {
		name  string
		older Options
		do    func(older, newer *Spool)
		lines int // of newer
	}{
		{"the older was read to its end", Options{}, func(older, _ *Spool) { newReader(t, older).until(-1) }, 10},
		{"the newer is read", Options{}, func(_, newer *Spool) { _, _, _ = newer.Peek(make([]byte, 100)) }, 10},
		{"the newer is empty", Options{}, nil, 0},
		{"no room", Options{MaxBytes: 6000}, nil, 10},
		{"the older is closed", Options{}, func(older, _ *Spool) { shut(t, older) }, 10},
		{"the file cannot be moved", Options{}, func(*Spool, *Spool) {
			fault.fail = func(_ int, op string) error {
				if op == "rename" {
					return unix.EIO
				}
				return nil
			}
		}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tmpfs(t)
			fault.fail = nil
			st := newFaultyStore(t, Config{Dir: dir}, fault, systemClock{})
			older := ended(t, st, filepath.Join(dir, "older"), 0, 50, tt.older)
			newer := ended(t, st, filepath.Join(dir, "newer"), 50, 50+tt.lines, Options{})
			if tt.do != nil {
				tt.do(older, newer)
			}
			if older.Append(newer) {
				t.Error("it was appended")
			}
			fault.fail = nil
			r := newReader(t, newer)
			r.next = 50
			if r.until(-1); r.next != 50+tt.lines {
				t.Errorf("the newer ends at %d, want %d", r.next, 50+tt.lines)
			}
		})
	}
	dir := tmpfs(t)
	st := newStore(t, Config{Dir: dir})
	older := ended(t, st, filepath.Join(dir, "older"), 0, 50, Options{})
	newer := open(st, filepath.Join(dir, "newer"), Options{})
	put(t, newer, appendLines(nil, 50, 60))
	if older.Append(newer) || newer.Append(older) {
		t.Error("a spool that goes on was appended, or appended to")
	}
	r := newReader(t, newer)
	r.next = 50
	r.until(60)
	newer.Finish()
	if newer.Append(ended(t, st, filepath.Join(dir, "newest"), 60, 70, Options{})) {
		t.Error("a spool of which all was accepted was appended to")
	}
}

// A process is killed at any call into the file system, or one call fails: each line is there once, and in order.
func TestAppendKilled(t *testing.T) {
	for _, killed := range []bool{true, false} {
		for at := 0; ; at++ {
			dir := tmpfs(t)
			fault := &faultyFS{}
			st := newFaultyStore(t, Config{Dir: dir}, fault, systemClock{})
			one := ended(t, st, filepath.Join(dir, "one"), 0, 50, Options{})
			two := ended(t, st, filepath.Join(dir, "two"), 50, 60, Options{})
			first, failed := fault.total, false
			fault.fail = func(n int, _ string) error {
				if n == first+at || killed && n > first+at {
					failed = true
					return unix.EIO
				}
				return nil
			}
			appended := one.Append(two)
			fault.fail = nil
			if killed {
				st = newStore(t, Config{Dir: dir})
				one, two = open(st, filepath.Join(dir, "one"), Options{}), open(st, filepath.Join(dir, "two"), Options{})
				one.Finish()
				two.Finish()
			}
			r := newReader(t, one)
			r.until(-1)
			if !appended || killed {
				rest := newReader(t, two)
				rest.next, rest.gaps, rest.garbage = r.next, r.gaps, r.garbage
				rest.until(-1)
				r = rest
			}
			if r.next != 60 || len(r.gaps) > 0 || r.garbage > 0 {
				t.Errorf("call %d, killed %v: read up to %d, gaps %v, garbage %d; want 60 lines; files %v", at, killed, r.next, r.gaps, r.garbage, files(t, filepath.Join(dir, "one")))
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if !failed {
				if !appended || at < 4 {
					t.Errorf("without a fault after %d calls it was appended: %v", at, appended)
				}
				break
			}
		}
	}
}
