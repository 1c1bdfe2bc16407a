package session

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/lines"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/spool"
)

// feed is the lines of a session on their way from its spool to its destination. It is the delivery's: between Fill and
// Commit of one worker, else of nobody.
type feed struct {
	session *session
	spool   *spool.Spool
	encoder router.Encoder // nil = not made yet
	pieces  bool           // the router takes the pieces of a long line as they come
	joiner  *frame.Joiner
	flow    *lines.Flow   // which lines are sent; nil = all
	batch   *router.Batch // during Fill
	record  router.Record // the same; here because a new one for each line would cost memory
	filled  int           // records since the last Commit
	ended   bool          // all frames have been read
	garbage garbage       // what was skipped last, for it is not a frame

	count lineCounts

	mu    sync.Mutex
	after *session    // an older one of the same container, whose lines come first; nil = none
	timer *time.Timer // for lines that stay open
}

// lineCounts are what became of the lines that this process has taken from the spool, and whether the rate holds back the next.
type lineCounts struct {
	sent, rejected, filtered, limited atomic.Int64
	held                              atomic.Bool
	droppedBefore                     int64 // lines, by earlier processes
}

// begin gives the feed the spool that it takes its lines from. With an error it is not known which of them to send.
func (f *feed) begin(s *session, pieces bool) error {
	rules, err := s.meta.Options.Lines.Compile()
	f.session, f.spool = s, s.spool
	f.flow = rules.Flow(f.encode)
	f.pieces = pieces && f.flow == nil // a pattern is for whole lines
	f.joiner = frame.NewJoiner(frame.JoinerOptions{}, f.emit)
	f.count.droppedBefore = s.spool.Stats().DroppedLines
	return err
}

// dropped counts the lines that the spool has lost in this process.
func (f *feed) dropped() int64 { return f.spool.Stats().DroppedLines - f.count.droppedBefore }

// buffers are shared by all sessions: an idle one needs none. One holds the largest frame.
var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// leastPeek is how much is read of the spool for the rest of a batch, at least: a frame of the daemon is shorter.
const leastPeek = 32 << 10

// Fill implements delivery.Feed: it encodes what the spool has.
func (f *feed) Fill(b *router.Batch, limit int) (more bool) {
	if f.ended || !f.ready() {
		return false
	}
	f.batch = b
	before := b.Len()
	defer func() { f.batch, f.record, f.filled = nil, router.Record{}, f.filled+b.Len()-before }()
	if f.flow != nil {
		f.flow.Begin()
		if !f.hasRoom() {
			return f.again(false)
		}
	}
	f.joiner.Expire(time.Now())
	f.makeRoom(b, limit)
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for least := leastPeek; len(b.Body) < limit; {
		room := (*buf)[:min(len(*buf), max(limit-len(b.Body), least))]
		n, gap, err := f.spool.Peek(room)
		last := gap.To != 0 || err != nil
		used := f.decode(room[:n], limit, last)
		if used == 0 && n == len(room) { // a frame that no daemon writes
			if least = frame.HeaderBytes + frame.MaxBytes; len(*buf) < least {
				*buf = make([]byte, least)
			}
			continue
		}
		f.spool.Skip(used)
		switch {
		case f.isOver():
			return f.again(f.hasRoom())
		case len(b.Body) >= limit:
		case used < n && n < len(room) && !last: // a frame whose end is still to come
			return f.again(false)
		case n > 0:
		case gap.To != 0:
			f.flush() // what comes behind the gap is not the rest of an open line
			f.missing(gap)
			f.spool.SkipGap()
		case err != nil:
			f.flush()
			f.ended = true
			return false
		default:
			return f.again(false)
		}
	}
	return f.again(true)
}

// makeRoom makes the memory for the lines that wait at once, as far as the limit lets it: a body of megabytes that grows with each
// line is copied several times.
func (f *feed) makeRoom(b *router.Batch, limit int) {
	const beyond = 64 << 10 // of the last record, which may pass the limit
	room := limit - len(b.Body)
	if cap(b.Body)-len(b.Body) >= room {
		return
	}
	st := f.spool.Stats()
	switch waiting := st.End - st.Committed; {
	case waiting >= int64(room):
		b.Body = slices.Grow(b.Body, room+beyond)
	case waiting > 0:
		b.Body = slices.Grow(b.Body, int(waiting))
	}
}

// ready reports whether lines may be encoded: those of an older session come first, and an encoder may need a secret.
func (f *feed) ready() bool {
	if f.session.table.attaching.holds(f.session) || f.waits() {
		return false // its release, or the end of the other, says Ready
	}
	if f.encoder == nil {
		f.encoder = f.session.output.ready()
	}
	return f.encoder != nil // connect says Ready
}

// waits reports whether an older session of the container has lines to deliver. One that is parked waits for a person.
func (f *feed) waits() bool {
	for {
		p := f.previous()
		if p == nil {
			return false
		}
		if !p.isDone() && (p.output.destination() != nil || p.dormant.Load() && p.hasBytes()) {
			return true
		}
		// It may have ended before those that it would have waited for: it had no lines.
		next := p.feed.previous()
		f.mu.Lock()
		if f.after == p { // else one has come between whose state could not be read before
			f.after = next
		}
		f.mu.Unlock()
	}
}

func (f *feed) previous() *session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.after
}

// follow lets the lines of an older session of the container come first.
func (f *feed) follow(older *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = older
}

// decode pushes the frames of buf on until the batch has limit bytes, and returns how many bytes that were. last says that nothing
// will follow buf.
func (f *feed) decode(buf []byte, limit int, last bool) (used int) {
	var e frame.Entry
	now := time.Now()
	pos := f.spool.Taken()
	for used < len(buf) && len(f.batch.Body) < limit {
		n, err := frame.Decode(buf[used:], &e)
		switch {
		case err == nil:
			f.reportGarbage()
			f.push(&e, pos+int64(used), now)
			if used += n; f.isOver() {
				return used
			}
		case err == frame.ErrShort && !last: //nolint:errorlint // Decode returns exactly this
			return used
		default:
			// From the next byte on: a frame whose end never comes would be found again and again.
			skip, found := frame.Resync(buf[used+1:])
			if !found && last {
				if err == frame.ErrGarbage || f.garbage.bytes > 0 { //nolint:errorlint // as above; else the daemon has not written the end
					f.garbage.add(pos+int64(used), int64(len(buf)-used))
					f.reportGarbage()
				}
				return len(buf)
			}
			f.garbage.add(pos+int64(used), int64(1+skip))
			used += 1 + skip
			if !found {
				return used
			}
		}
	}
	return used
}

// garbage is bytes of a spool that are not frames, as a loss of power or a broken disk leaves them.
type garbage struct{ from, bytes int64 }

func (g *garbage) add(pos, n int64) {
	if g.bytes == 0 {
		g.from = pos
	}
	g.bytes += n
}

// reportGarbage puts a record in the place of what was skipped.
func (f *feed) reportGarbage() {
	g := f.garbage
	if g.bytes == 0 {
		return
	}
	f.garbage = garbage{}
	f.spool.Unreadable(g.from, g.bytes)
	f.flush() // what comes next is not the rest of an open line
	f.missing(spool.Gap{From: g.from, To: g.from + g.bytes})
}

func (f *feed) push(e *frame.Entry, pos int64, now time.Time) {
	if f.pieces {
		e.Pos = pos
		f.emit(e)
		return
	}
	f.joiner.Push(e, pos, now)
}

// hasRoom reports whether the rate allows more lines now, and keeps that for status.
func (f *feed) hasRoom() bool {
	room := f.flow.HasRoom()
	f.count.held.Store(!room)
	return room
}

// isOver reports whether patterns have taken so long that it is the turn of other sessions, or the rate allows no more.
func (f *feed) isOver() bool { return f.flow != nil && f.flow.IsOver() }

func (f *feed) emit(e *frame.Entry) {
	e.TrimReturn()
	if f.flow != nil {
		f.joiner.Lower(f.flow.Push(e))
		return
	}
	f.encode(e)
}

func (f *feed) encode(e *frame.Entry) {
	f.record = router.Record{
		TimeNano: e.TimeNano, Source: e.Source, Line: e.Line, Position: e.Pos,
		PartialID: e.PartialID, Ordinal: e.Ordinal, Last: e.Last, Partial: e.Partial,
	}
	f.batch.Append(f.encoder, &f.record)
}

// missing puts one record where lines are missing.
func (f *feed) missing(g spool.Gap) {
	f.encode(&frame.Entry{Source: []byte("stderr"), TimeNano: f.session.table.now().UnixNano(), Line: []byte(g.Text()), Pos: -g.To})
}

// flush emits what waits for more lines: they will not come.
func (f *feed) flush() {
	f.joiner.Flush()
	if f.flow != nil {
		f.flow.Flush()
	}
}

// again is what Fill returns when the spool may get more; lines that stay open are looked at in time.
func (f *feed) again(more bool) bool {
	if more {
		return true
	}
	at, ok := f.joiner.Deadline()
	if f.flow != nil {
		f.flow.Expire(time.Now())
		if other, open := f.flow.Deadline(); open && (!ok || other.Before(at)) {
			at, ok = other, true
		}
	}
	if ok {
		f.wakeAt(at)
	}
	return false
}

func (f *feed) wakeAt(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil {
		f.timer.Stop()
	}
	f.timer = time.AfterFunc(time.Until(at), f.session.wake)
}

// Commit implements delivery.Feed: it moves the cursor behind all that was delivered. What is held of an open line will be
// read again after a crash.
func (f *feed) Commit(rejected int) {
	t := f.session.output.destination().tally
	f.count.sent.Add(int64(f.filled - rejected))
	t.sent.Add(int64(f.filled - rejected))
	f.count.rejected.Add(int64(rejected))
	t.rejected.Add(int64(rejected))
	f.filled = 0
	if f.flow != nil {
		n := f.flow.Take()
		f.count.filtered.Add(n.Filtered)
		t.filtered.Add(n.Filtered)
		f.count.limited.Add(n.Limited)
		t.limited.Add(n.Limited)
	}
	pos := f.spool.Taken()
	if held, ok := f.joiner.Held(); ok {
		pos = min(pos, held)
	}
	if f.flow != nil {
		if held, ok := f.flow.Held(); ok {
			pos = min(pos, held)
		}
	}
	_ = f.spool.Commit(pos) // its Stats keep the error, and the next one tries again
	if f.ended {
		s := f.session
		s.table.wait.Go(func() { s.table.finish(s) })
	}
}

// IsDue implements delivery.Gathered.
func (f *feed) IsDue(bytes int) bool {
	st := f.spool.Stats()
	return f.session.drained.Load() || st.End-st.Committed >= int64(bytes)
}

// Attrs implements delivery.Feed.
func (f *feed) Attrs() []slog.Attr { return []slog.Attr{f.session.attrs()} }

// close ends what would wake the feed.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil {
		f.timer.Stop()
	}
}
