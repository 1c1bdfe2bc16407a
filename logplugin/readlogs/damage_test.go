package readlogs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A line stands where bytes of a spool are not frames; it does not count as one of the tail.
func TestDamagedSpool(t *testing.T) {
	w := newWorld(t)
	s := w.begin()
	s.write(lines(0, 1)...)
	from := s.written
	s.write(lines(1, 2)...)
	to := s.written
	s.write(lines(3, 2)...)
	s.end()
	segments, err := filepath.Glob(filepath.Join(w.dir, "spool", "*", "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %q, %v", segments, err)
	}
	f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, to-from), from); err != nil {
		t.Fatal(err)
	}
	lost := []string{fmt.Sprintf("secretref: %d bytes of lines are missing here: a part of the spool was lost", to-from)}
	sameText(t, "all", w.logs(Query{Tail: -1}), joined(lines(0, 1), lost, lines(3, 2)))
	sameText(t, "tail 2", w.logs(Query{Tail: 2}), joined(lines(3, 2)))
	sameText(t, "tail 3", w.logs(Query{Tail: 3}), joined(lines(0, 1), lost, lines(3, 2)))
}
