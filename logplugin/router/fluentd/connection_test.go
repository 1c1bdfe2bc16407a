package fluentd

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

func TestReconnects(t *testing.T) {
	s := start(t, forwardtest.Options{}, map[string]string{"fluentd-request-ack": "true"})
	for i := range 4 {
		if e := s.send(t, s.batch(2)); e != nil {
			t.Fatal(e)
		}
		s.server.Disconnect()
		s.awaitGone(t) // so that the end is known before the next batch is written
		if s.server.Connections() != i+1 {
			t.Errorf("%d connections after %d batches", s.server.Connections(), i+1)
		}
	}
	c := s.router.conn
	if e := s.send(t, s.batch(1)); e != nil {
		t.Fatal(e)
	}
	if c == s.router.conn || !c.isGone() {
		t.Error("the old connection is still in use")
	}
	c = s.router.conn
	if err := s.router.Close(); err != nil || !c.isGone() {
		t.Errorf("Close has not waited for the reader: %v", err)
	}
	s.server.Close()
	if e := s.send(t, s.batch(1)); e == nil || e.Class != router.ClassRetry || !strings.Contains(e.Error(), "connection refused") {
		t.Errorf("%v, want class retry and the reason", e)
	}
}

// TestNewSecretReconnects rotates a key that was not refused: the connection is made anew with it.
func TestNewSecretReconnects(t *testing.T) {
	s := start(t, forwardtest.Options{SharedKey: sharedKey}, map[string]string{"fluentd-request-ack": "true"})
	for range 2 {
		if e := s.send(t, s.batch(1)); e != nil || s.server.Connections() != 1 {
			t.Fatalf("%v, %d connections", e, s.server.Connections())
		}
	}
	s.server.SetSharedKey(newSharedKey)
	s.key.Rotate(newSharedKey)
	s.key.Invalidate(secret.New(sharedKey)) // as its TTL would
	if e := s.send(t, s.batch(1)); e != nil || s.server.Connections() != 2 {
		t.Errorf("%v, %d connections, want 2", e, s.server.Connections())
	}
}

// TestTimeouts checks the time limits where Docker's driver has none by default.
func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		options     map[string]string
		write, read time.Duration
	}{
		{nil, 30 * time.Second, time.Minute},
		{map[string]string{"fluentd-write-timeout": "0", "fluentd-read-timeout": "0s"}, 30 * time.Second, time.Minute},
		{map[string]string{"fluentd-write-timeout": "2s", "fluentd-read-timeout": "3m"}, 2 * time.Second, 3 * time.Minute},
	} {
		if got := targetOf(router.Options{Plain: c.options}.Unresolved(), nil); got.write != c.write || got.read != c.read {
			t.Errorf("%v: write %v, read %v, want %v, %v", c.options, got.write, got.read, c.write, c.read)
		}
	}
}

func TestWriteTimeout(t *testing.T) {
	s := start(t, forwardtest.Options{}, map[string]string{"fluentd-write-timeout": "50ms"})
	s.server.SetFault(forwardtest.Hang)
	b := &router.Batch{} // more than the sockets' buffers hold
	for range 200 {
		b.Append(s.encoders[0], &router.Record{Line: []byte(strings.Repeat("x", 100_000))})
	}
	at := time.Now()
	if e := s.send(t, b); e == nil || e.Class != router.ClassRetry || !e.TimedOut || !strings.Contains(e.Error(), "in time") {
		t.Errorf("%+v, want class retry, timed out", e)
	}
	if d := time.Since(at); d > 20*time.Second { // the default is 30 s
		t.Errorf("Send took %v, want 50ms", d)
	}
}

func TestSourceFails(t *testing.T) {
	s := start(t, forwardtest.Options{SharedKey: sharedKey}, nil)
	for kind, want := range map[fault.Kind]router.Class{fault.Denied: router.ClassCredentials, fault.Throttled: router.ClassRetry} {
		s.key.Fail(&fault.Error{Kind: kind, Op: "get secret x", Cause: "no"})
		if e := s.send(t, s.batch(1)); e == nil || e.Class != want || !errors.Is(e, kind) {
			t.Errorf("%s: %v, want class %s", kind, e, want)
		}
	}
	if s.server.Connections() != 0 {
		t.Error("it connects without a key")
	}
}

func TestWaitsForItsTurn(t *testing.T) {
	s := start(t, forwardtest.Options{}, nil)
	s.router.turn <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.router.Send(ctx, s.batch(1)); router.ClassOf(err) != router.ClassRetry {
		t.Errorf("%v, want class retry", err)
	}
	<-s.router.turn
	b := s.batch(1)
	b.Runs[0].Encoder = nil
	if e := s.send(t, b); e == nil || e.Class != router.ClassConfig {
		t.Errorf("a batch without an encoder: %v, want class config", e)
	}
}

func TestTLS(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerConfig("127.0.0.1", "logs.example.com")
	if err != nil {
		t.Fatal(err)
	}
	server.ClientCAs, server.ClientAuth = ca.Pool(), tls.RequireAndVerifyClientCert
	certPEM, keyPEM, err := ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	client := map[string]string{"fluentd-tls-cert": string(certPEM), "fluentd-tls-key": string(keyPEM), "fluentd-tls-ca-cert": string(ca.PEM()), "fluentd-request-ack": "true"}
	for _, c := range []struct {
		name    string
		options map[string]string
		want    router.Class
		hint    string
	}{
		{"good", nil, "", ""},
		{"server name", map[string]string{"fluentd-tls-server-name": "logs.example.com"}, "", ""},
		{"wrong name", map[string]string{"fluentd-tls-server-name": "evil.example.com"}, router.ClassConfig, "give the name that is in it in fluentd-tls-server-name"},
		{"system roots", map[string]string{"fluentd-tls-ca-cert": "-"}, router.ClassConfig, "give its authority in fluentd-tls-ca-cert"},
		{"not verified", map[string]string{"fluentd-tls-ca-cert": "-", "fluentd-tls-skip-verify": "true"}, "", ""},
		{"no client certificate", map[string]string{"fluentd-tls-cert": "-", "fluentd-tls-key": "-"}, router.ClassCredentials, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := maps.Clone(client)
			maps.Copy(options, c.options)
			s := start(t, forwardtest.Options{TLS: server}, options)
			var e *router.Error
			for range 20 { // in TLS 1.3 the reset may overtake the alert that says why
				if e = s.send(t, s.batch(1)); e == nil || e.Class != router.ClassRetry {
					break
				}
			}
			got := router.Class("")
			if e != nil {
				got = e.Class
			}
			if got != c.want || e != nil && e.Hint != c.hint {
				t.Errorf("%v, want class %q and the hint %q", e, c.want, c.hint)
			}
		})
	}
	t.Run("no TLS", func(t *testing.T) {
		s := start(t, forwardtest.Options{TLS: server}, client)
		s.server.SetFault(forwardtest.Page)
		if e := s.send(t, s.batch(1)); e == nil || e.Class != router.ClassConfig || e.Hint != "write tcp:// in fluentd-address, or enable TLS at the receiver" {
			t.Errorf("%v, want class config and what to write", e)
		}
	})
}
