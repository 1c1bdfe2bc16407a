package fluentd

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

func TestParse(t *testing.T) {
	const hidden = "h1dden"
	for _, c := range []struct {
		name    string
		options map[string]string
		want    string // in the error, or the receiver's name
		ok      bool
	}{
		{"default", nil, "tcp://127.0.0.1:24224", true},
		{"empty", map[string]string{"fluentd-address": ""}, "tcp://127.0.0.1:24224", true},
		{"host", map[string]string{"fluentd-address": "logs.example.com"}, "tcp://logs.example.com:24224", true},
		{"host and port", map[string]string{"fluentd-address": "logs.example.com:1234"}, "tcp://logs.example.com:1234", true},
		{"IPv6", map[string]string{"fluentd-address": "tcp://[::1]:1234"}, "tcp://[::1]:1234", true},
		{"TLS", map[string]string{"fluentd-address": "tls://logs.example.com"}, "tls://logs.example.com:24224", true},
		{"unix", map[string]string{"fluentd-address": "unix:///run/f.sock"}, "unix:///run/f.sock", true},
		{"Docker's own", map[string]string{"fluentd-async": "true", "fluentd-async-reconnect-interval": "500ms", "fluentd-buffer-limit": "8MiB",
			"fluentd-max-retries": "3", "fluentd-retry-wait": "1s", "fluentd-write-timeout": "0", "fluentd-read-timeout": "2s"}, "tcp://127.0.0.1:24224", true},
		{"unix without path", map[string]string{"fluentd-address": "unix://"}, "log-opt fluentd-address: ", false},
		{"scheme", map[string]string{"fluentd-address": "http://h:1"}, "log-opt fluentd-address: ", false},
		{"path", map[string]string{"fluentd-address": "tcp://h:1/p"}, "log-opt fluentd-address: ", false},
		{"port 0", map[string]string{"fluentd-address": "h:0"}, "log-opt fluentd-address: ", false},
		{"port 65536", map[string]string{"fluentd-address": "h:65536"}, "log-opt fluentd-address: ", false},
		{"user", map[string]string{"fluentd-address": "tcp://u:" + hidden + "@h:1"}, "log-opt fluentd-address: ", false},
		{"query", map[string]string{"fluentd-address": "tcp://h:1?" + hidden}, "log-opt fluentd-address: ", false},
		{"user without password", map[string]string{"fluentd-username": "u"}, "need each other", false},
		{"TLS options without TLS", map[string]string{"fluentd-tls-skip-verify": "true"}, "begins with tls://", false},
		{"compress", map[string]string{"fluentd-compress": "zstd"}, "none, gzip", false},
		{"ack", map[string]string{"fluentd-request-ack": "si"}, "not a boolean", false},
		{"precision", map[string]string{"fluentd-sub-second-precision": "9"}, "not a boolean", false},
		{"write timeout", map[string]string{"fluentd-write-timeout": "-1s"}, "not a duration", false},
		{"read timeout", map[string]string{"fluentd-read-timeout": "2"}, "not a duration", false},
		{"reconnect interval", map[string]string{"fluentd-async-reconnect-interval": "50ms"}, "from 100ms to 10s", false},
		{"buffer", map[string]string{"fluentd-buffer-limit": "much"}, "not a size", false},
		{"buffer of infinity", map[string]string{"fluentd-buffer-limit": "inf"}, "not a size", false},
		{"retries", map[string]string{"fluentd-max-retries": "-1"}, "not a number", false},
		{"async twice", map[string]string{"fluentd-async": "true", "fluentd-async-connect": "true"}, "the same thing", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := router.Options{Plain: c.options}
			_, err := Parse(o)
			if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Parse = %v, want %q", err, c.want)
			}
			routertest.Quiet(t, err, hidden)
			if err == nil {
				if got := targetOf(o.Unresolved(), nil).name(0); got != c.want {
					t.Errorf("the receiver is %s, want %s", got, c.want)
				}
			}
		})
	}
	for _, size := range []string{"0", "1", "1b", "1k", "1kb", "1KiB", "1.5m", "8 MB", "1g", "1T", "2PiB"} {
		if !isSize(size) {
			t.Errorf("isSize(%q) = false", size)
		}
	}
	for _, size := range []string{"", "-1", "k", "1x", "1kk", "0x10", "1e", "1_0", "nan"} {
		if isSize(size) {
			t.Errorf("isSize(%q) = true", size)
		}
	}
}

// TestSecretValueIsNotShown gives each option a bad value as a secret, and looks for it in what Send and NewEncoder say.
func TestSecretValueIsNotShown(t *testing.T) {
	const hidden = "h1dden v4lue"
	ignored := 0
	for _, o := range options {
		plain := map[string]string{"fluentd-address": "tls://127.0.0.1:1"}
		delete(plain, o.Name)
		switch o.Name {
		case "fluentd-password":
			plain["fluentd-username"] = "u"
		case "fluentd-username":
			plain["fluentd-password"] = "p"
		}
		c, err := Parse(router.Options{Plain: plain, Secrets: map[string]secret.Source{o.Name: routertest.NewSource(hidden)}})
		if err != nil {
			if !strings.Contains(err.Error(), "need each other") {
				t.Errorf("%s: %v", o.Name, err)
			}
			continue
		}
		e, err := NewEncoder(t.Context(), c, router.Session{ContainerID: "x"})
		if (err != nil) != o.Session {
			t.Errorf("%s: NewEncoder: %v", o.Name, err)
		}
		routertest.Quiet(t, err, hidden, "v4lue")
		b := &router.Batch{}
		if e == nil {
			continue
		}
		b.Append(e, &router.Record{})
		r := New(c)
		err = r.Send(t.Context(), b)
		routertest.Quiet(t, err, hidden, "v4lue")
		if err == nil {
			t.Errorf("%s: there is no listener, and Send returns nil", o.Name)
		}
		if o.Ignored {
			ignored++
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if ignored == 0 || !slices.ContainsFunc(options, func(o router.Option) bool { return o.Session }) {
		t.Error(fmt.Sprint("the options are not told apart: ", ignored))
	}
}

// TestBrokenCertificateFiles overwrites the files of the CA and of the client's certificate with what is none. The earlier
// ones stay in use, also for a new connection.
func TestBrokenCertificateFiles(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerConfig("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server.ClientCAs, server.ClientAuth = ca.Pool(), tls.RequireAndVerifyClientCert
	certPEM, keyPEM, err := ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{"fluentd-request-ack": "true"}
	for name, text := range map[string][]byte{"fluentd-tls-ca-cert": ca.PEM(), "fluentd-tls-cert": certPEM, "fluentd-tls-key": keyPEM} {
		files[name] = filepath.Join(dir, name)
		if err := os.WriteFile(files[name], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, forwardtest.Options{TLS: server}, files)
	if e := s.send(t, s.batch(1)); e != nil {
		t.Fatal(e)
	}
	for name := range files {
		if name != "fluentd-request-ack" {
			if err := os.WriteFile(files[name], []byte("half a fi"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 2 {
		if e := s.send(t, s.batch(1)); e != nil {
			t.Errorf("with broken files: %v", e)
		}
		if s.server.Connections() != 1+i {
			t.Errorf("%d connections, want %d", s.server.Connections(), 1+i)
		}
		s.server.Disconnect()
		s.awaitGone(t)
	}
}
