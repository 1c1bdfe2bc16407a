// Package awsrouter is what the routers to services of AWS share: the options that say where a service is and as whom it is
// called, the ARN of a destination, signed calls, and what the answers mean.
//
// Use it from a router's package: a Host belongs to the log driver, a Client to one router. A call is one request of AWS's JSON
// 1.1 protocol with a signature of version 4. It is made once: the caller decides when it is made again. The SDK's clients of
// these services would add six hundred kilobytes each to the program.
//
// It promises that nothing is sent before allow_routers and allow_roles were asked, that credentials which AWS refuses are fetched
// anew, and that a clock that is wrong costs one request. Errors are *router.Error and hold no credential.
package awsrouter

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/secretref"
)

// knownRegionTimeout bounds the reading of the files of the AWS configuration.
const knownRegionTimeout = time.Second

// Host is how this host reaches AWS. One is shared by all routers. The zero Host knows no region and reaches nothing: it serves
// to look at options.
type Host struct{ session *awsconf.Session }

// NewHost returns a Host. nil makes one that serves to look at options.
func NewHost(session *awsconf.Session) *Host { return &Host{session} }

// region returns the region that is used where the options name none, as far as it is known without the network.
func (h *Host) region() string {
	if h.session == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), knownRegionTimeout)
	defer cancel()
	known, err := h.session.KnownRegion(ctx)
	if err != nil {
		return "" // it is said when lines are sent
	}
	return known
}

// account returns the account of an identity as far as it is known without the network.
func (h *Host) account(as awsconf.Identity) string {
	if h.session == nil {
		return as.RoleAccount()
	}
	return h.session.KnownAccount(as)
}

// Service is one of AWS's.
type Service struct {
	Name     string // in ARNs, in endpoints and in signatures
	SDKID    string // as the SDK and its settings of endpoints call it
	Target   string // before the operation, in the header X-Amz-Target
	Prefix   string // of the options
	Resource string // before the name of the resource, in ARNs: "log-group:"
	// Global says that the ARNs of its resources have neither a region nor an account.
	Global bool
	Answer int // bytes of an answer that are read; 0 = router.MaxAnswer
}

// Options returns the options that every service has.
func (s Service) Options() []router.Option {
	return append([]router.Option{
		{Name: s.Prefix + "-region", Address: true},
		{Name: s.Prefix + "-endpoint", Address: true},
		{Name: s.Prefix + "-credentials-endpoint", Address: true},
		{Name: s.Prefix + "-role-arn", Address: true, Role: true},
		{Name: s.Prefix + "-external-id"},
		{Name: s.Prefix + "-timeout", Default: "30s"},
	}, s.tlsNames().Options()...)
}

// tlsNames are the options of TLS. What they leave open is that of the host.
func (s Service) tlsNames() router.TLSNames {
	return router.PrefixTLS(s.Prefix, "http:// in "+s.endpointForm().Option)
}

// hasTLS reports whether the options say something of TLS.
func (s Service) hasTLS(v *router.Values) bool {
	n := s.tlsNames()
	return slices.ContainsFunc(append(n.Credentials(), n.ServerName, n.SkipVerify), v.Has)
}

// endpointForm is that of the option for another endpoint.
func (s Service) endpointForm() router.AddressForm {
	return router.AddressForm{
		Option: s.Prefix + "-endpoint", Ports: Ports(), Path: true, Example: "https://vpce-0123456789abcdef0." + s.Name + ".eu-west-1.vpce.amazonaws.com",
	}
}

// Ports are the schemes of an endpoint.
func Ports() map[string]string { return map[string]string{"https": "443", "http": "80"} }

// Addresses returns where lines for the resource go: its ARN, and an endpoint that the options name. The faults are in v.
func (h *Host) Addresses(s Service, v *router.Values, resource string) []router.Address {
	c := s.read(v)
	if v.Err() != nil {
		return nil
	}
	if c.region == "" {
		c.region = h.region()
	}
	where := c.region + ":" + h.account(c.as)
	if s.Global {
		where = ":"
	}
	all := []router.Address{{ARN: "arn:" + awsconf.PartitionOf(c.region).Name + ":" + s.Name + ":" + where + ":" + s.Resource + resource}}
	if v.Has(s.Prefix+"-endpoint") && !v.Waits(s.Prefix+"-endpoint") {
		all = append(all, c.endpoint)
	}
	return all
}

// Resource returns the ARN of a resource of a service, for a policy: an asterisk stands in it for what is not known yet.
func (h *Host) Resource(s Service, v *router.Values, resource string) string {
	region := cmp.Or(v.String(s.Prefix+"-region", ""), h.region())
	if s.Global {
		return "arn:" + awsconf.PartitionOf(region).Name + ":" + s.Name + ":::" + s.Resource + resource
	}
	return "arn:" + awsconf.PartitionOf(region).Name + ":" + s.Name + ":" + cmp.Or(region, "*") + ":" + cmp.Or(h.account(s.identity(v)), "*") + ":" + s.Resource + resource
}

// Assumes returns the permission to assume the role that the options name, if they do.
func (s Service) Assumes(v *router.Values) []router.Permission {
	name := s.Prefix + "-role-arn"
	if role := v.String(name, map[bool]string{true: "*"}[v.Waits(name)]); role != "" {
		return []router.Permission{{Action: "sts:AssumeRole", Resource: role}}
	}
	return nil
}

// Check looks at the options that every service has; the faults are in v.
func (s Service) Check(v *router.Values) {
	s.read(v)
	v.TLS(s.tlsNames())
}

// connection is what the options say of a connection.
type connection struct {
	region   string // "" = that of the host
	endpoint router.Address
	base     string // of the endpoint; "" = the host's or the public one
	hidden   bool   // the endpoint came by reference
	as       awsconf.Identity
	timeout  time.Duration
}

func (s Service) read(v *router.Values) connection {
	c := connection{region: v.String(s.Prefix+"-region", ""), timeout: v.Duration(s.Prefix+"-timeout", 30*time.Second, time.Second, 10*time.Minute)}
	if c.region != "" && !secretref.IsRegion(c.region) {
		v.Refuse("log-opt %s-region: %s is not an AWS region; write one such as eu-west-1", s.Prefix, v.Shown(s.Prefix+"-region"))
	}
	if form := s.endpointForm(); v.Has(form.Option) {
		c.endpoint, c.hidden = v.Address(form), v.IsSecret(form.Option)
		if !v.Waits(form.Option) {
			c.base = c.endpoint.Base() + c.endpoint.Path
		}
	}
	c.as = s.identity(v)
	return c
}

// identity reads as whom the service is called.
func (s Service) identity(v *router.Values) (as awsconf.Identity) {
	role, external, path := s.Prefix+"-role-arn", s.Prefix+"-external-id", s.Prefix+"-credentials-endpoint"
	as.Role.RoleARN, as.Role.ExternalID, as.Path = v.String(role, ""), v.String(external, ""), v.String(path, "")
	switch {
	case v.Has(external) && !v.Has(role):
		v.Refuse("log-opt %s is given without %s; give both or neither", external, role)
	case v.Has(path) && v.Has(role):
		v.Refuse("log-opts %s and %s both say as whom to send; give one", path, role)
	case as.Role.RoleARN != "" && !config.IsRoleARN(as.Role.RoleARN):
		v.Refuse("log-opt %s: %s is not the ARN of a role; write one such as arn:aws:iam::111122223333:role/logs", role, v.Shown(role))
	case as.Path != "" && !isPath(as.Path):
		v.Refuse("log-opt %s: %s is not a path at the endpoint of the ECS agent; write one such as /v2/credentials/ID", path, v.Shown(path))
	}
	return as
}

// isPath reports whether s is the path of a URL: what is put behind the address of the ECS agent must not become a part of it.
func isPath(s string) bool {
	return len(s) <= 1024 && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") &&
		!strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("@#\\", c) })
}
