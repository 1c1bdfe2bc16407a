// Package fluentbit writes records as the outputs of Fluent Bit write what Docker's fluentd driver sends them, which is what
// reaches a receiver through FireLens on ECS. A router uses it when its option PREFIX-fluent-bit is given; `logDriver=awsfirelens`
// gives it.
//
// It promises the same members with the same values as Fluent Bit 5.1. It does not promise the same bytes: text is written
// as UTF-8 and not as \u escapes, and a byte that is not UTF-8 becomes U+FFFD.
package fluentbit

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/config"
)

// Option returns the option of a router by which it writes Fluent Bit's payload: NAME=VALUE,NAME=VALUE with the settings of the
// output that change it, under Fluent Bit's names. Sessions that differ in it do not share a router, because it may change the
// form of a whole request.
func Option(prefix string) router.Option {
	return router.Option{Name: prefix + "-fluent-bit", Session: true, Apart: true, Template: true, Pairs: true}
}

// Output is the setting that every PREFIX-fluent-bit may have: the name of the output. It alone makes the option not empty.
const Output = "output"

// Settings are what PREFIX-fluent-bit says.
type Settings map[string]string

// Read reads PREFIX-fluent-bit, whose settings are known. It returns nil when the option is not given; faults are in v.
func Read(v *router.Values, prefix string, known ...string) Settings {
	name := Option(prefix).Name
	if !v.Has(name) {
		return nil
	}
	known = append(known, Output)
	s := Settings{}
	for _, p := range v.Pairs(name, "") {
		if !slices.Contains(known, p.Name) {
			near := config.Nearest(p.Name, known)
			if near == "" {
				near = strings.Join(slices.Sorted(slices.Values(known)), ", ")
			}
			if v.IsSecret(name) {
				v.Refuse("log-opt %s: its secret's value has a setting that is not one of %s", name, strings.Join(slices.Sorted(slices.Values(known)), ", "))
				return s
			}
			v.Refuse("log-opt %s: there is no setting %s; known is %s", name, strconv.Quote(p.Name), near)
		}
		s[p.Name] = p.Value
	}
	return s
}

// OneOf returns a setting that is one of words; the first is the default.
func (s Settings) OneOf(v *router.Values, prefix, name string, words ...string) string {
	value, ok := s[name]
	if !ok {
		return words[0]
	}
	if !slices.Contains(words, value) {
		v.Refuse("log-opt %s: %s is not one of %s", Option(prefix).Name, name, strings.Join(words, ", "))
		return words[0]
	}
	return value
}

// Is reports whether a switch is on.
func (s Settings) Is(name string) bool { return s[name] == "true" }

// Keys of a record, as Docker's fluentd driver names them.
const (
	ContainerID   = "container_id"
	ContainerName = "container_name"
	Source        = "source"
	Log           = "log"
)

// Member is a member of a record whose value is the same for a whole session.
type Member struct{ Name, Value string }

// Members returns the members of the session's records that do not change from line to line, without Source and Log: the
// container, then what labels and env have picked, by name.
func Members(s router.Session) []Member {
	all := []Member{{ContainerID, s.ContainerID}, {ContainerName, s.ContainerName}}
	for _, name := range slices.Sorted(maps.Keys(s.Attrs)) {
		if !slices.Contains([]string{ContainerID, ContainerName, Source, Log}, name) {
			all = append(all, Member{name, s.Attrs[name]})
		}
	}
	return all
}

// Names returns the names of all members of a session's records.
func Names(s router.Session) []string {
	names := []string{Source, Log}
	for _, m := range Members(s) {
		names = append(names, m.Name)
	}
	return names
}

// WithoutDots returns attributes with underscores in place of the dots of their names.
func WithoutDots(attributes map[string]string) map[string]string {
	all := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		all[strings.ReplaceAll(name, ".", "_")] = attributes[name]
	}
	return all
}
