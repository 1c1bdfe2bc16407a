package readlogs

import (
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

const (
	flushBytes = 64 << 10 // of frames in one write, at least, while there are more

	// After so long without a frame there is one that no client sees. Daemons up to 27 notice only with every second one, on the
	// average, that their client has gone.
	silence    = 5 * time.Second
	keepAlives = 10
)

// answers are buffers for what is written. One holds what is flushed, and a frame more.
var answers = sync.Pool{New: func() any { b := make([]byte, 0, flushBytes+frameBytes); return &b }}

const frameBytes = 18 << 10 // that a daemon writes, at most

// encoder writes frames as the daemon expects them.
type encoder struct {
	query Query
	w     Writer
	out   []byte
	pool  *[]byte // out is, or was, this one; nil means out is nil
	at    int64   // the time of the last frame
	err   error
	ended bool // a frame after Until has come, or err is set
}

// entry adds a frame to the answer, and reports whether the answer goes on. Every line passes here.
func (e *encoder) entry(x *frame.Entry) bool {
	e.at = x.TimeNano
	switch {
	case !e.query.Until.IsZero() && time.Unix(0, x.TimeNano).After(e.query.Until):
		e.ended = true
		return false
	case !e.query.Since.IsZero() && time.Unix(0, x.TimeNano).Before(e.query.Since):
		return true
	}
	e.append(x)
	if len(e.out) >= flushBytes {
		e.write()
	}
	return e.err == nil
}

func (e *encoder) append(x *frame.Entry) {
	if e.pool == nil {
		e.pool = answers.Get().(*[]byte)
		e.out = (*e.pool)[:0]
	}
	e.out = frame.AppendLine(e.out, x)
}

// say adds a line of our own.
func (e *encoder) say(text string) {
	at := e.at
	if at == 0 {
		at = time.Now().UnixNano()
	}
	e.entry(&frame.Entry{Source: []byte("stderr"), TimeNano: at, Line: []byte(text)})
}

// write writes what there is.
func (e *encoder) write() {
	if len(e.out) == 0 || e.err != nil {
		return
	}
	if _, e.err = e.w.Write(e.out); e.err != nil {
		e.ended = true
	}
	e.out = e.out[:0]
}

// flush sends what there is.
func (e *encoder) flush() error {
	if e.write(); e.err == nil {
		e.err = e.w.Flush()
	}
	return e.err
}

// keepAlive sends frames that no client sees. Their time is none that the daemon would skip before it looks for its client.
func (e *encoder) keepAlive() error {
	now := time.Now()
	if !e.query.Until.IsZero() && now.After(e.query.Until) {
		e.ended = true
		return nil
	}
	if now.Before(e.query.Since) {
		now = e.query.Since
	}
	for range keepAlives {
		e.append(&frame.Entry{TimeNano: now.UnixNano(), Partial: true})
	}
	err := e.flush()
	e.release()
	return err
}

// release gives the buffer back.
func (e *encoder) release() {
	if e.pool == nil {
		return
	}
	if cap(e.out) <= flushBytes+frameBytes {
		answers.Put(e.pool)
	}
	e.pool, e.out = nil, nil
}
