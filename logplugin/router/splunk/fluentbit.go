package splunk

import (
	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Settings of splunk-fluent-bit.
const (
	sendRaw   = "splunk_send_raw"
	eventKey  = "event_key"
	eventHost = "event_host"
)

// settingsOf reads splunk-fluent-bit; nil means that it is not given. Faults are in v.
func settingsOf(v *router.Values) fluentbit.Settings {
	f := fluentbit.Read(v, "splunk", sendRaw, eventKey, eventHost)
	f.OneOf(v, "splunk", eventKey, "", "$log", "log")
	if f != nil && v.Has("splunk-format") {
		v.Refuse("log-opts splunk-format and splunk-fluent-bit both say what is sent; give one")
	}
	return f
}

// fluentEvent writes events as Fluent Bit's output of that name does.
type fluentEvent struct {
	raw    bool
	line   bool   // the event is the line alone
	head   []byte // behind the time, up to the event
	record *fluentbit.Record
}

// maxEvent is how long a line may be in JSON: HEC takes an event of 1 MB.
const maxEvent = 900_000

func newFluentEvent(v *router.Values, s router.Session, f fluentbit.Settings) *fluentEvent {
	e := &fluentEvent{raw: f.Is(sendRaw), line: f[eventKey] != "", record: fluentbit.NewRecord(s, fluentbit.Shape{}, maxEvent)}
	for _, o := range []struct{ key, value string }{
		{"host", f[eventHost]}, {"source", v.String("splunk-source", "")}, {"sourcetype", v.String("splunk-sourcetype", "")}, {"index", v.String("splunk-index", "")},
	} {
		if o.value != "" {
			e.head = jsontext.AppendString(append(e.head, `,"`+o.key+`":`...), []byte(o.value))
		}
	}
	e.head = append(e.head, `,"event":`...)
	return e
}

// append appends one event. Like Fluent Bit it sends the whole record of an empty line: HEC refuses one that is the event itself.
func (e *fluentEvent) append(dst []byte, r *router.Record) []byte {
	if e.raw {
		return append(e.record.AppendMembers(append(dst, '{'), r), "}\n"...)
	}
	dst = append(fluentbit.AppendSeconds(append(dst, `{"time":`...), r.TimeNano), e.head...)
	if e.line && len(r.Line) > 0 {
		return append(append(jsontext.AppendCut(append(dst, '"'), r.Line, maxEvent, router.Cut), '"'), '}')
	}
	return append(e.record.AppendMembers(append(dst, '{'), r), "}}"...)
}
