package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/filebudget"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

// admission is what it takes to understand a container's log options, and to decide whether it may start.
type admission struct {
	asker         *references.Asker
	kinds         map[string]*router.Kind
	rules         *options.Rules
	spoolMaxBytes int64 // of a container that does not say
	hostname      string
	instance      func(context.Context) router.Instance
	broken        error             // the configuration; nil = it is whole
	wait          time.Duration     // for references; see pauses.resolve
	files         filebudget.Budget // zero means no bound
	refused       atomic.Uint64     // containers
	allowFiles    []string          // directories below which a container's options may name files; nil = everywhere
}

func newAdmission(c Config) (*admission, error) {
	hostname := c.Config.Logs.Hostname
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("read the host's name: %w", err)
		}
	}
	logs := c.Config.Logs
	a := &admission{
		asker: references.NewAsker(c.Config, c.Resolver), kinds: map[string]*router.Kind{}, hostname: hostname, broken: c.Broken, spoolMaxBytes: logs.SpoolMaxBytes, files: c.Files, instance: c.Instance, wait: c.pauses.resolve,
		rules: &options.Rules{
			Kinds: c.Kinds, References: references.Allowed{Patterns: logs.AllowReferences, Setting: "allow_references in [logs]"}, AllowRouters: logs.AllowRouters, AllowRoles: logs.AllowRoles, Hostname: hostname,
			Destinations: logs.Destinations, DefaultDestination: logs.DefaultDestination, OnlyDestinations: !logs.AllowOptions,
		},
	}
	a.allowFiles = logs.AllowFiles
	if c.pauses.denied != 0 {
		a.asker.Again = c.pauses.denied
	}
	for i, k := range c.Kinds {
		a.kinds[k.Name] = &c.Kinds[i]
	}
	return a, nil
}

// options reads the log options of the container that info describes, as far as that is possible: with an error they may be empty.
func (a *admission) options(who string, info dockerplugin.Info) (options.Options, router.Config, error) {
	o, err := a.rules.Parse(info.Config, info)
	if err != nil {
		return o, nil, err
	}
	c, err := a.kinds[o.Router].New(a.routerOptions(who, o))
	if err != nil {
		return o, nil, err
	}
	return o, c, nil
}

// wrongDestinations returns what is wrong with the destinations of the configuration, one line for each.
func (a *admission) wrongDestinations() []string {
	var lines []string
	wrong := a.rules.WrongDestinations()
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		lines = append(lines, wrong[name].Error())
	}
	return lines
}

// admit asks for the references of a container that was never accepted. Do not ask for one that was: it may come back for
// good reasons, a restart policy or `docker logs`, while AWS does not answer or a secret is being replaced.
func (a *admission) admit(ctx context.Context, containerID string, o options.Options) error {
	if len(o.References) == 0 || o.SecretFailure == options.SecretFailureStart {
		return nil
	}
	err := a.asker.Admit(ctx, a.wait, needs(audited(containerID), o))
	if err == nil || fault.KindOf(err).Transient() && o.SecretFailure != options.SecretFailureFail {
		return nil
	}
	return err
}

// sendable returns the router of a container's options, or why nothing can be sent there at present.
func (a *admission) sendable(o options.Options) (*router.Kind, error) {
	kind := a.kinds[o.Router]
	switch {
	case a.broken != nil:
		return nil, a.broken
	case kind == nil:
		return nil, errors.New("this version of the log driver cannot read the container's log options; start the container again with options that it knows, or give its lines up with forget --discard")
	}
	return kind, a.rules.Allowed(o)
}

// needs returns the references of a container, sorted by the names of their options.
func needs(who string, o options.Options) []references.Need {
	var all []references.Need
	for _, name := range slices.Sorted(maps.Keys(o.References)) {
		all = append(all, need(who, name, o.References[name]))
	}
	return all
}

// audited is a container as the audit names it.
func audited(containerID string) string { return "container " + short(containerID) }

// need is one option's reference. who is for the audit, which names the option besides.
func need(who, option string, ref secretref.Ref) references.Need {
	return references.Need{Ref: ref, Where: "log-opt " + option, For: who + " " + option}
}

func (a *admission) routerOptions(who string, o options.Options) router.Options {
	r := router.Options{Plain: o.Plain, Secrets: map[string]secret.Source{}, Files: a.allowFiles}
	if o.Destination != "" {
		r.Files = nil // it is the host's own
	}
	for name, ref := range o.References {
		r.Secrets[name] = a.asker.Source(need(who, name, ref))
	}
	r.Allow = func(v *router.Values) error {
		if err := a.rules.CheckUse(o, v); err != nil {
			return &fault.Error{Kind: fault.BadValue, Op: "read the router's address", Cause: err.Error(), Err: err}
		}
		return nil
	}
	return r
}
