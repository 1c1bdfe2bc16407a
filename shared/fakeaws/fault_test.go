package fakeaws_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/secretref/secretref/shared/fakeaws"
)

// Each fault that the service words itself, once per protocol.
func TestErrorFaults(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	cfg := client(t, s, "eu-west-1")
	ops := map[string]func() error{
		"secretsmanager": func() error { _, err := get(t.Context(), cfg, "a"); return err },
		"ssm": func() error {
			_, err := ssm.NewFromConfig(cfg).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("a")})
			return err
		},
		"sts": func() error {
			_, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			return err
		},
		"ecr": func() error {
			_, err := ecr.NewFromConfig(cfg).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
			return err
		},
	}
	for _, c := range []struct {
		kind, service, code string
		status              int
	}{
		{"throttle", "secretsmanager", "ThrottlingException", 400},
		{"throttle", "ssm", "ThrottlingException", 400},
		{"throttle", "sts", "Throttling", 400},
		{"status-500", "secretsmanager", "InternalServiceError", 500},
		{"status-500", "ssm", "InternalServerError", 500},
		{"status-500", "sts", "InternalFailure", 500},
		{"status-500", "ecr", "ServerException", 500},
		{"status-503", "secretsmanager", "ServiceUnavailableException", 503},
		{"status-503", "sts", "ServiceUnavailableException", 503},
		{"bad-signature", "secretsmanager", "InvalidSignatureException", 400},
		{"bad-signature", "sts", "SignatureDoesNotMatch", 403},
		{"expired-token", "ssm", "ExpiredTokenException", 400},
		{"expired-token", "sts", "ExpiredToken", 403},
		{"clock-skew", "secretsmanager", "InvalidSignatureException", 400},
		{"clock-skew", "sts", "SignatureDoesNotMatch", 403},
		{"custom", "ssm", "RequestTimeTooSkewed", 418},
	} {
		t.Run(c.kind+" "+c.service, func(t *testing.T) {
			s.ResetCalls()
			s.SetFault(fakeaws.Fault{Service: c.service, Kind: fakeaws.FaultKind(c.kind), Times: 1, Code: "RequestTimeTooSkewed", Status: 418})
			err := ops[c.service]()
			wantCode(t, c.kind, err, c.code)
			var re *smithyhttp.ResponseError
			if !errors.As(err, &re) || re.HTTPStatusCode() != c.status {
				t.Errorf("%v: want status %d", err, c.status)
			}
			if calls := s.Calls(); len(calls) != 1 || calls[0].Service != c.service || calls[0].Error == "" {
				t.Errorf("calls = %+v", calls)
			}
		})
	}
}

func TestFaultMatchesAndIsUsedUp(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	cfg := client(t, s, "eu-west-1")
	s.SetFault(fakeaws.Fault{Op: "GetParameters", Kind: fakeaws.Throttle})
	s.SetFault(fakeaws.Fault{Service: "imds", Kind: fakeaws.Status500})
	if _, err := get(t.Context(), cfg, "a"); err != nil {
		t.Errorf("a fault of others: %v", err)
	}
	s.SetFault(fakeaws.Fault{Op: "GetSecretValue", Kind: fakeaws.Throttle, Times: 2})
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Status503, Times: 1})
	for _, code := range []string{"ThrottlingException", "ThrottlingException", "ServiceUnavailableException"} {
		_, err := get(t.Context(), cfg, "a")
		wantCode(t, "in order", err, code)
	}
	if got, err := get(t.Context(), cfg, "a"); got != "x" || err != nil {
		t.Errorf("used up: %q, %v", got, err)
	}
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Throttle})
	for range 3 {
		_, err := get(t.Context(), cfg, "a")
		wantCode(t, "for ever", err, "ThrottlingException")
	}
	if err := s.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t.Context(), cfg, "a"); err != nil {
		t.Errorf("cleared: %v", err)
	}
}

func TestSpoiltBodies(t *testing.T) {
	noLeak(t)
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutSecret(fakeaws.Secret{Name: "a", String: strings.Repeat("x", 4096)})
	cfg := client(t, s, "eu-west-1")
	s.SetFault(fakeaws.Fault{Kind: fakeaws.ResetMidBody, Times: 1})
	if _, err := get(t.Context(), cfg, "a"); err == nil || !errors.Is(err, syscall.ECONNRESET) && !strings.Contains(err.Error(), "EOF") {
		t.Errorf("reset: %v", err)
	}
	s.SetFault(fakeaws.Fault{Kind: fakeaws.GarbageBody, Times: 1})
	if _, err := get(t.Context(), cfg, "a"); err == nil {
		t.Error("garbage is not seen")
	}
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Empty, Times: 1})
	if got, err := get(t.Context(), cfg, "a"); got != "" {
		t.Errorf("empty: %q, %v", got, err)
	}
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Delay, Delay: 30 * time.Millisecond, Times: 1})
	start := time.Now()
	if _, err := get(t.Context(), cfg, "a"); err != nil || time.Since(start) < 30*time.Millisecond {
		t.Errorf("delay: %v after %v", err, time.Since(start))
	}
}

func TestHang(t *testing.T) {
	noLeak(t)
	s := fakeaws.New(t, fakeaws.Options{})
	cfg := client(t, s, "eu-west-1")
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	t.Run("until the client goes away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := get(ctx, cfg, "a"); done <- err }()
		if err := s.WaitCalls(t.Context(), "GetSecretValue", 1); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
		if c := s.Calls()[0]; c.Error != "hang" {
			t.Errorf("call = %+v", c)
		}
	})
	t.Run("until the server closes", func(t *testing.T) {
		s.ResetCalls()
		done := make(chan error, 1)
		go func() { _, err := get(t.Context(), cfg, "a"); done <- err }()
		if err := s.WaitCalls(t.Context(), "GetSecretValue", 1); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if err := <-done; err == nil {
			t.Error("an answer after Close")
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.WaitCalls(ctx, "GetSecretValue", 5); err == nil {
		t.Error("WaitCalls outlives its context")
	}
	if err := s.Restart(); err == nil {
		t.Error("restarted after Close")
	}
}

func TestRefuseAndRestart(t *testing.T) {
	noLeak(t)
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	cfg := client(t, s, "eu-west-1")
	for _, c := range []struct {
		name     string
		down, up func() error
	}{
		{"stop and restart", func() error { s.Stop(); return nil }, s.Restart},
		{"fault and clear", func() error { s.SetFault(fakeaws.Fault{Kind: fakeaws.Refuse}); return nil }, s.ClearFaults},
	} {
		if _, err := get(t.Context(), cfg, "a"); err != nil {
			t.Errorf("%s: before: %v", c.name, err)
		}
		_ = c.down()
		if _, err := get(t.Context(), client(t, s, "eu-west-1"), "a"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: down: %v", c.name, err)
		}
		if err := c.up(); err != nil {
			t.Fatal(err)
		}
		cfg = client(t, s, "eu-west-1") // the old one may hold a connection of before
		if got, err := get(t.Context(), cfg, "a"); got != "x" || err != nil {
			t.Errorf("%s: up again: %q, %v", c.name, got, err)
		}
	}
}

// The SDK learns the skew from the Date of the answer and signs again.
func TestClockSkewHeals(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	for _, skew := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		s.ResetCalls()
		if err := s.ClearFaults(); err != nil {
			t.Fatal(err)
		}
		s.SetFault(fakeaws.Fault{Kind: fakeaws.ClockSkew, Delay: skew})
		cfg := client(t, s, "eu-west-1")
		cfg.Retryer = nil
		if got, err := get(t.Context(), cfg, "a"); got != "x" || err != nil {
			t.Errorf("skew %v: %q, %v", skew, got, err)
		}
		if got := s.CountCalls("GetSecretValue"); got != 2 {
			t.Errorf("skew %v: %d calls, want 2", skew, got)
		}
	}
}

func TestSignatures(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	cfg := client(t, s, "eu-west-1")
	temporary := s.AddCredentials("arn:aws:sts::111122223333:assumed-role/r/s", time.Hour)
	changed := func(f func(*fakeaws.Credentials)) fakeaws.Credentials { c := temporary; f(&c); return c }
	for _, c := range []struct {
		name      string
		creds     fakeaws.Credentials
		json, sts string
	}{
		{"good", temporary, "", ""},
		{"unknown key", changed(func(c *fakeaws.Credentials) { c.AccessKeyID = "ASIAUNKNOWN" }), "UnrecognizedClientException", "InvalidClientTokenId"},
		{"no session token", changed(func(c *fakeaws.Credentials) { c.SessionToken = "" }), "UnrecognizedClientException", "InvalidClientTokenId"},
		{"wrong secret key", changed(func(c *fakeaws.Credentials) { c.SecretAccessKey += "x" }), "InvalidSignatureException", "SignatureDoesNotMatch"},
		{"expired", s.AddCredentials("arn:aws:sts::111122223333:assumed-role/r/s", -time.Second), "ExpiredTokenException", "ExpiredToken"},
	} {
		_, err := get(t.Context(), as(cfg, c.creds), "a")
		_, stsErr := sts.NewFromConfig(as(cfg, c.creds)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if c.json == "" {
			if err != nil || stsErr != nil {
				t.Errorf("%s: %v, %v", c.name, err, stsErr)
			}
			continue
		}
		wantCode(t, c.name, err, c.json)
		wantCode(t, c.name, stsErr, c.sts)
	}
}

// Requests that no SDK would send: each must be refused for its own reason.
func TestForgedRequests(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	c := aws.Credentials{AccessKeyID: fakeaws.AccessKeyID, SecretAccessKey: fakeaws.SecretAccessKey}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, row := range []struct {
		name, service, target string
		at                    time.Duration
		after                 func(*http.Request)
		want                  string
	}{
		{"good", "secretsmanager", "secretsmanager.GetSecretValue", 0, nil, `"SecretString":"x"`},
		{"good with a query", "secretsmanager", "secretsmanager.GetSecretValue", 0, nil, `"SecretString":"x"`},
		{"unsigned", "secretsmanager", "secretsmanager.GetSecretValue", 0, func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException"},
		{"half a header", "secretsmanager", "secretsmanager.GetSecretValue", 0, func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x") }, "MissingAuthenticationTokenException"},
		{"signed for another service", "ssm", "secretsmanager.GetSecretValue", 0, nil, "scoped to correct service: 'secretsmanager'"},
		{"old", "secretsmanager", "secretsmanager.GetSecretValue", -6 * time.Minute, nil, "Signature expired: "},
		{"too new", "secretsmanager", "secretsmanager.GetSecretValue", 6 * time.Minute, nil, "Signature not yet current: "},
		{"nearly old", "secretsmanager", "secretsmanager.GetSecretValue", -4 * time.Minute, nil, `"SecretString":"x"`},
		{"another date", "secretsmanager", "secretsmanager.GetSecretValue", 0, func(r *http.Request) { r.Header.Set("X-Amz-Date", "20200101T000000Z") }, "valid date"},
		{"a changed body", "secretsmanager", "secretsmanager.GetSecretValue", 0, func(r *http.Request) { r.Body = http.NoBody; r.ContentLength = 0 }, "does not match"},
		{"another operation", "secretsmanager", "secretsmanager.GetSecretValue", 0, func(r *http.Request) { r.Header.Set("X-Amz-Target", "secretsmanager.DeleteSecret") }, "does not match"},
		{"an unsigned header", "secretsmanager", "", 0, func(r *http.Request) { r.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue") }, "'x-amz-target' must be a 'SignedHeader'"},
		{"an unknown operation", "secretsmanager", "secretsmanager.ReadMinds", 0, nil, "UnknownOperationException"},
		{"an unknown service", "dynamodb", "DynamoDB_20120810.GetItem", 0, nil, "UnknownOperationException"},
	} {
		t.Run(row.name, func(t *testing.T) {
			body := []byte(`{"SecretId":"a"}`)
			sum := sha256.Sum256(body)
			target := s.URL + "/"
			if row.name == "good with a query" {
				target += "?b=2&a=x%20y&a=1"
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			if row.target != "" {
				r.Header.Set("X-Amz-Target", row.target)
			}
			if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(sum[:]), row.service, "eu-west-1", time.Now().Add(row.at)); err != nil {
				t.Fatal(err)
			}
			if row.after != nil {
				row.after(r)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			_, err = got.ReadFrom(resp.Body)
			_ = resp.Body.Close()
			if err != nil || !strings.Contains(got.String(), row.want) {
				t.Errorf("answer %d %s, %v; want %s", resp.StatusCode, got.String(), err, row.want)
			}
		})
	}
	if n := s.CountCalls("DeleteSecret"); n != 1 {
		t.Errorf("%d calls of DeleteSecret recorded, want 1, refused", n)
	}
	_, err := secretsmanager.NewFromConfig(aws.Config{Region: "eu-west-1", BaseEndpoint: &s.URL, HTTPClient: client}).
		GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("a")})
	if err == nil {
		t.Error("an SDK client without credentials gets a value")
	}
}
