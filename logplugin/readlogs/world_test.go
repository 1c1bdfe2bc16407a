package readlogs

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/fifo"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/history"
	"github.com/secretref/secretref/logplugin/spool"
)

const container = "c0ffee"

// world is the log of one container, with spools and a history on a disk.
type world struct {
	t       testing.TB
	dir     string
	store   *spool.Store
	history *history.Store
	limit   int64 // of the history of the container

	mu       sync.Mutex
	sessions []*session
	number   uint64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	return &world{
		t: t, dir: dir, limit: 1 << 30,
		store:   spool.NewStore(spool.Config{Dir: dir, Total: 1 << 30, Memory: 1 << 20, Retry: time.Second}),
		history: history.New(history.Config{Dir: filepath.Join(dir, "history"), Total: 1 << 40}),
	}
}

func (w *world) container() Container {
	return Container{ID: container, History: w.history, Sessions: func() (all []Session) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.sessions {
			all = append(all, s)
		}
		return all
	}}
}

// session is one FIFO, its writer and its spool.
type session struct {
	w       *world
	key     history.Key
	spool   *spool.Spool
	in      *os.File // the daemon's end
	done    chan struct{}
	ended   atomic.Bool
	written int64

	mu      sync.Mutex
	changed chan struct{}
}

// begin makes a session, as StartLogging does.
func (w *world) begin() *session {
	w.t.Helper()
	w.number++
	s := &session{w: w, key: history.Key{Number: w.number, Session: fmt.Sprintf("%012x", w.number)}, done: make(chan struct{})}
	path := filepath.Join(w.dir, s.key.Session)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		w.t.Fatal(err)
	}
	in, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := fifo.Open(path)
	if err != nil {
		w.t.Fatal(err)
	}
	s.in = in
	s.spool = w.store.Open(filepath.Join(w.dir, "spool", s.key.Session), spool.Options{MaxBytes: 64 << 20, Notify: s.wake, History: s})
	s.spool.Tidy() // as a session does
	go func() {
		defer close(s.done)
		_ = s.spool.Drain(context.Background(), out)
		_ = out.Close()
		s.ended.Store(true)
		s.spool.Finish()
	}()
	w.t.Cleanup(func() { _ = s.in.Close(); <-s.done })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions = append(w.sessions, s)
	return s
}

func (s *session) Keep(path string, base, end int64, last bool) error {
	return s.w.history.Keep(container, history.Piece{Key: s.key, Base: base, End: end}, path, last, s.w.limit)
}

func (s *session) Key() history.Key    { return s.key }
func (s *session) Spool() *spool.Spool { return s.spool }
func (s *session) Ended() bool         { return s.ended.Load() }

func (s *session) Settle(ctx context.Context) {
	for {
		changed := s.Changed()
		if s.spool.Stats().End >= atomic.LoadInt64(&s.written) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (s *session) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	if s.spool.Stats().End >= atomic.LoadInt64(&s.written) && s.ended.Load() {
		c := make(chan struct{})
		close(c)
		return c
	}
	return s.changed
}

func (s *session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// write writes lines, as the daemon does.
func (s *session) write(lines ...string) {
	s.w.t.Helper()
	var b []byte
	for i, l := range lines {
		source := "stdout"
		if i%3 == 2 {
			source = "stderr"
		}
		b = frame.AppendFrame(b, &frame.Entry{Source: []byte(source), TimeNano: timeOf(l), Line: []byte(l)})
	}
	atomic.AddInt64(&s.written, int64(len(b)))
	if _, err := s.in.Write(b); err != nil {
		s.w.t.Fatal(err)
	}
	s.Settle(s.w.t.Context())
}

// timeOf is a time that the number in the line says.
func timeOf(line string) int64 {
	var n int64
	_, _ = fmt.Sscanf(line, "%d", &n)
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano() + n*int64(time.Second)
}

// end closes the FIFO.
func (s *session) end() {
	_ = s.in.Close()
	<-s.done
	s.wake()
}

// deliver accepts everything, as a router does.
func (s *session) deliver() {
	buf := make([]byte, 1<<20)
	for {
		n, g, _ := s.spool.Peek(buf)
		s.spool.Skip(n)
		if n == 0 && g.To > 0 {
			s.spool.SkipGap()
		} else if n == 0 {
			break
		}
		if err := s.spool.Commit(s.spool.Taken()); err != nil {
			s.w.t.Fatal(err)
		}
	}
}

// remove is the end of a session of which everything is delivered.
func (s *session) remove() {
	if err := s.spool.Remove(); err != nil {
		s.w.t.Error(err)
	}
	s.w.mu.Lock()
	for i, x := range s.w.sessions {
		if x == s {
			s.w.sessions = append(s.w.sessions[:i:i], s.w.sessions[i+1:]...)
			break
		}
	}
	s.w.mu.Unlock()
	s.wake()
}

// answer is a Writer that reads frames.
type answer struct {
	t testing.TB

	mu     sync.Mutex
	text   strings.Builder
	hidden int    // frames that no client sees
	last   int64  // the time of the last frame
	pause  func() // before the first write returns; nil means none
	writes int
	wrote  chan struct{}
}

func newAnswer(t testing.TB) *answer { return &answer{t: t, wrote: make(chan struct{}, 1)} }

func (a *answer) Write(b []byte) (int, error) {
	if a.pause != nil {
		a.pause()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writes++
	for rest := b; len(rest) > 0; {
		var e frame.Entry
		n, err := frame.Decode(rest, &e)
		if len(rest) > 4 && rest[4] == 2<<3 { // a frame without a source begins with its time
			n, err = 4+int(rest[3]), nil
			at, _ := binary.Uvarint(rest[5:])
			e = frame.Entry{TimeNano: int64(at)} //nolint:gosec // it was one
			a.hidden++
		}
		if err != nil {
			a.t.Errorf("answer has %d bytes that are not a frame: %v", len(rest), err)
			break
		}
		a.last = e.TimeNano
		a.text.Write(e.Line)
		rest = rest[n:]
	}
	select {
	case a.wrote <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (a *answer) Flush() error { return nil }

func (a *answer) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

// logs is `docker logs`.
func (w *world) logs(q Query) string {
	w.t.Helper()
	s, err := Open(w.t.Context(), w.container(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	a := newAnswer(w.t)
	if err := s.WriteTo(w.t.Context(), a); err != nil {
		w.t.Errorf("answer to %+v: %v", q, err)
	}
	return a.String()
}

// lines returns n lines, from first on.
func lines(first, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%d of the log", first+i))
	}
	return all
}

func joined(all ...[]string) string {
	var b bytes.Buffer
	for _, lines := range all {
		for _, l := range lines {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}
