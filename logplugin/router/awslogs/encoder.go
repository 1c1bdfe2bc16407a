package awslogs

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	perEvent   = 26                 // bytes that CloudWatch Logs counts for each event besides its text
	maxMessage = 256<<10 - perEvent // of one event's text in UTF-8; Docker's driver splits longer lines there
)

// The parts of an event. A quote inside of a text is escaped, so that between never stands there.
const (
	eventHead = `{"timestamp":`
	eventText = `,"message":"`
	eventTail = `"},`
	between   = eventTail + eventHead
)

// Encoder writes the records of one session as events, each with a comma behind it.
type Encoder struct {
	stream string
	record *fluentbit.Record // the text of an event is a whole record of Fluent Bit, as JSON; nil = it is the line
	text   []byte            // of a record, at hand

	second int64  // whose digits are in clock; 0 = none yet
	clock  []byte // the head of an event up to the seconds of its time
}

var _ router.Encoder = (*Encoder)(nil)

// AppendRecord implements router.Encoder. An empty line is left out, because CloudWatch Logs takes none. A line that is too long
// for an event becomes several of them.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	line := r.Line
	if e.record != nil {
		e.text = append(e.record.AppendMembers(append(e.text[:0], '{'), r), '}')
		if line = e.text; cap(e.text) > maxMessage {
			e.text = nil
		}
	}
	for len(line) > 0 {
		n := len(line)
		if n > maxMessage/3 { // a byte that is not UTF-8 becomes three
			n = split(line)
		}
		dst = e.appendTime(dst, r.TimeNano/1e6)
		dst = jsontext.AppendEscaped(append(dst, eventText...), line[:n])
		dst = append(dst, eventTail...)
		line = line[n:]
	}
	return dst
}

// appendTime appends the head of an event and its time. The digits of a second are written once for all events of it.
func (e *Encoder) appendTime(dst []byte, milli int64) []byte {
	second, rest := milli/1000, milli%1000
	if second <= 0 {
		return strconv.AppendInt(append(dst, eventHead...), milli, 10)
	}
	if second != e.second {
		e.second, e.clock = second, strconv.AppendInt(append(e.clock[:0], eventHead...), second, 10)
	}
	dst = append(dst, e.clock...)
	return append(dst, '0'+byte(rest/100), '0'+byte(rest/10%10), '0'+byte(rest%10))
}

// split returns how many bytes of line fit into one event, without cutting a character in two.
func split(line []byte) int {
	size := 0
	for i := 0; i < len(line); {
		r, n := utf8.DecodeRune(line[i:])
		if size += utf8.RuneLen(r); size > maxMessage {
			return i
		}
		i += n
	}
	return len(line)
}

// event is one event of a batch.
type event struct {
	start, end int   // in the batch's body, without the comma behind it
	record     int   // whose it is
	time       int64 // milliseconds since 1970
}

// appendEvents appends the events of record i of b. Only a long record has more than one.
func appendEvents(dst []event, b *router.Batch, i int) []event {
	start, end := b.Start(i), b.Ends[i]-1
	for len(b.Body[start:end]) > maxMessage {
		n := bytes.Index(b.Body[start:end], []byte(between))
		if n < 0 {
			break
		}
		n += start + len(between) - len(eventHead)
		dst = append(dst, event{start, n - 1, i, timeOf(b.Body[start:])})
		start = n
	}
	return append(dst, event{start, end, i, timeOf(b.Body[start:])})
}

// timeOf reads the time of an event.
func timeOf(text []byte) (t int64) {
	digits := text[len(eventHead):]
	negative := digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	for _, c := range digits {
		if c == ',' {
			break
		}
		t = t*10 + int64(c-'0')
	}
	if negative {
		return -t
	}
	return t
}
