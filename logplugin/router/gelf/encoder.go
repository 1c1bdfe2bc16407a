package gelf

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Differences lists where this router does not send what Docker's gelf driver sends, and why. What a message says is the same but
// for these, and tested against captures of Docker's.
var Differences = []struct{ Docker, Here string }{
	{"a label or a variable named id gives _id, which the format forbids and Graylog replaces",
		"it is left out"},
	{"labels and variables overwrite _container_id, _tag and the other fields of the driver",
		"the driver's own fields win, and a label or variable of such a name is left out"},
	{"20.10 writes backspace and form feed as \\u0008 and \\u000c",
		`as 28 and 29: \b and \f`},
	{"gelf-tcp-max-reconnect and gelf-tcp-reconnect-delay decide what is lost when the receiver is away",
		"they are taken and checked, and do nothing: lines wait in the spool"},
	{"gelf-address must have a port",
		"the port is 12201 by default"},
	{"a receiver that is away keeps the container from starting, over TCP",
		"the container starts, and its lines wait in the spool"},
}

// Encoder writes records of one session as GELF messages that end with a NUL, as on a stream.
type Encoder struct {
	head []byte // up to the line
	rest []byte // what stands behind the level
}

func newEncoder(s router.Session) *Encoder {
	e := &Encoder{head: appendMember([]byte(`{"version":"1.1",`), "host", s.Host)}
	e.head = append(e.head, `,"short_message":`...)
	fields := map[string]string{
		"_command": s.About.Command, "_container_id": s.ContainerID, "_container_name": strings.TrimPrefix(s.ContainerName, "/"),
		"_created": s.About.Created.Format(time.RFC3339Nano), "_image_id": s.About.ImageID, "_image_name": s.About.Image,
		"_tag": cmp.Or(s.Tag, s.ContainerID[:min(12, len(s.ContainerID))]),
	}
	for name, value := range s.Attrs {
		if !strings.HasPrefix(name, "_") {
			name = "_" + name
		}
		if _, own := fields[name]; !own && name != "_id" {
			fields[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		e.rest = appendMember(append(e.rest, ','), name, fields[name])
	}
	e.rest = append(e.rest, "}\x00"...)
	return e
}

func appendMember(dst []byte, name, value string) []byte {
	dst = append(jsontext.AppendString(dst, []byte(name)), ':')
	return jsontext.AppendString(dst, []byte(value))
}

// AppendRecord implements router.Encoder. An empty line is left out, as by Docker's driver.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	if len(r.Line) == 0 {
		return dst
	}
	dst = jsontext.AppendString(append(dst, e.head...), r.Line)
	dst = append(dst, `,"timestamp":`...)
	dst = appendSeconds(dst, r.TimeNano/1e6)
	if string(r.Source) == "stderr" {
		dst = append(dst, `,"level":3`...)
	} else {
		dst = append(dst, `,"level":6`...)
	}
	return append(dst, e.rest...)
}

// appendSeconds appends milliseconds as seconds with as few digits as there must be, as encoding/json writes them.
func appendSeconds(dst []byte, milli int64) []byte {
	if milli < 0 {
		dst, milli = append(dst, '-'), -milli
	}
	dst = strconv.AppendInt(dst, milli/1000, 10)
	rest := milli % 1000
	if rest == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// shorten returns a message whose line is cut so that it has about limit bytes, with a mark. Its line is the only member that a
// container's output makes long.
func shorten(message []byte, limit int) []byte {
	const before, behind = `"short_message":"`, `","timestamp":`
	start := bytes.Index(message, []byte(before))
	end := bytes.LastIndex(message, []byte(behind))
	if start < 0 || end < start || len(message) <= limit {
		return message
	}
	start += len(before)
	line := message[start:max(start, end-(len(message)-limit)-len(router.CutMark))]
	if i := bytes.LastIndexByte(line[max(0, len(line)-6):], '\\'); i >= 0 { // half of an escape
		line = line[:max(0, len(line)-6)+i]
	}
	line = []byte(strings.ToValidUTF8(string(line), ""))
	out := append(slices.Clone(message[:start]), line...)
	return append(append(out, router.CutMark...), message[end:]...)
}
