package splunk

import (
	"bytes"
	"maps"
	"slices"
	"strconv"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Differences lists where an Encoder does not write what Docker's splunk driver writes, and why. Everything else is the
// same, byte for byte, and tested against captures of Docker's.
var Differences = []struct{ Docker, Here string }{
	{"a line of more than 16 KiB becomes several events with no mark on them; one of exactly 16 KiB also an empty event",
		"one line is one event: its pieces are joined before they are encoded"},
	{"format json: the last piece of a long line is looked at alone, so that a tail of 1 becomes the number 1, and a long object becomes strings",
		"the whole line is looked at, and a long object stays an object"},
	{"format json: a byte that is not UTF-8 inside a JSON line goes out as it is, and the request is not UTF-8",
		`such a byte becomes \ufffd, as everywhere else`},
	{"format json: a line nested up to 10,000 levels deep is sent as JSON",
		"from 513 levels on it is sent as a string"},
	{"format raw: labels and variables stand in random order",
		"they are sorted by name"},
	{"20.10 writes backspace and form feed as \\u0008 and \\u000c",
		`as 28 and 29: \b and \f`},
	{"with splunk-index-acknowledgment each request of 20.10 to 29 has a channel header, and no answer is ever asked for",
		"one channel for the life of the router, and a batch is delivered when the indexer says so"},
	{"{{ and }} in splunk-source, splunk-sourcetype and splunk-index are text",
		"these options are templates, as tag is; the value of a secret is text"},
	{"splunk-url has no path: one other than / is refused",
		"the path of a proxy is taken, and HEC's own follows it"},
	{"splunk-gzip-level -1 is zlib's level 6",
		"it is a level 2, which costs half and gives nearly the same"},
	{"a failed batch is kept with new events for ever, or printed into the daemon's log at exit",
		"the router says what may help; nothing is printed"},
}

// Encoder writes HEC events of one session, in format inline, json or raw.
type Encoder struct {
	format string
	prefix []byte // before the line
	stdout []byte // after it, up to the time
	stderr []byte
	suffix []byte // after the time
	index  string // for errors; "" = the token's own, or one that came by reference

	fluent *fluentEvent // nil = the payload is that of Docker's driver
}

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
	e := &Encoder{format: v.OneOf("splunk-format", formats...)}
	if !v.IsSecret("splunk-index") {
		e.index = v.String("splunk-index", "")
	}
	if f := settingsOf(v); f != nil {
		e.fluent = newFluentEvent(v, s, f)
		return e
	}
	names := slices.Sorted(maps.Keys(s.Attrs))
	if e.format == formatRaw {
		e.prefix = rawPrefix(s, names)
		e.stdout = []byte(`","time":"`)
		e.stderr = e.stdout
	} else {
		e.prefix = []byte(`{"event":{"line":`)
		rest := eventRest(s, names)
		e.stdout = append([]byte(`,"source":"stdout"`), rest...)
		e.stderr = append([]byte(`,"source":"stderr"`), rest...)
	}
	e.suffix = jsontext.AppendString([]byte(`","host":`), []byte(s.Host))
	for _, o := range []struct{ key, option string }{
		{"source", "splunk-source"}, {"sourcetype", "splunk-sourcetype"}, {"index", "splunk-index"},
	} {
		if text := v.String(o.option, ""); text != "" {
			e.suffix = jsontext.AppendString(append(e.suffix, `,"`+o.key+`":`...), []byte(text))
		}
	}
	e.suffix = append(e.suffix, '}')
	return e
}

// rawPrefix is TAG k=v k=v, each with a blank after it.
func rawPrefix(s router.Session, names []string) []byte {
	p := []byte(`{"event":"`)
	if s.Tag != "" {
		p = append(jsontext.AppendEscaped(p, []byte(s.Tag)), ' ')
	}
	for _, name := range names {
		p = append(jsontext.AppendEscaped(p, []byte(name)), '=')
		p = append(jsontext.AppendEscaped(p, []byte(s.Attrs[name])), ' ')
	}
	return p
}

func eventRest(s router.Session, names []string) []byte {
	var p []byte
	if s.Tag != "" {
		p = jsontext.AppendString(append(p, `,"tag":`...), []byte(s.Tag))
	}
	for i, name := range names {
		if i == 0 {
			p = append(p, `,"attrs":{`...)
		} else {
			p = append(p, ',')
		}
		p = jsontext.AppendString(append(jsontext.AppendString(p, []byte(name)), ':'), []byte(s.Attrs[name]))
	}
	if len(names) > 0 {
		p = append(p, '}')
	}
	return append(p, `},"time":"`...)
}

// AppendRecord implements router.Encoder. The raw format leaves out lines of white space, which HEC refuses.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	if e.fluent != nil {
		return e.fluent.append(dst, r)
	}
	switch e.format {
	case formatRaw:
		if len(bytes.TrimSpace(r.Line)) == 0 {
			return dst
		}
		dst = jsontext.AppendEscaped(append(dst, e.prefix...), r.Line)
	case formatJSON:
		var ok bool
		if dst, ok = jsontext.AppendCompact(append(dst, e.prefix...), r.Line); !ok {
			dst = jsontext.AppendString(dst, r.Line)
		}
	default:
		dst = jsontext.AppendString(append(dst, e.prefix...), r.Line)
	}
	if string(r.Source) == "stderr" {
		dst = append(dst, e.stderr...)
	} else {
		dst = append(dst, e.stdout...)
	}
	return append(appendTime(dst, r.TimeNano), e.suffix...)
}

// appendTime appends seconds with six decimals, cut and not rounded: "1795463301.547679".
func appendTime(dst []byte, nano int64) []byte {
	micro := nano / 1000
	if micro < 0 {
		dst = append(dst, '-')
		micro = -micro
	}
	dst = strconv.AppendInt(dst, micro/1e6, 10)
	frac := [7]byte{0: '.'}
	for i, rest := 6, uint32(micro%1e6); i > 0; i-- {
		frac[i] = byte('0' + rest%10)
		rest /= 10
	}
	return append(dst, frac[:]...)
}
