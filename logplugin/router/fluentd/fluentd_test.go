package fluentd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

const (
	sharedKey    = "sh4red-k3y"
	newSharedKey = "n3w-sh4red-k3y"
	password     = "p4ssw0rd"
)

type setup struct {
	server   *forwardtest.Server
	router   *Router
	config   Config
	key      *routertest.Source
	password *routertest.Source
	encoders []router.Encoder
}

func start(t testing.TB, o forwardtest.Options, options map[string]string) *setup {
	t.Helper()
	server, err := forwardtest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	s := &setup{server: server, key: routertest.NewSource(sharedKey), password: routertest.NewSource(password)}
	all := router.Options{Plain: map[string]string{"fluentd-address": server.Address(), "fluentd-read-timeout": "1m"}, Secrets: map[string]secret.Source{}}
	maps.Copy(all.Plain, options)
	if o.SharedKey != "" {
		all.Secrets["fluentd-shared-key"] = s.key
	}
	if o.Users != nil {
		all.Plain["fluentd-username"] = "user"
		all.Secrets["fluentd-password"] = s.password
	}
	maps.DeleteFunc(all.Plain, func(_, v string) bool { return v == "-" })
	if s.config, err = Parse(all); err != nil {
		t.Fatal(err)
	}
	s.router = New(s.config)
	s.router.timing.hello = 5 * time.Second
	t.Cleanup(func() { _ = s.router.Close() })
	for _, tag := range []string{"one", "two"} {
		e, err := NewEncoder(t.Context(), s.config, router.Session{Tag: tag, ContainerID: strings.Repeat("0", 64), ContainerName: "/n"})
		if err != nil {
			t.Fatal(err)
		}
		s.encoders = append(s.encoders, e)
	}
	return s
}

func (s *setup) batch(n int) *router.Batch { b, _ := routertest.Batch(s.encoders, n); return b }

func (s *setup) lines() []string {
	var out []string
	for _, e := range s.server.Entries() {
		out = append(out, e.Get("log"))
	}
	return out
}

func (s *setup) send(t *testing.T, b *router.Batch) *router.Error {
	t.Helper()
	return told(t, s.router.Send(t.Context(), b))
}

func (s *setup) verify(t *testing.T) *router.Error {
	t.Helper()
	return told(t, s.router.Verify(t.Context()))
}

// told returns the error as what it must be.
func told(t *testing.T, err error) *router.Error {
	t.Helper()
	var e *router.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("a router gives %T, want *router.Error", err)
	}
	routertest.Quiet(t, err, sharedKey, newSharedKey, password)
	return e
}

func TestSuite(t *testing.T) {
	secure := serverTLS(t)
	key := forwardtest.Options{SharedKey: sharedKey, Users: map[string]string{"user": password}}
	with := func(o forwardtest.Options, change func(*forwardtest.Options)) forwardtest.Options {
		change(&o)
		return o
	}
	ack := map[string]string{"fluentd-request-ack": "true"}
	gzipped := map[string]string{"fluentd-request-ack": "true", "fluentd-compress": "gzip"}
	for _, c := range []struct {
		name    string
		server  forwardtest.Options
		options map[string]string
	}{
		{"ack", key, ack},
		{"gzip, TLS", with(key, func(o *forwardtest.Options) { o.TLS = secure }), map[string]string{
			"fluentd-request-ack": "true", "fluentd-compress": "gzip", "fluentd-tls-skip-verify": "true"}},
		{"unix, like Fluent Bit", with(key, func(o *forwardtest.Options) { o.Network, o.FluentBit = "unix", true }), gzipped},
		{"one message per connection", with(key, func(o *forwardtest.Options) { o.NoKeepalive = true }), ack},
		{"one message per connection, no ack", with(key, func(o *forwardtest.Options) { o.NoKeepalive = true }), nil},
		{"no ack", key, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject { return subject(t, c.server, c.options) })
		})
	}
}

func subject(t *testing.T, o forwardtest.Options, options map[string]string) *routertest.Subject {
	if o.Network == "unix" {
		o.Address = filepath.Join(t.TempDir(), "s")
	}
	o.Users = maps.Clone(o.Users)
	s := start(t, o, options)
	reset := func(f forwardtest.Fault) func() {
		return func() {
			s.server.SetFault(f)
			s.server.Disconnect()
			s.awaitGone(t)
		}
	}
	out := &routertest.Subject{
		Router: s.router, Encoders: s.encoders, Received: s.lines, Secrets: []string{sharedKey, newSharedKey, password},
		Hang: reset(forwardtest.Hang), Heal: reset(forwardtest.None),
		Rotate: func() {
			s.server.SetSharedKey(newSharedKey)
			s.key.Rotate(newSharedKey)
			reset(forwardtest.None)()
		},
		Faults: []routertest.Fault{
			{Name: "close", Break: reset(forwardtest.Close), Want: router.ClassRetry},
			{Name: "web server", Break: reset(forwardtest.Page), Want: router.ClassConfig},
			{Name: "wrong proof", Break: reset(forwardtest.WrongProof), Want: router.ClassCredentials},
		},
	}
	if o.TLS != nil {
		out.Faults = out.Faults[2:]
		out.Faults = append(out.Faults, routertest.Fault{Name: "no TLS", Break: reset(forwardtest.Page), Want: router.ClassConfig})
	}
	if options["fluentd-request-ack"] == "true" {
		out.Faults = append(out.Faults,
			routertest.Fault{Name: "close after", Break: reset(forwardtest.CloseAfter), Want: router.ClassRetry},
			routertest.Fault{Name: "garbage", Break: reset(forwardtest.Garbage), Want: router.ClassConfig})
	}
	return out
}

// awaitGone waits until the router's reader has seen that the connection has ended.
func (s *setup) awaitGone(t *testing.T) {
	s.router.turn <- struct{}{}
	defer func() { <-s.router.turn }()
	if s.router.conn != nil {
		routertest.Await(t, "the connection ends", s.router.conn.isGone)
	}
}

func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.ServerConfig("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		name    string
		options map[string]string
		mode    string
		chunk   bool
	}{
		{"plain", nil, "PackedForward", false},
		{"ack", map[string]string{"fluentd-request-ack": "true"}, "PackedForward", true},
		{"gzip", map[string]string{"fluentd-compress": "gzip"}, "CompressedPackedForward", false},
		{"both", map[string]string{"fluentd-request-ack": "true", "fluentd-compress": "gzip"}, "CompressedPackedForward", true},
	} {
		s := start(t, forwardtest.Options{}, c.options)
		b := s.batch(300)
		if e := s.send(t, b); e != nil {
			t.Fatalf("%s: %v", c.name, e)
		}
		routertest.Await(t, "both messages are there", func() bool { return len(s.server.Messages()) == 2 })
		for i, m := range s.server.Messages() {
			if m.Tag != []string{"one", "two"}[i] || m.Mode != c.mode || m.Chunk != c.chunk || m.Entries != 150 || m.Size != uint64(150) {
				t.Errorf("%s: message %+v", c.name, m)
			}
			if small := m.Bytes < len(b.Body)/8; small != strings.HasPrefix(c.mode, "Compressed") {
				t.Errorf("%s: %d bytes", c.name, m.Bytes)
			}
		}
		if s.server.Connections() != 1 {
			t.Errorf("%s: %d connections", c.name, s.server.Connections())
		}
	}
}

func TestLargeBatchIsSplit(t *testing.T) {
	s := start(t, forwardtest.Options{MaxMessage: maxMessage}, map[string]string{"fluentd-request-ack": "true"})
	b := &router.Batch{}
	line := []byte(strings.Repeat("x", 1_300_000))
	for range 8 {
		b.Append(s.encoders[0], &router.Record{Line: line})
	}
	if e := s.send(t, b); e != nil {
		t.Fatal(e)
	}
	if m := s.server.Messages(); len(m) != 3 || m[0].Entries != 3 || m[2].Entries != 2 {
		t.Errorf("messages %+v, want 3, 3 and 2 entries", m)
	}
	b.Append(s.encoders[0], &router.Record{Line: []byte(strings.Repeat("x", maxMessage))})
	if e := s.send(t, b); e == nil || e.Class != router.ClassTooLarge || e.Bad != 8 {
		t.Errorf("%v, want class too_large for record 8", e)
	}
	if s.server.Count() != 8 {
		t.Errorf("%d entries, want 8: nothing of a batch with a bad record", s.server.Count())
	}
}

// TestManyTags sends one message for each of many containers, all acknowledged on one connection: neither side may wait
// for the other to read.
func TestManyTags(t *testing.T) {
	const n = 30_000
	s := start(t, forwardtest.Options{Count: true}, map[string]string{"fluentd-request-ack": "true"})
	b := &router.Batch{}
	for i := range n {
		e, err := NewEncoder(t.Context(), s.config, router.Session{Tag: fmt.Sprint(i), ContainerID: "x"})
		if err != nil {
			t.Fatal(err)
		}
		b.Append(e, &router.Record{Line: []byte("line")})
	}
	if e := s.send(t, b); e != nil || s.server.Count() != n {
		t.Errorf("%v, %d entries, want %d", e, s.server.Count(), n)
	}
	b = b.Slice(0, 20)
	b.Runs[10].Encoder = nil // ten messages wait to be written when this is found
	if e := s.send(t, b); e == nil || e.Class != router.ClassConfig {
		t.Errorf("a batch without an encoder: %v, want class config", e)
	}
	if e := s.send(t, b.Slice(0, 10)); e != nil || s.server.Count() != n+10 {
		t.Errorf("%v, %d entries, want %d: what was left of the last batch is sent too", e, s.server.Count(), n+10)
	}
}

func TestAcknowledgement(t *testing.T) {
	for _, f := range []forwardtest.Fault{forwardtest.NeverAck, forwardtest.WrongAck} {
		s := start(t, forwardtest.Options{}, map[string]string{"fluentd-request-ack": "true", "fluentd-read-timeout": "50ms"})
		s.server.SetFault(f)
		if e := s.send(t, s.batch(4)); e == nil || e.Class != router.ClassRetry || !e.TimedOut || e.Delivered != 0 || !strings.Contains(e.Error(), "not acknowledged") {
			t.Errorf("%s: %v, want class retry and why", f, e)
		}
	}
	t.Run("the first of two", func(t *testing.T) {
		s := start(t, forwardtest.Options{MaxMessage: 100_000}, map[string]string{"fluentd-request-ack": "true"})
		b := s.batch(4)
		b.Append(s.encoders[0], &router.Record{Line: []byte(strings.Repeat("x", 200_000))}) // the receiver closes on this
		if e := s.send(t, b); e == nil || e.Class != router.ClassRetry || e.Delivered > 4 {
			t.Errorf("%+v, want class retry, at most 4 delivered", e)
		}
		routertest.Await(t, "the first two messages are there", func() bool { return s.server.Count() == 4 })
	})
}

func TestHandshakeRefusals(t *testing.T) {
	users := map[string]string{"user": password}
	for _, c := range []struct {
		name    string
		server  forwardtest.Options
		break_  func(*setup)
		options map[string]string
		want    router.Class
		says    string
	}{
		{"wrong key", forwardtest.Options{SharedKey: sharedKey}, func(s *setup) { s.server.SetSharedKey("other") }, nil, router.ClassCredentials, "shared_key mismatch"},
		{"wrong key, like Fluent Bit", forwardtest.Options{SharedKey: sharedKey, FluentBit: true}, func(s *setup) { s.server.SetSharedKey("other") }, nil, router.ClassCredentials, "closed the connection at the handshake"},
		{"wrong password", forwardtest.Options{SharedKey: sharedKey, Users: users}, func(s *setup) { s.server.SetUsers(map[string]string{"user": "x"}) }, nil, router.ClassCredentials, "username/password mismatch"},
		{"user wanted", forwardtest.Options{SharedKey: sharedKey}, func(s *setup) { s.server.SetUsers(users) }, nil, router.ClassConfig, "fluentd-username"},
		{"wrong proof", forwardtest.Options{SharedKey: sharedKey}, func(s *setup) { s.server.SetFault(forwardtest.WrongProof) }, nil, router.ClassCredentials, "does not know the shared key"},
		{"key wanted", forwardtest.Options{}, func(s *setup) { s.server.SetSharedKey(sharedKey) }, nil, router.ClassConfig, "set fluentd-shared-key"},
		{"key wanted, ack", forwardtest.Options{}, func(s *setup) { s.server.SetSharedKey(sharedKey) }, map[string]string{"fluentd-request-ack": "true"}, router.ClassConfig, "set fluentd-shared-key"},
		{"no key wanted", forwardtest.Options{SharedKey: sharedKey}, func(s *setup) { s.server.SetSharedKey("") }, nil, router.ClassRetry, "leave fluentd-shared-key out"},
		{"hangs", forwardtest.Options{SharedKey: sharedKey}, func(s *setup) { s.server.SetFault(forwardtest.Hang) }, nil, router.ClassRetry, "handshake in time"},
	} {
		for name, do := range map[string]func(*setup) *router.Error{
			"Send":   func(s *setup) *router.Error { return s.send(t, s.batch(2)) },
			"Verify": func(s *setup) *router.Error { return s.verify(t) },
		} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				s := start(t, c.server, c.options)
				s.router.timing.hello = time.Second
				s.router.timing.grace = 5 * time.Second
				c.break_(s)
				e := do(s)
				if e == nil || e.Class != c.want || !strings.Contains(e.Error(), c.says) {
					t.Errorf("%v, want class %s, saying %q", e, c.want, c.says)
				}
				if told := s.key.Invalidated() > 0; c.server.SharedKey != "" && told != (c.want == router.ClassCredentials) {
					t.Errorf("the key was invalidated: %v", told)
				}
				if s.server.Count() != 0 {
					t.Errorf("%d entries went to it", s.server.Count())
				}
			})
		}
	}
}

// TestVerify checks that nothing is sent, and that the next batch takes the connection that is there.
func TestVerify(t *testing.T) {
	key := forwardtest.Options{SharedKey: sharedKey, Users: map[string]string{"user": password}}
	ack := map[string]string{"fluentd-request-ack": "true"}
	for _, c := range []struct {
		name    string
		server  forwardtest.Options
		options map[string]string
	}{
		{"open", forwardtest.Options{}, nil},
		{"open, ack", forwardtest.Options{}, ack},
		{"shared key and user", key, ack},
		{"like Fluent Bit", forwardtest.Options{SharedKey: sharedKey, FluentBit: true}, nil},
		{"one message per connection", forwardtest.Options{SharedKey: sharedKey, NoKeepalive: true}, ack},
		{"TLS", forwardtest.Options{TLS: serverTLS(t)}, map[string]string{"fluentd-tls-skip-verify": "true"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.server, c.options)
			for range 2 {
				if e := s.verify(t); e != nil {
					t.Fatal(e)
				}
			}
			if n := len(s.server.Messages()); n != 0 {
				t.Errorf("%d messages were sent", n)
			}
			if e := s.send(t, s.batch(1)); e != nil || s.server.Connections() != 1 {
				t.Errorf("the first batch: %v, %d connections, want 1", e, s.server.Connections())
			}
		})
	}
	t.Run("rotated key", func(t *testing.T) {
		s := start(t, key, ack)
		s.server.SetSharedKey(newSharedKey)
		s.key.Rotate(newSharedKey)
		if e := s.verify(t); e == nil || e.Class != router.ClassCredentials || !strings.HasPrefix(e.Error(), "reach "+s.server.Address()+": ") {
			t.Errorf("with the old key: %v, want class credentials", e)
		}
		if e := s.verify(t); e != nil {
			t.Errorf("with the new key: %v", e)
		}
	})
	t.Run("closed at once", func(t *testing.T) {
		for _, options := range []map[string]string{nil, ack} {
			s := start(t, forwardtest.Options{}, options)
			s.router.timing.grace = 5 * time.Second
			s.server.SetFault(forwardtest.Close)
			if e := s.verify(t); e == nil || e.Class != router.ClassRetry {
				t.Errorf("options %v: %v, want class retry", options, e)
			}
		}
	})
	t.Run("stopped", func(t *testing.T) {
		s := start(t, forwardtest.Options{}, ack)
		s.router.timing.grace = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := s.router.Verify(ctx); router.ClassOf(err) != router.ClassRetry || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want class retry", err)
		}
		if e := s.send(t, s.batch(1)); e != nil {
			t.Errorf("a batch afterwards: %v", e)
		}
	})
	t.Run("no listener", func(t *testing.T) {
		s := start(t, forwardtest.Options{}, nil)
		s.server.Close()
		if e := s.verify(t); e == nil || e.Class != router.ClassRetry || !strings.Contains(e.Error(), "connection refused") {
			t.Errorf("%v, want class retry and the reason", e)
		}
	})
}
