package references

import (
	"fmt"
	"slices"
	"strings"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/secretref"
)

// Allowed says which references containers may name on a host. The zero value allows all.
type Allowed struct {
	Patterns []string // nil = any reference, empty = none
	Setting  string   // where the configuration says it, for errors: "allow_references in [logs]"
	Section  string   // when not empty, errors show what to write in this section to allow the reference
}

// InSecrets returns what volumes, variables and services of a swarm may name. A configuration that says nothing allows nothing.
func InSecrets(s config.Secrets) Allowed {
	patterns := s.AllowReferences
	if patterns == nil {
		patterns = []string{}
	}
	return Allowed{Patterns: patterns, Setting: "allow_references in [secrets]", Section: "[secrets]"}
}

// Check returns an error when ref is not allowed. A pattern speaks of the secret, the parameter or the object: json-key, stage and
// version do not count. A `*` and a `?` stand for anything but a colon, so that no field of an ARN runs into the next; a
// name is compared as it is written, so a pattern of ARNs is not for bare names.
func (a Allowed) Check(ref secretref.Ref) error {
	ref.Selector = ""
	text := ref.ParameterName()
	switch ref.Service {
	case secretref.SecretsManager:
		text = ref.SecretID()
	case secretref.S3:
		text = ref.String()
	}
	if a.Patterns == nil || slices.ContainsFunc(a.Patterns, func(p string) bool { return p == "*" || Match(p, text, ":") }) {
		return nil
	}
	err := fmt.Errorf("containers may not name %s on this host; %s says which they may", text, a.Setting)
	if a.Section == "" {
		return err
	}
	ref.JSONKey, ref.VersionStage, ref.VersionID = "", "", ""
	return fmt.Errorf("%w; to allow it, write allow_references = [%q] under %s", err, ref.String(), a.Section)
}

// Match reports whether pattern describes text: `*` stands for any number of bytes, `?` for one, neither for one of bar.
func Match(pattern, text, bar string) bool {
	star, mark := -1, 0 // where the last * is, and up to where in text it reaches
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == text[t] || pattern[p] == '?' && strings.IndexByte(bar, text[t]) < 0):
			p++
			t++
		// Only the last * need take more: what an earlier one could take beyond a bar is closed to it too.
		case star >= 0 && strings.IndexByte(bar, text[mark]) < 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
