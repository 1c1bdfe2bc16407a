package elasticsearch

import (
	"cmp"
	"strconv"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Settings of elasticsearch-fluent-bit.
const (
	typeName   = "type" // of the documents, for servers that still want one; "" = none
	timeKey    = "time_key"
	timeFormat = "time_key_format"
	timeNanos  = "time_key_nanos"
	withTag    = "include_tag_key"
	tagKey     = "tag_key"
	withoutDot = "replace_dots"
	generateID = "generate_id" // "false" leaves out the id of a document
)

// settingsOf reads elasticsearch-fluent-bit; nil means that it is not given. Faults are in v.
func settingsOf(v *router.Values) fluentbit.Settings {
	return fluentbit.Read(v, "elasticsearch", typeName, timeKey, timeFormat, timeNanos, withTag, tagKey, withoutDot, generateID)
}

// FluentEncoder writes the records of one session as Fluent Bit's outputs es and opensearch write them, but for the id.
type FluentEncoder struct {
	index  indexName
	id     bool   // documents have one, whose beginning is behind the index
	rest   []byte // of the action, behind the id, and of the document, up to the time
	time   fluentbit.TimeFormat
	nanos  bool
	tag    []byte // a member, with the comma before it; empty = none
	record *fluentbit.Record
}

var _ router.Encoder = (*FluentEncoder)(nil)

// asFluentBit makes the encoder of a session; faults are in v.
func asFluentBit(v *router.Values, s router.Session, f fluentbit.Settings) *FluentEncoder {
	e := &FluentEncoder{nanos: f.Is(timeNanos), id: f.OneOf(v, "elasticsearch", generateID, "true", "false") == "true"}
	if e.id {
		e.index, e.rest = newIndexName(v, idOf(s)), []byte(`"`)
	} else {
		e.index = newIndexName(v, nil)
	}
	if name := f[typeName]; name != "" {
		e.rest = jsontext.AppendString(append(e.rest, `,"_type":`...), []byte(name))
	}
	if name := v.String(pipeline, ""); name != "" {
		e.rest = jsontext.AppendString(append(e.rest, `,"pipeline":`...), []byte(name))
	}
	key := cmp.Or(f[timeKey], "@timestamp")
	e.rest = append(jsontext.AppendString(append(e.rest, "}}\n{"...), []byte(key)), `:"`...)
	var err error
	if e.time, err = fluentbit.ParseTimeFormat(cmp.Or(f[timeFormat], "%Y-%m-%dT%H:%M:%S"), false); err != nil {
		v.Refuse("log-opt %s: %s: %v", fluentbit.Option("elasticsearch").Name, timeFormat, err)
	}
	without := []string{key}
	if f.Is(withTag) {
		name := cmp.Or(f[tagKey], "flb-key")
		e.tag = append(jsontext.AppendString([]byte(","), []byte(name)), ':')
		e.tag = jsontext.AppendString(e.tag, []byte(s.Tag))
		without = append(without, name)
	}
	if f.Is(withoutDot) {
		s.Attrs = fluentbit.WithoutDots(s.Attrs)
	}
	e.record = fluentbit.NewRecord(s, fluentbit.Shape{Without: without}, maxText)
	return e
}

// AppendRecord implements router.Encoder.
func (e *FluentEncoder) AppendRecord(dst []byte, r *router.Record) []byte {
	dst = append(dst, e.index.action(r.TimeNano)...)
	if e.id {
		dst = appendPlace(dst, r)
	}
	dst = e.time.Append(append(dst, e.rest...), r.TimeNano)
	dst = append(dst, '.')
	if e.nanos {
		dst = fluentbit.AppendFraction(dst, r.TimeNano, 9)
	} else {
		dst = fluentbit.AppendFraction(dst, r.TimeNano, 3)
	}
	dst = append(append(dst, `Z"`...), e.tag...)
	dst = e.record.AppendMembers(append(dst, ','), r)
	return append(dst, "}\n"...)
}

// idOf returns the member of an action that is the id of a document, up to the place of its record.
func idOf(s router.Session) []byte {
	return append(jsontext.AppendEscaped([]byte(`,"_id":"`), []byte(s.ID)), '.')
}

// appendPlace appends what names a record within its session. A line that goes on after a crash has the same place, and another length.
func appendPlace(dst []byte, r *router.Record) []byte {
	dst = strconv.AppendInt(dst, r.Position, 36)
	return strconv.AppendInt(append(dst, '.'), int64(len(r.Line)), 36)
}
