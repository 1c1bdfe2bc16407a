package records

import (
	"bytes"
	"encoding/binary"
	"hash/adler32"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Settings of PREFIX-fluent-bit.
const (
	logKey      = "log_key" // the line alone is sent; only fluentbit.Log
	dataKeys    = "data_keys"
	timeKey     = "time_key"
	timeFormat  = "time_key_format"
	compression = "compression" // of each record
	withoutDots = "replace_dots"
	noNewline   = "without_newline" // behind a record, as the older plugin kinesis has it without append_newline
)

// settings reads PREFIX-fluent-bit; nil means that it is not given. Faults are in v.
func (s *Stream) settings(v *router.Values) fluentbit.Settings {
	return fluentbit.Read(v, s.Service.Prefix, logKey, dataKeys, timeKey, timeFormat, compression, withoutDots, noNewline)
}

// fluentText writes the text of a record as Fluent Bit's outputs kinesis_firehose and kinesis_streams do, or the older plugins firehose
// and kinesis.
type fluentText struct {
	record *fluentbit.Record // nil = the line alone
	head   []byte            // of a time that is the last member
	time   fluentbit.TimeFormat
	end    string // of a record
	packed string // how a record is compressed; "" = not
	out    bytes.Buffer
}

// asFluentBit makes the writer of a session's records; faults are in v.
func (st *Stream) asFluentBit(v *router.Values, s router.Session, f fluentbit.Settings) *fluentText {
	prefix := st.Service.Prefix
	t := &fluentText{packed: f.OneOf(v, prefix, compression, append([]string{""}, st.Compressions...)...), end: "\n"}
	if f.Is(noNewline) {
		t.end = ""
	}
	if f.OneOf(v, prefix, logKey, "", fluentbit.Log) != "" {
		return t
	}
	if f.Is(withoutDots) {
		s.Attrs = fluentbit.WithoutDots(s.Attrs)
	}
	var shape fluentbit.Shape
	if list := f[dataKeys]; list != "" {
		kept := strings.Split(list, ",")
		for _, name := range fluentbit.Names(s) {
			if !slices.Contains(kept, name) {
				shape.Without = append(shape.Without, name)
			}
		}
	}
	if key := f[timeKey]; key != "" {
		shape.Without = append(shape.Without, key)
		t.head = append(jsontext.AppendString([]byte(","), []byte(key)), `:"`...)
		format, given := f[timeFormat]
		if !given {
			format = "%Y-%m-%dT%H:%M:%S"
		}
		var err error
		if t.time, err = fluentbit.ParseTimeFormat(format, true); err != nil {
			v.Refuse("log-opt %s: %s: %v", fluentbit.Option(prefix).Name, timeFormat, err)
		}
	}
	t.record = fluentbit.NewRecord(s, shape, maxText)
	return t
}

// append appends the text of a record, which is empty when there is nothing to send.
func (t *fluentText) append(dst []byte, r *router.Record) []byte {
	start := len(dst)
	switch {
	case t.record == nil && len(r.Line) == 0:
		return dst
	case t.record == nil:
		line, mark := router.Cut(r.Line, maxText)
		dst = append(append(append(dst, line...), mark...), t.end...)
	default:
		dst = t.record.AppendMembers(append(dst, '{'), r)
		if t.head != nil {
			dst = append(t.time.Append(append(dst, t.head...), r.TimeNano), '"')
		}
		dst = append(append(dst, '}'), t.end...)
	}
	return t.pack(dst, start)
}

// pack compresses what stands behind start.
func (t *fluentText) pack(dst []byte, start int) []byte {
	switch t.packed {
	case "zlib":
		t.out.Reset()
		_, _ = t.out.WriteString("\x78\x01")
		_ = flate.StatelessDeflate(&t.out, dst[start:], true, nil) // a Buffer takes all
		sum := adler32.Checksum(dst[start:])
		return binary.BigEndian.AppendUint32(append(dst[:start], t.out.Bytes()...), sum)
	case "gzip":
		t.out.Reset()
		// Without a state that is kept from record to record: each session would have its own.
		w, _ := gzip.NewWriterLevel(&t.out, gzip.StatelessCompression)
		_, _ = w.Write(dst[start:]) // a Buffer takes all
		_ = w.Close()
		return append(dst[:start], t.out.Bytes()...)
	case "snappy":
		return append(dst[:start], snappy.Encode(nil, dst[start:])...)
	}
	return dst
}
