package otlp

import (
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
)

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
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
	} {
		if value != "" {
			attributes[key] = value
		}
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
