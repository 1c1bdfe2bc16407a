package spool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/fifo"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/shared/polltest"
)

// appendLine appends a frame whose line is the number n and some filling.
func appendLine(dst []byte, n, fill int) []byte {
	line := append(strconv.AppendInt(make([]byte, 0, 20+fill), int64(n), 10), ' ')
	for range fill {
		line = append(line, 'x')
	}
	return frame.AppendFrame(dst, &frame.Entry{Source: []byte("stdout"), TimeNano: 1_790_000_000_123_456_789, Line: line})
}

// appendLines appends the lines from a up to b, with fillings of different length.
func appendLines(dst []byte, a, b int) []byte {
	for n := a; n < b; n++ {
		dst = appendLine(dst, n, 60+n*7%80)
	}
	return dst
}

// tmpfs returns a directory in memory, which is another file system than that of t.TempDir.
func tmpfs(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "spool-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	return newFaultyStore(t, cfg, System{}, systemClock{time.Now()})
}

func newFaultyStore(t testing.TB, cfg Config, fsys FileSystem, clk clock) *Store {
	t.Helper()
	cfg.Total = cmp.Or(cfg.Total, 2<<30)
	cfg.Memory = cmp.Or(cfg.Memory, 64<<20)
	cfg.Retry = cmp.Or(cfg.Retry, time.Second)
	st := newStoreOn(cfg, fsys, clk)
	st.space.part = 1 // the file systems of tests are small
	st.space.total.Store(cfg.Total)
	return st
}

// news has a channel for each spool that was opened by open, with one element after something has changed.
var news sync.Map

func open(st *Store, dir string, o Options) *Spool {
	c := make(chan struct{}, 1)
	notify := o.Notify
	o.MaxBytes = cmp.Or(o.MaxBytes, 256<<20)
	o.Notify = func() {
		select {
		case c <- struct{}{}:
		default:
		}
		if notify != nil {
			notify()
		}
	}
	s := st.Open(dir, o)
	news.Store(s, c)
	return s
}

// waitFor returns when something may have changed, or with the error of ctx.
func waitFor(ctx context.Context, s *Spool) error {
	c, _ := news.Load(s)
	select {
	case <-c.(chan struct{}):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fifo is a FIFO whose writing end is open for reading, too, as the daemon opens it.
type pair struct {
	path string
	w, r *os.File
}

func newFIFO(t testing.TB) *pair {
	t.Helper()
	p := &pair{path: filepath.Join(t.TempDir(), "fifo")}
	if err := unix.Mkfifo(p.path, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.w, err = os.OpenFile(p.path, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	p.r = openReader(t, p.path)
	t.Cleanup(func() { p.w.Close(); p.r.Close() })
	return p
}

func openReader(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := fifo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (p *pair) write(t testing.TB, b []byte) {
	t.Helper()
	if _, err := p.w.Write(b); err != nil {
		t.Fatal(err)
	}
}

// startDrain runs Drain until the test ends or the returned function is called, which returns its error.
func startDrain(t testing.TB, s *Spool, p *pair) (wait func() error) {
	t.Helper()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.Drain(ctx, p.r) }()
	var err error
	ended := false
	wait = func() error {
		if !ended {
			select {
			case err = <-done:
			case <-time.After(20 * time.Second):
				t.Fatal("Drain does not end")
			}
			ended = true
		}
		return err
	}
	t.Cleanup(func() { cancel(); _ = wait() })
	return wait
}

// reader decodes what a spool gives, and checks that numbered lines come in order, with nothing missing but in gaps.
type reader struct {
	t       testing.TB
	s       *Spool
	buf     []byte
	next    int   // the number that is due
	gaps    []Gap // that have been passed
	garbage int
	inText  bool // garbage has begun, its end is to be found
	any     bool // take any number next
	moved   bool // the last step has taken something
	lax     bool // a commit may fail: it is written later
}

func newReader(t testing.TB, s *Spool) *reader {
	return &reader{t: t, s: s, buf: make([]byte, 100<<10)}
}

// step takes at most so many lines of what there is, and tells how many and whether all has been read.
func (r *reader) step(most int) (lines int, err error) {
	r.t.Helper()
	n, g, err := r.s.Peek(r.buf)
	r.moved = false
	if n == 0 {
		if g.To > 0 {
			r.moved = true
			r.s.SkipGap()
			r.gaps = append(r.gaps, g)
			r.next += int(g.Lines)
			r.any = r.any || g.Lines == 0
		}
		return 0, err
	}
	at, final := 0, g.To > 0 || err != nil
	for lines < most && at < n {
		if r.inText {
			skip, found := frame.Resync(r.buf[at:n])
			if !found && final {
				skip = n - at
			}
			r.any = true
			at, r.garbage, r.inText = at+skip, r.garbage+skip, !found && !final
			if !found {
				break
			}
			continue
		}
		var e frame.Entry
		size, derr := frame.Decode(r.buf[at:n], &e)
		if errors.Is(derr, frame.ErrGarbage) || errors.Is(derr, frame.ErrShort) && final {
			r.inText = true
			if errors.Is(derr, frame.ErrShort) { // never complete
				r.garbage, at, r.inText = r.garbage+n-at, n, false
			}
			continue
		}
		if derr != nil {
			break
		}
		digits, _, _ := bytes.Cut(e.Line, []byte(" "))
		number, serr := strconv.Atoi(string(digits))
		if serr != nil || number != r.next && !r.any {
			r.t.Fatalf("line %.20q at %d, want number %d; gaps %+v", e.Line, r.s.Taken()+int64(at), r.next, r.gaps)
		}
		r.any = false
		r.next = number + 1
		at += size
		lines++
	}
	if at < n {
		err = nil
	}
	r.s.Skip(at)
	r.moved = at > 0
	return lines, err
}

// until reads on until the number has come, or all has been read (number < 0), and commits.
func (r *reader) until(number int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	for number < 0 || r.next < number {
		most := 1 << 30
		if number >= 0 {
			most = number - r.next
		}
		_, err := r.step(most)
		if errors.Is(err, io.EOF) && number < 0 {
			break
		}
		if err != nil {
			r.t.Fatalf("after %d: %v", r.next, err)
		}
		if !r.moved {
			if err := waitFor(ctx, r.s); err != nil {
				r.t.Fatalf("waiting for line %d: %v; %+v", r.next, err, r.s.Stats())
			}
		}
		r.commit()
	}
	r.commit()
}

func (r *reader) commit() {
	r.t.Helper()
	if err := r.s.Commit(r.s.Taken()); err != nil && !r.lax {
		r.t.Fatal(err)
	}
}

func shut(t testing.TB, s *Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// await waits until the spool's state is as it should be.
func await(t testing.TB, s *Spool, what string, is func(Stats) bool) {
	t.Helper()
	var last Stats
	defer func() {
		if !is(last) {
			t.Logf("last: %+v", last)
		}
	}()
	polltest.Until(t, 20*time.Second, what, func() bool { last = s.Stats(); return is(last) })
}

func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
