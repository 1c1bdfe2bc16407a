package records

import (
	"encoding/base64"
	"time"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Encoder writes the records of one session, each as a record of a request with a comma behind it.
type Encoder struct {
	tail   []byte      // of a record's text, the same for all records
	tails  [3][]byte   // of a record in the request: the tail in base64 without its first 0, 1 and 2 bytes, and end
	end    []byte      // of a record in the request, behind its data
	fluent *fluentText // nil means that the text of a record is our own
	text   []byte      // memory for the text of a record

	second int64 // whose time is in clock
	clock  []byte
}

// encoder makes the encoder of a session; the faults are in v.
func (s *Stream) encoder(v *router.Values, session router.Session) *Encoder {
	e := &Encoder{end: []byte(`"},`), tail: []byte{'"'}}
	if s.Keyed {
		e.end = jsontext.AppendString([]byte(`","PartitionKey":`), []byte(s.partitionKey(v, session)))
		e.end = append(e.end, "},"...)
	}
	if f := s.settings(v); f != nil {
		e.fluent = s.asFluentBit(v, session, f)
		return e
	}
	for _, m := range fluentbit.Members(session) {
		if m.Name == "date" {
			continue
		}
		member := jsontext.AppendString(nil, []byte(m.Name))
		member = jsontext.AppendString(append(member, ':'), []byte(m.Value))
		if len(e.tail)+len(member) < maxAttrs {
			e.tail = append(append(e.tail, ','), member...)
		}
	}
	e.tail = append(e.tail, "}\n"...)
	for i := range e.tails {
		e.tails[i] = append(base64.StdEncoding.AppendEncode(nil, e.tail[i:]), e.end...)
	}
	return e
}

// partitionKey returns what decides on the shard of a session's records; the faults are in v.
func (s *Stream) partitionKey(v *router.Values, session router.Session) string {
	key := v.String(s.key(), "")
	switch n := utf8.RuneCountInString(key); {
	case n > maxKey:
		v.Refuse("log-opt %s: it has %d characters and may have %d", s.key(), n, maxKey)
	case n == 0:
		return session.ContainerID
	}
	return key
}

// appendHead appends what our own record has as its data in front of the tail.
func (e *Encoder) appendHead(text []byte, r *router.Record) []byte {
	text = e.appendTime(append(text, `{"date":"`...), r.TimeNano)
	text = jsontext.AppendEscaped(append(text, `","source":"`...), r.Source)
	return jsontext.AppendCut(append(text, `","log":"`...), r.Line, maxText, router.Cut)
}

// appendTime appends a time with microseconds. The text of its second is written once for all records of it.
func (e *Encoder) appendTime(dst []byte, nano int64) []byte {
	t := time.Unix(0, nano)
	if at := t.Unix(); at != e.second || e.clock == nil {
		e.second, e.clock = at, t.UTC().AppendFormat(e.clock[:0], "2006-01-02T15:04:05.")
	}
	dst = append(dst, e.clock...)
	micro := t.Nanosecond() / 1000
	for digit := 100_000; digit > 0; digit /= 10 {
		dst = append(dst, '0'+byte(micro/digit%10))
	}
	return append(dst, 'Z')
}

// AppendRecord implements router.Encoder. Three bytes become four in base64, so that the tail is there already, once so much of it as
// fills the last three goes with the head.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	text, end := e.text[:0], e.end
	if e.fluent != nil {
		text = e.fluent.append(text, r)
	} else {
		text = e.appendHead(text, r)
		missing := (3 - len(text)%3) % 3
		text, end = append(text, e.tail[:missing]...), e.tails[missing]
	}
	if len(text) == 0 {
		return dst
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, `{"Data":"`...), text)
	const kept = 64 << 10
	if e.text = text; cap(text) > kept {
		e.text = nil
	}
	return append(dst, end...)
}
