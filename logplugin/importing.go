package logplugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/taskdef"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/iampolicy"
)

// importable says what FILE of import may be.
const importable = "give a task definition, a template of CloudFormation with one, a compose file, a daemon.json or an ecs.config, or - for standard input"

// importFile prints what a configuration of ECS or of Docker becomes here. No value that may be a secret is printed.
func (p Program) importFile(ctx context.Context, f flags) error {
	if err := f.output.check(); err != nil {
		return err
	}
	if f.id == "" {
		return errors.New("import: which file? " + importable)
	}
	data, err := p.imported(ctx, f.id)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	in, err := taskdef.Read(data)
	if err != nil {
		if f.id == standardInput {
			f.id = "standard input"
		}
		return fmt.Errorf("%s: %w", f.id, err)
	}
	plan := taskdef.NewPlan(in, Routers())
	if err := plan.Write(p.Stdout, f.output.part, f.output.policyFormat()); err != nil {
		return err
	}
	if len(plan.Refused) > 0 {
		return fmt.Errorf("%d not moved: %s", len(plan.Refused), strings.Join(plan.Refused, "; "))
	}
	return nil
}

// standardInput is the FILE that is read from there.
const standardInput = "-"

// imported reads a file, or standard input, as far as taskdef.Read looks at it. The end of ctx ends the program while it waits for a
// person or for another program to write; the read then ends with the process.
func (p Program) imported(ctx context.Context, name string) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		data, err := p.readFile(name)
		if err != nil {
			err = fmt.Errorf("%w; %s", err, importable)
		}
		read <- result{data, err}
	}()
	select {
	case r := <-read:
		return r.data, r.err
	case <-ctx.Done():
		return nil, errors.New("interrupted before the end of the input")
	}
}

func (p Program) readFile(name string) ([]byte, error) {
	in := p.Stdin
	if name != standardInput {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	return io.ReadAll(io.LimitReader(in, taskdef.Max+1))
}

// check looks at the options of the output, before anything else is looked at.
func (o outputFlags) check() error {
	if err := taskdef.CheckPart(o.part); err != nil {
		return err
	}
	if err := iampolicy.CheckFormat(o.policyFormat()); err != nil {
		return err
	}
	if o.format != "" && o.part != "" && o.part != "policy" {
		return fmt.Errorf("import: --format is of the policy, and the part %s has one form; leave it out", o.part)
	}
	return nil
}

// policyFormat is how the IAM policy is written.
func (o outputFlags) policyFormat() string { return cmp.Or(o.format, iampolicy.Formats()[0]) }

// iamPolicy prints the policy that the given log options need, or else the destinations of the configuration.
func (p Program) iamPolicy(_ context.Context, f flags) error {
	if err := f.output.check(); err != nil {
		return err
	}
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	aws := awsconf.New(cfg.AWS, Name, p.Version)
	rules := &options.Rules{Kinds: RoutersOf(aws), Destinations: cfg.Logs.Destinations, DefaultDestination: cfg.Logs.DefaultDestination}
	var policy iampolicy.Policy
	roles := map[string]bool{}
	for _, t := range trialsOf(cfg, f) {
		o, permissions, err := rules.Permissions(t.LogOpts)
		if err != nil {
			return err
		}
		for _, option := range slices.Sorted(maps.Keys(o.References)) {
			ref := o.References[option]
			policy.Add(ref, cfg.RegionFor(ref, ""))
			roles[cfg.RoleFor(ref, config.Role{}).RoleARN] = true
		}
		for _, x := range permissions {
			policy.Allow(x.Action, x.Resource)
			if x.Action == assumeRole {
				fmt.Fprintf(p.Stderr, "%s: lines are sent as %s, which needs the rest of logDriver %s; the host needs sts:AssumeRole for it\n", Name, x.Resource, o.Router)
			}
		}
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		if policy.AddRole(role); role != "" {
			fmt.Fprintf(p.Stderr, "%s: references are read as %s, which needs what is for them; the host needs sts:AssumeRole for it\n", Name, role)
		}
	}
	if policy.IsEmpty() {
		return errors.New("no destination of the configuration has a reference or a router of AWS, so that there is nothing to allow; containers that give their options themselves need a policy for those: give them with --log-opt")
	}
	return policy.Write(p.Stdout, f.output.policyFormat())
}

// assumeRole is the action of STS that a role needs.
const assumeRole = "sts:AssumeRole"
