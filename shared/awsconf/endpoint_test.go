package awsconf

import (
	"crypto/sha1"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/secretref/secretref/shared/config"
)

// recorder answers as STS and IAM Identity Center, and notes what it was asked.
type recorder struct {
	mu    sync.Mutex
	calls []string
}

func (r *recorder) serve(t *testing.T, name string) string {
	return serveBody(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		op := q.URL.Path
		for _, action := range []string{"AssumeRoleWithWebIdentity", "AssumeRole"} {
			if strings.Contains(string(body), "Action="+action+"&") {
				op = action
				break
			}
		}
		r.mu.Lock()
		r.calls = append(r.calls, name+" "+op)
		r.mu.Unlock()
		const creds = "<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
		switch {
		case strings.HasPrefix(op, "Assume"):
			_, _ = io.WriteString(w, "<"+op+"Response><"+op+"Result>"+creds+"</"+op+"Result></"+op+"Response>")
		case strings.Contains(op, "federation/credentials"):
			_, _ = io.WriteString(w, `{"roleCredentials":{"accessKeyId":"ASIAEXAMPLE","secretAccessKey":"s","sessionToken":"t","expiration":4070908800000}}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"__type":"UnknownOperationException"}`)
		}
	})
}

const profiles = `[profile base]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = x
[profile role]
role_arn = arn:aws:iam::111122223333:role/ci
source_profile = base
[profile web]
role_arn = arn:aws:iam::111122223333:role/w
web_identity_token_file = TOKEN
[profile sso]
sso_start_url = https://corp.example.com/start
sso_region = eu-west-1
sso_account_id = 111122223333
sso_role_name = Reader
[profile session]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Reader
[sso-session corp]
sso_start_url = https://corp.example.com/start
sso_region = eu-west-1
[profile own]
role_arn = arn:aws:iam::111122223333:role/ci
source_profile = base
services = mine
[services mine]
sts =
  endpoint_url = SERVICES
`

// home makes a home directory with the profiles, and a login of IAM Identity Center that ends at expires.
func home(t *testing.T, services, expires string) []string {
	t.Helper()
	dir := t.TempDir()
	cache := filepath.Join(dir, ".aws", "sso", "cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("TOKEN", filepath.Join(dir, "token"), "SERVICES", services).Replace(profiles)
	login := `{"accessToken":"t","expiresAt":"` + expires + `"}`
	for name, text := range map[string]string{
		"token": "x.y.z", "config": text,
		".aws/sso/cache/" + sha1hex("https://corp.example.com/start") + ".json": login,
		".aws/sso/cache/" + sha1hex("corp") + ".json":                           login,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"HOME=" + dir, "AWS_CONFIG_FILE=" + filepath.Join(dir, "config")}
}

func sha1hex(s string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(s))) } // as the SDK names its files

// The calls that a profile itself needs go where the [aws] table says, unless AWS's own settings name the service.
func TestEndpointsOfCredentials(t *testing.T) {
	var r recorder
	all, stsOnly, own := r.serve(t, "all"), r.serve(t, "sts"), r.serve(t, "own")
	const role = "AssumeRole"
	for _, c := range []struct {
		name, profile string
		aws           config.AWS
		env           []string
		want          string
	}{
		{"source_profile", "role", config.AWS{EndpointURL: all}, nil, "all " + role},
		{"source_profile, sts_endpoint_url", "role", config.AWS{EndpointURL: all, STSEndpointURL: stsOnly}, nil, "sts " + role},
		{"sts_endpoint_url alone", "role", config.AWS{STSEndpointURL: stsOnly}, nil, "sts " + role},
		{"AWS_ENDPOINT_URL_STS", "role", config.AWS{EndpointURL: all, STSEndpointURL: stsOnly}, []string{"AWS_ENDPOINT_URL_STS=" + own}, "own " + role},
		{"services section", "own", config.AWS{EndpointURL: all}, nil, "own " + role},
		{"AWS_ENDPOINT_URL", "role", config.AWS{EndpointURL: all}, []string{"AWS_ENDPOINT_URL=http://127.0.0.1:1"}, "all " + role},
		{"web identity", "web", config.AWS{EndpointURL: all}, nil, "all AssumeRoleWithWebIdentity"},
		{"web identity, sts_endpoint_url", "web", config.AWS{EndpointURL: all, STSEndpointURL: stsOnly}, nil, "sts AssumeRoleWithWebIdentity"},
		{"sso", "sso", config.AWS{EndpointURL: all, STSEndpointURL: stsOnly}, nil, "all /federation/credentials"},
		{"sso session", "session", config.AWS{EndpointURL: all}, nil, "all /federation/credentials"},
	} {
		setenv(t, append(home(t, own, "2099-01-01T00:00:00Z"), c.env...))
		r.calls = nil
		c.aws.Profile = c.profile
		_, err := New(c.aws, "test", "1").Config(t.Context(), "eu-west-1", config.Role{})
		if got := strings.Join(r.calls, ", "); err != nil || got != c.want {
			t.Errorf("%s: asked %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	// The role of the [aws] table itself.
	setenv(t, []string{keys, "AWS_SECRET_ACCESS_KEY=x"})
	r.calls = nil
	_, err := New(config.AWS{EndpointURL: all, STSEndpointURL: stsOnly}, "test", "1").Config(t.Context(), "eu-west-1", config.Role{RoleARN: instanceRole})
	if got := strings.Join(r.calls, ", "); err != nil || got != "sts "+role {
		t.Errorf("role_arn: asked %q, %v", got, err)
	}
}

// An endpoint of another service is named by its key, and an expired login by the command that renews it.
func TestCredentialErrorsNameTheRemedy(t *testing.T) {
	other := serveBody(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>UnknownOperationException</Code></Error></ErrorResponse>`)
	})
	for _, c := range []struct {
		name, profile, expires, want string
		role                         config.Role
	}{
		{"role of a profile", "role", "2099-01-01T00:00:00Z", "set sts_endpoint_url", config.Role{}},
		{"role of the table", "base", "2099-01-01T00:00:00Z", "set sts_endpoint_url", config.Role{RoleARN: instanceRole}},
		{"expired login", "sso", "2020-01-01T00:00:00Z", "aws sso login --profile sso", config.Role{}},
		{"expired session", "session", "2020-01-01T00:00:00Z", "aws sso login --profile session", config.Role{}},
	} {
		setenv(t, home(t, other, c.expires))
		_, err := New(config.AWS{EndpointURL: other, Profile: c.profile}, "test", "1").Config(t.Context(), "eu-west-1", c.role)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
}
