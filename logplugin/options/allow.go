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
// it otherwise. Its error names the address that is refused, or the option by which a reference gave it.
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
		if err := r.checkRouter(k, a.String()); err != nil {
			return fmt.Errorf("%s: %w", shownAddress(k, v, a), err)
		}
	}
	return nil
}

// shownAddress is a, or what may be shown in its place when a reference gave a part of it.
func shownAddress(k *router.Kind, v *router.Values, a router.Address) string {
	names := slices.DeleteFunc(k.Names(isAddress), func(name string) bool { return !v.IsSecret(name) })
	if len(names) == 0 {
		return a.String()
	}
	return "the address that " + strings.Join(names, ", ") + " gives by reference"
}

// checkRouter wants a complete address, or an ARN. Its error is errRouterNotAllowed, or router.ErrAccountUnknown where what is not
// known yet of an ARN decides.
func (r *Rules) checkRouter(k *router.Kind, address string) error {
	isARN := strings.HasPrefix(address, arnPrefix)
	allowed := func(p string) bool {
		switch {
		case p == "*":
			return true
		case isARN || strings.HasPrefix(p, arnPrefix):
			return references.Match(p, address, ":")
		}
		return references.Match(complete(k, p), address, ".:/[]")
	}
	switch {
	case r.AllowRouters == nil || slices.ContainsFunc(r.AllowRouters, allowed):
		return nil
	case isARN && slices.ContainsFunc(r.AllowRouters, func(p string) bool { return mayMatch(p, address) }):
		return router.ErrAccountUnknown
	}
	return errRouterNotAllowed
}

const arnPrefix = "arn:"

// global is the service whose ARNs have neither a region nor an account.
const global = "s3"

// arnFields is how many fields an ARN has: arn, partition, service, region, account, resource.
const arnFields = 6

// mayMatch reports whether the pattern describes the ARN as far as the ARN is known: a field that is empty may become anything.
func mayMatch(pattern, arn string) bool {
	patterns, fields := strings.SplitN(pattern, ":", arnFields), strings.SplitN(arn, ":", arnFields)
	if len(patterns) != arnFields || len(fields) != arnFields {
		return false
	}
	unknown := false
	for i, field := range fields {
		if field == "" && fields[2] != global {
			unknown = true
		} else if !references.Match(patterns[i], field, ":") {
			return false
		}
	}
	return unknown
}

// checkRoles holds the roles among the options against allow_roles. One whose value is not known yet passes.
func (r *Rules) checkRoles(k *router.Kind, v *router.Values) error {
	for _, name := range k.Names(func(o router.Option) bool { return o.Role }) {
		role := v.String(name, "")
		if role != "" && !slices.ContainsFunc(r.AllowRoles, func(p string) bool { return p == "*" || references.Match(p, role, ":") }) {
			return fmt.Errorf("log-opt %s: containers may not use the role %s on this host; allow_roles in [logs] says which they may", name, v.Shown(name))
		}
	}
	return nil
}

// CheckUse holds the values of a container's connection options, references among them resolved, against what this host
// allows. Call it before each connection: Parse looks only at what was written out.
func (r *Rules) CheckUse(o Options, v *router.Values) error {
	k := r.kind(o.Router)
	if o.Destination != "" || k == nil {
		return nil // it is the host's own
	}
	if err := r.checkRoles(k, v); err != nil {
		return err
	}
	if o.Address != "" && !strings.HasPrefix(o.Address, arnPrefix) {
		return nil // it was written out and is known to be allowed
	}
	return r.CheckAddresses(o.Router, v)
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
