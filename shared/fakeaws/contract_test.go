package fakeaws_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/secretref/secretref/shared/fakeaws"
)

// The contract is what every AWS endpoint must do that our tests stand on. It creates things through the real API and
// reads them back, so it runs against fakeaws and against an implementation that we did not write.
func contract(t *testing.T, cfg aws.Config) {
	t.Run("secretsmanager", func(t *testing.T) { contractSecrets(t, cfg) })
	t.Run("secretsmanager stages", func(t *testing.T) { contractStages(t, cfg) })
	t.Run("secretsmanager deletion", func(t *testing.T) { contractDeletion(t, cfg) })
	t.Run("ssm", func(t *testing.T) { contractParameters(t, cfg) })
	t.Run("sts", func(t *testing.T) {
		out, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil || !strings.HasPrefix(aws.ToString(out.Arn), "arn:aws:") || len(aws.ToString(out.Account)) != 12 {
			t.Fatalf("GetCallerIdentity = %+v, %v", out, err)
		}
	})
}

func TestContract(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	contract(t, client(t, s, "eu-west-1"))
}

func contractSecrets(t *testing.T, cfg aws.Config) {
	ctx, sm := t.Context(), secretsmanager.NewFromConfig(cfg)
	const value = `{"username":"u","password":"p \" ü"}`
	made, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("contract/text"), SecretString: aws.String(value)})
	if err != nil {
		t.Fatal(err)
	}
	arn := aws.ToString(made.ARN)
	blob := []byte{0, 1, 0xfe, 0xff}
	if _, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("contract-binary"), SecretBinary: blob}); err != nil {
		t.Fatal(err)
	}
	if _, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("contract-novalue")}); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 65536)
	if _, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("contract-large"), SecretString: &large}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(arn, "arn:aws:secretsmanager:eu-west-1:") || !strings.Contains(arn, ":secret:contract/text-") {
		t.Errorf("ARN = %q", arn)
	}
	for name, id := range map[string]string{"name": "contract/text", "ARN": arn, "partial ARN": arn[:len(arn)-7]} {
		out, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
		if err != nil {
			t.Errorf("by %s: %v", name, err)
			continue
		}
		if aws.ToString(out.SecretString) != value || out.SecretBinary != nil || aws.ToString(out.ARN) != arn ||
			aws.ToString(out.Name) != "contract/text" || aws.ToString(out.VersionId) != aws.ToString(made.VersionId) ||
			!slices.Equal(out.VersionStages, []string{"AWSCURRENT"}) || out.CreatedDate == nil {
			t.Errorf("by %s: %+v", name, out)
		}
	}
	out, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("contract-binary")})
	if err != nil || out.SecretString != nil || !bytes.Equal(out.SecretBinary, blob) {
		t.Errorf("binary: %+v, %v", out, err)
	}
	out, err = sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("contract-large")})
	if err != nil || aws.ToString(out.SecretString) != large {
		t.Errorf("64 KiB: %v", err)
	}
	for name, in := range map[string]secretsmanager.GetSecretValueInput{
		"no such name":  {SecretId: aws.String("contract/none")},
		"no such ARN":   {SecretId: aws.String(arn[:len(arn)-6] + "zzzzzz")},
		"no value":      {SecretId: aws.String("contract-novalue")},
		"no such stage": {SecretId: aws.String("contract/text"), VersionStage: aws.String("NONE")},
		"no such id":    {SecretId: aws.String("contract/text"), VersionId: aws.String(strings.Repeat("b", 32))},
	} {
		_, err := sm.GetSecretValue(ctx, &in)
		wantCode(t, name, err, "ResourceNotFoundException")
		if err != nil && !strings.Contains(err.Error(), "Secrets Manager can't find the specified secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("contract/text"), SecretString: aws.String("other")})
	wantCode(t, "create twice", err, "ResourceExistsException")
}

func contractStages(t *testing.T, cfg aws.Config) {
	ctx, sm := t.Context(), secretsmanager.NewFromConfig(cfg)
	name := aws.String("contract/stages")
	one, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: name, SecretString: aws.String("v1")})
	if err != nil {
		t.Fatal(err)
	}
	two, err := sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: name, SecretString: aws.String("v2")})
	if err != nil {
		t.Fatal(err)
	}
	three, err := sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: name, SecretString: aws.String("v3"), VersionStages: []string{"AWSPENDING"},
	})
	if err != nil {
		t.Fatal(err)
	}
	read := func(why, stage, id, want string) {
		t.Helper()
		in := &secretsmanager.GetSecretValueInput{SecretId: name}
		if stage != "" {
			in.VersionStage = &stage
		}
		if id != "" {
			in.VersionId = &id
		}
		out, err := sm.GetSecretValue(ctx, in)
		if err != nil || aws.ToString(out.SecretString) != want {
			t.Errorf("%s: stage %q, version %q: got %+v, %v; want %s", why, stage, id, out, err, want)
		}
	}
	read("default", "", "", "v2")
	read("stage", "AWSCURRENT", "", "v2")
	read("stage", "AWSPREVIOUS", "", "v1")
	read("stage", "AWSPENDING", "", "v3")
	read("version", "", *one.VersionId, "v1")
	read("version and its stage", "AWSPREVIOUS", *one.VersionId, "v1")
	_, err = sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: name, VersionId: one.VersionId, VersionStage: aws.String("AWSCURRENT")})
	wantCode(t, "version and another's stage", err, "InvalidRequestException")

	if _, err := sm.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: name, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: three.VersionId, RemoveFromVersionId: two.VersionId,
	}); err != nil {
		t.Fatal(err)
	}
	read("moved", "AWSCURRENT", "", "v3") // moto still answers v2 to a request without stage
	read("moved", "AWSPREVIOUS", "", "v2")
	out, err := sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: name})
	if err != nil || !slices.Contains(out.VersionIdsToStages[*three.VersionId], "AWSCURRENT") ||
		!slices.Contains(out.VersionIdsToStages[*two.VersionId], "AWSPREVIOUS") {
		t.Errorf("DescribeSecret = %+v, %v", out, err)
	}
	// A stage of one's own, as a blue/green roll-out uses it.
	if _, err := sm.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: name, VersionStage: aws.String("green"), MoveToVersionId: one.VersionId,
	}); err != nil {
		t.Fatal(err)
	}
	read("own stage", "green", "", "v1")
}

func contractDeletion(t *testing.T, cfg aws.Config) {
	ctx, sm := t.Context(), secretsmanager.NewFromConfig(cfg)
	for _, name := range []string{"contract-scheduled", "contract-forced"} {
		if _, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String("x")}); err != nil {
			t.Fatal(err)
		}
	}
	scheduled, forced := aws.String("contract-scheduled"), aws.String("contract-forced")
	if _, err := sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: scheduled, RecoveryWindowInDays: aws.Int64(7)}); err != nil {
		t.Fatal(err)
	}
	_, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: scheduled})
	wantCode(t, "get scheduled", err, "InvalidRequestException")
	out, err := sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: scheduled})
	if err != nil || out.DeletedDate == nil {
		t.Errorf("DescribeSecret of a secret scheduled for deletion = %+v, %v", out, err)
	}
	if _, err := sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: forced, ForceDeleteWithoutRecovery: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	_, err = sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: forced})
	wantCode(t, "get deleted", err, "ResourceNotFoundException")
}

func contractParameters(t *testing.T, cfg aws.Config) {
	ctx, c := t.Context(), ssm.NewFromConfig(cfg)
	put := func(name, value string, kind ssmtypes.ParameterType) {
		t.Helper()
		if _, err := c.PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: &value, Type: kind, Overwrite: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
	}
	put("/contract/secure", "s1", ssmtypes.ParameterTypeSecureString)
	put("/contract/secure", "s2", ssmtypes.ParameterTypeSecureString)
	put("contract", "plain", ssmtypes.ParameterTypeString)
	put("/contract/list", "a,b,c", ssmtypes.ParameterTypeStringList)
	if _, err := c.LabelParameterVersion(ctx, &ssm.LabelParameterVersionInput{
		Name: aws.String("/contract/secure"), ParameterVersion: aws.Int64(1), Labels: []string{"prod"},
	}); err != nil {
		t.Fatal(err)
	}
	one, err := c.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/contract/secure"), WithDecryption: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	arn := aws.ToString(one.Parameter.ARN)
	if !strings.HasPrefix(arn, "arn:aws:ssm:eu-west-1:") || !strings.HasSuffix(arn, ":parameter/contract/secure") {
		t.Errorf("ARN = %q", arn)
	}
	for asked, want := range map[string]string{
		"/contract/secure": "s2", "/contract/secure:1": "s1", "/contract/secure:2": "s2", "/contract/secure:prod": "s1",
		arn: "s2", "contract": "plain", "/contract/list": "a,b,c",
	} {
		out, err := c.GetParameter(ctx, &ssm.GetParameterInput{Name: &asked, WithDecryption: aws.Bool(true)})
		if err != nil || aws.ToString(out.Parameter.Value) != want {
			t.Errorf("GetParameter(%s) = %+v, %v; want %s", asked, out, err, want)
		}
	}
	out, err := c.GetParameters(ctx, &ssm.GetParametersInput{
		Names: []string{"/contract/secure:1", "contract", "/contract/list", "/contract/none"}, WithDecryption: aws.Bool(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range out.Parameters {
		got[*p.Name] = string(p.Type) + " " + *p.Value
	}
	for name, want := range map[string]string{"/contract/secure": "SecureString s1", "contract": "String plain", "/contract/list": "StringList a,b,c"} {
		if got[name] != want {
			t.Errorf("GetParameters: %s = %q, want %q", name, got[name], want)
		}
	}
	if !slices.Equal(out.InvalidParameters, []string{"/contract/none"}) {
		t.Errorf("InvalidParameters = %q", out.InvalidParameters)
	}
	hidden, err := c.GetParameters(ctx, &ssm.GetParametersInput{Names: []string{"/contract/secure"}})
	if err != nil || len(hidden.Parameters) != 1 || aws.ToString(hidden.Parameters[0].Value) == "s2" {
		t.Errorf("without decryption: %+v, %v", hidden, err)
	}
	_, err = c.GetParameters(ctx, &ssm.GetParametersInput{Names: strings.Fields("a b c d e f g h i j k")})
	wantCode(t, "eleven names", err, "ValidationException")
	for asked, code := range map[string]string{"/contract/none": "ParameterNotFound", "/contract/secure:9": "ParameterVersionNotFound"} {
		_, err = c.GetParameter(ctx, &ssm.GetParameterInput{Name: &asked})
		wantCode(t, asked, err, code)
	}
	_, err = c.PutParameter(ctx, &ssm.PutParameterInput{Name: aws.String("contract"), Value: aws.String("y"), Type: ssmtypes.ParameterTypeString})
	wantCode(t, "put twice", err, "ParameterAlreadyExists")
}

// wantCode checks the error's code. It returns the message of the error.
func wantCode(t *testing.T, what string, err error, code string) string {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
		return ""
	}
	return e.ErrorMessage()
}
