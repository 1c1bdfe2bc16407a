package credhelper

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIAMPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	run := func(text string, args ...string) (string, int) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		getenv := func(name string) string { return map[string]string{"SECRETREF_CONFIG": path}[name] }
		code := Run(t.Context(), Program{Args: append([]string{"iam-policy"}, args...), Stdout: &out, Stderr: &out, Getenv: getenv})
		return out.String(), code
	}
	const rules = `[registries."ghcr.io"]
credentialsParameter = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/ghcr-AbCdEf"
[registries."docker.io"]
credentialsParameter = "prod/hub"
region = "eu-central-1"
role_arn = "arn:aws:iam::111122223333:role/reader"
[registries."quay.io"]
helper = "other"
[ecr]
enabled = false
`
	for name, c := range map[string]struct {
		text string
		args []string
		want []string
		code int
	}{
		"all":                             {rules, nil, []string{`"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/ghcr-AbCdEf"`, `"arn:aws:secretsmanager:eu-central-1:*:secret:prod/hub-??????"`, `"sts:AssumeRole"`}, 0},
		"terraform":                       {rules, []string{"--format", "terraform"}, []string{`resource "aws_iam_policy" "secretref"`}, 0},
		"ECR":                             {"[ecr]\nenabled = true\n", nil, []string{"ecr:GetAuthorizationToken", "ecr:BatchGetImage"}, 0},
		"format":                          {rules, []string{"--format", "toml"}, []string{"write one of json, terraform, cloudformation"}, 1},
		"format where nothing is allowed": {"[ecr]\nenabled = false\n", []string{"--format", "yaml"}, []string{`"yaml" is not a format of a policy; write one of json`}, 1},
		"format where the configuration is broken": {"[ecr\n", []string{"--format", "yaml"}, []string{`"yaml" is not a format of a policy; write one of json`}, 1},
		"account": {"[accounts.\"444455556666\"]\nrole_arn = \"arn:aws:iam::444455556666:role/secret-reader\"\n[registries.\"ghcr.io\"]\ncredentialsParameter = \"arn:aws:ssm:eu-west-1:444455556666:parameter/x\"\n", nil,
			[]string{"arn:aws:iam::444455556666:role/secret-reader", "parameter/x"}, 0},
		"nothing":  {"[ecr]\nenabled = false\n", nil, []string{"no registry of the configuration needs anything"}, 1},
		"argument": {rules, []string{"x"}, []string{"it takes no argument"}, 2},
	} {
		out, code := run(c.text, c.args...)
		for _, want := range c.want {
			if code != c.code || !strings.Contains(out, want) {
				t.Errorf("%s: exit %d, %s, want %d and %q", name, code, out, c.code, want)
			}
		}
		if name == "all" && strings.Contains(out, "ecr:") {
			t.Errorf("ECR is allowed, which no rule asks for:\n%s", out)
		}
	}
}
