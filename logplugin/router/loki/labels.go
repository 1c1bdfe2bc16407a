package loki

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
)

// Loki's default limits of labels. One is left for the source.
const (
	maxLabels    = 15 - 1
	maxLabelText = 2048
)

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// sessionOf makes the encoder of a session; the faults are in v.
func sessionOf(v *router.Values, s router.Session) *Encoder {
	asJSON := v.OneOf("loki-encoding", encodingProtobuf, encodingJSON) == encodingJSON
	if f := settingsOf(v); f != nil {
		return asFluentBit(v, s, f, asJSON)
	}
	labels := map[string]string{}
	for _, p := range v.Pairs("loki-external-labels", "container_name="+strings.TrimPrefix(s.ContainerName, "/")) {
		if !labelName.MatchString(p.Name) {
			v.Refuse("log-opt loki-external-labels: %s is not the name of a label; it has letters, digits and underscores, and begins with no digit", strconv.Quote(p.Name))
		}
		labels[p.Name] = p.Value
	}
	if most := maxLabels - 4; len(labels) > most {
		v.Refuse("log-opt loki-external-labels has %d labels; Loki takes %d together with host, source, container_name and those of Compose", len(labels), most)
	}
	metadata := metadataOf(s)
	addLabels(labels, metadata, s)
	if !v.Bool("loki-structured-metadata", true) {
		clear(metadata)
	}
	return newEncoder(asJSON, pairsOf(labels), pairsOf(metadata), "source")
}

// addLabels adds to labels what Grafana's plugin adds: the host, the project and the service of Compose or of Swarm, and what
// labels and env have picked, with names that Loki takes. What is more than it takes becomes metadata. Two containers never share a stream: Loki refuses entries that
// are far behind the newest of their stream, as those of a container are whose lines have waited.
func addLabels(labels, metadata map[string]string, s router.Session) {
	if s.Host != "" {
		labels["host"] = s.Host
	}
	if name := strings.TrimPrefix(s.ContainerName, "/"); !namesContainer(labels, name, s.ContainerID) {
		labels["container_name"] = name
	}
	project, service := "compose_project", "compose_service"
	if s.About.Swarm {
		project, service = "swarm_stack", "swarm_service"
	}
	for name, value := range map[string]string{project: s.About.Project, service: s.About.Service} {
		if _, given := labels[name]; value != "" && !given {
			labels[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Attrs)) {
		to := labels
		if len(labels) >= maxLabels {
			to = metadata
		}
		to[cleanName(name)] = s.Attrs[name]
	}
	for name, value := range labels {
		if len(value) > maxLabelText {
			labels[name] = strings.ToValidUTF8(value[:maxLabelText], "")
		}
	}
}

// namesContainer reports whether a label's value has the container's name or id in it.
func namesContainer(labels map[string]string, name, id string) bool {
	for _, value := range labels {
		if name != "" && strings.Contains(value, name) || len(id) >= 12 && strings.Contains(value, id[:12]) {
			return true
		}
	}
	return false
}

// metadataOf is what describes the container and is not a label: each value of a label is a stream.
func metadataOf(s router.Session) map[string]string {
	m := map[string]string{}
	for name, value := range map[string]string{
		"container_id": s.ContainerID, "image_name": s.About.Image, "instance_id": s.Instance.ID, "availability_zone": s.Instance.Zone,
	} {
		if value != "" {
			m[name] = value
		}
	}
	return m
}

// cleanName makes a name that Loki takes of the name of a label or a variable.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 0x80 && labelName.MatchString("_"+string(r)) {
			return r
		}
		return '_'
	}, name)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	return name
}

func pairsOf(m map[string]string) []router.Pair {
	var pairs []router.Pair
	for _, name := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, router.Pair{Name: name, Value: m[name]})
	}
	return pairs
}

// quote writes a label's value as LogQL does.
func quote(s string) string { return strconv.Quote(strings.ToValidUTF8(s, "\ufffd")) }
