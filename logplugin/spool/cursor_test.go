package spool

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestCursorFile(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	c := cursorFile{path: filepath.Join(t.TempDir(), "cursor")}
	if _, ok, err := readMark(System{}, c.path); ok || err != nil {
		t.Fatalf("a missing file: %v, %v", ok, err)
	}
	marks := []mark{
		{cursor: 0},
		{cursor: 1 << 40, end: 1 << 41, lines: 3, bytes: 400, gaps: []Gap{{1 << 40, 1<<40 + 5, 1}, {1<<40 + 5, 1 << 41, 2}}},
		{cursor: 7, end: 9, gaps: make([]Gap, maxGaps)},
	}
	for i := range marks[2].gaps {
		marks[2].gaps[i] = Gap{int64(i + 1), int64(i + 2), int64(i + 3)}
	}
	for i := range marks {
		if err := c.write(st, &marks[i]); err != nil {
			t.Fatal(err)
		}
		got, ok, err := readMark(System{}, c.path)
		if !ok || err != nil || !reflect.DeepEqual(got, marks[i]) {
			t.Fatalf("wrote %+v, read %+v, %v, %v", marks[i], got, ok, err)
		}
	}
	c.close(st)
	whole, err := os.ReadFile(c.path)
	if err != nil || len(whole) != 2*slotBytes {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	// The last write, into slot 1, is torn: at every byte, by every length.
	last, before := marks[2], marks[1]
	old := append([]byte(nil), whole...)
	clear(old[slotBytes:])
	(&mark{seq: 1}).append(old[slotBytes:slotBytes])
	n := len(last.append(nil))
	for i := range n {
		torn := append([]byte(nil), whole...)
		copy(torn[slotBytes+i:], old[slotBytes+i:])
		if err := os.WriteFile(c.path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		got, ok, err := readMark(System{}, c.path)
		if !ok || err != nil || !reflect.DeepEqual(got, before) && !reflect.DeepEqual(got, last) {
			t.Fatalf("torn at %d: %+v, %v, %v", i, got, ok, err)
		}
		if i == n/2 && !reflect.DeepEqual(got, before) {
			t.Fatalf("half of the last write: %+v, want the one before", got)
		}
	}
	// Both are spoiled.
	whole[0]++
	whole[slotBytes+20]++
	if err := os.WriteFile(c.path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := readMark(System{}, c.path); ok || err == nil {
		t.Errorf("reads a spoiled file: %v, %v", ok, err)
	}
}

// Without its cursor a spool is read from its first segment: rather twice than not at all.
func TestLostCursor(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"removed": os.Remove,
		"empty":   func(p string) error { return os.Truncate(p, 0) },
		"garbage": func(p string) error { return os.WriteFile(p, make([]byte, 5000), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t, Config{Dir: t.TempDir()})
			dir := st.cfg.Dir + "/one"
			s := open(st, dir, Options{segmentBytes: 4000})
			put(t, s, appendLines(nil, 0, 100))
			newReader(t, s).until(50)
			first := s.Stats().Committed
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := spoil(filepath.Join(dir, cursorName)); err != nil {
				t.Fatal(err)
			}
			s = open(st, dir, Options{segmentBytes: 4000})
			defer shut(t, s)
			if at := s.Stats().Committed; at == 0 || at > first || at < first-4000 {
				t.Errorf("starts at %d, had committed %d", at, first)
			}
			s.Finish()
			r := newReader(t, s)
			r.any = true
			r.until(-1)
			if r.next != 100 || len(r.gaps) != 0 {
				t.Errorf("read up to %d, gaps %v", r.next, r.gaps)
			}
		})
	}
}

// A segment stays until the cursor behind it is on disk: without either, a restart would find a loss.
func TestCursorCannotBeWritten(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	dir := st.cfg.Dir + "/one"
	s := open(st, dir, Options{segmentBytes: 4000})
	put(t, s, appendLines(nil, 0, 100))
	if err := os.Mkdir(filepath.Join(dir, cursorName), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newReader(t, s)
	for r.next < 90 {
		_, _ = r.step(90 - r.next)
	}
	if err := s.Commit(s.Taken()); err == nil {
		t.Fatal("committed to a directory")
	}
	if got := s.Stats(); got.Err == nil || got.Committed != s.Taken() || got.DiskBytes != got.End {
		t.Errorf("%+v, want all segments and the error", got)
	}
	if err := os.Remove(filepath.Join(dir, cursorName)); err != nil {
		t.Fatal(err)
	}
	r.commit() // the same position again
	if got := s.Stats(); got.Err != nil || got.DiskBytes > 8000 {
		t.Errorf("%+v, want only the last segments and no error", got)
	}
	if err := s.Commit(s.Taken() + 1); err == nil {
		t.Error("committed what was not taken")
	}
	shut(t, s)
}

func FuzzReadSlot(f *testing.F) {
	f.Add((&mark{seq: 1, cursor: 5, end: 9, gaps: []Gap{{5, 9, 1}}}).append(nil))
	f.Add(make([]byte, slotBytes))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, ok := readSlot(p)
		if !ok {
			return
		}
		again, ok := readSlot(m.append(nil))
		if !ok || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v becomes %+v, %v", m, again, ok)
		}
	})
}

// A process that is killed between the making of a cursor file and its first slot leaves zeros: nothing was delivered, and nothing is wrong.
func TestCursorFileOfZeros(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cursor")
	for content, wrong := range map[string]bool{"": false, string(make([]byte, 2*slotBytes)): false, string(make([]byte, 100)): false, "x" + string(make([]byte, 2*slotBytes-1)): true} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := readMark(System{}, file); ok || errors.Is(err, errNoSlot) != wrong {
			t.Errorf("a file of %d bytes: %v, %v; want an error: %v", len(content), ok, err, wrong)
		}
	}
}
