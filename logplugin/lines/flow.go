package lines

import (
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// turn is how long patterns may look at the lines of one session before other sessions of its destination have their turn.
const turn = 50 * time.Millisecond

// Flow applies the Rules of one session to its lines: it joins lines that are one event, leaves out those that are not to be
// sent, and holds the others to a rate. It belongs to one goroutine.
type Flow struct {
	rules  Rules
	emit   func(*frame.Entry)
	events *events // nil means that each line is an event
	limit  limiter
	began  time.Time // of the turn
	out    [2]bool   // by stream: the line whose pieces come is left out
	counts Counts
}

// Counts are lines that were not emitted; with events, events.
type Counts struct {
	Filtered int64 // because of a pattern
	Limited  int64 // because of the rate; a record says so
}

// Flow returns a Flow that hands the lines to emit which are to be sent; an entry is valid until emit returns. Flow returns nil when
// every line is to be sent as it is.
func (r Rules) Flow(emit func(*frame.Entry)) *Flow {
	if r == (Rules{}) {
		return nil
	}
	f := &Flow{rules: r, emit: emit, limit: limiter{rate: r.rate, emit: emit}}
	if r.multiline != nil {
		f.events = &events{begins: r.multiline, emit: f.choose}
	}
	return f
}

// Begin begins a turn.
func (f *Flow) Begin() { f.began = time.Now() }

// IsOver reports whether no more lines should be pushed in this turn: it has taken so long that others should have theirs, or there is no
// room.
func (f *Flow) IsOver() bool { return time.Since(f.began) >= turn || !f.HasRoom() }

// HasRoom reports whether the rate allows more lines now. Do not push any while it does not; Deadline says when it will.
func (f *Flow) HasRoom() bool { return f.limit.hasRoom() }

// Push takes a line, or a piece of one that is too long to be whole. Its Pos and Floor must be set. Push returns where that begins which
// the line belongs to: the line itself, or an event.
func (f *Flow) Push(e *frame.Entry) frame.Span {
	s := frame.Span{Pos: e.Pos, Floor: e.Floor}
	if f.events != nil {
		s = f.events.push(e)
	} else {
		f.choose(e)
	}
	if m := &f.limit.missing; m.lines > 0 && m.floor > s.Pos && m.pos-s.Floor <= maxSpan {
		m.floor = s.Floor
	}
	return s
}

// choose emits e unless a pattern or the rate leaves it out. The first piece of a line decides for the others.
func (f *Flow) choose(e *frame.Entry) {
	out := &f.out[streamOf(e.Source)]
	first := !e.Partial || e.Ordinal <= 1
	if first {
		if *out = !f.rules.wants(e.Line); *out {
			f.counts.Filtered++
		}
	}
	if *out {
		return
	}
	if f.limit.limit > 0 {
		if *out = !f.limit.take(e, first); *out {
			return
		}
		f.counts.Limited += f.limit.report()
	}
	f.emit(e)
}

// wants reports whether the patterns let a line pass.
func (r Rules) wants(line []byte) bool {
	return (r.include == nil || r.include.Match(line)) && (r.exclude == nil || !r.exclude.Match(line))
}

// Held returns the position that a cursor may not pass, because something before it is still to be emitted.
func (f *Flow) Held() (pos int64, ok bool) {
	if f.events != nil {
		pos, ok = f.events.held()
	}
	if m := f.limit.missing; m.lines > 0 && (!ok || m.floor < pos) {
		return m.floor, true
	}
	return pos, ok
}

// Deadline returns when Expire will have something to emit, or there is room again.
func (f *Flow) Deadline() (at time.Time, ok bool) {
	if f.events != nil {
		at, ok = f.events.deadline()
	}
	if other, due := f.limit.deadline(); due && (!ok || other.Before(at)) {
		return other, true
	}
	return at, ok
}

// Expire emits what has waited for too long. Call it when every line that is there has been pushed, or there is no room.
func (f *Flow) Expire(now time.Time) {
	if f.events != nil {
		f.events.expire(now)
	}
	if m := f.limit.missing; m.lines > 0 && now.Sub(m.since) >= reportAfter {
		f.counts.Limited += f.limit.report()
	}
}

// Flush emits what waits for lines: none will come.
func (f *Flow) Flush() {
	if f.events != nil {
		f.events.flush()
	}
	f.counts.Limited += f.limit.report()
}

// Take returns the counts since the last call.
func (f *Flow) Take() Counts {
	c := f.counts
	f.counts = Counts{}
	return c
}
