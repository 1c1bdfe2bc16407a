package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

// resolveWait is how long StartLogging waits for references: the daemon holds the container's lock meanwhile.
const resolveWait = time.Second

// deniedAgain is the pause before a denial counts: a policy that was attached a moment ago is not everywhere yet.
const deniedAgain = time.Second

// admission is what it takes to understand a container's log options.
type admission struct {
	config   *config.Config
	resolver *resolve.Resolver
	kinds    map[string]*router.Kind
	rules    *options.Rules
	hostname string
	broken   error // the configuration; nil = it is whole
}

func newAdmission(c Config) (admission, error) {
	hostname := c.Config.Logs.Hostname
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return admission{}, fmt.Errorf("read the host's name: %w", err)
		}
	}
	logs := c.Config.Logs
	a := admission{
		config: c.Config, resolver: c.Resolver, kinds: map[string]*router.Kind{}, hostname: hostname, broken: c.Broken,
		rules: &options.Rules{
			Kinds: c.Kinds, AllowReferences: logs.AllowReferences, AllowRouters: logs.AllowRouters, SpoolMaxBytes: logs.SpoolMaxBytes, Hostname: hostname,
			Destinations: logs.Destinations, DefaultDestination: logs.DefaultDestination, OnlyDestinations: !logs.AllowOptions,
		},
	}
	for i, k := range c.Kinds {
		a.kinds[k.Name] = &c.Kinds[i]
	}
	return a, nil
}

// options reads the container's log options, as far as that is possible: with an error they may be empty.
func (a *admission) options(info dockerplugin.Info) (options.Options, router.Config, error) {
	o, err := a.rules.Parse(info.Config, info)
	if err != nil {
		return o, nil, err
	}
	c, err := a.kinds[o.Router].New(a.routerOptions(o))
	if err != nil {
		return o, nil, err
	}
	return o, c, nil
}

// WrongDestinations returns what is wrong with the destinations of the configuration, one line for each.
func (a *admission) WrongDestinations() []string {
	var lines []string
	wrong := a.rules.WrongDestinations()
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		lines = append(lines, wrong[name].Error())
	}
	return lines
}

// admit asks for the references of a container that was never accepted. One that was may come back for good reasons, a
// restart policy or `docker logs`, while AWS does not answer or a secret is being replaced.
func (s *Sessions) admit(ctx context.Context, containerID string, o options.Options) error {
	if len(o.References) == 0 || o.SecretFailure == options.SecretFailureStart || s.dir.Accepted(containerID) {
		return nil
	}
	err := s.tryReferences(ctx, o)
	if errors.Is(err, fault.Denied) {
		pause := time.NewTimer(deniedAgain)
		defer pause.Stop()
		select {
		case <-pause.C:
			for _, ref := range o.References {
				s.resolver.Forget(s.request(ref)) // or the denial is answered from memory
			}
			err = s.tryReferences(ctx, o)
		case <-ctx.Done():
		}
	}
	if err == nil || fault.KindOf(err).Transient() && o.SecretFailure != options.SecretFailureFail {
		return nil
	}
	return err
}

func (a *admission) tryReferences(ctx context.Context, o options.Options) error {
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	names := slices.Sorted(maps.Keys(o.References))
	requests := make([]resolve.Request, len(names))
	for i, name := range names {
		requests[i] = a.request(o.References[name])
	}
	var permanent, transient []error
	for i, r := range a.resolver.Resolve(ctx, requests...) {
		err := fmt.Errorf("log-opt %s: %w", names[i], r.Err)
		switch {
		case r.Err == nil:
		case fault.KindOf(r.Err).Transient():
			transient = append(transient, err)
		default:
			permanent = append(permanent, err)
		}
	}
	if len(permanent) > 0 {
		return errors.Join(permanent...)
	}
	return errors.Join(transient...)
}

func (a *admission) request(ref secretref.Ref) resolve.Request {
	return resolve.Request{Ref: ref, Region: a.config.AWS.Region, Role: a.config.RoleFor(ref.Account, config.Role{})}
}

func (a *admission) routerOptions(o options.Options) router.Options {
	r := router.Options{Plain: o.Plain, Secrets: map[string]secret.Source{}}
	for name, ref := range o.References {
		r.Secrets[name] = a.resolver.Source(a.request(ref))
	}
	r.Allow = func(v *router.Values) error {
		if o.Address != "" || o.Destination != "" {
			return nil // it was written out and is known to be allowed, or it is the host's own
		}
		if err := a.rules.CheckAddresses(o.Router, v); err != nil {
			return &fault.Error{Kind: fault.BadValue, Op: "read the router's address", Cause: err.Error(), Err: err}
		}
		return nil
	}
	return r
}
