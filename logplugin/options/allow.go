package options

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/secretref/secretref/shared/secretref"
)

// Address says how a router's address is written.
type Address struct {
	Option  string            // the option that holds it
	Default string            // when it is not given
	Scheme  string            // of an address that has none; "" = it must have one
	Ports   map[string]string // the schemes that the router knows, with the port of an address that has none; "unix" has ""
}

// NotAllowedError says that well-formed options name what containers may not name on this host.
type NotAllowedError struct{ text string }

// Error returns one line.
func (e *NotAllowedError) Error() string { return e.text }

var errRouterNotAllowed = errors.New("containers may not send there from this host; allow_routers in [logs] says where they may")

// checkReference holds a reference against allow_references. A pattern speaks of the secret or the parameter: json-key,
// stage and version do not count. A `*` and a `?` stand for anything but a colon, so that no field of an ARN runs into
// the next; a name is compared as it is written, so a pattern of ARNs is not for bare names.
func (r *Rules) checkReference(option string, ref secretref.Ref) error {
	ref.Selector = ""
	text := ref.ParameterName()
	if ref.Service == secretref.SecretsManager {
		text = ref.SecretID()
	}
	if r.AllowReferences == nil || slices.ContainsFunc(r.AllowReferences, func(p string) bool { return p == "*" || glob(p, text, ":") }) {
		return nil
	}
	return &NotAllowedError{fmt.Sprintf("log-opt %s%s: containers may not name %s on this host; allow_references in [logs] says which they may", dot, option, text)}
}

// plainAddress returns the address that is written out, or "" when a reference gives it.
func (r *Rules) plainAddress(t *Table, o Options) (string, error) {
	option := t.Address.Option
	if _, ok := o.References[option]; ok || option == "" {
		return "", nil
	}
	address, err := t.Address.complete(o.Plain[option])
	if err != nil {
		return "", fmt.Errorf("log-opt %s: %w", option, err)
	}
	return address, nil
}

// CheckAddress holds the address of a router against allow_routers. Call it when a reference gave the address; Parse has
// done it otherwise. Its error does not show the address.
//
// In patterns a `*` and a `?` stand for anything but a dot, a colon, a slash and brackets: one label of a name, a whole
// port. A pattern without a port means the scheme's own.
func (r *Rules) CheckAddress(router, text string) error {
	t := r.table(router)
	if t == nil {
		return fmt.Errorf("%q is not a router here", router)
	}
	address, err := t.Address.complete(text)
	if err == nil && !r.allowsRouter(t, address) {
		err = errRouterNotAllowed
	}
	return err
}

// allowsRouter wants a complete address.
func (r *Rules) allowsRouter(t *Table, address string) bool {
	allowed := func(p string) bool { return p == "*" || glob(t.Address.pattern(p), address, ".:/[]") }
	return r.AllowRouters == nil || slices.ContainsFunc(r.AllowRouters, allowed)
}

// complete returns scheme://host:port in small letters, or unix:///path.
func (a Address) complete(text string) (string, error) {
	if text == "" {
		text = a.Default
	}
	if !strings.Contains(text, "://") && a.Scheme != "" && !a.lacksSlashes(text) {
		text = a.Scheme + "://" + text
	}
	switch {
	case a.lacksSlashes(text):
		return "", errors.New("its scheme does not end with ://; write " + a.example())
	case bareAddress.MatchString(text):
		return "", errors.New("it has no scheme; write " + a.scheme() + "://" + text)
	}
	u, err := url.Parse(text) // its error quotes the text
	if err != nil || u.Opaque != "" || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' }) {
		return "", errors.New("it is not a valid address; write " + a.example())
	}
	port, known := a.Ports[u.Scheme]
	switch {
	case !known:
		return "", fmt.Errorf("its scheme is not one of %s; write %s", strings.Join(slices.Sorted(maps.Keys(a.Ports)), ", "), a.example())
	case u.User != nil:
		return "", errors.New("there is a user name in it; give credentials as options of their own")
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return "unix://" + u.Path, nil
	case u.Scheme == "unix" || u.Hostname() == "":
		return "", errors.New("it names no host; write " + a.example())
	}
	if u.Port() != "" {
		port = u.Port()
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	return u.Scheme + "://" + net.JoinHostPort(host, port), nil
}

// lacksSlashes reports whether text begins with a scheme without its :// in full, as in https:/ or https//.
func (a Address) lacksSlashes(text string) bool {
	for scheme := range a.Ports {
		rest, ok := strings.CutPrefix(text, scheme)
		if ok && (strings.HasPrefix(rest, "//") || strings.HasPrefix(rest, ":/") && !strings.HasPrefix(rest, "://")) {
			return true
		}
	}
	return false
}

// A host with or without a port and a path, and without a scheme.
var bareAddress = regexp.MustCompile(`^(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[^?#@]*)?$`)

// scheme is that of an address for examples: the one with encryption, if there is one.
func (a Address) scheme() string {
	if _, ok := a.Ports["https"]; ok || a.Scheme == "" {
		return "https"
	}
	return a.Scheme
}

func (a Address) example() string { return a.scheme() + "://HOST:" + a.Ports[a.scheme()] }

// pattern completes a pattern of allow_routers as complete does an address.
func (a Address) pattern(p string) string {
	scheme, rest, _ := strings.Cut(p, "://")
	scheme = strings.ToLower(scheme)
	if scheme == "unix" {
		return scheme + "://" + rest
	}
	rest = strings.TrimSuffix(strings.ToLower(rest), "/")
	if bare := rest[strings.LastIndexByte(rest, ']')+1:]; !strings.Contains(bare, ":") {
		rest += ":" + a.Ports[scheme]
	}
	return scheme + "://" + rest
}

// glob reports whether pattern describes text: `*` stands for any number of bytes, `?` for one, neither for one of bar.
func glob(pattern, text, bar string) bool {
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
