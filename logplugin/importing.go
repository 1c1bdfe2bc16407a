package logplugin

import (
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

// importFile prints what a configuration of ECS or of Docker becomes here. No value that may be a secret is printed.
func (p Program) importFile(_ context.Context, f flags) error {
	if f.id == "" {
		return errors.New("import: which file? give a task definition, a template of CloudFormation with one, a compose file, a daemon.json or an ecs.config")
	}
	if f.output.format != "" && f.output.part != "" && f.output.part != "policy" {
		return fmt.Errorf("import: --format is of the policy, and the part %s has one form; leave it out", f.output.part)
	}
	file, err := os.Open(f.id)
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, taskdef.Max+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", f.id, err)
	}
	in, err := taskdef.Read(data)
	if err != nil {
		return fmt.Errorf("%s: %w", f.id, err)
	}
	plan := taskdef.NewPlan(in, Routers())
	if err := plan.Write(p.Stdout, f.output.part, f.policyFormat()); err != nil {
		return err
	}
	if len(plan.Refused) > 0 {
		return fmt.Errorf("%d not moved: %s", len(plan.Refused), strings.Join(plan.Refused, "; "))
	}
	return nil
}

// policyFormat is how the IAM policy is written.
func (f flags) policyFormat() string {
	if f.output.format == "" {
		return iampolicy.Formats()[0]
	}
	return f.output.format
}

// iamPolicy prints the policy that the given log options need, or else the destinations of the configuration.
func (p Program) iamPolicy(_ context.Context, f flags) error {
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
	return policy.Write(p.Stdout, f.policyFormat())
}

// assumeRole is the action of STS that a role needs.
const assumeRole = "sts:AssumeRole"
