package fluentbit

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Shape says which members the records of a session have, and how they are called. The zero value is the record as it is.
type Shape struct {
	Without []string // members that are left out
	Message string   // the name of the member Renamed; "" means that it keeps its own
	Renamed string   // "" means Log
}

// name is what the member of that name is called.
func (s Shape) name(member string) string {
	if s.Message != "" && member == cmp.Or(s.Renamed, Log) {
		return s.Message
	}
	return member
}

// Record writes the members of one session's records.
type Record struct {
	head   []byte // up to the source's value, or to that of the line when there is no source
	middle []byte // between the two
	tail   []byte // behind the line
	source bool
	line   bool
	max    int
}

// NewRecord returns the writer of a session's records. A line takes at most max bytes in JSON.
func NewRecord(s router.Session, shape Shape, max int) *Record {
	r := &Record{source: !slices.Contains(shape.Without, Source), line: !slices.Contains(shape.Without, Log), max: max}
	first := true
	open := func(dst []byte, name string) []byte {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		return append(jsontext.AppendString(dst, []byte(name)), ':')
	}
	all := Members(s)
	for _, m := range all[:2] {
		if !slices.Contains(shape.Without, m.Name) {
			r.head = jsontext.AppendString(open(r.head, shape.name(m.Name)), []byte(m.Value))
		}
	}
	if r.source {
		r.head = open(r.head, shape.name(Source))
	}
	if r.line {
		r.middle = append(open(r.middle, shape.name(Log)), '"')
	}
	for _, m := range all[2:] {
		if !slices.Contains(shape.Without, m.Name) && (m.Name != shape.Message || shape.Renamed == m.Name) {
			r.tail = jsontext.AppendString(open(r.tail, shape.name(m.Name)), []byte(m.Value))
		}
	}
	return r
}

// AppendMembers appends the members of a record with commas between them, without the braces around them.
func (r *Record) AppendMembers(dst []byte, rec *router.Record) []byte {
	dst = append(dst, r.head...)
	if r.source {
		dst = jsontext.AppendString(dst, rec.Source)
	}
	dst = append(dst, r.middle...)
	if r.line {
		dst = append(jsontext.AppendCut(dst, rec.Line, r.max, router.Cut), '"')
	}
	return append(dst, r.tail...)
}

// Forms of a time, by Fluent Bit's words for json_date_format.
const (
	Double  = "double"
	ISO8601 = "iso8601"
	Epoch   = "epoch"
	EpochMS = "epoch_ms"
	JavaSQL = "java_sql_timestamp"
)

// DateForms lists them; the first is Fluent Bit's default.
func DateForms() []string { return []string{Double, ISO8601, Epoch, EpochMS, JavaSQL} }

// date writes times in one of DateForms, as JSON. Fluent Bit's have microseconds at most.
type date struct {
	form string
	text *TimeFormat // of ISO8601 and JavaSQL
}

func newDate(form string) date {
	const fraction = 6 // digits
	day, clock := timePart{layout: "2006-01-02"}, timePart{layout: "15:04:05."}
	switch form {
	case ISO8601:
		return date{form, &TimeFormat{parts: []timePart{day, {text: "T"}, clock, {digits: fraction}, {text: "Z"}}}}
	case JavaSQL:
		return date{form, &TimeFormat{parts: []timePart{day, {text: " "}, clock, {digits: fraction}}}}
	}
	return date{form: form}
}

func (d date) append(dst []byte, nano int64) []byte {
	switch {
	case d.text != nil:
		return append(d.text.Append(append(dst, '"'), nano), '"')
	case d.form == Epoch:
		return strconv.AppendInt(dst, floor(nano, int64(time.Second)), 10)
	case d.form == EpochMS:
		return strconv.AppendInt(dst, floor(nano, int64(time.Millisecond)), 10)
	}
	return AppendSeconds(dst, nano)
}

// AppendSeconds appends a time as seconds with six decimals, rounded as Fluent Bit does.
func AppendSeconds(dst []byte, nano int64) []byte {
	micro := floor(nano, 1000)
	if nano-micro*1000 >= 500 {
		micro++
	}
	if micro < 0 {
		dst, micro = append(dst, '-'), -micro
	}
	dst = append(strconv.AppendInt(dst, micro/1e6, 10), '.')
	for digit := int64(1e5); digit > 0; digit /= 10 {
		dst = append(dst, '0'+byte(micro/digit%10))
	}
	return dst
}

func floor(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

// Object writes a record as one JSON object, with the time as a member of its own before the others.
type Object struct {
	head   []byte // up to the time
	date   date
	dated  bool // there is a time
	record *Record
}

// NewObject returns the writer of a session's records. A dateKey of "" or "false" leaves the time out.
func NewObject(dateKey, dateForm string, r *Record) *Object {
	o := &Object{head: []byte("{"), date: newDate(dateForm), record: r, dated: dateKey != "" && dateKey != "false"}
	if o.dated {
		o.head = append(jsontext.AppendString(o.head, []byte(dateKey)), ':')
	}
	return o
}

// AppendObject appends one record.
func (o *Object) AppendObject(dst []byte, rec *router.Record) []byte {
	dst = append(dst, o.head...)
	if o.dated {
		dst = append(o.date.append(dst, rec.TimeNano), ',')
	}
	return append(o.record.AppendMembers(dst, rec), '}')
}
