package router_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

// plain writes the line and a newline, and leaves out empty lines.
type plain struct{ name string }

func (*plain) AppendRecord(dst []byte, r *router.Record) []byte {
	if len(r.Line) == 0 {
		return dst
	}
	return append(append(dst, r.Line...), '\n')
}

func TestBatch(t *testing.T) {
	one, two := &plain{"one"}, &plain{"two"}
	b := &router.Batch{}
	for i, e := range []router.Encoder{one, one, two, one, one} {
		if !b.Append(e, &router.Record{Line: fmt.Append(nil, "line", i)}) {
			t.Errorf("line %d was left out", i)
		}
		if b.Append(e, &router.Record{}) {
			t.Error("an empty line was not left out")
		}
	}
	texts := func(b *router.Batch) (out []string) {
		run := 0
		for i := range b.Len() {
			if i == b.Runs[run].End {
				run++
			}
			out = append(out, b.Runs[run].Encoder.(*plain).name+":"+strings.TrimSpace(string(b.Body[b.Start(i):b.Ends[i]])))
		}
		if run != len(b.Runs)-1 && b.Len() > 0 || b.Len() > 0 && b.Runs[run].End != b.Len() {
			t.Errorf("%d runs for %v", len(b.Runs), out)
		}
		return out
	}
	all := texts(b)
	if want := []string{"one:line0", "one:line1", "two:line2", "one:line3", "one:line4"}; !slices.Equal(all, want) || len(b.Runs) != 3 {
		t.Fatalf("%q in %d runs, want %q in 3", all, len(b.Runs), want)
	}
	for from := range 6 {
		for to := range 6 {
			want := []string(nil)
			if from < to {
				want = all[from:to]
			}
			s := b.Slice(from, to)
			if got := texts(s); !slices.Equal(got, want) {
				t.Errorf("Slice(%d, %d) = %q, want %q", from, to, got, want)
			}
			s.Append(two, &router.Record{Line: []byte("more")}) // must not reach into b
		}
	}
	if got := texts(b); !slices.Equal(got, all) {
		t.Errorf("a slice has changed the batch: %q", got)
	}
	b.Reset()
	if b.Len() != 0 || len(b.Body) != 0 || len(b.Runs) != 0 || cap(b.Body) == 0 {
		t.Errorf("after Reset: %+v", b)
	}
}

func TestAppendAllocs(t *testing.T) {
	b, e, r := &router.Batch{}, &plain{}, &router.Record{Line: []byte("line")}
	for range 100 {
		b.Append(e, r)
	}
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		for range 100 {
			b.Append(e, r)
		}
	}); n != 0 {
		t.Errorf("Append allocates %v times for 100 records, want 0", n)
	}
}

func TestFromSource(t *testing.T) {
	const hidden = "h1dden"
	for _, c := range []struct {
		name string
		err  error
		want router.Class
		says string
	}{
		{"denied", &fault.Error{Kind: fault.Denied, Op: "get secret x", Cause: "access denied"}, router.ClassCredentials, "access denied"},
		{"throttled, wrapped", fmt.Errorf("log-opt a: %w", &fault.Error{Kind: fault.Throttled, Op: "get", Cause: "slow"}), router.ClassRetry, "log-opt a"},
		{"stopped", context.Canceled, router.ClassRetry, "stopped"},
		{"unknown", errors.New(hidden), router.ClassRetry, "could not be read"},
	} {
		err := router.FromSource("op", c.err)
		if err.Class != c.want || !strings.Contains(err.Error(), c.says) || err.Bad != router.NoRecord {
			t.Errorf("%s: %+v, want class %s saying %q", c.name, err, c.want, c.says)
		}
		routertest.Quiet(t, err, hidden)
	}
	if router.ClassOf(nil) != "" || router.ClassOf(errors.New("x")) != router.ClassRetry || router.ClassOf(fmt.Errorf("x: %w", &router.Error{Class: router.ClassConfig})) != router.ClassConfig {
		t.Error("ClassOf is wrong")
	}
	if len(router.Classes()) != 5 {
		t.Errorf("classes %v", router.Classes())
	}
}

func TestValues(t *testing.T) {
	source := routertest.NewSource("true")
	o := router.Options{Plain: map[string]string{"b": "1", "n": "7", "d": "5s", "w": "two"}, Secrets: map[string]secret.Source{"s": source, "other": routertest.NewSource("x")}}
	v := o.Unresolved()
	if !v.Bool("b", false) || v.Int("n", 0, 0, 9) != 7 || v.Duration("d", 0, 0, time.Minute) != 5*time.Second || v.OneOf("w", "one", "two") != "two" ||
		v.String("w", "") != "two" || v.Secret("w").Reveal() != "two" || v.Err() != nil {
		t.Errorf("plain options are read wrong: %v", v.Err())
	}
	if v.Bool("s", false) || !v.Has("s") || !v.Waits("s") || v.Has("none") || v.Bool("none", true) != true {
		t.Error("a secret that is not resolved must read as the default")
	}
	list := []router.Option{{Name: "s"}, {Name: "other", Session: true}, {Name: "b"}}
	v, err := o.Connection(t.Context(), list)
	if err != nil || !v.Bool("s", false) || v.Has("other") || v.Waits("s") {
		t.Errorf("resolved: %v", err)
	}
	before := v.Fingerprint()
	o.Invalidate(v, "s", "none")
	source.Rotate("false")
	source.Invalidate(secret.New("true"))
	if w, err := o.Connection(t.Context(), []router.Option{{Name: "s"}, {Name: "other"}}); err != nil || w.Fingerprint() == before || w.Fingerprint("s", "other") == before {
		t.Errorf("the fingerprint of other values is the same: %v", err)
	}
	if w, err := o.Connection(t.Context(), nil); err != nil || v.Fingerprint("s") != w.Fingerprint() {
		t.Errorf("the fingerprint counts an excepted option: %v", err)
	}
	if source.Invalidated() != 2 {
		t.Errorf("invalidated %d times, want 2", source.Invalidated())
	}
	source.Fail(&fault.Error{Kind: fault.NotFound, Op: "get", Cause: "gone"})
	if _, err := o.Connection(t.Context(), list); !errors.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "log-opt s") {
		t.Errorf("Connection = %v, want the source's error and the option", err)
	}
	for name, read := range map[string]func(*router.Values){
		"b": func(v *router.Values) { v.Int("b", 0, 2, 9) },
		"n": func(v *router.Values) { v.Bool("n", false) },
		"d": func(v *router.Values) { v.Duration("d", 0, 0, time.Second) },
		"w": func(v *router.Values) { v.OneOf("w", "one") },
		"s": func(v *router.Values) { v.Refuse("log-opt s: first"); v.Refuse("second") },
	} {
		v := o.Unresolved()
		if read(v); v.Err() == nil || !strings.Contains(v.Err().Error(), "log-opt "+name) {
			t.Errorf("%s: %v", name, v.Err())
		}
	}
}

// Each fault of a real handshake has its own remedy.
func TestTLSFault(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerConfig("logs.example.com")
	if err != nil {
		t.Fatal(err)
	}
	mutual := server.Clone()
	mutual.ClientCAs, mutual.ClientAuth = ca.Pool(), tls.RequireAndVerifyClientCert
	certPEM, keyPEM, err := ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	good := tls.Config{RootCAs: ca.Pool(), ServerName: "logs.example.com", MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	const renew = "renew the receiver's certificate, and compare this host's clock"
	names := router.TLSNames{CA: []string{"x-ca", "x-capath"}, ServerName: "x-name", NoTLS: "tcp:// in x-address"}
	for _, c := range []struct {
		name   string
		server *tls.Config // nil = it does not speak TLS
		change func(*tls.Config)
		class  router.Class
		hint   string
	}{
		{"good", mutual, func(*tls.Config) {}, "", ""},
		{"unknown authority", server, func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, router.ClassConfig, "give its authority in x-ca or x-capath"},
		{"other name", server, func(c *tls.Config) { c.ServerName = "other.example.com" }, router.ClassConfig, "give the name that is in it in x-name"},
		{"expired", server, clock(48 * time.Hour), router.ClassConfig, renew},
		{"not yet valid", server, clock(-48 * time.Hour), router.ClassConfig, renew},
		{"no TLS", nil, func(*tls.Config) {}, router.ClassConfig, "write tcp:// in x-address, or enable TLS at the receiver"},
		{"no client certificate", mutual, func(c *tls.Config) { c.Certificates = nil }, router.ClassCredentials, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := good.Clone()
			c.change(client)
			err := handshake(t, c.server, client)
			class, cause, hint := router.TLSFault(err, names, false)
			if class != c.class || hint != c.hint || (cause == "") != (class == "") {
				t.Errorf("%v: class %q, %q; %q, want class %q and %q", err, class, cause, hint, c.class, c.hint)
			}
		})
	}
	for _, c := range []struct {
		err   error
		class router.Class
		hint  string
	}{
		{errors.New("tls: bad certificate"), "", ""}, // not every text is an alert
		{&url.Error{Op: "Post", Err: http.ErrSchemeMismatch}, router.ClassConfig, "write tcp:// in x-address, or enable TLS at the receiver"},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}, router.ClassConfig, "issue it again with the receiver's name as subjectAltName; a common name does not count"},
		{x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, router.ClassConfig, "give the receiver another one"},
	} {
		if class, _, hint := router.TLSFault(c.err, names, false); class != c.class || hint != c.hint {
			t.Errorf("%v: class %q, %q, want class %q and %q", c.err, class, hint, c.class, c.hint)
		}
	}
}

// clock sets a client's clock.
func clock(ahead time.Duration) func(*tls.Config) {
	return func(c *tls.Config) { c.Time = func() time.Time { return time.Now().Add(ahead) } }
}

// handshake returns what a client gets that connects, and reads.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if server == nil {
			_, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
		} else if s := tls.Server(c, server); s.Handshake() == nil {
			_, _ = s.Write([]byte("x"))
		}
		_, _ = io.Copy(io.Discard, c) // a close with something unread would overtake what was written
	})
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Read(make([]byte, 1)) // in TLS 1.3 a server judges the client after the handshake
	return err
}

func TestFileInTmpIsNamed(t *testing.T) {
	for path, want := range map[string]bool{"/tmp/no/ca.pem": true, "/var/tmp/no-ca.pem": true, "/etc/ssl/no-ca.pem": false, "/tmpx/ca.pem": false} {
		v := router.Options{Plain: map[string]string{"x-ca": path}}.Unresolved()
		v.TLS(router.TLSNames{CA: []string{"x-ca"}})
		if err := v.Err(); err == nil || strings.Contains(err.Error(), "PrivateTmp") != want {
			t.Errorf("%s: error %v, want PrivateTmp in it: %v", path, err, want)
		}
	}
}
