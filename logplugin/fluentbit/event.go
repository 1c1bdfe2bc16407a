package fluentbit

import (
	"math"

	"github.com/secretref/secretref/logplugin/msgpack"
	"github.com/secretref/secretref/logplugin/router"
)

// Event writes records as the events of Fluent Bit's chunks, in msgpack: the time with metadata, of which there are none, and the
// record. Bytes that are not UTF-8 stay as they are.
type Event struct {
	head []byte // of the record, up to the source
	tail []byte // behind the line
	max  int
}

// NewEvent returns the writer of a session's records. A line has at most max bytes.
func NewEvent(s router.Session, max int) *Event {
	all := Members(s)
	e := &Event{head: msgpack.AppendMap(nil, len(all)+2), max: max}
	for i, m := range all {
		pair := msgpack.AppendStr(msgpack.AppendStr(nil, m.Name), m.Value)
		if i < 2 { // the container
			e.head = append(e.head, pair...)
		} else {
			e.tail = append(e.tail, pair...)
		}
	}
	e.head = msgpack.AppendStr(e.head, Source)
	return e
}

// AppendEvent appends one record.
func (e *Event) AppendEvent(dst []byte, r *router.Record) []byte {
	dst = msgpack.AppendArray(msgpack.AppendArray(dst, 2), 2)
	sec, rest := router.Second(r.TimeNano)
	sec = min(max(sec, 0), math.MaxUint32)                                      // there are no others in the format
	dst = msgpack.AppendMap(msgpack.AppendEventTime(dst, uint32(sec), rest), 0) //nolint:gosec // it fits
	dst = msgpack.AppendStr(append(dst, e.head...), r.Source)
	line, mark := router.Cut(r.Line, e.max)
	dst = msgpack.AppendStrHead(msgpack.AppendStr(dst, Log), len(line)+len(mark))
	return append(append(append(dst, line...), mark...), e.tail...)
}
