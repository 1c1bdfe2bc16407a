package http

import (
	"math"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/msgpack"
	"github.com/secretref/secretref/logplugin/router"
)

// Settings of http-fluent-bit.
const (
	dateKeyOf  = "json_date_key"
	dateFormOf = "json_date_format"
)

// asFluentBit makes what writes what Fluent Bit's output of that name writes; the faults are in v.
func asFluentBit(v *router.Values, s router.Session, f fluentbit.Settings, format string) writer {
	key := "date"
	if given, ok := f[dateKeyOf]; ok {
		key = given
	}
	form := f.OneOf(v, "http", dateFormOf, fluentbit.DateForms()...)
	switch format {
	case raw, gelf:
		v.Refuse("log-opt http-format is %s, whose payload is not Fluent Bit's; leave out %s", format, fluentbit.Option("http").Name)
	case msgPack:
		return newEvents(s)
	}
	return &fluentObjects{
		object: fluentbit.NewObject(key, form, fluentbit.NewRecord(s, fluentbit.Shape{}, maxText)), separator: separator(format),
	}
}

// fluentObjects writes objects of JSON.
type fluentObjects struct {
	object    *fluentbit.Object
	separator string
}

func (o *fluentObjects) append(dst []byte, r *router.Record) []byte {
	return append(o.object.AppendObject(dst, r), o.separator...)
}

// events writes the events of Fluent Bit's chunks: the time with metadata, of which there are none, and the record.
type events struct {
	head []byte // of the record, up to the source
	tail []byte // behind the line
}

func newEvents(s router.Session) *events {
	all := fluentbit.Members(s)
	e := &events{head: msgpack.AppendMap(nil, len(all)+2)}
	for i, m := range all {
		pair := msgpack.AppendStr(msgpack.AppendStr(nil, m.Name), m.Value)
		if i < 2 { // the container
			e.head = append(e.head, pair...)
		} else {
			e.tail = append(e.tail, pair...)
		}
	}
	e.head = msgpack.AppendStr(e.head, fluentbit.Source)
	return e
}

func (e *events) append(dst []byte, r *router.Record) []byte {
	dst = msgpack.AppendArray(msgpack.AppendArray(dst, 2), 2)
	sec, rest := router.Second(r.TimeNano)
	sec = min(max(sec, 0), math.MaxUint32)                                      // there are no others in the format
	dst = msgpack.AppendMap(msgpack.AppendEventTime(dst, uint32(sec), rest), 0) //nolint:gosec // it fits
	dst = msgpack.AppendStr(append(dst, e.head...), r.Source)
	dst = appendText(msgpack.AppendStr(dst, fluentbit.Log), r.Line)
	return append(dst, e.tail...)
}
