package splunk

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

// TestOtherSecrets gives a URL as a secret, and rotates it.
func TestOtherSecrets(t *testing.T) {
	first, second := start(t, hectest.Options{}, nil), start(t, hectest.Options{}, nil)
	url := routertest.NewSource(first.hec.URL())
	c, err := Kind().New(router.Options{Secrets: map[string]secret.Source{
		"splunk-url": url, "splunk-token": first.token, "splunk-gzip": routertest.NewSource("true"), "splunk-index": routertest.NewSource("main"),
		"splunk-source": routertest.NewSource("{{.Name}}")}}) // text: a secret is not a template
	if err != nil {
		t.Fatal(err)
	}
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	e, err := c.Encoder(t.Context(), router.Session{})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := routertest.Batch([]router.Encoder{e}, 1)
	if err := r.Send(t.Context(), b); err != nil || first.hec.Count() != 1 || !strings.Contains(first.hec.Events()[0].Text, `"index":"main"`) ||
		!strings.Contains(first.hec.Events()[0].Text, `"source":"{{.Name}}"`) {
		t.Fatalf("%v, %v", err, first.hec.Events())
	}
	url.Rotate(second.hec.URL())
	url.Invalidate(secret.New(first.hec.URL()))
	if err := r.Send(t.Context(), b); err != nil || second.hec.Count() != 1 {
		t.Errorf("after the URL was rotated: %v, %d events", err, second.hec.Count())
	}
	url.Rotate("https://user:" + token + "@h.example/" + token)
	url.Invalidate(secret.New(second.hec.URL()))
	err = r.Send(t.Context(), b)
	if router.ClassOf(err) != router.ClassConfig {
		t.Errorf("a bad URL: %v, want class config", err)
	}
	routertest.Quiet(t, err, token)
}

func TestTLS(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	other, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerConfig("hec.example.com", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server.ClientCAs = ca.Pool()
	server.ClientAuth = tls.RequireAndVerifyClientCert
	certPEM, keyPEM, err := ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	otherCert, otherKey, err := other.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, ca.PEM())
	client := map[string]string{"splunk-client-cert": string(certPEM), "splunk-client-key": string(keyPEM)}
	const authority = "give its authority in splunk-capath or splunk-ca-cert"
	for _, c := range []struct {
		name    string
		options map[string]string
		want    router.Class
		hint    string
	}{
		{"CA as a path", map[string]string{"splunk-capath": path}, "", ""},
		{"CA as PEM", map[string]string{"splunk-ca-cert": string(ca.PEM())}, "", ""},
		{"CA and name", map[string]string{"splunk-ca-cert": string(ca.PEM()), "splunk-caname": "hec.example.com"}, "", ""},
		{"not verified", map[string]string{"splunk-insecureskipverify": "true"}, "", ""},
		{"system roots", nil, router.ClassConfig, authority},
		{"other CA", map[string]string{"splunk-ca-cert": string(other.PEM())}, router.ClassConfig, authority},
		{"other name", map[string]string{"splunk-ca-cert": string(ca.PEM()), "splunk-caname": "evil.example.com"}, router.ClassConfig, "give the name that is in it in splunk-caname"},
		{"no client certificate", map[string]string{"splunk-capath": path, "splunk-client-cert": "", "splunk-client-key": ""}, router.ClassCredentials, ""},
		{"other client", map[string]string{"splunk-capath": path, "splunk-client-cert": string(otherCert), "splunk-client-key": string(otherKey)}, router.ClassCredentials, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := map[string]string{}
			for k, v := range client {
				options[k] = v
			}
			for k, v := range c.options {
				if options[k] = v; v == "" {
					delete(options, k)
				}
			}
			s := start(t, hectest.Options{TLS: server.Clone()}, options)
			e := s.send(t, s.batch(1))
			for range 20 { // in TLS 1.3 the reset may overtake the alert that says why
				if e == nil || e.Class != router.ClassRetry {
					break
				}
				e = s.send(t, s.batch(1))
			}
			if router.ClassOf(asError(e)) != c.want {
				t.Errorf("%v, want class %q", e, c.want)
			}
			if e != nil && e.Hint != c.hint {
				t.Errorf("%v, want the hint %q", e, c.hint)
			}
			if (s.hec.Count() == 1) != (c.want == "") {
				t.Errorf("%d events", s.hec.Count())
			}
			routertest.Quiet(t, asError(e), string(keyPEM), "PRIVATE")
		})
	}
}

// A receiver without TLS, and https:// in splunk-url.
func TestNoTLS(t *testing.T) {
	hec, err := hectest.Start(hectest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hec.Close)
	s := start(t, hectest.Options{}, map[string]string{"splunk-url": "https" + strings.TrimPrefix(hec.URL(), "http")})
	e := s.send(t, s.batch(1))
	if e == nil || e.Class != router.ClassConfig || e.Cause != "the receiver does not speak TLS" || e.Hint != "write http:// in splunk-url, or enable TLS at the receiver" {
		t.Errorf("%v, want class config and what to write", e)
	}
}

// TestClientCertificateIsASecret gives certificate and key as PEM of secrets, and rotates both.
func TestClientCertificateIsASecret(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerConfig("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server.ClientCAs, server.ClientAuth = ca.Pool(), tls.RequireAndVerifyClientCert
	hec, err := hectest.Start(hectest.Options{TLS: server})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hec.Close)
	issue := func(by *rig.CA) (certPEM, keyPEM string) {
		c, k, err := by.Issue("client")
		if err != nil {
			t.Fatal(err)
		}
		return string(c), string(k)
	}
	other, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	oldCert, oldKey := issue(other)
	newCert, newKey := issue(ca)
	cert, key := routertest.NewSource(oldCert), routertest.NewSource(oldKey)
	c, err := Kind().New(router.Options{Plain: map[string]string{"splunk-url": hec.URL()}, Secrets: map[string]secret.Source{
		"splunk-token": routertest.NewSource(token), "splunk-ca-cert": routertest.NewSource(string(ca.PEM())),
		"splunk-client-cert": cert, "splunk-client-key": key}})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	e, err := c.Encoder(t.Context(), router.Session{})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := routertest.Batch([]router.Encoder{e}, 1)
	for range 20 { // in TLS 1.3 the reset may overtake the alert that says why
		if err = r.Send(t.Context(), b); router.ClassOf(err) != router.ClassRetry {
			break
		}
	}
	if router.ClassOf(err) != router.ClassCredentials || cert.Invalidated() != 1 || key.Invalidated() != 1 {
		t.Errorf("a certificate of nobody: %v, invalidated %d and %d times; want class credentials, once each", err, cert.Invalidated(), key.Invalidated())
	}
	routertest.Quiet(t, err, oldKey, oldCert, "PRIVATE")
	cert.Rotate(newCert)
	key.Rotate(newKey)
	cert.Invalidate(secret.New(oldCert))
	key.Invalidate(secret.New(oldKey))
	if err := r.Send(t.Context(), b); err != nil || hec.Count() != 1 {
		t.Errorf("with the new certificate: %v, %d events", err, hec.Count())
	}
}
