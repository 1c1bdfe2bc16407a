package syslog

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

// octets splits a stream by octet counting.
func octets(data []byte, _ bool) (int, []byte, error) {
	count, _, ok := bytes.Cut(data[:min(len(data), 10)], []byte(" "))
	n, err := strconv.Atoi(string(count))
	if !ok || err != nil || len(data) < len(count)+1+n {
		return 0, nil, nil
	}
	return len(count) + 1 + n, data[len(count)+1 : len(count)+1+n], nil
}

type setup struct{ *routertest.SocketSetup }

func start(t testing.TB, o routertest.SocketOptions, options map[string]string, secrets map[string]secret.Source) setup {
	t.Helper()
	if o.Split == nil {
		o.Split = bufio.ScanLines
	}
	return setup{routertest.StartSocketRouter(t, Kind(), o, options, secrets)}
}

// lines are what stands behind the head of each message.
func (s setup) lines() []string {
	var out []string
	for _, m := range s.Receiver.Messages() {
		_, line, ok := strings.Cut(string(m), ": ")
		if !ok {
			_, line, _ = strings.Cut(string(m), " - ")
		}
		out = append(out, strings.TrimSuffix(line, "\n"))
	}
	return out
}

func (s setup) subject() *routertest.Subject { return s.Subject(s.lines) }

func TestSuite(t *testing.T) {
	ca := newCA(t)
	for _, c := range []struct {
		name    string
		server  routertest.SocketOptions
		options map[string]string
	}{
		{"tcp", routertest.SocketOptions{Network: "tcp"}, nil},
		{"tcp, octets", routertest.SocketOptions{Network: "tcp", Split: octets}, map[string]string{framing: "octet-counting", format: "rfc5424"}},
		{"tls", routertest.SocketOptions{Network: "tcp", TLS: ca.server(t), Split: octets}, map[string]string{format: "rfc5424micro", "syslog-tls-ca-cert": ca.pem()}},
		{"unix", routertest.SocketOptions{Network: "unix"}, nil},
		{"unixgram", routertest.SocketOptions{Network: "unixgram"}, nil},
	} {
		c.server.Buffer = routertest.SocketBuffer
		t.Run(c.name, func(t *testing.T) {
			routertest.RunSideBySide(t, func(t *testing.T) *routertest.Subject {
				return start(t, c.server, c.options, nil).subject()
			})
		})
	}
}

type authority struct{ *rig.CA }

func newCA(t testing.TB) authority {
	t.Helper()
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return authority{ca}
}

func (a authority) pem() string { return string(a.PEM()) }

func (a authority) server(t testing.TB) *tls.Config {
	t.Helper()
	c, err := a.ServerConfig("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (a authority) client(t testing.TB) (certificate, key string) {
	t.Helper()
	c, k, err := a.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	return string(c), string(k)
}

// Mutual TLS: certificate and key come by reference, and a rotated pair takes effect.
func TestMutualTLS(t *testing.T) {
	ca, first, second := newCA(t), newCA(t), newCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			routertest.RunSideBySide(t, func(t *testing.T) *routertest.Subject {
				server := ca.server(t)
				server.MaxVersion, server.ClientAuth = version, tls.RequireAndVerifyClientCert
				wanted := first.Pool()
				server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
					c := server.Clone()
					c.ClientCAs = wanted
					return c, nil
				}
				certPEM, keyPEM := first.client(t)
				certificate, key := routertest.NewSource(certPEM), routertest.NewSource(keyPEM)
				s := start(t, routertest.SocketOptions{Network: "tcp", TLS: server, Split: octets, Buffer: routertest.SocketBuffer}, map[string]string{format: "rfc5424", "syslog-tls-ca-cert": ca.pem()},
					map[string]secret.Source{"syslog-tls-cert": certificate, "syslog-tls-key": key})
				x := s.subject()
				x.Secrets = []string{keyPEM}
				x.Rotate = func() {
					s.Receiver.Cut()
					wanted = second.Pool()
					c, k := second.client(t)
					certificate.Rotate(c)
					key.Rotate(k)
				}
				return x
			})
		})
	}
}

func (a authority) Pool() *x509.CertPool { return a.CA.Pool() }

// What is wrong with a server is told, and what to do.
func TestTLSFaults(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	needs := ca.server(t)
	needs.ClientAuth = tls.RequireAnyClientCert
	named, err := ca.ServerConfig("logs.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		server  *tls.Config
		options map[string]string
		class   router.Class
		says    string
	}{
		{"unknown authority", other.server(t), nil, router.ClassConfig, "give its authority in syslog-tls-ca-cert"},
		{"another name", named, nil, router.ClassConfig, "give the name that is in it in syslog-tls-server-name"},
		{"the name is given", named, map[string]string{"syslog-tls-server-name": "logs.example.com"}, "", ""},
		{"not verified", other.server(t), map[string]string{"syslog-tls-skip-verify": "true"}, "", ""},
		{"client certificate", needs, nil, router.ClassCredentials, "the receiver refuses the client certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := map[string]string{"syslog-tls-ca-cert": ca.pem()}
			maps.Copy(options, c.options)
			s := start(t, routertest.SocketOptions{Network: "tcp", TLS: c.server}, options, nil)
			b, _ := routertest.Batch(s.Encoders, 3)
			e := routertest.Send(t, s.Router, b)
			if routertest.ClassOf(e) != c.class || e != nil && !strings.Contains(e.Error(), c.says) {
				t.Errorf("%v, want class %q saying %q", e, c.class, c.says)
			}
		})
	}
	t.Run("no TLS", func(t *testing.T) {
		s := start(t, routertest.SocketOptions{Network: "tcp", Split: bufio.ScanLines}, nil, nil)
		c, err := Parse(router.Options{Plain: map[string]string{address: secure + "://" + s.Receiver.Address(), timeout: "1s"}})
		if err != nil {
			t.Fatal(err)
		}
		s.Receiver.SetFault(routertest.SocketTalks)
		r := c.Router()
		t.Cleanup(func() { _ = r.Close() })
		b, _ := routertest.Batch(s.Encoders, 3)
		if e := routertest.Send(t, r, b); routertest.ClassOf(e) != router.ClassConfig || !strings.Contains(e.Error(), "write tcp:// in syslog-address") {
			t.Errorf("%v, want that the receiver does not speak TLS", e)
		}
	})
}

// UDP: every message is a datagram, a group at a time; a receiver of this host that is away is noticed. The kernel keeps some 250
// datagrams for a receiver that is slow, so no more are sent at once.
func TestUDP(t *testing.T) {
	s := start(t, routertest.SocketOptions{Network: "udp"}, nil, nil)
	b, lines := routertest.Batch(s.Encoders, 150)
	if e := routertest.Send(t, s.Router, b); e != nil {
		t.Fatal(e)
	}
	routertest.Await(t, "all datagrams", func() bool { return len(s.lines()) >= len(lines) })
	if got := s.lines(); !slices.Equal(got, lines) {
		t.Errorf("%d lines, want %d in order", len(got), len(lines))
	}
	if m := s.Receiver.Messages()[0]; !bytes.HasSuffix(m, []byte("\n")) {
		t.Errorf("message %q does not end with a line break, as Docker's do", m)
	}
	s.Receiver.SetFault(routertest.SocketAway)
	e := routertest.Send(t, s.Router, b)
	if routertest.ClassOf(e) != router.ClassRetry || e.Delivered > 0 {
		t.Errorf("%+v, want that the receiver is away and nothing is delivered", e)
	}
	s.Receiver.SetFault(routertest.SocketWell)
	if e := routertest.Send(t, s.Router, b); e != nil {
		t.Fatal(e)
	}
	routertest.Await(t, "all datagrams again", func() bool { return len(s.lines()) >= 2*len(lines) })
}

// A message that no datagram holds is cut.
func TestLongDatagram(t *testing.T) {
	for _, network := range []string{"udp", "unixgram"} {
		s := start(t, routertest.SocketOptions{Network: network}, nil, nil)
		b := &router.Batch{}
		b.Append(s.Encoders[0], &router.Record{Line: bytes.Repeat([]byte("x"), 70_000)})
		if e := routertest.Send(t, s.Router, b); e != nil {
			t.Fatal(e)
		}
		routertest.Await(t, "the datagram", func() bool { return len(s.Receiver.Messages()) == 1 })
		if got := string(s.Receiver.Messages()[0]); len(got) > 65_507 || !strings.HasSuffix(got, router.CutMark) {
			t.Errorf("%s: %d bytes without a mark", network, len(got))
		}
	}
}

// A socket of another type is told.
func TestSocketType(t *testing.T) {
	s := start(t, routertest.SocketOptions{Network: "unixgram"}, nil, nil)
	c, err := Parse(router.Options{Plain: map[string]string{address: "unix://" + s.Receiver.Address()}})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := routertest.Batch(s.Encoders, 1)
	if e := routertest.Send(t, c.Router(), b); routertest.ClassOf(e) != router.ClassConfig || !strings.Contains(e.Error(), "unixgram:// for a datagram socket") {
		t.Errorf("%v, want the other scheme", e)
	}
}

// What a receiver that ends had not read is lost over TCP, at most what its buffer held, and nothing on a socket of this host.
func TestOutageLoses(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := start(t, routertest.SocketOptions{Network: network, Buffer: routertest.SocketBuffer}, map[string]string{timeout: "1s"}, nil)
			routertest.OutageLoses(t, s.SocketSetup)
		})
	}
}
