package fifo

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is a FIFO whose writing end is open for reading, too, as the daemon opens it.
type pair struct {
	path string
	w, r *os.File
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{path: filepath.Join(t.TempDir(), "fifo")}
	if err := unix.Mkfifo(p.path, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.w, err = os.OpenFile(p.path, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	if p.r, err = Open(p.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.w.Close(), p.r.Close() })
	return p
}

func (p *pair) write(t *testing.T, b []byte) {
	t.Helper()
	if _, err := p.w.Write(b); err != nil {
		t.Fatal(err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if f, err := Open(filepath.Join(dir, "missing")); !os.IsNotExist(err) || !IsGone(err) {
		t.Errorf("a missing file: %v, %v", f, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, dir} {
		if f, err := Open(path); err == nil || !errors.Is(err, ErrNotFIFO) || !IsGone(err) {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}
	p := newPair(t)
	if n, err := p.r.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("reading an empty pipe: %d, %v, want an error at once", n, err)
	}
	// The runtime's poller does not know it: that would take a deadline.
	if err := p.r.SetReadDeadline(time.Now()); err == nil {
		t.Error("the runtime's poller knows the pipe")
	}
}

// Without files a FIFO cannot be opened, and is not gone.
func TestOpenWithoutFiles(t *testing.T) {
	p := newPair(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 0, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err := Open(p.path)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, unix.EMFILE) || IsGone(err) {
		t.Errorf("Open = %v, gone %v, want EMFILE, which passes", err, IsGone(err))
	}
	if f, err := Open(p.path); err != nil || f.Close() != nil {
		t.Errorf("with files again: %v", err)
	}
}

func TestIsEmptyAndRemove(t *testing.T) {
	p := newPair(t)
	if !IsEmpty(p.r) {
		t.Error("a new FIFO is not empty")
	}
	p.write(t, []byte("x"))
	if IsEmpty(p.r) {
		t.Error("a FIFO with a byte is empty")
	}
	closed, err := Open(p.path)
	if err != nil || closed.Close() != nil {
		t.Fatal(err)
	}
	if IsEmpty(closed) {
		t.Error("a closed file is said to be empty")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(p.path, link); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{file, link, "relative"} {
		if err := Remove(other); err == nil && other != "relative" {
			t.Errorf("Remove(%s), which is not a FIFO, has no error", other)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("what is not a FIFO was removed: %v", err)
	}
	for range 2 { // the second time there is none
		if err := Remove(p.path); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(p.path); !os.IsNotExist(err) {
		t.Errorf("the FIFO is still there: %v", err)
	}
}
