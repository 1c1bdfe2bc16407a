package session

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secretref/secretref/logplugin/fifo"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/state"
)

// One try to reach router and encoder, which may need a secret, takes no longer than encoderWait, and the next comes
// after encoderPause; after parkedPause, where a person has to do something first.
const (
	encoderWait  = 5 * time.Second
	encoderPause = 5 * time.Second
	parkedPause  = 30 * time.Second
)

// How long the FIFO of a session that a newer one of its container has replaced must be silent before it is left: the
// daemon may have leaked it, and then its end never comes.
const leakedSilence = 2 * time.Second

// session is one FIFO: drained into its spool by one goroutine, read from there by the delivery.
type session struct {
	table         *Sessions
	meta          state.Session
	kind          *router.Kind  // nil = none that is known here
	config        router.Config // what the router made of the options; nil = the session is from an earlier process
	spool         *spool.Spool
	droppedBefore int64         // lines, by earlier processes
	parked        error         // why it cannot be sent, for all that Start knew; nil = it did not know
	first         bool          // no session of the container was accepted before
	done          chan struct{} // closed when all is delivered and nothing of the session is left
	stop          context.CancelFunc
	left          atomic.Bool // it is not to be read to its end
	drained       atomic.Bool // no more bytes will come
	gone          atomic.Bool // its FIFO was not there when it was to be opened
	stopping      atomic.Bool // the daemon has called StopLogging
	finishing     atomic.Bool // somebody takes it away
	sent          atomic.Int64
	rejected      atomic.Int64

	// The rest belongs to the delivery: between Fill and Commit to one worker, else to nobody.
	encoder router.Encoder
	joiner  *frame.Joiner
	batch   *router.Batch // during Fill
	record  router.Record // the same; here because a new one for each line would cost memory
	filled  int           // records since the last Commit
	ended   bool          // all frames have been read

	mu      sync.Mutex
	after   *session       // an older one of the same container, whose lines come first; nil = none
	fifo    *os.File       // nil = not open
	unread  error          // why it cannot be read; nil = it is, or has ended
	told    bool           // the log says that it could not
	linked  *link          // nil = parked
	removed bool           // it will not be linked any more
	timer   *time.Timer    // for lines that stay open
	made    router.Encoder // nil = not yet
	last    string         // what went wrong last on the way to the router; "" = nothing
}

// A FIFO that cannot be opened or read, for want of files or memory, is tried again after so long.
const readPause = time.Second

// run drains the FIFO until its end, and sees to it that the rest is delivered.
func (s *session) run(ctx context.Context) {
	for s.read(ctx) {
		again := time.NewTimer(readPause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
	if ctx.Err() != nil && !s.left.Load() {
		return // the driver ends: the next one goes on from here
	}
	s.drained.Store(true)
	s.stop() // nothing uses its context any more, and the parent keeps it until then
	s.spool.Finish()
	if s.spool.IsDone() {
		s.table.finish(s) // there is nothing to deliver
		return
	}
	s.wake()
}

// read drains the FIFO, and tells whether to try again: it has not ended, and could not be read.
func (s *session) read(ctx context.Context) (again bool) {
	f, err := s.pipe()
	if err == nil {
		defer f.Close()
		err = s.spool.Drain(ctx, f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fifo = nil
	if err == nil || ctx.Err() != nil || isGone(err) { // gone: the daemon has removed it, and what is left is in the spool
		s.unread = nil
		return false
	}
	if !s.told {
		s.told = true // and not at every try
		s.table.log.Error("the log of a container cannot be read; it is tried again", "container", s.meta.ContainerID, "error", err)
	}
	s.unread = err
	return true
}

// pipe returns the open FIFO.
func (s *session) pipe() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fifo != nil {
		return s.fifo, nil
	}
	var err error
	if s.fifo, err = open(s.meta.File); err == nil {
		s.unread = nil
	} else if isGone(err) {
		s.gone.Store(true)
	}
	return s.fifo, err
}

// leave ends the session without waiting for the end of its FIFO.
func (s *session) leave() {
	s.left.Store(true)
	s.stop()
}

// supersede ends the session when its FIFO has been silent for a while: the daemon has made another for the container, newer.
// One that ends without a line was for `docker logs`, and says nothing of this one; nor does one whose FIFO is gone.
func (s *session) supersede(newer *session) {
	quiet := time.NewTimer(leakedSilence)
	defer quiet.Stop()
	end := s.spool.Stats().End
	for {
		select {
		case <-s.done:
			return
		case <-s.table.ctx.Done():
			return
		case <-quiet.C:
			if (newer.stopping.Load() || newer.drained.Load()) && newer.spool.Stats().End == 0 || newer.gone.Load() {
				return
			}
			now := s.spool.Stats().End
			if now == end && s.isEmpty() {
				s.leave()
				return
			}
			end = now
			quiet.Reset(leakedSilence)
		}
	}
}

// isEmpty tells whether nothing lies in the FIFO. Of one that cannot be opened at the moment nobody knows.
func (s *session) isEmpty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fifo != nil && fifo.IsEmpty(s.fifo)
}

// buffers are shared by all sessions: an idle one needs none. One holds the largest frame.
var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// Fill encodes what the spool has.
func (s *session) Fill(b *router.Batch, limit int) (more bool) {
	if s.ended || !s.ready() {
		return false
	}
	s.batch = b
	before := b.Len()
	defer func() { s.batch, s.record, s.filled = nil, router.Record{}, s.filled+b.Len()-before }()
	s.joiner.Expire(time.Now())
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for len(b.Body) < limit {
		n, gap, err := s.spool.Peek(*buf)
		last := gap.To != 0 || err != nil
		used := s.decode((*buf)[:n], last)
		if used == 0 && n == len(*buf) {
			*buf = make([]byte, frame.HeaderBytes+frame.MaxBytes) // a frame that no daemon writes
			continue
		}
		s.spool.Skip(used)
		switch {
		case used < n && n < len(*buf) && !last: // a frame whose end is still to come
			return s.again(false)
		case n > 0:
		case gap.To != 0:
			s.joiner.Flush() // what comes behind the gap is not the rest of an open line
			s.missing(gap)
			s.spool.SkipGap()
		case err != nil:
			s.joiner.Flush()
			s.ended = true
			return false
		default:
			return s.again(false)
		}
	}
	return s.again(true)
}

// ready tells whether lines may be encoded: those of an older session come first, and an encoder may need a secret.
func (s *session) ready() bool {
	if s.waits() {
		return false // the end of the other says Ready
	}
	if s.encoder != nil {
		return true
	}
	s.mu.Lock()
	s.encoder = s.made
	s.mu.Unlock()
	return s.encoder != nil // connect says Ready
}

// waits tells whether an older session of the container has lines to deliver. One that is parked waits for a person.
func (s *session) waits() bool {
	for {
		p := s.previous()
		if p == nil {
			return false
		}
		select {
		case <-p.done:
		default:
			if p.link() != nil {
				return true
			}
		}
		// It may have ended before those that it would have waited for: it had no lines.
		next := p.previous()
		s.mu.Lock()
		if s.after == p { // else one has come between whose state could not be read before
			s.after = next
		}
		s.mu.Unlock()
	}
}

func (s *session) previous() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after
}

// link returns the way to the router; nil = the session is parked.
func (s *session) link() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.linked
}

// unlink is link for the last time.
func (s *session) unlink() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = true
	return s.linked
}

// join gives the session its router, or notes why that is not possible.
func (s *session) join() bool {
	if s.link() != nil {
		return true
	}
	l, err := s.table.link(audited(s.meta.ContainerID), s.meta.Options, s.config)
	if err != nil {
		if s.kind == nil && s.parked != nil {
			err = s.parked // says more
		}
		s.note(err)
		return false
	}
	s.mu.Lock()
	removed := s.removed
	if !removed {
		s.linked, s.last = l, ""
		l.delivery.Add(s)
	}
	s.mu.Unlock()
	if removed {
		s.table.release(l)
	}
	return !removed
}

// connect makes the encoder, once there is a router. The delivery does not wait for it: it has other sessions.
func (s *session) connect() {
	for {
		pause := parkedPause
		if s.join() {
			if s.encode() {
				s.wake()
				return
			}
			pause = encoderPause
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-s.done:
		case <-s.table.ctx.Done():
		}
		again.Stop()
		if s.finishing.Load() || s.table.ctx.Err() != nil {
			return
		}
	}
}

func (s *session) encode() bool {
	ctx, cancel := context.WithTimeout(s.table.ctx, encoderWait)
	defer cancel()
	e, err := s.link().config.Encoder(ctx, s.describe())
	s.note(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = e
	return err == nil
}

// wake tells the delivery that there may be lines.
func (s *session) wake() {
	if l := s.link(); l != nil {
		l.delivery.Ready(s)
	}
}

func (s *session) describe() router.Session {
	return router.Session{
		ContainerID: s.meta.ContainerID, ContainerName: s.meta.ContainerName, Host: s.table.hostname,
		Tag: s.meta.Options.Tag, Attrs: s.meta.Options.Attributes,
	}
}

// decode pushes the frames of buf on, and returns how many bytes that were. last says that nothing will follow buf.
func (s *session) decode(buf []byte, last bool) (used int) {
	var e frame.Entry
	now := time.Now()
	pos := s.spool.Taken()
	for used < len(buf) {
		n, err := frame.Decode(buf[used:], &e)
		switch {
		case err == nil:
			s.push(&e, pos+int64(used), now)
			used += n
		case err == frame.ErrShort && !last: //nolint:errorlint // Decode returns exactly this
			return used
		default:
			// From the next byte on: a frame whose end never comes would be found again and again.
			skip, found := frame.Resync(buf[used+1:])
			if !found && last {
				return len(buf)
			}
			used += 1 + skip
			if !found {
				return used
			}
		}
	}
	return used
}

func (s *session) push(e *frame.Entry, pos int64, now time.Time) {
	if s.kind.Pieces {
		s.emit(e)
		return
	}
	s.joiner.Push(e, pos, now)
}

func (s *session) emit(e *frame.Entry) {
	e.TrimReturn()
	s.record = router.Record{
		TimeNano: e.TimeNano, Source: e.Source, Line: e.Line,
		PartialID: e.PartialID, Ordinal: e.Ordinal, Last: e.Last, Partial: e.Partial,
	}
	s.batch.Append(s.encoder, &s.record)
}

// missing puts one record where lines are missing.
func (s *session) missing(g spool.Gap) {
	s.emit(&frame.Entry{Source: []byte("stderr"), TimeNano: time.Now().UnixNano(), Line: droppedText(g)})
}

// again is what Fill returns when the spool may get more; lines that stay open are looked at in time.
func (s *session) again(more bool) bool {
	if at, ok := s.joiner.Deadline(); ok && !more {
		s.wakeAt(at)
	}
	return more
}

func (s *session) wakeAt(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(time.Until(at), s.wake)
}

// Commit moves the cursor behind all that was delivered; what is held of an open line will be read again after a crash.
func (s *session) Commit(rejected int) {
	t := s.link().tally
	s.sent.Add(int64(s.filled - rejected))
	t.sent.Add(int64(s.filled - rejected))
	s.rejected.Add(int64(rejected))
	t.rejected.Add(int64(rejected))
	s.filled = 0
	pos := s.spool.Taken()
	if held, ok := s.joiner.Held(); ok {
		pos = min(pos, held)
	}
	_ = s.spool.Commit(pos) // its Stats keep the error, and the next one tries again
	if s.ended {
		s.table.wait.Go(func() { s.table.finish(s) })
	}
}

// Attrs implements delivery.Feed.
func (s *session) Attrs() []slog.Attr {
	return []slog.Attr{
		slog.String("container", s.meta.ContainerID[:min(12, len(s.meta.ContainerID))]),
		slog.String("name", strings.TrimPrefix(s.meta.ContainerName, "/")), slog.String("session", s.id()),
	}
}

// note keeps what went wrong last, for the operator.
func (s *session) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last = ""; err != nil {
		s.last = err.Error()
	}
}

// close ends what is left when the driver ends.
func (s *session) close() error {
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	return s.spool.Close()
}

// droppedText is the line that stands where lines are missing.
func droppedText(g spool.Gap) []byte {
	if g.Lines == 0 {
		return []byte("secretref: lines are missing here: a part of the spool was lost")
	}
	return []byte("secretref: " + strconv.FormatInt(g.Lines, 10) + " lines are missing here: the spool was full")
}
