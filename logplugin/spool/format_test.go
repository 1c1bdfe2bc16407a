package spool

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What commit e1f03c3 has left loads with all its lines: 400 of which 100 were accepted, and then 90 dropped.
func TestLoadsE1f03c3(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/e1f03c3")); err != nil {
		t.Fatal(err)
	}
	st := newStore(t, Config{Dir: dir})
	s := open(st, filepath.Join(dir, "one"), Options{segmentBytes: 8000})
	before := s.Stats()
	if before.Err != nil || !before.Loaded || before.Committed != 12557 || before.End != 50969 || before.DroppedLines != 90 || before.DroppedBytes != 11453 {
		t.Errorf("loaded %+v", before)
	}
	put(t, s, appendLines(nil, 400, 410))
	s.Finish()
	r := newReader(t, s)
	r.next = 100
	r.until(-1)
	if want := []Gap{{From: 12557, To: 24010, Lines: 90}}; r.next != 410 || !slices.Equal(r.gaps, want) || r.garbage != 0 {
		t.Errorf("read up to %d, gaps %+v, garbage %d; want 410 and %+v", r.next, r.gaps, r.garbage, want)
	}
	shut(t, s)
}

// The format on disk stays as it is: an older version has to read what a newer one leaves.
func TestFormat(t *testing.T) {
	m := mark{seq: 7, cursor: 12557, end: 50969, lines: 90, bytes: 11453, gaps: []Gap{{From: 12557, To: 24010, Lines: 90}}}
	const want = "535350310100000007000000000000000d3100000000000019c70000000000005a00000000000000bd2c0000000000000d31000000000000ca5d0000000000005a000000000000005cd1ecff"
	if got := hex.EncodeToString(m.append(nil)); got != want {
		t.Errorf("slot %s, want %s", got, want)
	}
	st := newStore(t, Config{Dir: t.TempDir()})
	s := open(st, st.cfg.Dir+"/one", Options{segmentBytes: 4000})
	put(t, s, appendLines(nil, 0, 60))
	newReader(t, s).until(1)
	shut(t, s)
	if got, want := files(t, st.cfg.Dir+"/one"), []string{"0000000000000000.seg", "0000000000000fa0.seg", "cursor"}; !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	b, err := os.ReadFile(st.cfg.Dir + "/one/0000000000000000.seg")
	if err != nil || !slices.Equal(b, appendLines(nil, 0, 60)[:4000]) {
		t.Errorf("a segment is not the bytes of the FIFO: %v", err)
	}
	if b, err := os.ReadFile(st.cfg.Dir + "/one/cursor"); err != nil || len(b) != 2*slotBytes {
		t.Errorf("a cursor file of %d bytes, %v", len(b), err)
	}
}
