package datadog

import (
	"cmp"
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

	line jsontext.Members // at hand
}

var _ router.Encoder = (*Encoder)(nil)

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
	name := strings.TrimPrefix(s.ContainerName, "/")
	e := &Encoder{parse: v.Bool(parseJSON, false)}
	for _, p := range []router.Pair{
		{Name: "ddsource", Value: v.String(source, "docker")},
		{Name: "service", Value: v.String(service, cmp.Or(s.About.Service, name))},
		{Name: "hostname", Value: v.String(hostname, s.Host)},
	} {
		e.head = appendMember(e.head, p.Name, p.Value)
	}
	e.head = append(e.head, `,"message":"`...)
	for _, name := range slices.Sorted(maps.Keys(s.Attrs)) {
		if !isOurs([]byte(name)) {
			e.tail = appendMember(e.tail, name, s.Attrs[name])
		}
	}
	all := []string{"container_id:" + s.ContainerID, "container_name:" + name}
	for _, t := range []router.Pair{
		{Name: "docker_image", Value: s.About.Image}, {Name: "compose_project", Value: s.About.Project}, {Name: "compose_service", Value: s.About.Service},
	} {
		if t.Value != "" {
			all = append(all, t.Name+":"+strings.ReplaceAll(t.Value, ",", "_"))
		}
	}
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
func isOurs(name []byte) bool {
	switch string(name) {
	case "timestamp", "ddsource", "service", "hostname", "message", "stream", "ddtags":
		return true
	}
	return false
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	message := r.Line
	e.line.Reset()
	if e.parse {
		message = e.line.Read(message, isOurs)
	}
	dst = strconv.AppendInt(append(dst, `{"timestamp":`...), r.TimeNano/1e6, 10)
	dst = jsontext.AppendCut(append(dst, e.head...), message, maxText, router.Cut)
	dst = append(dst, '"')
	switch string(r.Source) {
	case "stdout":
		dst = append(dst, `,"stream":"stdout"`...)
	case "stderr":
		dst = append(dst, `,"stream":"stderr"`...)
	}
	dst = append(dst, e.line.Text...)
	return append(dst, e.tail...)
}
