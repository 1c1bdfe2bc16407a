package session

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// What lies on the disk of a container's log, with all that is beside it, is at most 1.1 times the log file of json-file: while nothing
// is delivered, and of what is kept after delivery.
func TestBytesOnDisk(t *testing.T) {
	t.Parallel()
	const lines = 20_000
	line := strings.Repeat("x", 100)
	record, err := json.Marshal(struct {
		Log    string    `json:"log"`
		Stream string    `json:"stream"`
		Time   time.Time `json:"time"`
	}{line + "\n", "stdout", time.Date(2026, 11, 28, 12, 0, 0, 123456789, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	most := int64(lines*(len(record)+1)) * 11 / 10
	var frames []byte
	for range lines {
		frames = frame.AppendFrame(frames, &frame.Entry{Source: []byte("stdout"), TimeNano: time.Now().UnixNano(), Line: []byte(line)})
	}

	dir, m := inMemory(t), &memory{block: make(chan struct{})}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	in := info()
	if err := s.Start(t.Context(), file, in); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(frames); err != nil {
		t.Fatal(err)
	}
	await(t, "all lines in the spool", func() bool { return s.Status()[0].WaitingBytes == int64(len(frames)) })
	check := func(when string) {
		t.Helper()
		if n := bytesBelow(t, filepath.Join(dir, "state")); n < int64(lines*len(line)) || n > most {
			t.Errorf("%s %d bytes are on the disk, want between %d and %d", when, n, lines*len(line), most)
		}
	}
	check("before delivery")
	close(m.block)
	s.Stop(file)
	f.Close()
	gone(t, s, file)
	check("after delivery")
	if n := strings.Count(logs(t, s, in), line+" "); n != lines {
		t.Errorf("docker logs shows %d lines, want %d", n, lines)
	}
}

// bytesBelow adds up the sizes of all files below dir.
func bytesBelow(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		fi, err := e.Info()
		if err == nil {
			sum += fi.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
