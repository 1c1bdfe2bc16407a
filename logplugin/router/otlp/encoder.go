package otlp

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/protobuf"
	"github.com/secretref/secretref/logplugin/router"
)

// Fields of the messages that a request is made of:
// https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto
const (
	requestResourceLogs protowire.Number = 1 // of ExportLogsServiceRequest
	logsResource        protowire.Number = 1 // of ResourceLogs
	logsScopeLogs       protowire.Number = 2
	logsSchema          protowire.Number = 3
	resourceAttributes  protowire.Number = 1 // of Resource
	scopeLogsScope      protowire.Number = 1 // of ScopeLogs
	scopeLogsRecords    protowire.Number = 2
	scopeName           protowire.Number = 1 // of InstrumentationScope
	recordTime          protowire.Number = 1 // of LogRecord
	recordSeverity      protowire.Number = 2
	recordSeverityText  protowire.Number = 3
	recordBody          protowire.Number = 5
	recordAttributes    protowire.Number = 6
	recordObserved      protowire.Number = 11
	pairKey             protowire.Number = 1 // of KeyValue
	pairValue           protowire.Number = 2
	valueString         protowire.Number = 1 // of AnyValue
	valueBool           protowire.Number = 2
	valueInt            protowire.Number = 3
	valueDouble         protowire.Number = 4
)

// schema says which version of the semantic conventions the names of attributes are from.
const schema = "https://opentelemetry.io/schemas/1.37.0"

// scope is the name of the instrumentation scope of all records.
const scope = "secretref-logdriver"

// pair is an attribute.
type pair struct{ name, value string }

// Encoder writes the records of one session as log records.
type Encoder struct {
	head   []byte               // of a ResourceLogs: its resource and schema
	scope  []byte               // the scope, as a field of ScopeLogs
	bare   bool                 // no time of observation, as in Fluent Bit's payload
	fixed  [len(sources)][]byte // what all records of a source have, but for the severity
	usual  [len(sources)]severity
	levels bool // the severity is that of the line, if it says one
	parse  bool // members of a line that is a JSON object are attributes

	// Of the line at hand; the memory is used again.
	object     jsontext.Object
	attributes []byte
	text       []byte // its message
	name       []byte // of a member
	value      []byte
	member     []byte // the text of its value
}

var _ router.Encoder = (*Encoder)(nil)

// sources are the values of log.iostream. The first is for records that have none.
var sources = [3]string{"", "stdout", "stderr"}

func newEncoder(resource []pair) *Encoder {
	e := &Encoder{scope: scopeField}
	r := appendPairs(nil, resourceAttributes, resource)
	e.head = append(protobuf.AppendHead(nil, logsResource, len(r)), r...)
	e.head = protobuf.AppendString(e.head, logsSchema, schema)
	for i, source := range sources {
		if source != "" {
			e.fixed[i] = appendPairs(nil, recordAttributes, []pair{{"log.iostream", source}})
		}
	}
	return e
}

// appendPairs appends attributes, each as the field.
func appendPairs(dst []byte, field protowire.Number, pairs []pair) []byte {
	for _, p := range pairs {
		value := protobuf.AppendString(nil, valueString, p.value)
		message := protobuf.AppendString(nil, pairKey, p.name)
		message = append(protobuf.AppendHead(message, pairValue, len(value)), value...)
		dst = append(protobuf.AppendHead(dst, field, len(message)), message...)
	}
	return dst
}

const timeLen = 9 // of a field with a time, whose number is below 16

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	source := 0
	switch string(r.Source) {
	case sources[1]:
		source = 1
	case sources[2]:
		source = 2
	}
	level, body := e.usual[source], r.Line
	e.attributes = e.attributes[:0]
	if e.levels || e.parse {
		if found := e.read(r.Line, &body); e.levels && found.number > 0 {
			level = found
		}
	}
	fixed := e.fixed[source]
	lineLen := protobuf.TextLen(body)
	bodyLen := protobuf.FieldLen(valueString, lineLen)
	n := timeLen + len(fixed) + len(e.attributes) + protobuf.FieldLen(recordBody, bodyLen)
	if !e.bare {
		n += timeLen
	}
	if level.number > 0 {
		n += 2 + protobuf.FieldLen(recordSeverityText, len(level.text))
	}
	dst = protobuf.AppendHead(dst, scopeLogsRecords, n)
	nano := uint64(max(r.TimeNano, 0)) // the protocol has no time before 1970
	dst = protobuf.AppendFixed64(dst, recordTime, nano)
	if !e.bare {
		dst = protobuf.AppendFixed64(dst, recordObserved, nano) // the daemon's time is when it has read the line
	}
	if level.number > 0 {
		dst = protobuf.AppendVarint(dst, recordSeverity, level.number)
		dst = append(protobuf.AppendHead(dst, recordSeverityText, len(level.text)), level.text...)
	}
	dst = append(append(dst, fixed...), e.attributes...)
	dst = protobuf.AppendHead(dst, recordBody, bodyLen)
	return protobuf.AppendText(protobuf.AppendHead(dst, valueString, lineLen), body, lineLen)
}
