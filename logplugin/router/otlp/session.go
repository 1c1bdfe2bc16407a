package otlp

import (
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/protobuf"
	"github.com/secretref/secretref/logplugin/router"
)

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
	if f := fluentbit.Read(v, "otlp"); f != nil {
		return asFluentBit(s)
	}
	attributes := map[string]string{}
	describe(attributes, s)
	for _, p := range v.Pairs(resource, "service.name="+attributes["service.name"]) {
		attributes[p.Name] = p.Value
	}
	e := newEncoder(pairsOf(attributes))
	switch v.OneOf(severities, bySource, byLevel, unknown) {
	case byLevel:
		e.levels = true
		fallthrough
	case bySource:
		e.usual = [len(sources)]severity{{}, info, fault}
	}
	e.parse = v.Bool(parseJSON, false)
	return e
}

// asFluentBit makes the encoder that writes what Fluent Bit's output opentelemetry writes with logs_body_key_attributes: the line is the body,
// and the other members of the record are attributes of it.
func asFluentBit(s router.Session) *Encoder {
	e := &Encoder{head: protobuf.AppendHead(nil, logsResource, 0), scope: protobuf.AppendHead(nil, scopeLogsScope, 0), bare: true}
	var common []pair
	for _, m := range fluentbit.Members(s) {
		common = append(common, pair{m.Name, m.Value})
	}
	for i, source := range sources {
		e.fixed[i] = appendPairs(nil, recordAttributes, common)
		if source != "" {
			e.fixed[i] = appendPairs(e.fixed[i], recordAttributes, []pair{{fluentbit.Source, source}})
		}
	}
	return e
}

// describe adds resource attributes by the semantic conventions:
// https://opentelemetry.io/docs/specs/semconv/resource/
func describe(attributes map[string]string, s router.Session) {
	name := strings.TrimPrefix(s.ContainerName, "/")
	service := s.About.Service
	if service == "" {
		service = name
	}
	for key, value := range map[string]string{
		"service.name": service, "service.namespace": s.About.Project, "container.name": name, "container.id": s.ContainerID, "host.name": s.Host,
		"container.image.name": withoutTag(s.About.Image),
		"host.id":              s.Instance.ID, "host.type": s.Instance.Type, "cloud.availability_zone": s.Instance.Zone,
		"cloud.region": s.Instance.Region, "cloud.account.id": s.Instance.Account,
	} {
		if value != "" {
			attributes[key] = value
		}
	}
	if s.Instance.ID != "" {
		attributes["cloud.provider"], attributes["cloud.platform"] = "aws", "aws_ec2"
	}
	if attributes["service.name"] == "" {
		attributes["service.name"] = "unknown_service" // the name is required
	}
	maps.Copy(attributes, s.Attrs) // what labels and env have picked
}

// withoutTag returns the name of an image without its tag or digest, as the conventions want it.
func withoutTag(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i]
	}
	return image
}

func pairsOf(m map[string]string) []pair {
	var pairs []pair
	for _, name := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, pair{name, m[name]})
	}
	return pairs
}
