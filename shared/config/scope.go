package config

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/secretref/secretref/shared/ecrhost"
	"github.com/secretref/secretref/shared/registryhost"
)

// scope is which registries a broken configuration may speak of. It is found line by line and not by a TOML parser,
// since there may be no TOML; every doubt widens it.
type scope struct {
	all   bool     // every host
	ecr   bool     // hosts of ECR
	texts []string // keys of registries, as they are written

	notFound NotFound // the last that is given; "" = none
}

func (s *scope) add(src source) {
	if src.unread || !utf8.Valid(src.data) || bytes.IndexByte(src.data, 0) >= 0 {
		s.all = true
		return
	}
	var section []string
	lines := strings.FieldsFunc(string(src.data), func(r rune) bool { return r == '\n' || r == '\r' })
	for _, line := range lines {
		line = strings.TrimSpace(strings.TrimPrefix(line, "\uFEFF"))
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			section, _ = s.key(strings.TrimLeft(line, "[ \t"))
			s.table(section)
			continue
		}
		key, rest := s.key(line)
		s.assignment(section, key, rest)
	}
}

// table notes the hosts that a table header may mean. An unknown name is taken for a misspelt "registries", or for a
// host that lacks it.
func (s *scope) table(path []string) {
	if len(path) == 0 || isTable(path[0], otherTables()...) {
		return
	}
	s.hosts(path[1:])
	if !isTable(path[0], "registries") {
		s.hosts(path)
	}
}

// assignment notes what `key = rest` under [section] may mean.
func (s *scope) assignment(section, key []string, rest string) {
	if len(key) == 0 {
		return
	}
	value := strings.ToLower(strings.TrimLeft(rest, " \t="))
	switch {
	case len(section) == 0 && len(key) == 1 && key[0] == "not_found":
		if s.notFound = NotFoundError; strings.HasPrefix(strings.Trim(value, `"'`), string(NotFoundAnonymous)) {
			s.notFound = NotFoundAnonymous
		}
	case isTable(key[len(key)-1], "enabled") && !strings.HasPrefix(value, "false"):
		s.ecr = true
	case isTable(key[0], "ecr") && len(section) < 2 && strings.Contains(value, "true"): // in a rule it is that rule's
		s.ecr = true
	case isTable(key[0], "registries") && len(key) == 1: // an inline table
		s.all = true
	case isTable(key[0], "registries"):
		s.table(key)
	case len(section) == 1 && isTable(section[0], "ecr") && strings.HasPrefix(value, "true"):
		s.ecr = true
	case len(section) == 1 && !isTable(section[0], otherTables()...):
		s.hosts(key)
	}
}

// hosts notes every beginning of path as a host: one without quotes has been split at its dots, and a key may follow.
func (s *scope) hosts(path []string) {
	for i := range path {
		s.texts = append(s.texts, strings.Join(path[:i+1], "."))
	}
}

// key reads a dotted key without asking for more order than it needs, and returns what follows it.
func (s *scope) key(line string) (parts []string, rest string) {
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return parts, ""
		}
		var part string
		if quote := line[:1]; quote == `"` || quote == `'` {
			var closed bool
			if part, line, closed = strings.Cut(line[1:], quote); !closed {
				part, _, _ = strings.Cut(part, "]")
			}
			if quote == `"` && strings.Contains(part, `\`) {
				s.all = true // an escape may spell any host
			}
		} else {
			// A wildcard stays with the label behind it: alone it would be every host.
			label := strings.TrimPrefix(line, "*.")
			end := strings.IndexAny(label, ".=]#\"' \t")
			if end < 0 {
				end = len(label)
			}
			part, line = line[:len(line)-len(label)+end], label[end:]
		}
		parts = append(parts, part)
		line = strings.TrimLeft(line, " \t")
		if !strings.HasPrefix(line, ".") {
			return parts, line
		}
		line = line[1:]
	}
}

func isTable(s string, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, s) })
}

func (s *scope) has(n registryhost.Name) bool {
	return s.all || s.ecr && ecrhost.Resembles(n.Host) ||
		slices.ContainsFunc(s.texts, func(text string) bool { return mayMean(text, n) })
}

// mayMean reports whether the key text speaks of n. One that is not a valid pattern is read as a glob and as a part of a name.
func mayMean(text string, n registryhost.Name) bool {
	if p, err := registryhost.ParsePattern(text); err == nil {
		return p.MatchHost(n)
	}
	text = strings.ToLower(strings.TrimSpace(text))
	host, _, _ := strings.Cut(n.Host, ":")
	if strings.HasPrefix(n.Host, "[") {
		host = strings.Trim(n.Host[:strings.IndexByte(n.Host, ']')], "[")
	}
	if strings.Contains(text, host) {
		return true
	}
	first, rest, glob := strings.Cut(text, "*")
	if !glob {
		return false
	}
	// The last literal part of a glob such as "reg*.example.com:*" that a host must hold; none = every host.
	literal := longest(append(strings.Split(rest, "*"), first))
	return strings.Contains(n.Host, literal)
}

func longest(list []string) string {
	var s string
	for _, t := range list {
		if len(t) > len(s) {
			s = t
		}
	}
	return s
}
