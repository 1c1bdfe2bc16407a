// Package readlogs answers `docker logs`: it reads the log of one container, over all its sessions, out of their spools and of
// what is kept of them in the history, and writes it in the form that the Docker daemon expects of a log driver.
//
// Use Open for one call of the daemon, and WriteTo for the answer. A frame of the log becomes a frame of the answer; the pieces of a
// long line stay pieces. Nothing that is not a frame is written: the daemon takes the first four bytes for a length and believes them.
//
// A Stream holds buffers only while it has something to write, and at most one file of the history.
package readlogs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/history"
	"github.com/secretref/secretref/logplugin/spool"
)

// Query is what the daemon asks for.
type Query struct {
	Since, Until time.Time // zero means no bound
	Tail         int       // the last so many frames, before the other bounds apply; negative means all
	Follow       bool      // until the present session ends
}

// Session is one of the container that is in the driver's hands.
type Session interface {
	Key() history.Key
	Spool() *spool.Spool
	// Settle waits until what lies in the FIFO now is in the spool, for one that the daemon has closed until its end, or until ctx ends.
	Settle(ctx context.Context)
	// Ended reports whether no more bytes will come into the spool.
	Ended() bool
	// Changed returns a channel that is closed when there may be more to read, or the session may have ended.
	Changed() <-chan struct{}
}

// Container is where the log of one is.
type Container struct {
	ID       string
	History  *history.Store
	Sessions func() []Session // those that are in the driver's hands now, in their order
	First    string           // a line to begin with, unless only a tail is wanted; "" means none
	Created  time.Time        // the time of First
}

// How long Open waits for what lies in FIFOs, and how long a Stream waits for bytes that should be there.
const (
	settleWait = 5 * time.Second
	bytesWait  = 5 * time.Second
	bytesPause = 20 * time.Millisecond
)

// Stream is the answer to one call.
type Stream struct {
	query  Query
	cursor cursor
	first  string
	done   func()

	ends map[history.Key]int64 // of the sessions at the moment of Open
	last history.Key           // the newest of them, or of the history
	size int64                 // the end of last
	skip int                   // frames, before the answer begins

	stuck struct { // where bytes are awaited that should be there
		at    int64
		since time.Time
	}
}

// Open finds out where the log of c ends now, after what lies in FIFOs has been moved to spools. Close the Stream.
func Open(ctx context.Context, c Container, q Query) (*Stream, error) {
	settle, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	s := &Stream{query: q, first: c.First, done: c.History.Reading(c.ID), ends: map[history.Key]int64{}}
	s.cursor.container = c
	for _, x := range c.Sessions() {
		x.Settle(settle)
		s.last, s.size = x.Key(), x.Spool().Stats().End
		s.ends[s.last] = s.size
	}
	pieces, err := c.History.List(c.ID)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("read what is kept of the container's log: %w", err)
	}
	if n := len(pieces); n > 0 && s.last.Compare(pieces[n-1].Key) < 0 {
		s.last, s.size = pieces[n-1].Key, pieces[n-1].End // the session has ended
	}
	return s, nil
}

// Close frees what the Stream holds.
func (s *Stream) Close() {
	s.cursor.close()
	s.done()
}

// Writer is where an answer goes. Flush sends what was written.
type Writer interface {
	io.Writer
	Flush() error
}

// errLost says that bytes of the log which should be there cannot be read.
var errLost = errors.New("a part of the log cannot be read at the moment; see secretref-logdriver status")

// WriteTo writes the answer to w, until its end or the end of ctx. After an error the answer is not complete.
func (s *Stream) WriteTo(ctx context.Context, w Writer) error {
	e := &encoder{query: s.query, w: w}
	defer e.release()
	if s.first != "" && s.query.Tail < 0 {
		e.at = max(1, s.cursor.container.Created.UnixNano())
		e.say(s.first)
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	for !e.ended {
		st, err := s.step(ctx, func(x *frame.Entry) bool {
			if s.skip > 0 {
				s.skip--
				return true
			}
			return e.entry(x)
		})
		if err == nil {
			err = e.err
		}
		switch {
		case err != nil:
			return err
		case st == atEnd:
			return e.flush()
		case st == atWait:
			s.cursor.close()
			if err := e.flush(); err != nil {
				return err
			}
			e.release()
			if err := s.wait(ctx, e); err != nil {
				return err
			}
		case s.cursor.missing != "":
			e.say(s.cursor.missing)
			s.cursor.missing = ""
		}
	}
	return e.flush()
}

// wait waits for more of the session that is followed, and says now and then that the answer goes on: the daemon notices only
// then that its client has gone.
func (s *Stream) wait(ctx context.Context, e *encoder) error {
	x := s.cursor.session()
	if x == nil {
		return nil // the history has the rest
	}
	changed := x.Changed()
	switch end := x.Spool().Stats().End; {
	case x.Spool().IsReleased(): // soon the history has the rest, and then it changes
	case end > s.cursor.seen && s.cursor.seen != s.stuck.at:
		s.stuck.at = s.cursor.seen
		return nil
	case end > s.cursor.seen: // it cannot be read at the moment
		return s.await(ctx)
	case x.Ended():
		return nil
	}
	silent := time.NewTimer(silence)
	defer silent.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-changed:
		return nil
	case <-silent.C:
		return e.keepAlive()
	}
}
