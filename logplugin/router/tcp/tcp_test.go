package tcp

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

type setup struct{ *routertest.SocketSetup }

func start(t testing.TB, o routertest.SocketOptions, options map[string]string, secrets map[string]secret.Source) setup {
	t.Helper()
	o.Network, o.Split = "tcp", bufio.ScanLines
	return setup{routertest.StartSocketRouter(t, Kind(), o, options, secrets)}
}

// lines are those of the records that have arrived whole.
func (s setup) lines() (out []string) {
	for _, m := range s.Receiver.Messages() {
		var r struct{ Log string }
		if json.Unmarshal(m, &r) == nil { // else the connection has ended in it
			out = append(out, r.Log)
		}
	}
	return out
}

func certificates(t *testing.T) (*rig.CA, *tls.Config) {
	t.Helper()
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerConfig("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return ca, server
}

func TestSuite(t *testing.T) {
	ca, server := certificates(t)
	for _, c := range []struct {
		name    string
		server  routertest.SocketOptions
		options map[string]string
	}{
		{"tcp", routertest.SocketOptions{}, nil},
		{"tls", routertest.SocketOptions{TLS: server}, map[string]string{"tcp-tls-ca-cert": string(ca.PEM())}},
	} {
		c.server.Buffer = routertest.SocketBuffer
		t.Run(c.name, func(t *testing.T) {
			routertest.RunSideBySide(t, func(t *testing.T) *routertest.Subject {
				s := start(t, c.server, c.options, nil)
				return s.Subject(s.lines)
			})
		})
	}
}

// Certificate and key come by reference, and a rotated pair takes effect.
func TestMutualTLS(t *testing.T) {
	ca, server := certificates(t)
	first, _ := certificates(t)
	second, _ := certificates(t)
	issue := func(a *rig.CA) (certificate, key string) {
		c, k, err := a.Issue("client")
		if err != nil {
			t.Fatal(err)
		}
		return string(c), string(k)
	}
	routertest.RunSideBySide(t, func(t *testing.T) *routertest.Subject {
		config := server.Clone()
		config.ClientAuth = tls.RequireAndVerifyClientCert
		wanted := first.Pool()
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := config.Clone()
			c.ClientCAs = wanted
			return c, nil
		}
		certPEM, keyPEM := issue(first)
		certificate, key := routertest.NewSource(certPEM), routertest.NewSource(keyPEM)
		s := start(t, routertest.SocketOptions{TLS: config, Buffer: routertest.SocketBuffer}, map[string]string{"tcp-tls-ca-cert": string(ca.PEM())},
			map[string]secret.Source{"tcp-tls-cert": certificate, "tcp-tls-key": key})
		x := s.Subject(s.lines)
		x.Secrets = []string{keyPEM}
		x.Rotate = func() {
			s.Receiver.Cut()
			wanted = second.Pool()
			c, k := issue(second)
			certificate.Rotate(c)
			key.Rotate(k)
		}
		return x
	})
}

// Each format, byte for byte.
func TestFormats(t *testing.T) {
	session := routertest.Session("web")
	session.Attrs = map[string]string{"app": "shop"}
	id := session.ContainerID
	members := `"container_id":"` + id + `","container_name":"/web","source":"stderr","log":"a \"b\" \ufffd","app":"shop"}`
	event := "\x92\x92\xd7\x00\x6b\x04\x0e\xa0\x07\x5b\xcd\x15\x80\x85\xaccontainer_id\xd9\x40" + id +
		"\xaecontainer_name\xa4/web\xa6source\xa6stderr\xa3log\xa7a \"b\" \xff\xa3app\xa4shop"
	for _, c := range []struct {
		options map[string]string
		want    string
	}{
		{nil, `{"date":"2026-11-23T10:00:00.123456Z",` + members + "\n"},
		{map[string]string{format: jsonLines, dateKey: "at", dateFormat: "double"}, `{"at":1795428000.123457,` + members + "\n"},
		{map[string]string{format: jsonLines, dateKey: "false"}, `{` + members + "\n"},
		{map[string]string{format: jsonArray, dateFormat: "epoch"}, `[{"date":1795428000,` + members + "]"},
		{map[string]string{format: jsonStream, dateFormat: "epoch_ms"}, `{"date":1795428000123,` + members},
		{map[string]string{format: msgPack}, event},
		{map[string]string{format: raw}, "a \"b\" \xff\n"},
	} {
		options := map[string]string{address: "tcp://127.0.0.1:1"}
		for name, value := range c.options {
			options[name] = value
		}
		config, err := Kind().New(router.Options{Plain: options})
		if err != nil {
			t.Fatal(err)
		}
		e, err := config.Encoder(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		got := string(e.AppendRecord(nil, &router.Record{TimeNano: 1795428000_123456789, Source: []byte("stderr"), Line: []byte("a \"b\" \xff")}))
		if got != c.want {
			t.Errorf("%v:\n%q, want\n%q", c.options, got, c.want)
		}
		long := &router.Record{Line: []byte(strings.Repeat("x", maxText+100))}
		if got := string(e.AppendRecord(nil, long)); !strings.Contains(got, router.CutMark) {
			t.Errorf("%v: %d bytes of a long line without a mark of the cut", c.options, len(got))
		}
		routertest.EncoderAllocs(t, Kind(), options, "hello", "bad \xff bytes", strings.Repeat("x", 1000))
	}
}

func BenchmarkSend(b *testing.B) {
	routertest.BenchSocket(b, Kind(), 5000, []string{jsonLines, msgPack, raw}, func(to, way string) map[string]string {
		return map[string]string{address: "tcp://" + to, format: way}
	})
}
