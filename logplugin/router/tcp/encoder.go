package tcp

import (
	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

// maxText is how long a line may be in a record.
const maxText = 900_000

// encoderOf makes the encoder of a session; the faults are in v.
func encoderOf(v *router.Values, s router.Session) router.Encoder {
	form := v.OneOf(format, jsonLines, jsonArray, jsonStream, msgPack, raw)
	date := v.OneOf(dateFormat, fluentbit.ISO8601, fluentbit.Double, fluentbit.Epoch, fluentbit.EpochMS, fluentbit.JavaSQL)
	switch form {
	case msgPack:
		return events{fluentbit.NewEvent(s, maxText)}
	case raw:
		return lines{}
	}
	o := &objects{object: fluentbit.NewObject(v.String(dateKey, "date"), date, fluentbit.NewRecord(s, fluentbit.Shape{}, maxText))}
	switch form {
	case jsonLines:
		o.after = "\n"
	case jsonArray:
		o.before, o.after = "[", "]"
	}
	return o
}

// objects writes each record as an object of JSON.
type objects struct {
	before, after string
	object        *fluentbit.Object
}

// AppendRecord implements router.Encoder.
func (o *objects) AppendRecord(dst []byte, r *router.Record) []byte {
	return append(o.object.AppendObject(append(dst, o.before...), r), o.after...)
}

// lines writes the line alone.
type lines struct{}

// AppendRecord implements router.Encoder.
func (lines) AppendRecord(dst []byte, r *router.Record) []byte {
	line, mark := router.Cut(r.Line, maxText)
	return append(append(append(dst, line...), mark...), '\n')
}

// events writes each record as Fluent Bit keeps it, in msgpack.
type events struct{ event *fluentbit.Event }

// AppendRecord implements router.Encoder.
func (e events) AppendRecord(dst []byte, r *router.Record) []byte { return e.event.AppendEvent(dst, r) }
