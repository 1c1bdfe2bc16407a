package datadog

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// maxText is how long a line may be in a request, in JSON: Datadog cuts a log at 1 MB.
const maxText = 900_000

// Encoder writes the records of one session as elements of a JSON array, each with a comma behind it.
type Encoder struct {
	head  []byte // from the time on, up to the line
	tail  []byte // behind the line
	parse bool   // members of a line that is a JSON object are attributes

	// Of the line at hand; the memory is used again.
	object jsontext.Object
	rest   []byte // its members
	text   []byte // its message
}

var _ router.Encoder = (*Encoder)(nil)

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
	name := strings.TrimPrefix(s.ContainerName, "/")
	e := &Encoder{parse: v.Bool(parseJSON, false)}
	for _, p := range []router.Pair{
		{Name: "ddsource", Value: v.String(source, "docker")},
		{Name: "service", Value: v.String(service, name)},
		{Name: "hostname", Value: v.String(hostname, s.Host)},
	} {
		e.head = appendMember(e.head, p.Name, p.Value)
	}
	e.head = append(e.head, `,"message":"`...)
	for _, name := range slices.Sorted(maps.Keys(s.Attrs)) {
		if !isOurs(name) {
			e.tail = appendMember(e.tail, name, s.Attrs[name])
		}
	}
	all := []string{"container_id:" + s.ContainerID, "container_name:" + name}
	if given := v.String(tags, ""); given != "" {
		all = append(all, given)
	}
	e.tail = append(appendMember(e.tail, "ddtags", strings.Join(all, ",")), "},"...)
	return e
}

// appendMember appends a member of an object, with a comma before it. An empty value is left out.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = jsontext.AppendString(append(dst, ','), []byte(name))
	return jsontext.AppendString(append(dst, ':'), []byte(value))
}

// isOurs reports whether a member of that name is written here.
func isOurs(name string) bool {
	switch name {
	case "timestamp", "ddsource", "service", "hostname", "message", "stream", "ddtags":
		return true
	}
	return false
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	line := r.Line
	e.rest = e.rest[:0]
	if e.parse {
		line = e.read(line)
	}
	ms := r.TimeNano / 1e6
	dst = strconv.AppendInt(append(dst, `{"timestamp":`...), ms, 10)
	dst = append(dst, e.head...)
	before := len(dst)
	head, mark := router.Cut(line, maxText)
	dst = jsontext.AppendEscaped(dst, head)
	if len(dst)-before > maxText { // an escape is up to six bytes long
		head, mark = router.Cut(line, maxText/6)
		dst = jsontext.AppendEscaped(dst[:before], head)
	}
	dst = append(append(dst, mark...), '"')
	switch string(r.Source) {
	case "stdout":
		dst = append(dst, `,"stream":"stdout"`...)
	case "stderr":
		dst = append(dst, `,"stream":"stderr"`...)
	}
	dst = append(dst, e.rest...)
	return append(dst, e.tail...)
}

// read puts the members of a line that is a JSON object into e.rest, and returns its message; the line itself if it has none.
// A member with a name that is written here gets "line." in front of it.
func (e *Encoder) read(line []byte) (message []byte) {
	if len(line) > maxText || !e.object.Open(line) {
		return line
	}
	message = line
	found := false
	for {
		name, value, ok := e.object.Next()
		if !ok {
			return message
		}
		plain := name[1 : len(name)-1]
		if !found && value[0] == '"' && (string(plain) == "message" || string(plain) == "msg") {
			found = true
			e.text = jsontext.AppendUnquoted(e.text[:0], value)
			message = e.text
			continue
		}
		e.rest = append(e.rest, `,"`...)
		if isOurs(string(plain)) {
			e.rest = append(e.rest, "line."...)
		}
		e.rest = append(append(e.rest, plain...), `":`...)
		e.rest = append(e.rest, value...)
	}
}
