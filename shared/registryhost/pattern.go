package registryhost

import (
	"cmp"
	"errors"
	"strings"
)

// Pattern is a key of `[registries."…"]`: a host, a host with port, labels of `*`, a lone `*`, and perhaps the path
// that a repository must begin with. It is comparable; the zero Pattern matches nothing.
//
// A `*` stands for exactly one DNS label: `*.example.com` is neither example.com nor a.b.example.com, and never a host
// with a port. A lone `*` is every host.
//
// A path matches only when the client sent one. docker, compose and buildx send the host alone, so a rule with a path
// never speaks for them.
type Pattern struct {
	host string // canonical, with port; "*" for every host
	path string // without slash at either end
}

// ParsePattern reads a key. It takes the spellings that Normalize takes, so that a key pasted from Docker's
// configuration works.
func ParsePattern(s string) (Pattern, error) {
	n, err := parse(s, true)
	if errors.Is(err, ErrNotRegistry) {
		return Pattern{}, errors.New("registry pattern " + err.Error() + "; write a host, without a scheme")
	}
	if err != nil {
		return Pattern{}, err
	}
	if n.Host == "*" && n.Path != "" {
		return Pattern{}, refuse(s, "has a path under a lone *, which is every host; name the host")
	}
	return Pattern{n.Host, n.Path}, nil
}

// String returns the canonical text: ParsePattern gives the same Pattern for it.
func (p Pattern) String() string { return Name{p.host, p.path}.String() }

// Host returns the host part of String, with its port.
func (p Pattern) Host() string { return p.host }

// Match reports whether the pattern speaks for n.
func (p Pattern) Match(n Name) bool {
	return p.MatchHost(n) && (p.path == "" || n.Path == p.path || strings.HasPrefix(n.Path, p.path+"/"))
}

// MatchHost is Match without regard to paths.
func (p Pattern) MatchHost(n Name) bool {
	if p.IsExact() || p.IsAny() {
		return n.Host != "" && (p.IsAny() || p.host == n.Host)
	}
	want, wantPort, _ := strings.Cut(p.host, ":")
	have, havePort, _ := strings.Cut(n.Host, ":")
	if wantPort != havePort || strings.HasPrefix(have, "[") {
		return false
	}
	for more := true; more; {
		var w, h string
		var moreHave bool
		w, want, more = strings.Cut(want, ".")
		h, have, moreHave = strings.Cut(have, ".")
		if more != moreHave || h == "" || w != "*" && w != h {
			return false
		}
	}
	return true
}

// IsExact reports whether the host is written out.
func (p Pattern) IsExact() bool { return p.host != "" && !strings.Contains(p.host, "*") }

// HasPath reports whether the pattern is about repositories of the host.
func (p Pattern) HasPath() bool { return p.path != "" }

// IsAny reports whether the pattern is the lone `*`.
func (p Pattern) IsAny() bool { return p.host == "*" }

// TooBroad reports whether the pattern may cover hosts of different owners. No password may be written for these.
//
// Who owns a host shows at its end: a pattern is narrow when its last two labels are written out and something stands
// before them, as in `*.example.com`. It is not so below a suffix such as co.uk, where the third counts as well, nor for
// what may be an IPv4 address, whose owner shows at its beginning.
func (p Pattern) TooBroad() bool {
	if p.IsExact() {
		return false
	}
	host, _, _ := strings.Cut(p.host, ":")
	labels := strings.Split(host, ".")
	n := len(labels)
	if n < 3 || labels[n-1] == "*" || labels[n-2] == "*" || isDigit(labels[n-1][0]) {
		return true
	}
	return labels[n-3] == "*" && sharedSuffix(labels[n-2], labels[n-1])
}

// sharedSuffix reports whether registrars give away names below second.top, as below co.uk. Only the common words are
// known: the whole list of such suffixes changes every week.
func sharedSuffix(second, top string) bool {
	if len(top) != 2 {
		return false
	}
	switch second {
	case "ac", "co", "com", "edu", "go", "gob", "gov", "mil", "ne", "net", "nom", "or", "org":
		return true
	}
	return false
}

// Compare orders patterns by how closely they describe a registry, the best first: a negative result means that p wins
// over q where both match. An exact host beats wildcards, these beat the lone `*`; then the path with more segments,
// then more literal labels, then the text, so that the order never depends on chance.
func (p Pattern) Compare(q Pattern) int {
	return cmp.Or(
		cmp.Compare(p.class(), q.class()),
		cmp.Compare(segments(q.path), segments(p.path)),
		cmp.Compare(q.literals(), p.literals()),
		cmp.Compare(p.String(), q.String()),
	)
}

func (p Pattern) class() int {
	switch {
	case p.IsExact():
		return 0
	case p.IsAny():
		return 2
	}
	return 1
}

// literals counts the labels that are written out.
func (p Pattern) literals() int {
	host, _, _ := strings.Cut(p.host, ":")
	n := 0
	for label := range strings.SplitSeq(host, ".") {
		if label != "*" {
			n++
		}
	}
	return n
}

func segments(path string) int {
	if path == "" {
		return 0
	}
	return strings.Count(path, "/") + 1
}
