package http

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// maxText is how long a line may be in a request.
const maxText = 900_000

// Encoder writes the records of one session: objects of JSON, with what is between two of them behind each, or lines as they are.
type Encoder struct {
	format string
	date   string // how the time is written
	clock  router.Clock
	head   []byte // before the time; with a key of "" for it, before the line
	middle []byte // before the line
	tail   []byte // behind all, up to the end of the object
	taken  map[string]bool
	parse  bool // members of a line that is a JSON object are those of the record
	line   jsontext.Members

	fluent *fluentbit.Object // nil = the payload is our own
}

var _ router.Encoder = (*Encoder)(nil)

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
	e := &Encoder{
		format: v.OneOf(format, jsonLines, jsonArray, jsonStream, raw), parse: v.Bool(parseJSON, false),
		date: v.OneOf(dateFormat, iso8601, double, epoch, epochMS, epochNano),
	}
	if f := fluentbit.Read(v, "http", dateKeyOf, dateFormOf); f != nil {
		return e.asFluentBit(v, s, f)
	}
	date, message := v.String(dateKey, "date"), v.String(messageKey, "message")
	all := map[string]string{
		"container_id": s.ContainerID, "container_name": strings.TrimPrefix(s.ContainerName, "/"), "image": s.About.Image,
		"compose_project": s.About.Project, "compose_service": s.About.Service, "host": s.Host,
		"instance_id": s.Instance.ID, "availability_zone": s.Instance.Zone,
	}
	maps.Copy(all, s.Attrs)
	for _, p := range v.Pairs(fields, "host="+s.Host) {
		all[p.Name] = p.Value
	}
	e.taken = map[string]bool{date: true, message: true, "stream": true}
	e.head = append(jsontext.AppendString([]byte("{"), []byte(date)), ':')
	e.middle = append(jsontext.AppendString([]byte(","), []byte(message)), `:"`...)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] == "" || e.taken[name] {
			continue
		}
		e.taken[name] = true
		e.tail = append(jsontext.AppendString(append(e.tail, ','), []byte(name)), ':')
		e.tail = jsontext.AppendString(e.tail, []byte(all[name]))
	}
	e.tail = append(append(e.tail, '}'), e.separator()...)
	return e
}

// separator is what is behind each object.
func (e *Encoder) separator() string {
	switch e.format {
	case jsonArray:
		return ","
	case jsonStream:
		return ""
	}
	return "\n"
}

// Settings of http-fluent-bit.
const (
	dateKeyOf  = "json_date_key"
	dateFormOf = "json_date_format"
)

// asFluentBit makes e write what Fluent Bit's output of that name writes.
func (e *Encoder) asFluentBit(v *router.Values, s router.Session, f fluentbit.Settings) *Encoder {
	key := "date"
	if given, ok := f[dateKeyOf]; ok {
		key = given
	}
	if e.format == raw {
		v.Refuse("log-opt %s is raw, which Fluent Bit does not have; leave out %s", format, fluentbit.Option("http").Name)
	}
	form := f.OneOf(v, "http", dateFormOf, fluentbit.DateForms()...)
	e.fluent = fluentbit.NewObject(key, form, fluentbit.NewRecord(s, fluentbit.Shape{}, maxText))
	e.tail = []byte(e.separator())
	return e
}

// AppendRecord implements router.Encoder. A line of the format raw that is empty is left out.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	if e.format == raw {
		return appendRaw(dst, r.Line)
	}
	if e.fluent != nil {
		return append(e.fluent.AppendObject(dst, r), e.tail...)
	}
	message := r.Line
	e.line.Reset()
	if e.parse {
		message = e.line.Read(message, func(name []byte) bool { return e.taken[string(name)] })
	}
	dst = e.appendTime(append(dst, e.head...), r.TimeNano)
	dst = jsontext.AppendCut(append(dst, e.middle...), message, maxText, router.Cut)
	dst = append(dst, '"')
	switch string(r.Source) {
	case "stdout":
		dst = append(dst, `,"stream":"stdout"`...)
	case "stderr":
		dst = append(dst, `,"stream":"stderr"`...)
	}
	return append(append(dst, e.line.Text...), e.tail...)
}

func appendRaw(dst, line []byte) []byte {
	head, mark := router.Cut(bytes.TrimRight(line, "\n"), maxText)
	if len(head) == 0 {
		return dst
	}
	return append(append(append(dst, head...), mark...), '\n')
}

func (e *Encoder) appendTime(dst []byte, nano int64) []byte {
	switch e.date {
	case double:
		sec, rest := router.Second(nano)
		return router.AppendNano(append(strconv.AppendInt(dst, sec, 10), '.'), rest)
	case epoch:
		return strconv.AppendInt(dst, nano/int64(time.Second), 10)
	case epochMS:
		return strconv.AppendInt(dst, nano/int64(time.Millisecond), 10)
	case epochNano:
		return strconv.AppendInt(dst, nano, 10)
	}
	return append(e.clock.Append(append(dst, '"'), nano), '"')
}
