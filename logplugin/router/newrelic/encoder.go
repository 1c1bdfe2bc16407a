package newrelic

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// maxText is how long a line may be in a request, in JSON.
const maxText = 800_000

// Encoder writes the records of one session as elements of the array "logs", each with a comma behind it.
type Encoder struct {
	common []byte // of the session, up to the bracket of "logs"
	parse  bool   // members of a line that is a JSON object are attributes

	line jsontext.Members // at hand

	fluent  *fluentbit.Record // nil = the payload is our own
	message *fluentbit.Record // with fluent: the line alone, when the attributes are an object of their own
	flat    bool              // records are elements of the request, and there is nothing common
}

var _ router.Encoder = (*Encoder)(nil)

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
	if f := fluentbit.Read(v, "newrelic"); f != nil {
		return asFluentBit(v, s, f)
	}
	all := map[string]string{
		"container.id": s.ContainerID, "container.name": strings.TrimPrefix(s.ContainerName, "/"), "hostname": s.Host, "plugin.type": "secretref-logdriver",
		"container.image.name": s.About.Image, "compose.project": s.About.Project, "compose.service": s.About.Service,
		"host.id": s.Instance.ID, "cloud.availability_zone": s.Instance.Zone,
	}
	maps.Copy(all, s.Attrs)
	for _, p := range v.Pairs(attributes, "plugin.type=secretref-logdriver") {
		all[p.Name] = p.Value
	}
	e := &Encoder{parse: v.Bool(parseJSON, false), common: []byte(`{"common":{"attributes":{`)}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] == "" {
			continue
		}
		e.common = append(jsontext.AppendString(e.common, []byte(name)), ':')
		e.common = append(jsontext.AppendString(e.common, []byte(all[name])), ',')
	}
	e.common = append(e.common[:len(e.common)-1], `}},"logs":[`...) // there is plugin.type at least
	return e
}

// plugin is what the attribute plugin of Fluent Bit's payload says.
const plugin = `"plugin":{"type":"secretref-logdriver"}`

// asFluentBit makes the encoder that writes what the output nrlogs of Fluent Bit writes, or New Relic's own output plugin, newrelic.
func asFluentBit(v *router.Values, s router.Session, f fluentbit.Settings) *Encoder {
	shape := fluentbit.Shape{Message: "message"}
	if f.OneOf(v, "newrelic", fluentbit.Output, "newrelic", "nrlogs") == "newrelic" {
		return &Encoder{flat: true, fluent: fluentbit.NewRecord(s, shape, maxText)}
	}
	e := &Encoder{common: []byte(`{"common":{"attributes":{` + plugin + `}},"logs":[`)}
	e.fluent = fluentbit.NewRecord(s, fluentbit.Shape{Without: []string{fluentbit.Log}}, maxText)
	shape.Without = []string{fluentbit.Source}
	for _, m := range fluentbit.Members(s) {
		shape.Without = append(shape.Without, m.Name)
	}
	e.message = fluentbit.NewRecord(s, shape, maxText)
	return e
}

// appendFluentBit appends a record of Fluent Bit's payload.
func (e *Encoder) appendFluentBit(dst []byte, r *router.Record) []byte {
	dst = append(strconv.AppendInt(append(dst, `{"timestamp":`...), r.TimeNano/1e6, 10), ',')
	if e.flat {
		dst = append(e.fluent.AppendMembers(dst, r), ',')
		return append(append(dst, plugin...), "},"...)
	}
	dst = append(e.message.AppendMembers(dst, r), `,"attributes":{`...)
	return append(e.fluent.AppendMembers(dst, r), "}},"...)
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	if e.fluent != nil {
		return e.appendFluentBit(dst, r)
	}
	message := r.Line
	e.line.Reset()
	if e.parse {
		message = e.line.Read(message, isOurs)
	}
	dst = strconv.AppendInt(append(dst, `{"timestamp":`...), r.TimeNano/1e6, 10)
	dst = jsontext.AppendCut(append(dst, `,"message":"`...), message, maxText, router.Cut)
	dst = append(dst, `","attributes":{`...)
	members := e.line.Text
	switch string(r.Source) {
	case "stdout":
		dst = append(dst, `"stream":"stdout"`...)
	case "stderr":
		dst = append(dst, `"stream":"stderr"`...)
	default:
		members = bytes.TrimPrefix(members, []byte(","))
	}
	dst = append(dst, members...)
	return append(dst, "}},"...)
}

// isOurs reports whether an attribute of that name is written here.
func isOurs(name []byte) bool { return string(name) == "stream" }
