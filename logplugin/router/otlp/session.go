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
	for key, value := range map[string]string{
		"service.name": name, "container.name": name, "container.id": s.ContainerID, "host.name": s.Host,
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

func pairsOf(m map[string]string) []pair {
	var pairs []pair
	for _, name := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, pair{name, m[name]})
	}
	return pairs
}
