package iampolicy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.yaml.in/yaml/v3"

	"github.com/secretref/secretref/shared/secretref"
)

const want = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "secretsmanager:GetSecretValue",
      "Resource": [
        "arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:prod/db-AbCdEf",
        "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-??????"
      ]
    },
    {
      "Effect": "Allow",
      "Action": "ssm:GetParameters",
      "Resource": [
        "arn:aws:ssm:*:*:parameter/plain",
        "arn:aws:ssm:eu-west-1:111122223333:parameter/prod/key"
      ]
    },
    {
      "Effect": "Allow",
      "Action": "s3:GetObject",
      "Resource": [
        "arn:aws:s3:::bucket/a/b"
      ]
    },
    {
      "Effect": "Allow",
      "Action": "sts:AssumeRole",
      "Resource": [
        "arn:aws:iam::111122223333:role/reader"
      ]
    }
  ]
}
`

func policy(t *testing.T) *Policy {
	t.Helper()
	p := &Policy{}
	for _, text := range []string{
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk:token::", "arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:prod/db-AbCdEf",
		"arn:aws:ssm:eu-west-1:111122223333:parameter/prod/key", "/plain", "arn:aws:s3:::bucket/a/b", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk",
	} {
		ref, err := secretref.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		p.Add(ref, "")
	}
	p.AddRole("")
	p.AddRole("arn:aws:iam::111122223333:role/reader")
	return p
}

func TestWrite(t *testing.T) {
	texts := map[string]string{}
	for _, format := range Formats() {
		var b strings.Builder
		if err := policy(t).Write(&b, format); err != nil {
			t.Fatal(err)
		}
		texts[format] = b.String()
	}
	if texts["json"] != want {
		t.Errorf("json\n%s\nwant\n%s", texts["json"], want)
	}
	if got := templatePolicy(t, texts["cloudformation"]); got != strings.TrimSpace(want) {
		t.Errorf("cloudformation says\n%s\nwant\n%s", got, want)
	}
	if got := terraformPolicy(t, texts["terraform"]); got != strings.TrimSpace(want) {
		t.Errorf("terraform says\n%s\nwant\n%s", got, want)
	}
	if err := policy(t).Write(&strings.Builder{}, "toml"); err == nil || !strings.Contains(err.Error(), "write one of json") {
		t.Errorf("toml: %v", err)
	}
}

// terraformPolicy reads a configuration as Terraform does, and returns the document of its one policy.
func terraformPolicy(t *testing.T, text string) string {
	t.Helper()
	file, problems := hclparse.NewParser().ParseHCL([]byte(text), "policy.tf")
	if problems.HasErrors() {
		t.Fatalf("%v in\n%s", problems, text)
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok || len(body.Blocks) != 1 || len(body.Attributes) > 0 || body.Blocks[0].Type != "resource" || !slices.Equal(body.Blocks[0].Labels, []string{"aws_iam_policy", "secretref"}) {
		t.Fatalf("there is not one resource aws_iam_policy in\n%s", text)
	}
	given := body.Blocks[0].Body.Attributes
	if len(given) != 2 || given["name"] == nil || given["policy"] == nil {
		t.Fatalf("the resource has other members than name and policy:\n%s", text)
	}
	document, problems := given["policy"].Expr.Value(nil) // without variables and functions
	if problems.HasErrors() {
		t.Fatalf("%v in\n%s", problems, text)
	}
	return indented(t, document.AsString())
}

// templatePolicy reads a template of CloudFormation, and returns the document of its one policy.
func templatePolicy(t *testing.T, text string) string {
	t.Helper()
	var template struct {
		Resources map[string]struct {
			Type       string         `yaml:"Type"`
			Properties map[string]any `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&template); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	policy := template.Resources["SecretrefPolicy"]
	if len(template.Resources) != 1 || policy.Type != "AWS::IAM::ManagedPolicy" || len(policy.Properties) != 1 {
		t.Fatalf("there is not one AWS::IAM::ManagedPolicy with a PolicyDocument alone in\n%s", text)
	}
	document, err := json.Marshal(policy.Properties["PolicyDocument"])
	if err != nil {
		t.Fatal(err)
	}
	return indented(t, string(document))
}

// indented writes a policy document with its members in their usual order.
func indented(t *testing.T, document string) string {
	t.Helper()
	var policy struct {
		Version   string      `json:"Version"`
		Statement []statement `json:"Statement"`
	}
	d := json.NewDecoder(strings.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&policy); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	text, err := json.MarshalIndent(policy, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What Terraform and YAML would replace or read as something else stays as it is.
func TestWriteKeepsWhatIsSpecial(t *testing.T) {
	p := &Policy{}
	p.Allow("s3:GetObject", "arn:aws:s3:::bucket/${aws:username}/%{if}/$${x}/*: yes # no'\\n")
	texts := map[string]string{}
	for _, format := range Formats() {
		var b strings.Builder
		if err := p.Write(&b, format); err != nil {
			t.Fatal(err)
		}
		texts[format] = b.String()
	}
	plain := indented(t, texts["json"])
	if got := terraformPolicy(t, texts["terraform"]); got != plain {
		t.Errorf("terraform says\n%s\nwant\n%s", got, plain)
	}
	if got := templatePolicy(t, texts["cloudformation"]); got != plain {
		t.Errorf("cloudformation says\n%s\nwant\n%s", got, plain)
	}
}

func TestECR(t *testing.T) {
	p := &Policy{}
	if !p.IsEmpty() {
		t.Error("a new policy allows something")
	}
	p.AddECR()
	var b strings.Builder
	if err := p.Write(&b, "json"); err != nil || !strings.Contains(b.String(), "ecr:GetAuthorizationToken") || p.IsEmpty() {
		t.Errorf("%s, %v", b.String(), err)
	}
}
