package iampolicy

import (
	"encoding/json"
	"strings"
	"testing"

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
	var template any
	if err := yaml.Unmarshal([]byte(texts["cloudformation"]), &template); err != nil {
		t.Fatalf("%v in\n%s", err, texts["cloudformation"])
	}
	if got, err := json.Marshal(template); err != nil || !strings.Contains(string(got), `"Action":"ssm:GetParameters"`) || !strings.Contains(string(got), `"Type":"AWS::IAM::ManagedPolicy"`) {
		t.Errorf("%s, %v", got, err)
	}
	if !strings.Contains(texts["terraform"], "resource \"aws_iam_policy\"") || !strings.Contains(texts["terraform"], `"sts:AssumeRole"`) {
		t.Errorf("terraform\n%s", texts["terraform"])
	}
	if err := policy(t).Write(&strings.Builder{}, "toml"); err == nil || !strings.Contains(err.Error(), "write one of json") {
		t.Errorf("toml: %v", err)
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
