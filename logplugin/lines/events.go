package lines

import (
	"time"

	"github.com/secretref/secretref/logplugin/bounded"
	"github.com/secretref/secretref/logplugin/frame"
)

// Limits of an event. A line that is longer than maxEventBytes is an event of its own.
const (
	maxEventLines = 500
	maxEventBytes = 256 << 10
	maxEventAge   = 5 * time.Second // between its first line and the others, and until it is emitted
)

// A buffer of this size may stay with an idle session.
const keepBytes = 16 << 10

// maxSpan is how far behind an event a cursor may stay because an event, or a line, of the other stream has frames on each side of its start.
const maxSpan = 4 << 20

// events makes one event of a line that matches the pattern and the lines of the same stream that follow it and do not.
type events struct {
	begins *bounded.Pattern
	emit   func(*frame.Entry)
	open   [2]event // by stream
	out    frame.Entry
}

// event is one that may get more lines.
type event struct {
	lines  int // 0 means that none is open
	text   []byte
	source []byte
	time   int64     // of the first line, as the daemon says
	since  time.Time // when that was pushed
	pos    int64     // of the first line
	floor  int64     // a cursor between here and pos would be inside an event or a line of the other stream
}

// streamOf returns the index of a stream. The daemon has two.
func streamOf(source []byte) int {
	if string(source) == "stderr" {
		return 1
	}
	return 0
}

// push takes a line, and returns where the event begins that it belongs to.
func (v *events) push(e *frame.Entry) frame.Span {
	for i := range v.open {
		if o := &v.open[i]; o.lines > 0 && e.TimeNano-o.time >= int64(maxEventAge) {
			v.finish(o)
		}
	}
	stream := streamOf(e.Source)
	o := &v.open[stream]
	if o.lines > 0 && (e.Partial || len(o.text)+1+len(e.Line) > maxEventBytes || v.begins.Match(e.Line)) {
		v.finish(o)
	}
	switch {
	case e.Partial, len(e.Line) > maxEventBytes:
		s := frame.Span{Pos: e.Pos, Floor: e.Floor}
		v.lower(1-stream, s)
		v.emit(e)
		return s
	case o.lines == 0:
		*o = event{
			lines: 1, text: append(o.text[:0], e.Line...), source: append(o.source[:0], e.Source...),
			time: e.TimeNano, since: time.Now(), pos: e.Pos, floor: e.Floor,
		}
	default:
		o.text = append(append(o.text, '\n'), e.Line...)
		o.lines++
	}
	s := frame.Span{Pos: o.pos, Floor: o.floor}
	v.lower(1-stream, s)
	if o.lines == maxEventLines {
		v.finish(o)
	}
	return s
}

// lower notes that s, which is of the other stream, has frames on each side of the start of the open event of a stream.
func (v *events) lower(stream int, s frame.Span) {
	if o := &v.open[stream]; o.lines > 0 && o.floor > s.Pos && o.pos-s.Floor <= maxSpan {
		o.floor = s.Floor
	}
}

// finish emits an event. Its buffer stays.
func (v *events) finish(o *event) {
	v.out = frame.Entry{Source: o.source, TimeNano: o.time, Line: o.text, Pos: o.pos, Floor: o.floor}
	v.emit(&v.out)
	v.out = frame.Entry{}
	o.lines = 0
}

// oldest returns the open event that began first, or nil.
func (v *events) oldest() *event {
	var old *event
	for i := range v.open {
		if o := &v.open[i]; o.lines > 0 && (old == nil || o.pos < old.pos) {
			old = o
		}
	}
	return old
}

// held returns the position that a cursor may not pass: from there on all lines are read again after a crash, those of whole
// events alone.
func (v *events) held() (pos int64, ok bool) {
	for i := range v.open {
		if o := &v.open[i]; o.lines > 0 && (!ok || o.floor < pos) {
			pos, ok = o.floor, true
		}
	}
	return pos, ok
}

// deadline returns when expire will have something to emit.
func (v *events) deadline() (at time.Time, ok bool) {
	for i := range v.open {
		if o := &v.open[i]; o.lines > 0 && (!ok || o.since.Add(maxEventAge).Before(at)) {
			at, ok = o.since.Add(maxEventAge), true
		}
	}
	return at, ok
}

// expire emits what has been open for too long, and gives back large buffers that are not used.
func (v *events) expire(now time.Time) {
	for o := v.oldest(); o != nil && now.Sub(o.since) >= maxEventAge; o = v.oldest() {
		v.finish(o)
	}
	for i := range v.open {
		if o := &v.open[i]; o.lines == 0 && cap(o.text) > keepBytes {
			o.text = nil
		}
	}
}

// flush emits every open event, the oldest first: no line of theirs will come.
func (v *events) flush() {
	for o := v.oldest(); o != nil; o = v.oldest() {
		v.finish(o)
	}
}
