package options

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secretref"
)

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

func isAddress(o router.Option) bool { return o.Address }

// plainAddress returns the addresses that are written out, or "" when a reference gives a part of them.
func plainAddress(k *router.Kind, o Options) (string, error) {
	for _, name := range k.Names(isAddress) {
		if _, ok := o.References[name]; ok {
			return "", nil
		}
	}
	if k.Addresses == nil {
		return "", nil
	}
	v := router.Options{Plain: o.Plain}.Unresolved()
	addresses := k.Addresses(v)
	if err := v.Err(); err != nil {
		return "", err
	}
	var texts []string
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, " "), nil
}

// CheckAddresses holds the addresses that v gives against allow_routers. Call it when a reference gave one; Parse has done
// it otherwise. Its error does not show the address.
//
// In patterns a `*` and a `?` stand for anything but a dot, a colon, a slash and brackets: one label of a name, a whole
// port. A pattern without a port means the scheme's own.
func (r *Rules) CheckAddresses(name string, v *router.Values) error {
	k := r.kind(name)
	switch {
	case k == nil:
		return fmt.Errorf("%q is not a router here", name)
	case k.Addresses == nil:
		return nil
	}
	addresses := k.Addresses(v)
	if err := v.Err(); err != nil {
		return err
	}
	for _, a := range addresses {
		if !r.allowsRouter(k, a.String()) {
			return errRouterNotAllowed
		}
	}
	return nil
}

// allowsRouter wants a complete address.
func (r *Rules) allowsRouter(k *router.Kind, address string) bool {
	allowed := func(p string) bool { return p == "*" || glob(complete(k, p), address, ".:/[]") }
	return r.AllowRouters == nil || slices.ContainsFunc(r.AllowRouters, allowed)
}

// complete completes a pattern of allow_routers as a router.Address is complete.
func complete(k *router.Kind, p string) string {
	scheme, rest, _ := strings.Cut(p, "://")
	scheme = strings.ToLower(scheme)
	if scheme == "unix" {
		return scheme + "://" + rest
	}
	rest = strings.TrimSuffix(strings.ToLower(rest), "/")
	if bare := rest[strings.LastIndexByte(rest, ']')+1:]; !strings.Contains(bare, ":") {
		rest += ":" + k.Ports[scheme]
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
