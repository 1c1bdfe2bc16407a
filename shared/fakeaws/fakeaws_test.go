package fakeaws_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/secretref/secretref/shared/fakeaws"
)

// client is a configuration with the host's credentials, no retries and connections that end with the test.
func client(t *testing.T, s *fakeaws.Server, region string) aws.Config {
	t.Helper()
	tr := &http.Transport{}
	if s.CAPEM != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(s.CAPEM) {
			t.Fatal("CAPEM holds no certificate")
		}
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(s.URL),
		Credentials: credentials.NewStaticCredentialsProvider(fakeaws.AccessKeyID, fakeaws.SecretAccessKey, ""),
		HTTPClient:  &http.Client{Transport: wholeBodies{tr}, Timeout: 10 * time.Second},
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// wholeBodies sends request bodies from memory. The SDK closes a body as soon as the answer begins and then reports EOF
// to a net/http that looks for more bytes in it, which closes the connection below an answer that is still being read. The
// programs try again; these tests count calls.
type wholeBodies struct{ next http.RoundTripper }

func (w wholeBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return w.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	whole := r.Clone(r.Context())
	whole.Body = io.NopCloser(bytes.NewReader(body))
	return w.next.RoundTrip(whole)
}

// as is cfg with other credentials.
func as(cfg aws.Config, c fakeaws.Credentials) aws.Config {
	cfg.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
	return cfg
}

func get(ctx context.Context, cfg aws.Config, id string) (string, error) {
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.SecretString), nil
}

// noLeak fails when a goroutine of a server is left when the test ends. It is to be called before the server starts.
func noLeak(t *testing.T) {
	t.Cleanup(func() {
		deadline := time.Now().Add(5 * time.Second)
		for {
			buf := make([]byte, 1<<20)
			stacks := string(buf[:runtime.Stack(buf, true)])
			if !strings.Contains(stacks, "net/http.(*conn).serve") && !strings.Contains(stacks, "net/http.(*Server).Serve") &&
				!strings.Contains(stacks, "fakeaws.(*Server)") {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("goroutines are left:\n%s", stacks)
				return
			}
			runtime.Gosched()
		}
	})
}

func TestSecretStates(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	for _, sec := range []fakeaws.Secret{
		{Name: "empty"}, {Name: "broken", String: "x", KMS: fakeaws.KMSBroken}, {Name: "kms", String: "x", KMS: fakeaws.KMSDenied},
		{Name: "gone", String: "x", Deleted: true}, {Name: "far", Region: "us-east-1", String: "x"},
	} {
		s.PutSecret(sec)
	}
	cfg := client(t, s, "eu-west-1")
	if got, err := get(t.Context(), cfg, "empty"); got != "" || err != nil {
		t.Errorf("empty secret = %q, %v", got, err)
	}
	s.PutSecret(fakeaws.Secret{Name: "blob", Binary: []byte{0, 0xff}})
	blob, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("blob")})
	if err != nil || blob.SecretString != nil || string(blob.SecretBinary) != "\x00\xff" {
		t.Errorf("binary secret = %+v, %v", blob, err)
	}
	for _, c := range []struct{ name, id, code, message string }{
		{"undecryptable", "broken", "DecryptionFailure", "Secrets Manager can't decrypt the protected secret text using the provided KMS key."},
		{"KMS denied", "kms", "AccessDeniedException", "Access to KMS is not allowed"},
		{"deleted", "gone", "InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion."},
		{"another region", "far", "ResourceNotFoundException", "Secrets Manager can't find the specified secret."},
		{"bad name", "a b", "ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"},
		{"ARN of another service", "arn:aws:s3:::bucket", "ValidationException", "Invalid ARN: arn:aws:s3:::bucket"},
	} {
		_, err := get(t.Context(), cfg, c.id)
		if got := wantCode(t, c.name, err, c.code); got != c.message {
			t.Errorf("%s: message %q, want %q", c.name, got, c.message)
		}
	}
	_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(),
		&secretsmanager.GetSecretValueInput{SecretId: aws.String("empty"), VersionId: aws.String("AWSCURRENT")})
	wantCode(t, "a stage as version id", err, "ValidationException")
}

func TestPartialARN(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	plain := s.PutSecret(fakeaws.Secret{Name: "prod/registry", Suffix: "AbCdEf", String: "plain"})
	trap := s.PutSecret(fakeaws.Secret{Name: "test-secret", Suffix: "AbCdEf", String: "trap"})
	if want := "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/registry-AbCdEf"; plain != want {
		t.Fatalf("ARN = %s, want %s", plain, want)
	}
	cfg := client(t, s, "eu-west-1")
	for _, c := range []struct{ name, id, want string }{
		{"full", plain, "plain"}, {"partial", strings.TrimSuffix(plain, "-AbCdEf"), "plain"},
		{"full, name like a suffix", trap, "trap"}, {"name like a suffix", "test-secret", "trap"},
		{"partial, name like a suffix", strings.TrimSuffix(trap, "-AbCdEf"), ""},
		{"wrong suffix", strings.TrimSuffix(plain, "AbCdEf") + "abcdef", ""},
		{"another account", strings.Replace(plain, "111122223333", "444455556666", 1), ""},
	} {
		got, err := get(t.Context(), cfg, c.id)
		if c.want == "" {
			wantCode(t, c.name, err, "ResourceNotFoundException")
		} else if got != c.want || err != nil {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestRotateAndReplace(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: "one"})
	id := s.RotateSecret(arn, "two")
	out, err := secretsmanager.NewFromConfig(client(t, s, "eu-west-1")).GetSecretValue(t.Context(),
		&secretsmanager.GetSecretValueInput{SecretId: aws.String("a")})
	if err != nil || aws.ToString(out.SecretString) != "two" || aws.ToString(out.VersionId) != id {
		t.Errorf("after rotation: %+v, %v; want version %s", out, err, id)
	}
	sm := secretsmanager.NewFromConfig(client(t, s, "eu-west-1"))
	old, err := sm.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &arn, VersionStage: aws.String("AWSPREVIOUS")})
	if err != nil || aws.ToString(old.SecretString) != "one" {
		t.Fatalf("AWSPREVIOUS after rotation: %+v, %v", old, err)
	}
	if _, err := sm.UpdateSecretVersionStage(t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &arn, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: old.VersionId, RemoveFromVersionId: &id,
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t.Context(), client(t, s, "eu-west-1"), "a"); got != "one" || err != nil {
		t.Errorf("after the stage moved back: %q, %v", got, err)
	}
	if again := s.PutSecret(fakeaws.Secret{Name: "a", String: "three", Deleted: true}); again != arn {
		t.Errorf("replaced: ARN %s, want %s", again, arn)
	}
	_, err = get(t.Context(), client(t, s, "eu-west-1"), "a")
	wantCode(t, "replaced by a deleted one", err, "InvalidRequestException")
}

func TestPolicy(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	s.PutParameter(fakeaws.Parameter{Name: "/p/q", Value: "x"})
	session := "arn:aws:sts::111122223333:assumed-role/app-host/i-1234567890abcdef0"
	cfg := client(t, s, "eu-west-1")
	role := as(cfg, s.AddCredentials(session, time.Hour))

	s.Deny("arn:aws:iam::111122223333:role/app-host", "secretsmanager:*", "arn:aws:secretsmanager:*:secret:a-*")
	_, err := get(t.Context(), role, "a")
	if got, want := wantCode(t, "denied", err, "AccessDeniedException"), "User: "+session+" is not authorized to perform: "+
		"secretsmanager:GetSecretValue on resource: a because no identity-based policy allows the secretsmanager:GetSecretValue action"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if _, err := get(t.Context(), cfg, "a"); err != nil {
		t.Errorf("another identity: %v", err)
	}
	s.Allow(session, "secretsmanager:GetSecretValue", arn)
	if _, err := get(t.Context(), role, "a"); err != nil {
		t.Errorf("allowed again: %v", err)
	}
	s.DenyExplicitly("*", "ssm:GetParameters", "*")
	c := ssm.NewFromConfig(role)
	_, err = c.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{"/p/q"}})
	if got := wantCode(t, "explicit", err, "AccessDeniedException"); !strings.HasSuffix(got,
		"ssm:GetParameters on resource: arn:aws:ssm:eu-west-1:111122223333:parameter/p/q with an explicit deny in an identity-based policy") {
		t.Errorf("message %q", got)
	}
	if _, err := c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/p/q")}); err != nil {
		t.Errorf("GetParameter is another action: %v", err)
	}
}

func TestOtherAccount(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	private := s.PutSecret(fakeaws.Secret{Name: "private", Account: "444455556666", String: "x"})
	shared := s.PutSecret(fakeaws.Secret{Name: "shared", Account: "444455556666", String: "x", Shared: true})
	cfg := client(t, s, "eu-west-1")
	_, err := get(t.Context(), cfg, private)
	if got := wantCode(t, "private", err, "AccessDeniedException"); !strings.HasSuffix(got,
		"because no resource-based policy allows the secretsmanager:GetSecretValue action") {
		t.Errorf("message %q", got)
	}
	if _, err := get(t.Context(), cfg, shared); err != nil {
		t.Errorf("shared: %v", err)
	}
	_, err = get(t.Context(), cfg, "shared")
	wantCode(t, "shared, by name", err, "ResourceNotFoundException")
	c := ssm.NewFromConfig(cfg)
	for _, p := range []fakeaws.Parameter{{Name: "/private", Value: "x"}, {Name: "/shared", Value: "x", Shared: true}} {
		p.Account = "444455556666"
		arn := s.PutParameter(p)
		_, err := c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: &arn})
		if p.Shared && err != nil {
			t.Errorf("%s: %v", arn, err)
		} else if !p.Shared {
			wantCode(t, arn, err, "AccessDeniedException")
		}
		_, err = c.GetParameter(t.Context(), &ssm.GetParameterInput{Name: &p.Name})
		wantCode(t, p.Name+" by name", err, "ParameterNotFound")
	}
	theirs := as(cfg, s.AddCredentials("arn:aws:sts::444455556666:assumed-role/reader/x", time.Hour))
	if _, err := get(t.Context(), theirs, "private"); err != nil {
		t.Errorf("from the account itself: %v", err)
	}
}

func TestParameters(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	arn := s.PutParameter(fakeaws.Parameter{Name: "/z/token", Value: "t1", Labels: []string{"prod"}})
	s.PutParameter(fakeaws.Parameter{Name: "/z/token", Value: "t2"})
	s.PutParameter(fakeaws.Parameter{Name: "a", Type: "String", Value: "plain"})
	s.PutParameter(fakeaws.Parameter{Name: "broken", Value: "x", KMS: fakeaws.KMSBroken})
	s.PutParameter(fakeaws.Parameter{Name: "kms", Value: "x", KMS: fakeaws.KMSDenied})
	s.PutSecret(fakeaws.Secret{Name: "prod/registry", String: "through"})
	c := ssm.NewFromConfig(client(t, s, "eu-west-1"))
	ask := func(decrypt bool, names ...string) (*ssm.GetParametersOutput, error) {
		return c.GetParameters(t.Context(), &ssm.GetParametersInput{Names: names, WithDecryption: &decrypt})
	}
	out, err := ask(true, "/z/token:prod", arn, arn+":1", "/aws/reference/secretsmanager/prod/registry", "a", "/none", "/z/token:9",
		"/aws/reference/secretsmanager/none", strings.Replace(arn, "eu-west-1", "us-east-1", 1))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range out.Parameters {
		got = append(got, aws.ToString(p.Name)+aws.ToString(p.Selector)+"="+aws.ToString(p.Value))
	}
	want := []string{"/aws/reference/secretsmanager/prod/registry=through", "/z/token:prod=t1", "/z/token:1=t1", "/z/token=t2", "a=plain"}
	if !slices.Equal(got, want) {
		t.Errorf("parameters = %q, want %q", got, want)
	}
	if want := []string{"/none", "/z/token:9", "/aws/reference/secretsmanager/none", strings.Replace(arn, "eu-west-1", "us-east-1", 1)}; !slices.Equal(out.InvalidParameters, want) {
		t.Errorf("invalid = %q, want %q", out.InvalidParameters, want)
	}
	out, err = ask(false, "/z/token")
	if err != nil || !strings.HasPrefix(aws.ToString(out.Parameters[0].Value), "AQICAH") {
		t.Errorf("without decryption: %+v, %v", out, err)
	}
	for name, c := range map[string]struct {
		code    string
		decrypt bool
		names   []string
	}{
		"twice":      {"ValidationException", true, []string{"a", "a"}},
		"eleven":     {"ValidationException", true, strings.Fields("a b c d e f g h i j k")},
		"broken key": {"InvalidKeyId", true, []string{"a", "broken"}},
		"KMS denied": {"AccessDeniedException", true, []string{"kms"}},
		"reference":  {"ValidationException", false, []string{"/aws/reference/secretsmanager/prod/registry"}},
	} {
		_, err := ask(c.decrypt, c.names...)
		wantCode(t, name, err, c.code)
	}
	s.Deny("*", "secretsmanager:GetSecretValue", "*")
	_, err = ask(true, "/aws/reference/secretsmanager/prod/registry")
	wantCode(t, "a reference needs both permissions", err, "AccessDeniedException")
}

func TestAssumeRole(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	arn := "arn:aws:iam::111122223333:role/path/reader"
	s.PutRole(fakeaws.Role{ARN: arn, ExternalID: "fleet-7", Trust: []string{"arn:aws:iam::111122223333:user/h*"}})
	cfg := client(t, s, "eu-west-1")
	assume := func(cfg aws.Config, in sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
		return sts.NewFromConfig(cfg).AssumeRole(t.Context(), &in)
	}
	good := sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("host-1"), ExternalId: aws.String("fleet-7"), DurationSeconds: aws.Int32(900)}
	out, err := assume(cfg, good)
	if err != nil {
		t.Fatal(err)
	}
	session := "arn:aws:sts::111122223333:assumed-role/reader/host-1"
	if got := aws.ToString(out.AssumedRoleUser.Arn); got != session {
		t.Errorf("user = %s, want %s", got, session)
	}
	if left := time.Until(*out.Credentials.Expiration); left < 14*time.Minute || left > 15*time.Minute {
		t.Errorf("credentials live for %v, want 15m", left)
	}
	theirs := as(cfg, fakeaws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId,
		SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken})
	if _, err := get(t.Context(), theirs, "a"); err != nil {
		t.Fatal(err)
	}
	id, err := sts.NewFromConfig(theirs).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || aws.ToString(id.Arn) != session {
		t.Errorf("GetCallerIdentity = %+v, %v", id, err)
	}
	calls := s.Calls()
	if len(calls) != 3 || calls[0].Session != "host-1" || calls[0].Resources[0] != arn || calls[1].Identity != session ||
		calls[1].Service != "secretsmanager" || calls[1].Op != "GetSecretValue" || calls[1].Region != "eu-west-1" || calls[1].Error != "" {
		t.Errorf("calls = %+v", calls)
	}
	stranger := as(cfg, s.AddCredentials("arn:aws:iam::111122223333:user/other", 0))
	_, err = assume(stranger, good)
	if got, want := wantCode(t, "stranger", err, "AccessDenied"), "User: arn:aws:iam::111122223333:user/other is not authorized to "+
		"perform: sts:AssumeRole on resource: "+arn; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	for name, c := range map[string]struct {
		change func(*sts.AssumeRoleInput)
		code   string
	}{
		"wrong external id": {func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("x9") }, "AccessDenied"},
		"no external id":    {func(in *sts.AssumeRoleInput) { in.ExternalId = nil }, "AccessDenied"},
		"no such role":      {func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String(arn + "x") }, "AccessDenied"},
		"bad session name":  {func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("a b") }, "ValidationError"},
		"too short":         {func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(60) }, "ValidationError"},
	} {
		in := good
		c.change(&in)
		_, err := assume(cfg, in)
		wantCode(t, name, err, c.code)
	}
	s.PutRole(fakeaws.Role{ARN: arn, Lifetime: -time.Second})
	out, err = assume(stranger, good)
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(t.Context(), as(cfg, fakeaws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId,
		SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}), "a")
	wantCode(t, "expired", err, "ExpiredTokenException")
}

func TestRegistryTokens(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	decode := func(token *string) string {
		b, err := base64.StdEncoding.DecodeString(aws.ToString(token))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	s.SetECRToken(fakeaws.RegistryToken{Password: "pw:1"})
	for region, domain := range map[string]string{"eu-west-1": "amazonaws.com", "cn-north-1": "amazonaws.com.cn"} {
		out, err := ecr.NewFromConfig(client(t, s, region)).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
		if err != nil {
			t.Fatal(err)
		}
		d := out.AuthorizationData[0]
		if got := decode(d.AuthorizationToken); got != "AWS:pw:1" {
			t.Errorf("token = %q", got)
		}
		if got, want := aws.ToString(d.ProxyEndpoint), "https://111122223333.dkr.ecr."+region+"."+domain; got != want {
			t.Errorf("endpoint = %s, want %s", got, want)
		}
		if left := time.Until(*d.ExpiresAt); left < 12*time.Hour-time.Minute || left > 12*time.Hour {
			t.Errorf("token lives for %v, want 12h", left)
		}
	}
	s.SetECRPublicToken(fakeaws.RegistryToken{Username: "u", Password: "p", Lifetime: time.Minute})
	public := ecrpublic.NewFromConfig(client(t, s, "us-east-1"))
	out, err := public.GetAuthorizationToken(t.Context(), &ecrpublic.GetAuthorizationTokenInput{})
	if err != nil || decode(out.AuthorizationData.AuthorizationToken) != "u:p" || time.Until(*out.AuthorizationData.ExpiresAt) > time.Minute {
		t.Errorf("public: %+v, %v", out, err)
	}
	_, err = ecrpublic.NewFromConfig(client(t, s, "eu-west-1")).GetAuthorizationToken(t.Context(), &ecrpublic.GetAuthorizationTokenInput{})
	wantCode(t, "public in another region", err, "UnsupportedCommandException")
	s.Deny("*", "sts:GetServiceBearerToken", "*")
	_, err = public.GetAuthorizationToken(t.Context(), &ecrpublic.GetAuthorizationTokenInput{})
	wantCode(t, "public without bearer token", err, "AccessDeniedException")
}

// The variables of Environ are enough for a client that is configured by its environment.
func TestEnviron(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{Region: "eu-central-1"})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	s.SetIMDS(fakeaws.IMDS{Role: "arn:aws:iam::111122223333:role/app-host"})
	for _, key := range []string{"AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"} {
		t.Setenv(key, "")
	}
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"keys": {s.Environ(), "arn:aws:iam::111122223333:user/host"},
		"imds": {s.EnvironIMDS(), "arn:aws:sts::111122223333:assumed-role/app-host/" + fakeaws.InstanceID},
	} {
		t.Run(name, func(t *testing.T) {
			for _, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_EC2_METADATA_DISABLED"} {
				t.Setenv(key, "")
			}
			for _, kv := range c.env {
				key, value, _ := strings.Cut(kv, "=")
				t.Setenv(key, value)
			}
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			cfg, err := config.LoadDefaultConfig(t.Context(), config.WithEC2IMDSRegion(), config.WithHTTPClient(&http.Client{Transport: tr}))
			if err != nil {
				t.Fatal(err)
			}
			s.ResetCalls()
			if got, err := get(t.Context(), cfg, "a"); got != "x" || err != nil {
				t.Fatalf("get = %q, %v", got, err)
			}
			calls := s.Calls()
			if last := calls[len(calls)-1]; last.Identity != c.want || last.Region != "eu-central-1" {
				t.Errorf("call = %+v, want identity %s", last, c.want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	noLeak(t)
	s := fakeaws.New(t, fakeaws.Options{TLS: true})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	cfg := client(t, s, "eu-west-1")
	if got, err := get(t.Context(), cfg, "a"); got != "x" || err != nil {
		t.Errorf("with the CA: %q, %v", got, err)
	}
	cfg.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if _, err := get(t.Context(), cfg, "a"); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("without the CA: %v", err)
	}
	s.SetFault(fakeaws.Fault{Kind: fakeaws.ResetMidBody, Times: 1})
	if _, err := get(t.Context(), client(t, s, "eu-west-1"), "a"); err == nil {
		t.Error("a reset over TLS is not seen")
	}
}

// Puts, reads, faults and the call list at once; for the race detector, and for deadlocks.
func TestConcurrentUse(t *testing.T) {
	noLeak(t)
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	cfg := client(t, s, "eu-west-1")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				s.RotateSecret("a", "x")
				s.PutParameter(fakeaws.Parameter{Name: "p", Value: "y"})
				s.SetFault(fakeaws.Fault{Op: "GetParameter", Kind: fakeaws.Throttle, Times: 1})
				if _, err := get(t.Context(), cfg, "a"); err != nil {
					t.Error(err)
				}
				_ = s.Calls()
			}
		})
	}
	wg.Wait()
	if got := s.CountCalls("GetSecretValue"); got != 80 {
		t.Errorf("%d calls recorded, want 80", got)
	}
}
