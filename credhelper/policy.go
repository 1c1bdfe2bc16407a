package credhelper

import (
	"errors"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/iampolicy"
)

// policy prints the IAM policy that the registries of the configuration need, from files alone.
func (p Program) policy(args []string) int {
	c, _ := findCommand("iam-policy")
	given, rest, err := c.parse(args)
	if err == nil && len(rest) > 0 {
		err = c.misused("it takes no argument")
	}
	format := orElse(given["format"], iampolicy.Formats()[0])
	if err == nil {
		err = iampolicy.CheckFormat(format)
	}
	if err != nil {
		return p.complain(err)
	}
	cfg, err := config.Load(config.Paths(p.Getenv))
	if err != nil {
		return p.complain(err)
	}
	policy := policyOf(cfg)
	if policy.IsEmpty() {
		return p.complain(errors.New("no registry of the configuration needs anything of AWS"))
	}
	if err := policy.Write(p.Stdout, format); err != nil {
		return p.complain(err)
	}
	return exitOK
}

// policyOf allows what the rules name. Where a rule has a role, that role needs the rest, and the host sts:AssumeRole.
func policyOf(cfg *config.Config) *iampolicy.Policy {
	policy := &iampolicy.Policy{}
	ecr := cfg.ECR.Enabled
	for _, r := range cfg.Registries {
		own := config.Role{RoleARN: r.RoleARN, ExternalID: r.ExternalID}
		ecr = ecr || r.ECR
		if r.CredentialsParameter.IsZero() {
			policy.AddRole(r.RoleARN)
			continue
		}
		policy.AddRole(cfg.RoleFor(r.CredentialsParameter, own).RoleARN)
		policy.Add(r.CredentialsParameter, cfg.RegionFor(r.CredentialsParameter, r.Region))
	}
	if ecr {
		policy.AddRole(cfg.ECR.RoleARN)
		policy.AddECR()
	}
	policy.AddRole(cfg.AWS.RoleARN)
	return policy
}
