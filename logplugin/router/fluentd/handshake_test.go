package fluentd

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/porttest"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

func none(text string, _ ...string) string { return text }

// TestUsers does the handshake with and without users on both sides, with Fluentd's and with Fluent Bit's receiver. The
// latter sends a salt for a password whether it has users or not.
func TestUsers(t *testing.T) {
	users := map[string]string{"user": password}
	client := map[string]string{"fluentd-username": "user", "fluentd-password": password}
	for _, fluentBit := range []bool{false, true} {
		for _, c := range []struct {
			name   string
			users  map[string]string
			client map[string]string
			want   router.Class
			says   string
		}{
			{"no users", nil, nil, "", ""},
			{"no users, but the client has one", nil, client, "", ""},
			{"both", users, client, "", ""},
			{"the client has none", users, nil, router.ClassConfig, "asks for a user and a password: username/password mismatch; set fluentd-username and fluentd-password"},
			{"another user", map[string]string{"other": password}, client, router.ClassCredentials, "fluentd-username and fluentd-password"},
			{"another password", map[string]string{"user": "x"}, client, router.ClassCredentials, "fluentd-username and fluentd-password"},
		} {
			t.Run(fmt.Sprint(c.name, ", Fluent Bit: ", fluentBit), func(t *testing.T) {
				options := maps.Clone(c.client)
				if options == nil {
					options = map[string]string{}
				}
				options["fluentd-request-ack"] = "true"
				s := start(t, forwardtest.Options{SharedKey: sharedKey, FluentBit: fluentBit}, options)
				s.server.SetUsers(c.users)
				e := s.send(t, s.batch(2))
				if class(e) != c.want || e != nil && !strings.Contains(e.Error(), c.says) {
					t.Errorf("%v, want class %q, saying %q", e, c.want, c.says)
				}
				if arrived := s.server.Count() == 2; arrived != (c.want == "") {
					t.Errorf("%d entries arrived", s.server.Count())
				}
			})
		}
	}
}

func class(e *router.Error) router.Class {
	if e == nil {
		return ""
	}
	return e.Class
}

// TestSameHostName has a receiver with the client's host name. It could send the client's own digest back, so the client
// takes another name; one that was given is not changed.
func TestSameHostName(t *testing.T) {
	s := start(t, forwardtest.Options{SharedKey: sharedKey}, nil)
	s.router.hostname = "server" // as forwardtest calls itself
	for range 2 {
		if e := s.send(t, s.batch(1)); e != nil {
			t.Fatal(e)
		}
	}
	if s.router.hostname != "server-log-driver" || s.server.Connections() != 2 {
		t.Errorf("the client's name is %s after %d connections, want server-log-driver after 2", s.router.hostname, s.server.Connections())
	}
	s = start(t, forwardtest.Options{SharedKey: sharedKey}, map[string]string{"fluentd-self-hostname": "server"})
	if e := s.send(t, s.batch(1)); class(e) != router.ClassConfig || !strings.Contains(e.Error(), "give another name in fluentd-self-hostname") {
		t.Errorf("%v, want class config and what to do", e)
	}
	id := identity{hostname: "client", key: secret.New(sharedKey), redact: none}
	p := newProofs(hello{nonce: "n"}, id)
	if err := p.check([]any{"PONG", true, "", "client", p.key}, id); err == nil {
		t.Error("a receiver that sends the client's digest back is taken for one that knows the key")
	}
}

// TestReasonIsCleaned has a receiver whose reason repeats the destination's secrets, as they are and in other spellings.
func TestReasonIsCleaned(t *testing.T) {
	const key = "sh4red+k3y/ü\"x"
	spelled := map[string]string{
		"plain": key, "query": url.QueryEscape(key), "path": url.PathEscape(key), "hex": hex.EncodeToString([]byte(key)),
		"HEX": strings.ToUpper(hex.EncodeToString([]byte(key))), "base64": base64.StdEncoding.EncodeToString([]byte(key)),
		"base64url": base64.RawURLEncoding.EncodeToString([]byte(key)), "quoted": strings.Trim(fmt.Sprintf("%q", key), `"`),
		"password": password, "long": strings.Repeat("z", 190) + key,
	}
	for name, text := range spelled {
		s := start(t, forwardtest.Options{SharedKey: "other", Users: map[string]string{}}, nil)
		s.router.options.Secrets["fluentd-shared-key"] = routertest.NewSource(key)
		s.router.options.Secrets["fluentd-password"] = routertest.NewSource(password)
		s.server.SetScript(forwardtest.Script{Pong: say([]any{forwardtest.Str("PONG"), false, forwardtest.Str("no " + text + "\r\n\xff")})})
		e := s.send(t, s.batch(1))
		if e == nil || strings.Contains(e.Error(), text) || !strings.Contains(e.Error(), "refuses the handshake: ") {
			t.Errorf("%s: %v, want a refusal without the secret", name, e)
			continue
		}
		routertest.Quiet(t, e, key, password)
		if len(e.Cause) > 300 || name != "long" && !strings.Contains(e.Error(), "[redacted]") {
			t.Errorf("%s: %q", name, e.Error())
		}
	}
	// The digest of the key is a spelling too: it can be guessed from.
	id := identity{hostname: "c", key: secret.New(sharedKey), redact: none}
	values := (router.Options{Plain: map[string]string{"fluentd-shared-key": sharedKey}}).Unresolved()
	id.redact = (&sending{values: values}).redact
	p := newProofs(hello{nonce: "n", auth: "a"}, id)
	if err := p.check([]any{"PONG", false, "got " + p.key + " and " + p.user}, id); !strings.HasSuffix(err.Error(), "got [redacted] and [redacted]") {
		t.Errorf("%v, want no digest", err)
	}
}

// say returns a script's function that sends v.
func say(v any) func(io.Writer) {
	return func(w io.Writer) { _, _ = w.Write(forwardtest.Encode(v)) }
}

// TestHiddenAddress has an address that came by reference: it is shown nowhere, whatever fails.
func TestHiddenAddress(t *testing.T) {
	server, err := forwardtest.Start(forwardtest.Options{TLS: serverTLS(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(server.Address(), "tls://"))
	for _, c := range []struct{ name, address, says string }{
		{"refused", "tcp://" + porttest.Address(t), "connection refused"},
		{"DNS", "tcp://hidden-host.invalid:24224", "cannot be resolved"},
		{"no socket", "unix:///run/hidden-host/sock", "no such file"},
		{"another authority", server.Address(), "unknown authority"},
		{"another name", "tls://localhost:" + port, ""},
		{"closed", "tcp://127.0.0.1:" + port, ""},
		{"not an address", "http://hidden-host/x y", "write tcp://HOST"},
		{"a port of letters", "tcp://hidden-host:9x9", "write tcp://HOST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, b := hiddenRouter(t, c.address, string(ca.PEM()))
			host, port, _ := net.SplitHostPort(c.address[strings.Index(c.address, "://")+3:])
			for what, do := range map[string]func() error{
				"Send": func() error { return r.Send(t.Context(), b) }, "Verify": func() error { return r.Verify(t.Context()) },
			} {
				err := do()
				if err == nil && what == "Verify" && c.name == "closed" {
					continue // nothing was written
				}
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v, want an error, saying %q", what, err, c.says)
					continue
				}
				routertest.Quiet(t, err, c.address, "hidden-host", "localhost", "127.0.0.1")
				if port != "" && strings.Contains(err.Error(), port) || host != "" && strings.Contains(err.Error(), host) {
					t.Errorf("%s shows the address: %v", what, err)
				}
			}
		})
	}
}

// hiddenRouter returns a router whose address came by reference, and a batch for it.
func hiddenRouter(t *testing.T, address, ca string) (*Router, *router.Batch) {
	t.Helper()
	o := router.Options{
		Plain:   map[string]string{"fluentd-request-ack": "true", "fluentd-read-timeout": "1s"},
		Secrets: map[string]secret.Source{"fluentd-address": routertest.NewSource(address)},
	}
	if strings.HasPrefix(address, "tls") {
		o.Plain["fluentd-tls-ca-cert"] = ca
	}
	config, err := Parse(o)
	if err != nil {
		t.Fatal(err)
	}
	r := New(config)
	t.Cleanup(func() { _ = r.Close() })
	e, err := NewEncoder(t.Context(), config, router.Session{ContainerID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	b := &router.Batch{}
	b.Append(e, &router.Record{})
	return r, b
}
