package lines

import (
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// turn is how long patterns may look at the lines of one session before other sessions of its destination have their turn.
const turn = 50 * time.Millisecond

// Flow applies the Rules of one session to its lines. It belongs to one goroutine.
type Flow struct {
	rules  Rules
	emit   func(*frame.Entry)
	began  time.Time // of the turn
	out    [2]bool   // by stream: the line whose pieces come is left out
	counts Counts
}

// Counts are lines that were not emitted.
type Counts struct {
	Filtered int64 // because of a pattern
}

// Flow returns a Flow that hands the lines to emit which are to be sent. It returns nil when that is all of them.
func (r Rules) Flow(emit func(*frame.Entry)) *Flow {
	if r == (Rules{}) {
		return nil
	}
	return &Flow{rules: r, emit: emit}
}

// Begin begins a turn.
func (f *Flow) Begin() { f.began = time.Now() }

// IsOver reports whether the turn has taken so long that others should have theirs.
func (f *Flow) IsOver() bool { return time.Since(f.began) >= turn }

// Push takes a line, or a piece of one that is too long to be whole. The first piece decides for the others.
func (f *Flow) Push(e *frame.Entry) {
	out := &f.out[0]
	if string(e.Source) == "stderr" {
		out = &f.out[1]
	}
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

// Take returns the counts since the last call.
func (f *Flow) Take() Counts {
	c := f.counts
	f.counts = Counts{}
	return c
}
