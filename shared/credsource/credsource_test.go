package credsource

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/config"
)

const (
	awsConfig = `[default]
region = eu-west-1
[profile base]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
[profile ci]
role_arn = arn:aws:iam::111122223333:role/ci
source_profile = base
s3 =
  credential_process = nested
[profile ec2]
role_arn=arn:aws:iam::111122223333:role/x
credential_source = Ec2InstanceMetadata
[profile sso]
sso_session = corp
[profile old]
sso_start_url = https://corp.example.com/start
[profile proc]
credential_process = /usr/bin/helper --token s3cr3t-c4n4ry
[profile web]
role_arn = arn:aws:iam::111122223333:role/w
web_identity_token_file = /t
[sso-session corp]
credential_process = no
[services x]
`
	awsCredentials = `; comment
[base]
aws_secret_access_key = s3cr3t-c4n4ry
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
`
)

func TestFind(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"config": awsConfig, "credentials": awsCredentials} {
		if err := os.WriteFile(filepath.Join(home, ".aws", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const keys = "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE AWS_SECRET_ACCESS_KEY=s3cr3t-c4n4ry"
	for _, c := range []struct{ name, profile, env, want string }{
		{"nothing", "", "", "instance role, from the instance metadata service"},
		{"keys", "", keys, "environment: AWS_ACCESS_KEY_ID"},
		{"keys and AWS_PROFILE", "", keys + " AWS_PROFILE=sso", "environment: AWS_ACCESS_KEY_ID"},
		{"keys and profile under [aws]", "sso", keys, "profile sso: IAM Identity Center, sso_session corp"},
		{"half a key", "", "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "instance role, from the instance metadata service"},
		{"web identity", "", "AWS_WEB_IDENTITY_TOKEN_FILE=/token AWS_ROLE_ARN=arn:aws:iam::111122223333:role/pod", "web identity: role arn:aws:iam::111122223333:role/pod with the token in /token"},
		{"keys of a profile", "base", "", "profile base: aws_access_key_id"},
		{"source_profile", "", "AWS_PROFILE=ci", "profile ci: role arn:aws:iam::111122223333:role/ci with source_profile base"},
		{"credential_source", "ec2", "", "profile ec2: role arn:aws:iam::111122223333:role/x with credential_source Ec2InstanceMetadata"},
		{"sso without session", "", "AWS_DEFAULT_PROFILE=old", "profile old: IAM Identity Center, https://corp.example.com/start"},
		{"process", "proc", "", "profile proc: credential_process"},
		{"web identity of a profile", "web", "", "profile web: web identity, role arn:aws:iam::111122223333:role/w with the token in /t"},
		{"no such profile", "gone", "", "profile gone, which does not exist"},
		{"a section that is no profile", "corp", "", "profile corp, which does not exist"},
		{"container", "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/x", "container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},
		{"container by full URI", "", "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/x", "container: AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		{"switched off", "", "AWS_EC2_METADATA_DISABLED=true", "none: AWS_EC2_METADATA_DISABLED switches the instance role off"},
		{"a file that cannot be read", "", "AWS_CONFIG_FILE=" + home, "instance role, from the instance metadata service (read " + home + ": is a directory, not a regular file)"},
	} {
		env := map[string]string{"HOME": home}
		for _, pair := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(pair, "=")
			env[k] = v
		}
		got := Find(config.AWS{Profile: c.profile}, func(k string) string { return env[k] })
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if strings.Contains(got, "s3cr3t") {
			t.Errorf("%s: it shows a secret: %q", c.name, got)
		}
	}
}
