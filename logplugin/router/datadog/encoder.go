package datadog

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
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

	fluent *fluentbit.Record // nil = the payload is our own
	open   []byte            // with fluent: before the time
}

var _ router.Encoder = (*Encoder)(nil)

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
	if f := fluentbit.Read(v, "datadog", dateKey, withTag, tagKey, provider, message); f != nil {
		return asFluentBit(v, s, f)
	}
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
		{Name: "ec2_instance_id", Value: s.Instance.ID}, {Name: "availability-zone", Value: s.Instance.Zone},
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

// Settings of datadog-fluent-bit.
const (
	dateKey  = "json_date_key"
	withTag  = "include_tag_key"
	tagKey   = "tag_key"
	provider = "provider"
	message  = "dd_message_key"
)

// asFluentBit makes the encoder that writes what Fluent Bit's output of that name writes. Its provider ecs makes tags of what
// describes the container.
func asFluentBit(v *router.Values, s router.Session, f fluentbit.Settings) *Encoder {
	e := &Encoder{open: append(jsontext.AppendString([]byte("{"), []byte(cmp.Or(f[dateKey], "timestamp"))), ':')}
	if f.Is(withTag) {
		e.head = appendMember(e.head, cmp.Or(f[tagKey], "tagkey"), s.Tag)
	}
	for _, p := range []router.Pair{
		{Name: "ddsource", Value: v.String(source, "")}, {Name: "service", Value: v.String(service, "")}, {Name: "hostname", Value: v.String(hostname, "")},
	} {
		e.head = appendMember(e.head, p.Name, p.Value)
	}
	e.head = append(e.head, ',')
	shape := fluentbit.Shape{Message: "message", Renamed: f[message]}
	var all []string
	if f[provider] == "ecs" {
		all, shape.Without = ecsTags(s)
	}
	if given := v.String(tags, ""); given != "" {
		all = append(all, given)
	}
	e.fluent = fluentbit.NewRecord(s, shape, maxText)
	e.tail = append(appendMember(nil, "ddtags", strings.Join(all, ",")), "},"...)
	return e
}

// ecsTags returns the tags that the provider ecs makes of members, and the names of these, which are then no attributes.
func ecsTags(s router.Session) (tags, members []string) {
	for _, m := range fluentbit.Members(s) {
		made := ecsTag(m)
		if m.Value == "" || made == nil {
			continue
		}
		tags, members = append(tags, made...), append(members, m.Name)
	}
	return tags, members
}

// ecsTag returns the tags of one member; nil means that it is an attribute.
func ecsTag(m fluentbit.Member) []string {
	switch m.Name {
	case fluentbit.ContainerID, "container_image":
		return []string{m.Name + ":" + m.Value}
	case fluentbit.ContainerName:
		return []string{m.Name + ":" + strings.TrimPrefix(m.Value, "/")}
	case "ecs_cluster":
		return []string{"cluster_name:" + behind(m.Value, "cluster/")}
	case "ecs_task_definition":
		if family, version, ok := strings.Cut(m.Value, ":"); ok {
			return []string{"task_family:" + family, "task_version:" + version}
		}
		return []string{m.Name + ":" + m.Value}
	case "ecs_task_arn":
		made := []string{"task_arn:" + m.Value}
		if rest, isARN := strings.CutPrefix(m.Value, "arn:aws:ecs:"); isARN {
			if region, _, ok := strings.Cut(rest, ":"); ok {
				made = append(made, "region:"+region)
			}
		}
		return append(made, "task_id:"+behind(m.Value, "task/"))
	}
	return nil
}

// behind returns what stands behind mark in text, or text.
func behind(text, mark string) string {
	if _, after, ok := strings.Cut(text, mark); ok {
		return after
	}
	return text
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	if e.fluent != nil {
		dst = append(strconv.AppendInt(append(dst, e.open...), r.TimeNano/1e6, 10), e.head...)
		return append(e.fluent.AppendMembers(dst, r), e.tail...)
	}
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
