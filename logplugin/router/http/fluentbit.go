package http

import (
	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

// Settings of http-fluent-bit.
const (
	dateKeyOf  = "json_date_key"
	dateFormOf = "json_date_format"
)

// settingsOf reads http-fluent-bit; nil means that it is not given. Faults are in v.
func settingsOf(v *router.Values) fluentbit.Settings {
	return fluentbit.Read(v, "http", append(fluentbit.GELFSettings(), dateKeyOf, dateFormOf)...)
}

// asFluentBit makes what writes what Fluent Bit's output of that name writes; the faults are in v.
func asFluentBit(v *router.Values, s router.Session, f fluentbit.Settings, format string) writer {
	key := "date"
	if given, ok := f[dateKeyOf]; ok {
		key = given
	}
	form := f.OneOf(v, "http", dateFormOf, fluentbit.DateForms()...)
	switch format {
	case gelf:
		return fluentMessages{fluentbit.NewGELF(s, f, maxText)}
	case raw:
		v.Refuse("log-opt http-format is %s, whose payload is not Fluent Bit's; leave out %s", format, fluentbit.Option("http").Name)
	case msgPack:
		return &events{fluentbit.NewEvent(s, maxText)}
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

// events writes the events of Fluent Bit's chunks.
type events struct{ event *fluentbit.Event }

func (e *events) append(dst []byte, r *router.Record) []byte { return e.event.AppendEvent(dst, r) }

// fluentMessages writes messages of GELF.
type fluentMessages struct{ message *fluentbit.GELF }

func (m fluentMessages) append(dst []byte, r *router.Record) []byte {
	return append(m.message.AppendGELF(dst, r), '\n')
}
