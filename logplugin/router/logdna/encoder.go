package logdna

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	maxText  = 900_000  // of a line, in JSON
	maxAttrs = 64 << 10 // of what labels and env have picked
	maxQuery = 4 << 10  // of what a request says of the host
)

// query is that of a request, before and behind the time.
type query struct{ before, after string }

// Encoder writes the records of one session as lines of a request, each with a comma behind it.
type Encoder struct {
	query query
	head  []byte // of a line, up to its time
	tail  []byte // behind its text: the end of the object, or of its metadata

	fluent *fluentbit.Object // nil means that the payload is our own
	text   []byte            // memory for a record of Fluent Bit
}

// encoderOf makes the encoder of a session; the faults are in v.
func encoderOf(v *router.Values, s router.Session) *Encoder {
	host := v.String(hostname, cmp.Or(s.Host, "unknown"))
	e := &Encoder{query: queryFor(v, host)}
	if f := fluentbit.Read(v, "logdna", withoutPromoted); f != nil {
		e.asFluentBit(v, s, f, host)
		return e
	}
	name := strings.TrimPrefix(s.ContainerName, "/")
	e.head = appendMember([]byte(`{`), "app", v.String(app, cmp.Or(s.About.Service, name)))
	e.head = appendMember(e.head, "file", v.String(file, ""))
	e.head = appendMember(e.head, "hostname", host)
	e.head = append(e.head, `"timestamp":`...)
	var meta []byte
	for _, p := range slices.Concat([]router.Pair{
		{Name: "container_id", Value: s.ContainerID}, {Name: "container_name", Value: name}, {Name: "image", Value: s.About.Image},
		{Name: "compose_project", Value: s.About.Project}, {Name: "compose_service", Value: s.About.Service},
		{Name: "instance_id", Value: s.Instance.ID}, {Name: "availability_zone", Value: s.Instance.Zone},
	}, attributes(s)) {
		if member := appendMember(nil, p.Name, p.Value); len(meta)+len(member) < maxAttrs {
			meta = append(meta, member...)
		}
	}
	e.tail = append(append([]byte(`,"meta":{`), meta...), `"stream":`...)
	return e
}

// attributes are what labels and env have picked, but for names that the metadata has.
func attributes(s router.Session) (all []router.Pair) {
	for _, name := range slices.Sorted(maps.Keys(s.Attrs)) {
		switch name {
		case "container_id", "container_name", "image", "compose_project", "compose_service", "instance_id", "availability_zone", "stream":
		default:
			all = append(all, router.Pair{Name: name, Value: s.Attrs[name]})
		}
	}
	return all
}

// queryFor makes the query of a request; the faults are in v.
func queryFor(v *router.Values, host string) query {
	var list []string
	for tag := range strings.SplitSeq(v.String(tags, ""), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			list = append(list, url.QueryEscape(tag))
		}
	}
	q := query{
		before: "?hostname=" + url.QueryEscape(host) + "&mac=" + url.QueryEscape(v.String(mac, "")) + "&ip=" + url.QueryEscape(v.String(ip, "")) + "&now=",
		after:  "&tags=" + strings.Join(list, ","),
	}
	if len(q.before)+len(q.after) > maxQuery {
		v.Refuse("log-opts %s, %s, %s and %s have together more than %d bytes", hostname, mac, ip, tags, maxQuery)
	}
	return q
}

// appendMember appends a member of text with a comma behind it, if there is one.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(jsontext.AppendString(dst, []byte(name)), ':')
	return append(jsontext.AppendString(dst, []byte(value)), ',')
}

// withoutPromoted is the setting of logdna-fluent-bit that leaves out of a line what stands beside it.
const withoutPromoted = "exclude_promoted_keys"

// asFluentBit makes e write what Fluent Bit's output logdna writes: the record in JSON is the line, and some of its members stand
// beside it. The faults are in v.
func (e *Encoder) asFluentBit(v *router.Values, s router.Session, f fluentbit.Settings, host string) {
	promoted := []string{}
	beside := map[string]string{}
	for _, m := range fluentbit.Members(s) {
		name := m.Name
		switch name {
		case "severity":
			name = "level"
		case "level", "meta", "file", "app", "hostname":
		default:
			continue
		}
		promoted = append(promoted, m.Name)
		if _, given := beside[name]; !given {
			beside[name] = m.Value
		}
	}
	for name, value := range map[string]string{"file": v.String(file, ""), "app": v.String(app, "Fluent Bit"), "hostname": host} {
		if _, given := beside[name]; !given && value != "" {
			beside[name] = value
		}
	}
	e.head = []byte("{")
	for _, name := range slices.Sorted(maps.Keys(beside)) {
		e.head = jsontext.AppendString(append(jsontext.AppendString(e.head, []byte(name)), ':'), []byte(beside[name]))
		e.head = append(e.head, ',')
	}
	e.head = append(e.head, `"timestamp":`...)
	var shape fluentbit.Shape
	if f.Is(withoutPromoted) {
		shape.Without = promoted
	}
	e.fluent = fluentbit.NewObject("", "", fluentbit.NewRecord(s, shape, maxText))
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	if e.fluent == nil {
		dst = strconv.AppendInt(append(dst, e.head...), r.TimeNano/1e6, 10)
		dst = jsontext.AppendCut(append(dst, `,"line":"`...), r.Line, maxText, router.Cut)
		dst = jsontext.AppendString(append(append(dst, '"'), e.tail...), r.Source)
		return append(dst, "}},"...)
	}
	sec, _ := router.Second(r.TimeNano)
	dst = strconv.AppendInt(append(dst, e.head...), sec, 10)
	e.text = e.fluent.AppendObject(e.text[:0], r)
	dst = jsontext.AppendString(append(dst, `,"line":`...), e.text)
	const kept = 64 << 10
	if cap(e.text) > kept {
		e.text = nil
	}
	return append(dst, "},"...)
}
