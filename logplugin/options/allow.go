package options

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/logplugin/router"
)

// NotAllowedError says that well-formed options name what containers may not name on this host.
type NotAllowedError struct{ text string }

// Error returns one line.
func (e *NotAllowedError) Error() string { return e.text }

var errRouterNotAllowed = errors.New("containers may not send there from this host; allow_routers in [logs] says where they may")

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
	allowed := func(p string) bool { return p == "*" || references.Match(complete(k, p), address, ".:/[]") }
	return r.AllowRouters == nil || slices.ContainsFunc(r.AllowRouters, allowed)
}

// complete completes a pattern of allow_routers as a router.Address is complete.
func complete(k *router.Kind, p string) string {
	scheme, rest, _ := strings.Cut(p, "://")
	scheme = strings.ToLower(scheme)
	if router.IsFile(scheme) {
		return scheme + "://" + rest
	}
	rest = strings.TrimSuffix(strings.ToLower(rest), "/")
	if bare := rest[strings.LastIndexByte(rest, ']')+1:]; !strings.Contains(bare, ":") {
		rest += ":" + k.Ports[scheme]
	}
	return scheme + "://" + rest
}
