package lines

import (
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// turn is how long patterns may look at the lines of one session before other sessions of its destination have their turn.
const turn = 50 * time.Millisecond

// Flow applies the Rules of one session to its lines: it joins lines that are one event, and leaves out those that are not to be
// sent. It belongs to one goroutine.
type Flow struct {
	rules  Rules
	emit   func(*frame.Entry)
	events *events   // nil means that each line is an event
	began  time.Time // of the turn
	out    [2]bool   // by stream: the line whose pieces come is left out
	counts Counts
}

// Counts are lines that were not emitted; with events, events.
type Counts struct {
	Filtered int64 // because of a pattern
}

// Flow returns a Flow that hands the lines to emit which are to be sent; an entry is valid until emit returns. Flow returns nil when
// every line is to be sent as it is.
func (r Rules) Flow(emit func(*frame.Entry)) *Flow {
	if r == (Rules{}) {
		return nil
	}
	f := &Flow{rules: r, emit: emit}
	if r.multiline != nil {
		f.events = &events{begins: r.multiline, emit: f.choose}
	}
	return f
}

// Begin begins a turn.
func (f *Flow) Begin() { f.began = time.Now() }

// IsOver reports whether the turn has taken so long that others should have theirs.
func (f *Flow) IsOver() bool { return time.Since(f.began) >= turn }

// Push takes a line, or a piece of one that is too long to be whole. Its Pos must be set.
func (f *Flow) Push(e *frame.Entry) {
	if f.events != nil {
		f.events.push(e)
		return
	}
	f.choose(e)
}

// choose emits e unless a pattern leaves it out. The first piece of a line decides for the others.
func (f *Flow) choose(e *frame.Entry) {
	out := &f.out[streamOf(e.Source)]
	if !e.Partial || e.Ordinal <= 1 {
		if *out = !f.rules.wants(e.Line); *out {
			f.counts.Filtered++
		}
	}
	if !*out {
		f.emit(e)
	}
}

// wants reports whether the patterns let a line pass.
func (r Rules) wants(line []byte) bool {
	return (r.include == nil || r.include.Match(line)) && (r.exclude == nil || !r.exclude.Match(line))
}

// Held returns the position that a cursor may not pass, because something before it is still to be emitted.
func (f *Flow) Held() (pos int64, ok bool) {
	if f.events == nil {
		return 0, false
	}
	return f.events.held()
}

// Deadline returns when Expire will have something to emit.
func (f *Flow) Deadline() (at time.Time, ok bool) {
	if f.events == nil {
		return at, false
	}
	return f.events.deadline()
}

// Expire emits what has waited for too long. Call it when every line that is there has been pushed.
func (f *Flow) Expire(now time.Time) {
	if f.events != nil {
		f.events.expire(now)
	}
}

// Flush emits what waits for lines: none will come.
func (f *Flow) Flush() {
	if f.events != nil {
		f.events.flush()
	}
}

// Take returns the counts since the last call.
func (f *Flow) Take() Counts {
	c := f.counts
	f.counts = Counts{}
	return c
}
