// Package iampolicy writes the IAM policy that a configuration needs: no more than the actions that are called, on the things that
// references and options name.
//
// Use it for a person who sets up a role. It asks AWS nothing, and so it cannot know which key a secret is encrypted with: a customer
// managed key needs kms:Decrypt besides.
package iampolicy

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/shared/secretref"
)

// Formats lists what Write can write; the first is the default.
func Formats() []string { return []string{"json", "terraform", "cloudformation"} }

// CheckFormat returns an error for a format that Write cannot write. A command calls it before it reads anything else.
func CheckFormat(format string) error {
	if slices.Contains(Formats(), format) {
		return nil
	}
	return fmt.Errorf("%q is not a format of a policy; write one of %s", format, strings.Join(Formats(), ", "))
}

// Policy collects what is to be allowed. The zero value allows nothing.
type Policy struct {
	resources map[string]map[string]bool // by action
	order     []string                   // of the actions
}

// statement is one element of a policy document.
type statement struct {
	Effect   string   `json:"Effect"`
	Action   string   `json:"Action"`
	Resource []string `json:"Resource"`
}

// Allow allows an action on a resource.
func (p *Policy) Allow(action, resource string) {
	if p.resources == nil {
		p.resources = map[string]map[string]bool{}
	}
	if p.resources[action] == nil {
		p.resources[action] = map[string]bool{}
		p.order = append(p.order, action)
	}
	p.resources[action][resource] = true
}

// Add allows what reading ref needs. region is where a bare name is read; "" means any.
func (p *Policy) Add(ref secretref.Ref, region string) {
	switch ref.Service {
	case secretref.SecretsManager:
		p.Allow("secretsmanager:GetSecretValue", secretARN(ref, region))
	case secretref.SSM:
		p.Allow("ssm:GetParameters", parameterARN(ref, region))
	case secretref.S3:
		p.Allow("s3:GetObject", "arn:"+ref.Partition+":s3:::"+ref.Name)
	}
}

// AddECR allows to log in to ECR and to pull from its repositories.
func (p *Policy) AddECR() {
	p.Allow("ecr:GetAuthorizationToken", "*")
	p.Allow("ecr:BatchGetImage", "*")
	p.Allow("ecr:GetDownloadUrlForLayer", "*")
}

// AddRole allows to assume a role.
func (p *Policy) AddRole(arn string) {
	if arn != "" {
		p.Allow("sts:AssumeRole", arn)
	}
}

// secretARN is the ARN of a secret, which ends in six random characters that a reference may leave out.
func secretARN(ref secretref.Ref, region string) string {
	id := ref.SecretID()
	if ref.Account == "" {
		id = "arn:aws:secretsmanager:" + orAny(region) + ":*:secret:" + ref.Name
	}
	if ref.EndsLikeSuffix() && ref.Account != "" {
		return id
	}
	return id + "-??????"
}

func orAny(region string) string {
	if region == "" {
		return "*"
	}
	return region
}

func parameterARN(ref secretref.Ref, region string) string {
	partition, account := "aws", "*"
	if ref.Account != "" {
		partition, region, account = ref.Partition, ref.Region, ref.Account
	}
	return "arn:" + partition + ":ssm:" + orAny(region) + ":" + account + ":parameter/" + strings.TrimPrefix(ref.Name, "/")
}

// IsEmpty reports whether nothing is to be allowed.
func (p *Policy) IsEmpty() bool { return len(p.order) == 0 }

// document is the policy in JSON.
func (p *Policy) document() ([]byte, error) {
	statements := []statement{}
	for _, action := range p.order {
		statements = append(statements, statement{"Allow", action, slices.Sorted(maps.Keys(p.resources[action]))})
	}
	return json.MarshalIndent(struct {
		Version   string      `json:"Version"`
		Statement []statement `json:"Statement"`
	}{"2012-10-17", statements}, "", "  ")
}

// Write writes the policy in one of Formats.
func (p *Policy) Write(w io.Writer, format string) error {
	document, err := p.document()
	if err != nil {
		return err
	}
	text := string(document)
	switch format {
	case "json":
		_, err = fmt.Fprintln(w, text)
	case "terraform":
		text = strings.ReplaceAll(strings.ReplaceAll(text, "${", "$${"), "%{", "%%{")
		_, err = fmt.Fprintf(w, "resource \"aws_iam_policy\" \"secretref\" {\n  name   = \"secretref\"\n  policy = <<-EOT\n%s\n  EOT\n}\n", indent(text, "    "))
	case "cloudformation":
		_, err = fmt.Fprintf(w, "Resources:\n  SecretrefPolicy:\n    Type: AWS::IAM::ManagedPolicy\n    Properties:\n      PolicyDocument:\n%s\n", indent(text, "        "))
	default:
		err = CheckFormat(format)
	}
	return err
}

func indent(text, by string) string { return by + strings.ReplaceAll(text, "\n", "\n"+by) }
