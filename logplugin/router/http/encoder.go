package http

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// maxText is how long a line may be in a request.
const maxText = 900_000

// Encoder writes the records of one session, in one of the formats.
type Encoder struct {
	format string
	tag    string // as a header
	writer writer
}

// writer appends a record in one format, or nothing when the format has no place for it.
type writer interface {
	append(dst []byte, r *router.Record) []byte
}

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
	e := &Encoder{format: v.OneOf(format, jsonLines, jsonArray, jsonStream, raw, msgPack, gelf), tag: inHeader(s.Tag)}
	date := v.OneOf(dateFormat, iso8601, double, epoch, epochMS, epochNano)
	parse := v.Bool(parseJSON, false)
	if parse && (e.format == msgPack || e.format == gelf) {
		v.Refuse("log-opt %s: lines are parsed for the formats of JSON; write %s=%s, or leave it out", parseJSON, format, jsonLines)
	}
	if f := settingsOf(v); f != nil {
		e.writer = asFluentBit(v, s, f, e.format)
		return e
	}
	m := membersOf(v, s)
	switch e.format {
	case raw:
		e.writer = rawLines{}
	case msgPack:
		e.writer = newPacker(m, timeWriter{form: date})
	case gelf:
		e.writer = newMessages(m, s)
	default:
		e.writer = newObjects(m, timeWriter{form: date}, separator(e.format), parse)
	}
	return e
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte { return e.writer.append(dst, r) }

// isOurs reports whether the payload is our own, and not Fluent Bit's.
func (e *Encoder) isOurs() bool {
	_, fluent := e.writer.(*events)
	return !fluent
}

// inHeader returns a tag as a header can have it.
func inHeader(tag string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, tag))
}

// members are what the records of a session have besides the line, its source and its time.
type members struct {
	date, message string // names
	fixed         []router.Pair
}

// membersOf reads them; the faults are in v.
func membersOf(v *router.Values, s router.Session) members {
	m := members{date: v.String(dateKey, "date"), message: v.String(messageKey, "message")}
	all := map[string]string{
		"container_id": s.ContainerID, "container_name": strings.TrimPrefix(s.ContainerName, "/"), "image": s.About.Image,
		"compose_project": s.About.Project, "compose_service": s.About.Service, "host": s.Host,
		"instance_id": s.Instance.ID, "availability_zone": s.Instance.Zone,
	}
	maps.Copy(all, s.Attrs)
	for _, p := range v.Pairs(fields, "host="+s.Host) {
		all[p.Name] = p.Value
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != "" && name != m.date && name != m.message && name != "stream" {
			m.fixed = append(m.fixed, router.Pair{Name: name, Value: all[name]})
		}
	}
	return m
}

// objects writes objects of JSON, with what is between two of them behind each.
type objects struct {
	time   timeWriter
	head   []byte // before the time
	middle []byte // before the line
	tail   []byte // behind all, up to the end of the object
	taken  map[string]bool
	parse  bool // members of a line that is a JSON object are those of the record
	line   jsontext.Members
}

func newObjects(m members, t timeWriter, separator string, parse bool) *objects {
	o := &objects{time: t, parse: parse, taken: map[string]bool{m.date: true, m.message: true, "stream": true}}
	o.head = append(jsontext.AppendString([]byte("{"), []byte(m.date)), ':')
	o.middle = append(jsontext.AppendString([]byte(","), []byte(m.message)), `:"`...)
	for _, p := range m.fixed {
		o.taken[p.Name] = true
		o.tail = appendMember(append(o.tail, ','), p.Name, p.Value)
	}
	o.tail = append(append(o.tail, '}'), separator...)
	return o
}

func appendMember(dst []byte, name, value string) []byte {
	return jsontext.AppendString(append(jsontext.AppendString(dst, []byte(name)), ':'), []byte(value))
}

// separator is what is behind each object.
func separator(format string) string {
	switch format {
	case jsonArray:
		return ","
	case jsonStream:
		return ""
	}
	return "\n"
}

func (o *objects) append(dst []byte, r *router.Record) []byte {
	message := r.Line
	o.line.Reset()
	if o.parse {
		message = o.line.Read(message, func(name []byte) bool { return o.taken[string(name)] })
	}
	dst = o.time.append(append(dst, o.head...), r.TimeNano)
	dst = jsontext.AppendCut(append(dst, o.middle...), message, maxText, router.Cut)
	dst = append(dst, '"')
	switch string(r.Source) {
	case "stdout":
		dst = append(dst, `,"stream":"stdout"`...)
	case "stderr":
		dst = append(dst, `,"stream":"stderr"`...)
	}
	return append(append(dst, o.line.Text...), o.tail...)
}

// rawLines writes lines as they are. An empty one is left out.
type rawLines struct{}

func (rawLines) append(dst []byte, r *router.Record) []byte {
	head, mark := router.Cut(bytes.TrimRight(r.Line, "\n"), maxText)
	if len(head) == 0 {
		return dst
	}
	return append(append(append(dst, head...), mark...), '\n')
}

// timeWriter writes times as http-date-format says, as JSON.
type timeWriter struct {
	form  string
	clock router.Clock
}

func (t *timeWriter) append(dst []byte, nano int64) []byte {
	switch t.form {
	case double:
		return router.AppendSeconds(dst, nano, 9)
	case iso8601:
		return append(t.clock.Append(append(dst, '"'), nano), '"')
	}
	return strconv.AppendInt(dst, t.number(nano), 10)
}

// number returns a time in whole units of the form.
func (t *timeWriter) number(nano int64) int64 {
	switch t.form {
	case epoch:
		return nano / int64(time.Second)
	case epochMS:
		return nano / int64(time.Millisecond)
	}
	return nano
}
