package fakeaws_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/secretref/secretref/shared/fakeaws"
)

func TestAdmin(t *testing.T) {
	noLeak(t)
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	cfg := client(t, s, "eu-west-1")
	ask := func(method, url, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	for _, row := range []struct {
		name, body string
		want       int
	}{
		{"good", `{"kind":"throttle","op":"GetSecretValue","times":1}`, 204},
		{"delay", `{"kind":"delay","delay":"1ms","times":1}`, 204},
		{"unknown kind", `{"kind":"meteor"}`, 400},
		{"unknown key", `{"kind":"hang","tmies":1}`, 400},
		{"bad duration", `{"kind":"delay","delay":"soon"}`, 400},
		{"custom without code", `{"kind":"custom"}`, 400},
		{"no JSON", `hang`, 400},
		{"refuse here", `{"kind":"refuse"}`, 409},
	} {
		if got, text := ask("POST", s.URL+"/_fault", row.body); got != row.want {
			t.Errorf("%s: %d %s, want %d", row.name, got, text, row.want)
		}
	}
	_, err := get(t.Context(), cfg, "a")
	wantCode(t, "the fault", err, "ThrottlingException")
	if got, _ := ask("DELETE", s.URL+"/_fault", ""); got != 204 {
		t.Errorf("DELETE /_fault = %d", got)
	}
	if got, _ := ask("POST", s.IMDSURL+"/_fault", `{"kind":"refuse"}`); got != 204 {
		t.Errorf("refuse = %d", got)
	}
	if _, err := get(t.Context(), client(t, s, "eu-west-1"), "a"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
	if got, _ := ask("DELETE", s.IMDSURL+"/_fault", ""); got != 204 {
		t.Errorf("DELETE /_fault = %d", got)
	}
	if _, err := get(t.Context(), client(t, s, "eu-west-1"), "a"); err != nil {
		t.Errorf("back again: %v", err)
	}
	_, text := ask("GET", s.URL+"/_calls", "")
	var calls []fakeaws.Call
	if err := json.Unmarshal([]byte(text), &calls); err != nil || len(calls) != 2 || calls[0].Error != "ThrottlingException" || calls[1].Error != "" {
		t.Errorf("calls = %s, %v", text, err)
	}
	if got, _ := ask("GET", s.URL+"/_other", ""); got != 404 {
		t.Errorf("GET /_other = %d", got)
	}
}

func TestReadSeed(t *testing.T) {
	seed, err := fakeaws.ReadSeed(strings.NewReader(`{
		"secrets": [{"name": "a", "suffix": "AbCdEf", "string": "x"}, {"name": "b", "binary": "AAE="}],
		"parameters": [{"name": "/p", "value": "y"}],
		"roles": [{"arn": "arn:aws:iam::111122223333:role/r", "externalId": "e"}],
		"imds": {"role": "arn:aws:iam::111122223333:role/r"}, "ecr": {"password": "p"}}`))
	if err != nil || len(seed.Secrets) != 2 || len(seed.Secrets[1].Binary) != 2 || seed.Parameters[0].Value != "y" ||
		seed.Roles[0].ExternalID != "e" || seed.IMDS.Role == "" || seed.ECR.Password != "p" {
		t.Errorf("seed = %+v, %v", seed, err)
	}
	for _, bad := range []string{`{"secret": []}`, `[]`, ``, `{"secrets": [{"nam": "a"}]}`} {
		if _, err := fakeaws.ReadSeed(strings.NewReader(bad)); err == nil {
			t.Errorf("ReadSeed(%s) gives no error", bad)
		}
	}
}

// Whatever arrives, the server answers and does not fall over.
func FuzzAuthorization(f *testing.F) {
	s, err := fakeaws.Start(fakeaws.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	f.Cleanup(c.CloseIdleConnections)
	f.Add("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261123/eu-west-1/ssm/aws4_request, SignedHeaders=host, Signature=x", "AmazonSSM.GetParameters", `{"Names":["a:1"]}`)
	f.Add("AWS4-HMAC-SHA256 Credential=////aws4_request,SignedHeaders=,Signature=x", "", "Action=AssumeRole")
	f.Fuzz(func(t *testing.T, auth, target, body string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", auth)
		r.Header.Set("X-Amz-Target", target)
		resp, err := c.Do(r)
		if err != nil {
			if strings.Contains(err.Error(), "invalid header") {
				return
			}
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Errorf("an unsigned request was answered: %q %q %q", auth, target, body)
		}
	})
}
