package awsconf

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/fault"
)

const instanceRole = "arn:aws:iam::111122223333:role/app-host"

// setenv points this process at nothing but what env says.
func setenv(t *testing.T, env []string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if k, v, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "AWS_") || strings.HasSuffix(strings.ToUpper(k), "_PROXY") {
			t.Setenv(k, v) // so that it comes back
			if err := os.Unsetenv(k); err != nil {
				t.Fatal(err)
			}
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	env = append([]string{"AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1"}, env...)
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
}

// callerARN asks STS who a configuration speaks as.
func callerARN(t *testing.T, s *Session, region string, role config.Role) string {
	t.Helper()
	cfg, err := s.Config(t.Context(), region, role)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Arn
}

// The instance is known without a role; where there is no metadata service, or it does not answer, the error comes soon.
func TestDescribeInstance(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	setenv(t, []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + s.IMDSURL})
	got, err := DescribeInstance(t.Context())
	if err != nil || got.ID != fakeaws.InstanceID || got.Zone != got.Region+"a" || got.Type == "" || len(got.Account) != 12 {
		t.Errorf("%+v, %v; want %s and its zone", got, err, fakeaws.InstanceID)
	}
	for name, m := range map[string]fakeaws.IMDS{"disabled": {Disabled: true}, "it hangs": {Hangs: true}} {
		s.SetIMDS(m)
		began := time.Now()
		got, err := DescribeInstance(t.Context())
		if err == nil || fault.KindOf(err) != fault.Unreachable || got != (Instance{}) {
			t.Errorf("%s: %+v, %v; want an error", name, got, err)
		}
		if took := time.Since(began); took > 2*imdsTotal {
			t.Errorf("%s: the error came after %v, want at most %v", name, took, imdsTotal)
		}
	}
}

func TestInstanceRole(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutRole(fakeaws.Role{ARN: instanceRole})
	s.SetIMDS(fakeaws.IMDS{Role: instanceRole})
	setenv(t, s.EnvironIMDS())
	session := New(config.AWS{}, "test", "1")
	if got := callerARN(t, session, "eu-west-1", config.Role{}); !strings.Contains(got, "assumed-role/app-host/") {
		t.Errorf("caller is %s, want the instance role", got)
	}
	if got := session.imds.roleName(); got != "app-host" {
		t.Errorf("the role that IMDS has told = %q, want app-host", got)
	}
}

// Each way in which IMDS fails has its words and its remedy, in seconds.
func TestIMDSDiagnosis(t *testing.T) {
	for _, c := range []struct {
		name string
		imds fakeaws.IMDS
		stop bool
		env  []string
		says []string
	}{
		{"no IMDS", fakeaws.IMDS{}, true, nil, []string{"nothing answers there (connect", "connection refused", "set profile under [aws]"}},
		{"hop limit, v2 required", fakeaws.IMDS{Role: instanceRole, TokenHangs: true}, false, nil, []string{"IMDSv2 is required", "hop limit", "HttpPutResponseHopLimit"}},
		{"hop limit, v1 allowed", fakeaws.IMDS{Role: instanceRole, V1: true, TokenHangs: true}, false, nil, []string{"IMDSv1 is still allowed there, but is not used", "hop limit"}},
		{"everything hangs", fakeaws.IMDS{Role: instanceRole, Hangs: true}, false, nil, []string{"does not arrive; the hop limit"}},
		{"no role", fakeaws.IMDS{}, false, nil, []string{"the instance has no role", "attach an instance profile"}},
		{"disabled for the instance", fakeaws.IMDS{Disabled: true}, false, nil, []string{"(403)", "--http-endpoint enabled"}},
		{"disabled by the environment", fakeaws.IMDS{Role: instanceRole}, false, []string{"AWS_EC2_METADATA_DISABLED=true"}, []string{"switched off by AWS_EC2_METADATA_DISABLED"}},
		{"role without credentials", fakeaws.IMDS{Role: instanceRole, Code: "AssumeRoleUnauthorizedAccess"}, false, nil, []string{"no usable credentials", "may EC2 assume it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fakeaws.New(t, fakeaws.Options{})
			s.PutRole(fakeaws.Role{ARN: instanceRole})
			s.SetIMDS(c.imds)
			setenv(t, append(s.EnvironIMDS(), c.env...))
			if c.stop {
				setenv(t, c.env)
			}
			began := time.Now()
			_, err := New(config.AWS{}, "test", "1").Config(t.Context(), "eu-west-1", config.Role{})
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("took %v, want less than 4 s", took)
			}
			if !errors.Is(err, fault.NoCredentials) {
				t.Fatalf("error is %v, want NoCredentials", err)
			}
			for _, w := range c.says {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not say %q: %v", w, err)
				}
			}
		})
	}
}

func TestRegionOrder(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{Region: "ap-south-1"})
	s.SetIMDS(fakeaws.IMDS{})
	for _, c := range []struct {
		name string
		aws  config.AWS
		env  []string
		want string
	}{
		{"configuration", config.AWS{Region: "eu-west-1"}, []string{"AWS_REGION=eu-west-2"}, "eu-west-1"},
		{"environment", config.AWS{}, []string{"AWS_REGION=eu-west-2"}, "eu-west-2"},
		{"IMDS", config.AWS{}, nil, "ap-south-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, append(s.EnvironIMDS(), "AWS_REGION=", "AWS_DEFAULT_REGION="))
			setenv(t, append([]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + s.IMDSURL}, c.env...))
			if got, err := New(c.aws, "test", "1").Region(t.Context()); err != nil || got != c.want {
				t.Errorf("Region = %q, %v, want %q", got, err, c.want)
			}
		})
	}
	setenv(t, nil)
	_, err := New(config.AWS{}, "test", "1").Region(t.Context())
	if !errors.Is(err, fault.NoCredentials) || !strings.Contains(err.Error(), "set region under [aws]") {
		t.Errorf("without any region: %v", err)
	}
}

func TestProfile(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	creds := s.AddCredentials("arn:aws:iam::111122223333:user/from-profile", 0)
	file := filepath.Join(t.TempDir(), "credentials")
	text := "[host]\naws_access_key_id = " + creds.AccessKeyID + "\naws_secret_access_key = " + creds.SecretAccessKey + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	setenv(t, []string{"AWS_SHARED_CREDENTIALS_FILE=" + file})
	if got := callerARN(t, New(config.AWS{Profile: "host", EndpointURL: s.URL}, "test", "1"), "eu-west-1", config.Role{}); !strings.HasSuffix(got, ":user/from-profile") {
		t.Errorf("caller is %s", got)
	}
	_, err := New(config.AWS{Profile: "other", EndpointURL: s.URL}, "test", "1").Config(t.Context(), "eu-west-1", config.Role{})
	if !errors.Is(err, fault.NoCredentials) || !strings.Contains(err.Error(), "profile under [aws]") {
		t.Errorf("a profile that does not exist: %v", err)
	}
}

func TestCABundle(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{TLS: true})
	env := s.Environ()
	for i, kv := range env {
		if strings.HasPrefix(kv, "AWS_CA_BUNDLE=") {
			env[i] = "AWS_CA_BUNDLE="
		}
	}
	setenv(t, env)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, s.CAPEM, 0o644); err != nil {
		t.Fatal(err)
	}
	s.PutSecret(fakeaws.Secret{Name: "a", String: "v"})
	name := "a"
	get := func(settings config.AWS) error {
		cfg, err := New(settings, "test", "1").Config(t.Context(), "eu-west-1", config.Role{})
		if err != nil {
			return err
		}
		_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
		if err == nil {
			return nil
		}
		e := &fault.Error{Op: "get"}
		Classify(t.Context(), e, err)
		return e
	}
	if err := get(config.AWS{CABundle: bundle}); err != nil {
		t.Errorf("with the CA: %v", err)
	}
	if err := get(config.AWS{}); !errors.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "ca_bundle under [aws]") {
		t.Errorf("without the CA: %v", err)
	}
	if err := get(config.AWS{CABundle: bundle + "x"}); !errors.Is(err, fault.BadReference) || !strings.Contains(err.Error(), bundle+"x") {
		t.Errorf("with a CA file that is missing: %v", err)
	}
}

// The SDK knows no FIPS or dual-stack variant of an own endpoint.
func TestFIPSWithOwnEndpoint(t *testing.T) {
	setenv(t, []string{"AWS_ACCESS_KEY_ID=" + fakeaws.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + fakeaws.SecretAccessKey})
	cfg, err := New(config.AWS{UseFIPS: true, EndpointURL: "https://vpce.example.com"}, "test", "1").Config(t.Context(), "eu-west-1", config.Role{})
	if err != nil {
		t.Fatal(err)
	}
	name := "a"
	_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
	e := &fault.Error{Op: "get"}
	Classify(t.Context(), e, err)
	if e.Kind != fault.BadReference || !strings.Contains(e.Error(), "see endpoint_url, use_fips_endpoint") {
		t.Errorf("kind %s: %v", e.Kind, e)
	}
}

// The proxy of the configuration serves where sudo or systemd has dropped the environment; no_proxy still counts.
func TestProxy(t *testing.T) {
	target := httptest.NewRequest(http.MethodPost, "https://secretsmanager.eu-west-1.amazonaws.com/", nil)
	direct := httptest.NewRequest(http.MethodPost, "https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com/", nil)
	for _, c := range []struct {
		name string
		aws  config.AWS
		env  []string
		want string
	}{
		{"none", config.AWS{}, nil, ""},
		{"environment", config.AWS{}, []string{"HTTPS_PROXY=http://env.example.com:3128", "NO_PROXY=.vpce.amazonaws.com"}, "http://env.example.com:3128"},
		{"configuration", config.AWS{HTTPSProxy: "http://cfg.example.com:3128", NoProxy: ".vpce.amazonaws.com"}, []string{"HTTPS_PROXY=http://env.example.com:3128"}, "http://cfg.example.com:3128"},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.env)
			choose := New(c.aws, "test", "1").proxy()
			u, err := choose(target)
			got := ""
			if u != nil {
				got = u.String()
			}
			if err != nil || got != c.want {
				t.Errorf("proxy = %q, %v, want %q", got, err, c.want)
			}
			if u, err := choose(direct); err != nil || u != nil {
				t.Errorf("proxy of a host under no_proxy = %v, %v", u, err)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	setenv(t, []string{"AWS_ACCESS_KEY_ID=" + fakeaws.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + fakeaws.SecretAccessKey})
	for _, c := range []struct {
		name, region string
		aws          config.AWS
		want         string
	}{
		{"plain", "eu-west-1", config.AWS{}, "secretsmanager.eu-west-1.amazonaws.com"},
		{"China", "cn-north-1", config.AWS{}, "secretsmanager.cn-north-1.amazonaws.com.cn"},
		{"FIPS", "us-gov-west-1", config.AWS{UseFIPS: true}, "secretsmanager-fips.us-gov-west-1.amazonaws.com"},
		{"dual-stack", "eu-west-1", config.AWS{UseDualstack: true}, "ssm.eu-west-1.api.aws"}, // Secrets Manager's one endpoint has both
		{"own", "eu-west-1", config.AWS{EndpointURL: "https://vpce.example.com"}, "vpce.example.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := New(c.aws, "test", "1").Config(t.Context(), c.region, config.Role{})
			if err != nil {
				t.Fatal(err)
			}
			name, asked := "a", ""
			cfg.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
				asked = r.URL.Host
				return nil, &net.OpError{Op: "dial", Err: errors.New("enough")}
			})
			if strings.HasPrefix(c.want, "ssm.") {
				_, err = ssm.NewFromConfig(cfg).GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{name}})
			} else {
				_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
			}
			if err == nil || asked != c.want {
				t.Errorf("asked %q (%v), want %q", asked, err, c.want)
			}
		})
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestSessionName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	got := sessionName("docker-credential-secretref/1.2")
	if len(got) > 64 || !strings.HasPrefix(got, "docker-credential-secretref@"+host[:1]) {
		t.Errorf("sessionName = %q", got)
	}
	if got := sessionName("a b/ü:c"); !strings.HasPrefix(got, "a-b@") {
		t.Errorf("sessionName = %q", got)
	}
}
