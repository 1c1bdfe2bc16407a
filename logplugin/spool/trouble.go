package spool

import (
	"cmp"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// task is what a spool asks of the file system.
type task int

const (
	loadSpool task = iota
	useDisk
	readSegment
	countFrames
	writeCursor
	removeSegment
	waitFIFO
	tasks
)

func (t task) String() string {
	return [...]string{"load", "write", "read", "count lines", "write cursor", "remove", "wait for FIFO"}[t]
}

// troubles is what goes wrong with a spool at the moment, and how often something has.
type troubles struct {
	base  *slog.Logger
	about slog.Attr // whose spool it is
	dir   string

	mu    sync.Mutex
	errs  [tasks]error
	lost  error // damage that was found: it does not pass
	count int64
}

// log returns a logger that names the spool, and whose it is. It is made when it is used: most spools never have anything to say.
func (t *troubles) log() *slog.Logger { return t.base.With(t.about, "dir", t.dir) }

// set notes the result of a task.
func (t *troubles) set(what task, err error) {
	t.mu.Lock()
	before := t.errs[what]
	t.errs[what] = err
	if err != nil {
		t.count++
	}
	t.mu.Unlock()
	switch {
	case err != nil && before == nil:
		t.log().Warn("the file system refuses a spool, will retry", "task", what.String(), "error", err)
	case err == nil && before != nil:
		t.log().Info("the file system serves a spool again", "task", what.String())
	}
}

// damaged notes bytes that are gone for good.
func (t *troubles) damaged(err error) {
	t.log().Error("a part of a spool is damaged", "error", err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = err
}

// Unreadable notes n bytes of log that were read from position pos on, and are not what the daemon has written. One note stays in
// Stats, and the log has the first.
func (s *Spool) Unreadable(pos, n int64) {
	if _, err := s.trouble.now(); err == nil {
		s.trouble.damaged(fmt.Errorf("a part of the log cannot be read from position %d on, %d bytes: they are not what the daemon has written", pos, n))
	}
}

// now returns how often something has gone wrong, and what does at the moment.
func (t *troubles) now() (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count, cmp.Or(cmp.Or(t.errs[:]...), t.lost)
}

// timer calls a function once, after a while. While it is started it does not start again.
type timer struct {
	mu      sync.Mutex
	t       *time.Timer
	stopped bool
}

func (t *timer) start(d time.Duration, f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.t != nil || t.stopped {
		return
	}
	t.t = time.AfterFunc(d, func() {
		t.mu.Lock()
		t.t = nil
		t.mu.Unlock()
		f()
	})
}

// stop ends it for good.
func (t *timer) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped = true; t.t != nil {
		t.t.Stop()
	}
}
