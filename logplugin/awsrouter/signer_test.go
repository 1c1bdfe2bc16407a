package awsrouter_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

// verifier makes the signature of each request again, of the body as it was sent.
type verifier struct {
	mu    sync.Mutex
	key   awstest.Key
	ahead time.Duration // of its clock
	sent  int
}

func (v *verifier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	hash := sha256.Sum256(body)
	given := r.Header.Get("Authorization")
	at, _ := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	now := time.Now().Add(v.ahead)
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	if at.Sub(now).Abs() > 5*time.Minute {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "https://"+r.Host+r.URL.RequestURI(), nil)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	again.ContentLength = r.ContentLength
	_, signed, _ := strings.Cut(given, "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for name := range strings.SplitSeq(signed, ";") {
		if value := r.Header.Get(name); value != "" {
			again.Header.Set(name, value)
		}
	}
	creds := aws.Credentials{AccessKeyID: v.key.ID, SecretAccessKey: v.key.Secret}
	err = v4.NewSigner().SignHTTP(r.Context(), creds, again, hex.EncodeToString(hash[:]), "es", awstest.Region, at)
	if err != nil || again.Header.Get("Authorization") != given || r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(hash[:]) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "not the signature of "+v.key.Secret+", but "+awstest.Old.Secret)
		return
	}
	v.sent++
}

// A request is signed as it is sent, with its path, its query and its compressed body. Refused credentials are fetched anew, and what
// an answer says of them is shown in no error. A receiver whose clock is another gets signatures of its own time.
func TestSigner(t *testing.T) {
	v := &verifier{key: awstest.Old}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	home := awstest.NewHome(t)
	options := router.Options{Plain: map[string]string{"x-aws-auth": "true"}}
	form := router.SigningForm{Router: "x", Service: "es"}
	link := router.NewLink(router.LinkConfig[router.Signer]{
		Op: "read x log-opts", Options: options, List: form.Options(),
		Read: func(v *router.Values, _ *router.Certificates) router.Signer {
			return form.Read(v, awsrouter.NewHost(home.Session("")).Signer)
		},
		Client: func(s router.Signer) router.HTTPConfig {
			return router.HTTPConfig{Base: server.URL, Timeout: 10 * time.Second, Encoding: router.Gzip, Signer: s, Redact: func(_ *router.Values, text string) string { return text }}
		},
	})
	t.Cleanup(func() { _ = link.Close() })
	send := func() error {
		return link.With(t.Context(), func(u *router.Use[router.Signer]) *router.Error {
			a, failed := u.Do(t.Context(), router.Request{
				Op: "send", Method: http.MethodPost, Path: "/a b/_bulk?x=%20y&a=1", Header: http.Header{"Content-Type": {"application/x-ndjson"}}, Before: "[", Body: []byte("body"), After: "]",
			})
			if failed == nil {
				if failed = a.Judge("send", 1, http.StatusOK, ""); failed != nil {
					failed.Cause += ": " + a.Text(string(a.Body))
				}
			}
			return failed
		})
	}
	if err := send(); err != nil || v.sent != 1 {
		t.Fatalf("%v, %d requests with a good signature, want 1", err, v.sent)
	}
	home.Write(awstest.New)
	v.key = awstest.New
	err := send()
	routertest.Quiet(t, err, awstest.Old.Secret)
	if router.ClassOf(err) != router.ClassCredentials {
		t.Errorf("%v, want class credentials", err)
	}
	if err := send(); err != nil || v.sent != 2 {
		t.Errorf("%v, %d requests with a good signature, want 2", err, v.sent)
	}
	v.ahead = time.Hour
	if err := send(); err != nil || v.sent != 3 || !strings.Contains(link.Note(), "behind the receiver's") {
		t.Errorf("with another clock: %v, %d requests with a good signature, want 3; note %q", err, v.sent, link.Note())
	}
}

// What the options say of signatures is looked at before a container starts.
func TestSigningOptions(t *testing.T) {
	host := awsrouter.NewHost(nil)
	for _, c := range []struct {
		options map[string]string
		secrets []string
		want    string // in the error; "" = none
	}{
		{map[string]string{}, nil, ""}, {map[string]string{"x-aws-auth": "true"}, nil, "x-aws-service is required"}, {map[string]string{"x-aws-auth": "true", "x-aws-service": "aoss"}, nil, ""},
		{map[string]string{"x-aws-auth": "maybe"}, nil, "not a boolean"}, {map[string]string{"x-aws-auth": "true", "x-aws-service": "E S"}, nil, `"E S" is not the name of a service`},
		{map[string]string{"x-aws-region": "eu-west-1"}, nil, "given without x-aws-auth=true"}, {map[string]string{"x-aws-auth": "true", "x-aws-service": "es", "x-aws-region": "Europe"}, nil, "not an AWS region"},
		{map[string]string{"x-aws-auth": "true", "x-aws-service": "es", "x-aws-role-arn": "admin"}, nil, "not the ARN of a role"},
		{map[string]string{"x-aws-auth": "true", "x-aws-service": "es", "x-aws-external-id": "7"}, nil, "without x-aws-role-arn"},
		{map[string]string{"x-aws-auth": "true", "x-aws-service": "es", "x-user": "u"}, nil, "two ways to log in"},
		{map[string]string{"x-aws-auth": "true"}, []string{"x-aws-service", "x-aws-region", "x-aws-role-arn"}, ""},
	} {
		o := router.Options{Plain: c.options, Secrets: map[string]secret.Source{}}
		for _, name := range c.secrets {
			o.Secrets[name] = routertest.NewSource("x")
		}
		v := o.Unresolved()
		router.SigningForm{Router: "x"}.Read(v, host.Signer, "x-user")
		if err := v.Err(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.options, err, c.want)
		}
	}
}
