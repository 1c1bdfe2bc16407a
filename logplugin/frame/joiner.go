package frame

import (
	"bytes"
	"time"
)

// Defaults of JoinerOptions.
const (
	DefaultJoinBytes = 1 << 20
	DefaultJoinAge   = 10 * time.Second
	DefaultJoinSpan  = 4 << 20
)

// At most so many lines are open at once. The daemon has two streams; a third is somebody's mistake.
const maxOpen = 4

// A buffer of this size may stay with an idle session; a larger one goes when it has not been used for a while.
const keepBytes = 16 << 10

// JoinerOptions bounds what a Joiner holds.
type JoinerOptions struct {
	MaxBytes int           // a longer line is emitted in pieces of about this size; 0 = DefaultJoinBytes
	MaxAge   time.Duration // a line that is open for longer is emitted as far as it is there; 0 = DefaultJoinAge
	// MaxSpan is how many bytes may pass while a line is open, and how far a cursor may stay behind lines that were sent: they come
	// again after a kill. 0 = DefaultJoinSpan
	MaxSpan int64
}

// Joiner puts the pieces of long lines together. It belongs to one session and one goroutine.
//
// The pieces of one line share an id; without ids (a daemon older than 18.06) they share their stream. The two streams
// come interleaved, but the lines of one stream come one after the other: another line of the same stream ends an open
// one, whose last piece will then never come.
//
// A line leaves as one Entry with neither Partial nor the fields of metadata. One that is too long, or open for too
// long or over too much of the other stream, leaves in pieces, which have Partial, the id, an Ordinal that counts from 1, and Last in the last one; if the
// stream ends just after a piece, nothing says that it was the last.
type Joiner struct {
	emit func(*Entry)
	opt  JoinerOptions
	open []line // nil until the first piece: most sessions never have one
	out  Entry
}

type line struct {
	open    bool
	used    bool // since the last Expire
	hasID   bool
	source  []byte
	id      []byte
	text    []byte
	pieces  int32 // that have been emitted
	time    int64
	pos     int64     // of the frame that holds the first byte of text
	floor   int64     // a cursor between here and pos would be inside a line of the other stream
	since   time.Time // when that was pushed
	pending bool      // there is something to emit
}

// NewJoiner returns a Joiner that hands every line to emit. The Entry is valid until emit returns.
func NewJoiner(o JoinerOptions, emit func(*Entry)) *Joiner {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultJoinBytes
	}
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultJoinAge
	}
	if o.MaxSpan <= 0 {
		o.MaxSpan = DefaultJoinSpan
	}
	return &Joiner{emit: emit, opt: o}
}

// Push takes the entry of the frame that starts at position pos, and emits the lines that it completes.
func (j *Joiner) Push(e *Entry, pos int64, now time.Time) {
	hasID := e.PartialID != nil
	last := !e.Partial
	if hasID {
		last = e.Last
	}
	j.leave(pos)
	l := j.find(e.Source)
	if l != nil && (l.hasID != hasID || !bytes.Equal(l.id, e.PartialID)) {
		j.finish(l)
		l = nil
	}
	if l == nil {
		if last {
			j.whole(e, pos, pos)
			return
		}
		l = j.start(e, hasID)
	}
	if len(l.text) > 0 && len(l.text)+len(e.Line) > j.opt.MaxBytes {
		j.piece(l, false)
	}
	if !l.pending {
		l.pending, l.pos, l.floor, l.since = true, pos, pos, now
	} else {
		j.lower(l)
	}
	l.used = true
	l.text = append(l.text, e.Line...)
	switch {
	case last:
		j.finish(l)
	case len(l.text) > j.opt.MaxBytes: // not at the limit: what follows may be the last piece, which is empty
		j.piece(l, false)
	}
}

// lower notes that l has a frame on each side of the start of other lines: from there on, only a part of l would be read again.
func (j *Joiner) lower(l *line) {
	for i := range j.open {
		if o := &j.open[i]; o.open && o.pending && o.pos > l.pos {
			o.floor = min(o.floor, l.floor)
		}
	}
}

// Lower notes that a line that was emitted belongs to s: from a cursor behind the beginning of s, only a part of s would be read again.
// Call it from emit, if lines are parts of something larger.
func (j *Joiner) Lower(s Span) {
	for i := range j.open {
		if o := &j.open[i]; o.open && o.pending && o.floor > s.Pos && o.pos-s.Floor <= j.opt.MaxSpan {
			o.floor = s.Floor
		}
	}
}

// leave emits what began too far before pos, and gives up a floor that is too far before it.
func (j *Joiner) leave(pos int64) {
	for i := range j.open {
		l := &j.open[i]
		if !l.open || !l.pending {
			continue
		}
		if pos-l.floor > j.opt.MaxSpan {
			l.floor = l.pos
		}
		if pos-l.pos > j.opt.MaxSpan {
			j.piece(l, false)
		}
	}
}

// Held returns the position that a cursor may not pass: from there on all frames are read again after a crash, and they give the lines
// and pieces that are still to be emitted, and others only as they were emitted before.
func (j *Joiner) Held() (pos int64, ok bool) {
	for i := range j.open {
		l := &j.open[i]
		if l.open && l.pending && (!ok || l.floor < pos) {
			pos, ok = l.floor, true
		}
	}
	return pos, ok
}

// Deadline returns when Expire will have something to emit.
func (j *Joiner) Deadline() (at time.Time, ok bool) {
	for i := range j.open {
		l := &j.open[i]
		if due := l.since.Add(j.opt.MaxAge); l.open && l.pending && (!ok || due.Before(at)) {
			at, ok = due, true
		}
	}
	return at, ok
}

// Expire emits what has been open for too long, and gives back buffers that have not been used since the last call.
func (j *Joiner) Expire(now time.Time) {
	for i := range j.open {
		l := &j.open[i]
		if l.open && l.pending && now.Sub(l.since) >= j.opt.MaxAge {
			j.piece(l, false)
		}
		if !l.pending && !l.used && cap(l.text) > keepBytes {
			l.text = nil
		}
		l.used = false
	}
}

// Flush emits every open line, oldest first: no more will come.
func (j *Joiner) Flush() {
	for {
		l := j.oldest()
		if l == nil {
			return
		}
		j.finish(l)
	}
}

func (j *Joiner) find(source []byte) *line {
	for i := range j.open {
		if l := &j.open[i]; l.open && bytes.Equal(l.source, source) {
			return l
		}
	}
	return nil
}

func (j *Joiner) oldest() *line {
	var old *line
	for i := range j.open {
		if l := &j.open[i]; l.open && (old == nil || l.pos < old.pos) {
			old = l
		}
	}
	return old
}

func (j *Joiner) start(e *Entry, hasID bool) *line {
	var l *line
	for i := range j.open {
		// The slot of the same stream has a buffer of the right size.
		if c := &j.open[i]; !c.open && (l == nil || bytes.Equal(c.source, e.Source)) {
			l = c
		}
	}
	switch {
	case l != nil:
	case len(j.open) < maxOpen:
		if j.open == nil {
			j.open = make([]line, 0, maxOpen) // pointers into it stay good
		}
		j.open = append(j.open, line{})
		l = &j.open[len(j.open)-1]
	default:
		l = j.oldest()
		j.finish(l)
	}
	l.open, l.hasID, l.pieces, l.time = true, hasID, 0, e.TimeNano
	l.source = append(l.source[:0], e.Source...)
	l.id = append(l.id[:0], e.PartialID...)
	return l
}

// whole emits a line that came in one piece, without a copy.
func (j *Joiner) whole(e *Entry, pos, floor int64) {
	j.out = Entry{Source: e.Source, TimeNano: e.TimeNano, Line: e.Line, Pos: pos, Floor: floor}
	j.emit(&j.out)
	j.out = Entry{}
}

func (j *Joiner) piece(l *line, last bool) {
	l.pieces++
	j.out = Entry{Source: l.source, TimeNano: l.time, Line: l.text, Partial: true, Ordinal: l.pieces, Last: last, Pos: l.pos, Floor: l.floor}
	if l.hasID {
		j.out.PartialID = l.id
	}
	j.emit(&j.out)
	j.out = Entry{}
	l.text, l.pending = l.text[:0], false
}

func (j *Joiner) finish(l *line) {
	switch {
	case !l.pending: // all of it has left in pieces
	case l.pieces > 0:
		j.piece(l, true)
	default:
		j.whole(&Entry{Source: l.source, TimeNano: l.time, Line: l.text}, l.pos, l.floor)
	}
	l.text, l.open, l.pending = l.text[:0], false, false
}
