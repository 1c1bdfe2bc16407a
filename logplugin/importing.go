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
	"github.com/secretref/secretref/shared/iampolicy"
)

// importFile prints what a configuration of ECS or of Docker becomes here. No value that may be a secret is printed.
func (p Program) importFile(_ context.Context, f flags) error {
	if f.id == "" {
		return errors.New("import: which file? give a task definition, a compose file, a daemon.json or an ecs.config")
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

// iamPolicy prints the policy that the destinations of the configuration need.
func (p Program) iamPolicy(_ context.Context, f flags) error {
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	rules := &options.Rules{Kinds: Routers(), Destinations: cfg.Logs.Destinations}
	var policy iampolicy.Policy
	for _, name := range slices.Sorted(maps.Keys(cfg.Logs.Destinations)) {
		o, err := rules.Parse(map[string]string{"destination": name}, options.Info{ContainerID: strings.Repeat("0", 64), ContainerName: "/check"})
		if err != nil {
			return err
		}
		for _, option := range slices.Sorted(maps.Keys(o.References)) {
			policy.Add(o.References[option], cfg.AWS.Region)
		}
	}
	if policy.AddRole(cfg.AWS.RoleARN); cfg.AWS.RoleARN != "" {
		fmt.Fprintf(p.Stderr, "%s: the host needs sts:AssumeRole alone; the rest is for %s\n", Name, cfg.AWS.RoleARN)
	}
	if policy.IsEmpty() {
		return errors.New("no destination of the configuration has a reference, so that there is nothing to allow; containers that give references themselves need a policy for what allow_references names")
	}
	return policy.Write(p.Stdout, f.policyFormat())
}
