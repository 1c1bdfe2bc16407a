package loki

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/protobuf"
	"github.com/secretref/secretref/logplugin/router"
)

// Fields of the messages that a push is made of:
// https://github.com/grafana/loki/blob/main/pkg/push/push.proto
const (
	pushStreams   protowire.Number = 1 // of PushRequest
	streamLabels  protowire.Number = 1 // of StreamAdapter
	streamEntries protowire.Number = 2
	entryTime     protowire.Number = 1 // of EntryAdapter
	entryLine     protowire.Number = 2
	entryMetadata protowire.Number = 3
	pairName      protowire.Number = 1 // of LabelPairAdapter
	pairValue     protowire.Number = 2
	seconds       protowire.Number = 1 // of Timestamp
	nanos         protowire.Number = 2
)

// A container has a stream of its own for each source, because the source is a label. In a batch a byte in front of each
// record says which: records become entries of a stream only when they are sent.
const (
	sourceNone = iota
	sourceStdout
	sourceStderr
	sources // how many there are
)

// maxLine is Loki's default limit.
const maxLine = 256 << 10

// Encoder writes the records of one session as entries of a push.
type Encoder struct {
	json     bool
	streams  [sources][]byte // the labels, as the body has them
	metadata []byte          // the structured metadata of every entry, as the body has it
	fluent   *fluentLine     // nil = a line is sent as it is
}

var _ router.Encoder = (*Encoder)(nil)

// newEncoder returns an encoder for these labels and this structured metadata. The source is the value of the labels sourceLabels.
func newEncoder(asJSON bool, labels, metadata []router.Pair, sourceLabels ...string) *Encoder {
	e := &Encoder{json: asJSON}
	for i, source := range []string{"", "stdout", "stderr"} {
		all := slices.Clip(labels)
		for _, name := range sourceLabels {
			if source != "" {
				all = append(all, router.Pair{Name: name, Value: source})
			}
		}
		if asJSON {
			e.streams[i] = appendObject(nil, all)
		} else {
			e.streams[i] = protobuf.AppendString(nil, streamLabels, selector(all))
		}
	}
	switch {
	case len(metadata) == 0:
	case asJSON:
		e.metadata = appendObject([]byte(","), metadata)
	default:
		for _, m := range metadata {
			p := protobuf.AppendString(protobuf.AppendString(nil, pairName, m.Name), pairValue, m.Value)
			e.metadata = append(protobuf.AppendHead(e.metadata, entryMetadata, len(p)), p...)
		}
	}
	return e
}

// selector writes labels as LogQL does: {a="b", c="d"}, in the order of their names.
func selector(labels []router.Pair) string {
	labels = slices.SortedFunc(slices.Values(labels), func(a, b router.Pair) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range labels {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.Name)
		b.WriteByte('=')
		b.WriteString(quote(l.Value))
	}
	b.WriteByte('}')
	return b.String()
}

// appendObject appends pairs as a JSON object.
func appendObject(dst []byte, pairs []router.Pair) []byte {
	dst = append(dst, '{')
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsontext.AppendString(dst, []byte(p.Name)), ':')
		dst = jsontext.AppendString(dst, []byte(p.Value))
	}
	return append(dst, '}')
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	switch string(r.Source) {
	case "stdout":
		dst = append(dst, sourceStdout)
	case "stderr":
		dst = append(dst, sourceStderr)
	default:
		dst = append(dst, sourceNone)
	}
	if e.fluent != nil {
		r = e.fluent.rewrite(r)
	}
	if e.json {
		return e.appendJSON(dst, r)
	}
	sec, nano := r.TimeNano/1e9, r.TimeNano%1e9
	if nano < 0 {
		sec, nano = sec-1, nano+1e9
	}
	// Numbers that are zero are left out, and the time never is: it may be zero, but not missing.
	timeLen := 0
	if sec != 0 {
		timeLen += protowire.SizeTag(seconds) + protowire.SizeVarint(uint64(sec))
	}
	if nano != 0 {
		timeLen += protowire.SizeTag(nanos) + protowire.SizeVarint(uint64(nano))
	}
	line, mark, lineLen := cut(r.Line)
	dst = protobuf.AppendHead(dst, streamEntries, protobuf.FieldLen(entryTime, timeLen)+protobuf.FieldLen(entryLine, lineLen+len(mark))+len(e.metadata))
	dst = protobuf.AppendHead(dst, entryTime, timeLen)
	if sec != 0 {
		dst = protobuf.AppendVarint(dst, seconds, uint64(sec))
	}
	if nano != 0 {
		dst = protobuf.AppendVarint(dst, nanos, uint64(nano))
	}
	dst = protobuf.AppendHead(dst, entryLine, lineLen+len(mark))
	dst = append(protobuf.AppendText(dst, line, lineLen), mark...)
	return append(dst, e.metadata...)
}

// cut returns what is sent of a line, and how long its beginning is when it is UTF-8.
func cut(line []byte) (head []byte, mark string, n int) {
	head, mark = router.Cut(line, maxLine)
	if n = protobuf.TextLen(head); n+len(mark) > maxLine { // each byte that is not UTF-8 becomes three
		head, mark = router.Cut(line, maxLine/3)
		n = protobuf.TextLen(head)
	}
	return head, mark, n
}

// appendJSON appends ["nanoseconds","line",{metadata}].
func (e *Encoder) appendJSON(dst []byte, r *router.Record) []byte {
	dst = strconv.AppendInt(append(dst, `["`...), r.TimeNano, 10)
	line, mark, _ := cut(r.Line)
	dst = jsontext.AppendEscaped(append(dst, `","`...), line)
	dst = append(append(dst, mark...), '"')
	return append(append(dst, e.metadata...), ']')
}
