package router_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/proxy"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

var httpNames = router.TLSNames{CA: []string{"x-ca"}, ServerName: "x-name", NoTLS: "http:// in x-url"}

// do makes one request to base, with c besides.
func do(t *testing.T, base string, c router.HTTPConfig) (router.Answer, *router.Error) {
	t.Helper()
	c.Base, c.TLSName, c.Redact = base, httpNames, func(_ *router.Values, text string) string { return text }
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	h := router.NewHTTP(c)
	defer h.Close()
	return h.Do(t.Context(), router.Request{Op: "send", Method: http.MethodPost, Path: "/", Body: []byte("x")})
}

// What a proxy answers to CONNECT is told. The proxy is that of the transport, because net/http reads the environment once.
func TestProxyAnswers(t *testing.T) {
	for status, want := range map[int]struct {
		class router.Class
		says  string
	}{
		407: {router.ClassConfig, "the proxy answers 407 Proxy Authentication Required; the proxy in HTTPS_PROXY"},
		403: {router.ClassConfig, "the proxy answers 403 Forbidden; allow the receiver at the proxy"},
		502: {router.ClassRetry, "the proxy answers 502 Bad Gateway; the proxy does not reach the receiver"},
		503: {router.ClassRetry, "the proxy answers 503"},
	} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		}))
		at, err := url.Parse(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, e := do(t, "https://hec.example.com:8088", router.HTTPConfig{Proxy: http.ProxyURL(at)})
		if e == nil || e.Class != want.class || !strings.Contains(e.Error(), want.says) || e.RetryAfter != 7*time.Second {
			t.Errorf("%d: %+v, want class %s saying %q, and Retry-After", status, e, want.class, want.says)
		}
		proxy.Close()
	}
	gone := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	if _, e := do(t, "https://hec.example.com:8088", router.HTTPConfig{Proxy: http.ProxyURL(gone)}); e == nil || e.Class != router.ClassRetry || !strings.Contains(e.Error(), "proxyconnect") {
		t.Errorf("a proxy that is away: %v", e)
	}
}

// The hint of a 407 names what gives the proxy, and only where a proxy has answered.
func TestLoginOfProxy(t *testing.T) {
	refuses := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) })
	receiver := httptest.NewServer(refuses)
	defer receiver.Close()
	secured := httptest.NewTLSServer(refuses)
	defer secured.Close()
	pool := x509.NewCertPool()
	pool.AddCert(secured.Certificate())
	tunnel := httptest.NewServer(routertest.TunnelTo(secured.Listener.Addr().String()))
	defer tunnel.Close()
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"} {
		t.Setenv(name, "")
	}
	const theirs = "no proxy of HTTPS_PROXY or HTTP_PROXY answers this"
	for _, c := range []struct{ name, base, proxy, setting, hint string }{
		{"no proxy", receiver.URL, "", "", theirs},
		{"a proxy", "http://logs.example.com", receiver.URL, "", "the proxy in HTTP_PROXY wants"},
		{"a proxy of the configuration", "http://logs.example.com", receiver.URL, proxy.Configured, "the proxy in https_proxy under [aws] wants"},
		{"no tunnel", "https://logs.example.com", receiver.URL, "", "the proxy in HTTPS_PROXY wants"},
		{"no tunnel of the configuration", "https://logs.example.com", receiver.URL, proxy.Configured, "the proxy in https_proxy under [aws] wants"},
		{"through a tunnel", "https://example.com", tunnel.URL, "", theirs},
	} {
		config := router.HTTPConfig{TLS: &tls.Config{RootCAs: pool}, ProxySetting: c.setting, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
		if c.proxy != "" {
			config.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(c.proxy) }
		}
		a, failed := do(t, c.base, config)
		class, hint := a.Class()
		if failed != nil {
			class, hint = failed.Class, failed.Hint
		}
		if class != router.ClassConfig || !strings.HasPrefix(hint, c.hint) {
			t.Errorf("%s: class %s, hint %q, want one that begins with %q", c.name, class, hint, c.hint)
		}
	}
}

// A proxy that sends its password back does not bring it into an error.
func TestProxyPassword(t *testing.T) {
	const password = "h1dden-v4lue"
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Proxy-Authorization"), "Basic ") {
			t.Error("a request without the password")
		}
		w.Header().Set("Location", "https://"+password+".example.com/")
		w.WriteHeader(http.StatusFound)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	at.User = url.UserPassword("user", password)
	a, failed := do(t, "http://logs.example.com", router.HTTPConfig{Proxy: http.ProxyURL(at)})
	if want := "answer 302, a redirect to https://[redacted].example.com"; failed != nil || a.Cause() != want {
		t.Errorf("%q, %v, want %q", a.Cause(), failed, want)
	}
}

// With a proxy that cannot be read nothing is sent, and what is wrong is named without the proxy's text.
func TestUnreadProxy(t *testing.T) {
	const hidden = "h1dden%v4lue"
	t.Setenv("HTTP_PROXY", "http://user:"+hidden+"@proxy.example.com:3128")
	t.Setenv("NO_PROXY", "")
	_, failed := do(t, "http://logs.example.com", router.HTTPConfig{})
	if failed == nil || failed.Class != router.ClassConfig || !strings.Contains(failed.Error(), "HTTP_PROXY is not the address of a proxy") ||
		failed.Hint == "" || strings.Contains(failed.Error()+failed.Hint, hidden) {
		t.Errorf("%+v, want class config, with the variable's name and a hint", failed)
	}
}

// A receiver that sends back a token of an address that is written out does not bring it into an error.
func TestTokenInAddress(t *testing.T) {
	const token, key = "t0ken-v4lue", "qu3ry-v4lue"
	for to, want := range map[string]string{
		"https://" + token + ".example.com/":                                "https://[redacted].example.com",
		"https://" + strings.ToUpper(key) + ".example.com:8443/":            "https://[redacted].example.com:8443",
		"https://a." + hex.EncodeToString([]byte(token)) + ".example.com/x": "https://a.[redacted].example.com",
		"https://logs.example.com/in/" + token + "?key=" + key:              "https://logs.example.com",
		"https://user:" + token + "@logs.example.com/":                      "https://logs.example.com",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}))
		for _, address := range []string{"/in/" + token + "?key=" + key, "/" + token + "/" + key} {
			a, failed := do(t, s.URL+address, router.HTTPConfig{})
			if want := "answer 307, a redirect to " + want; failed != nil || a.Cause() != want {
				t.Errorf("redirect of %s to %s: %q, %v, want %q", address, to, a.Cause(), failed, want)
			}
		}
		s.Close()
	}
	s := httptest.NewServer(http.RedirectHandler("https://127.0.0.1:8443/in/"+token, http.StatusMovedPermanently))
	defer s.Close()
	if a, failed := do(t, s.URL+"/in/"+token, router.HTTPConfig{}); failed != nil || a.Cause() != "answer 301, a redirect to https://127.0.0.1:8443" {
		t.Errorf("redirect to the same host: %q, %v, want its scheme and host", a.Cause(), failed)
	}
}

func TestCertificateWithoutNames(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.ServerConfig("other.example.com")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = config
	s.StartTLS()
	defer s.Close()
	client := config.Clone()
	client.Certificates, client.RootCAs = nil, ca.Pool()
	for hidden, want := range map[bool]string{false: "it is for other.example.com", true: "is for another name; give"} {
		if _, e := do(t, s.URL, router.HTTPConfig{TLS: client, Hidden: hidden}); e == nil || e.Class != router.ClassConfig || !e.IsTLS || !strings.Contains(e.Error(), want) {
			t.Errorf("hidden %v: %v, want %q", hidden, e, want)
		}
	}
}

// Cookies are kept for a load balancer, and no more than it needs.
func TestCookiesAreBounded(t *testing.T) {
	n, most := 0, 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most = max(most, len(r.Header.Get("Cookie")))
		for range 20 {
			n++
			http.SetCookie(w, &http.Cookie{Name: "c" + strconv.Itoa(n), Value: strings.Repeat("v", 1000)})
		}
		http.SetCookie(w, &http.Cookie{Name: "sticky", Value: strconv.Itoa(n)})
	}))
	defer s.Close()
	h := router.NewHTTP(router.HTTPConfig{Base: s.URL, Timeout: 5 * time.Second, Sticky: true, Redact: func(_ *router.Values, text string) string { return text }})
	defer h.Close()
	for range 20 {
		if a, e := h.Do(t.Context(), router.Request{Op: "send", Method: http.MethodGet}); e != nil || a.Status != 200 {
			t.Fatalf("%+v, %v", a, e)
		}
	}
	if most == 0 || most > 9<<10 {
		t.Errorf("a request has %d bytes of cookies, want some, and at most 9 KiB", most)
	}
}

func TestAnswerIsCut(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 2*router.MaxAnswer))
	}))
	defer s.Close()
	if a, e := do(t, s.URL, router.HTTPConfig{}); e != nil || !a.Cut || len(a.Body) != router.MaxAnswer {
		t.Errorf("%d bytes, cut %v, %v", len(a.Body), a.Cut, e)
	}
}

// After 101 the connection is no longer one of HTTP, and reading from it heeds no deadline.
func TestSwitchingProtocols(t *testing.T) {
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		<-done
	}))
	defer s.Close()
	defer close(done)
	a, failed := do(t, s.URL, router.HTTPConfig{Timeout: time.Second})
	if class, _ := a.Class(); failed != nil || a.Status != 101 || class != router.ClassConfig {
		t.Errorf("answer %d, class %s, %v, want 101 and that a person must look", a.Status, class, failed)
	}
}

// The first line of what another service says is not shown, and what to look at is.
func TestPeersOfOtherProtocols(t *testing.T) {
	const notHTTP = "send: the receiver does not answer in HTTP; check scheme and port of its address"
	for says, want := range map[string]string{
		"SSH-2.0-OpenSSH_9.2\r\n": notHTTP, "\x15\x03\x01\x00\x02\x02\x16": notHTTP, "220 mail.example.com ESMTP\r\n": notHTTP, "HTTP/1.1 abc\r\n\r\n": notHTTP,
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n": "send: the connection broke", "": "send: the receiver closed the connection without an answer",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // an answer to half of a request may not be read
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, says)
		}))
		if _, failed := do(t, s.URL, router.HTTPConfig{}); failed == nil || failed.Error() != want || failed.Class != router.ClassRetry {
			t.Errorf("%q: %v, want %s, class retry", says, failed, want)
		}
		s.Close()
	}
}

func TestNetworkCause(t *testing.T) {
	const host = "hidden.example"
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8088}, Err: os.NewSyscallError("connect", errors.New("connection refused"))}
	for _, c := range []struct {
		err    error
		hidden bool
		want   string
	}{
		{refused, false, "dial tcp 192.0.2.1:8088: connect: connection refused"}, {refused, true, "dial: connection refused"},
		{&net.DNSError{Err: "no such host", Name: host}, false, "lookup " + host + ": no such host"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: host}}, true, "the receiver's name cannot be resolved: no such host"},
		{errors.New(host), true, "the connection broke"}, {errors.New(host), false, "the connection broke"},
	} {
		if got := router.NetworkCause(c.err, c.hidden); got != c.want {
			t.Errorf("NetworkCause(%v, %v) = %q, want %q", c.err, c.hidden, got, c.want)
		}
	}
}

func TestCompressor(t *testing.T) {
	text := bytes.Repeat([]byte("GET /index.html 200\n"), 5000)
	for encoding, read := range map[string]func(io.Reader) (io.Reader, error){
		router.Gzip: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		router.Zstd: func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		c := router.NewCompressor(encoding, router.DefaultLevel)
		for range 3 { // the memory is used again
			z, err := c.Compress(text)
			if err != nil {
				t.Fatal(err)
			}
			r, err := read(bytes.NewReader(z.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) || len(z.Bytes()) > len(text)/10 {
				t.Errorf("%s: %d bytes of %d, %v", encoding, len(got), len(text), err)
			}
			z.Release()
		}
	}
	if _, err := router.NewCompressor(router.Gzip, 99).Compress(text); err == nil {
		t.Error("level 99 is fine")
	}
}

func TestRedact(t *testing.T) {
	list := []router.Option{{Name: "token", Credential: true}, {Name: "flag"}, {Name: "plain"}, {Name: "header", Credential: true}, {Name: "url"}, {Name: "long"}, {Name: "key"}}
	o := router.Options{Plain: map[string]string{"token": "Ab1", "plain": "visible", "header": "Bearer t0ken-0f-header"}, Secrets: map[string]secret.Source{
		"flag": routertest.NewSource("yes"), "url": routertest.NewSource("https://hec.example.com/in/t0ken.0f.path/x?key=t0ken%200f%20query&b=1"),
		"long": routertest.NewSource("t0ken-0f-header-and-more"), "key": routertest.NewSource("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	}}
	v, err := o.Connection(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"Invalid token: Ab1.": "Invalid token: [redacted].", "AB1ab1": "[redacted][redacted]", "%41%62%31 yes visible": "[redacted] yes visible",
		"416231": "[redacted]", "host h.example": "host [redacted]", "": "",
		// A receiver that names what it refuses leaves out what stands around it.
		"unknown token t0ken-0f-header": "unknown token [redacted]", "Bearer of bad news": "Bearer of bad news",
		"cannot POST /in/t0ken.0f.path/x": "cannot POST /in/[redacted]/x", "no key t0ken 0f query, nor t0ken+0f+query": "no key [redacted], nor [redacted]",
		"t0ken-0f-header-and-more": "[redacted]", // and not the shorter one first, which would leave the end
		"certificate refused":      "certificate refused",
	} {
		if got := v.Redact(list, text, "h.example", ""); got != want {
			t.Errorf("Redact(%q) = %q, want %q", text, got, want)
		}
	}
}

// A whole JSON secret in the place of a text, and the line ending that an editor leaves.
func TestCredential(t *testing.T) {
	const hidden = "h1dden-v4lue"
	for _, c := range []struct{ value, want, says string }{
		{hidden + "\n", hidden, ""}, {hidden + "\r\n", hidden, ""}, {hidden + "\n\n", hidden + "\n", ""}, {hidden + "\r", hidden + "\r", ""}, {"{" + hidden, "{" + hidden, ""},
		{`{"token":"` + hidden + `","url":"x"}`, "", "keys token, url; name one of them at the end of the reference, as in arn:…:secret:NAME:token::"},
		{" {\"a\\nb\":{\"" + hidden + "\":1}}\n", "", "keys a b;"},
	} {
		v, err := router.Options{Secrets: map[string]secret.Source{"token": routertest.NewSource(c.value)}}.Connection(t.Context(), []router.Option{{Name: "token"}})
		if err != nil {
			t.Fatal(err)
		}
		got := v.Credential("token").Reveal()
		if c.says == "" && (got != c.want || v.Err() != nil) || c.says != "" && (v.Err() == nil || !strings.Contains(v.Err().Error(), c.says)) {
			t.Errorf("%q: %q, %v, want %q, saying %q", c.value, got, v.Err(), c.want, c.says)
		}
		if v.Err() != nil {
			routertest.Quiet(t, v.Err(), hidden)
		}
	}
}

// Renewed files of certificates are read again, once in ten seconds, and a broken one changes nothing but the note.
func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	var pems [][]byte
	for range 2 {
		ca, err := rig.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		pems = append(pems, ca.PEM())
	}
	put := func(data []byte) { // as renewers do
		t.Helper()
		if err := os.WriteFile(file+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var c router.Certificates
		o := router.Options{Plain: map[string]string{"x-ca": file}}
		config := func() any {
			v := o.Unresolved()
			tls := c.Config(v, httpNames)
			if v.Err() != nil {
				t.Fatal(v.Err())
			}
			return tls
		}
		wait := func(d time.Duration) { <-time.After(d) } // the clock of the bubble
		put(pems[0])
		first := config()
		wait(11 * time.Second)
		if config() != first || c.Note() != "" {
			t.Error("a file that has not changed is another configuration")
		}
		put(pems[1])
		wait(9 * time.Second)
		if config() != first {
			t.Error("the file is looked at after 9 s")
		}
		wait(2 * time.Second)
		second := config()
		if second == first {
			t.Error("the new file is not read")
		}
		put([]byte("-----BEGIN CERTIFICATE-----\nbroken"))
		wait(11 * time.Second)
		if config() != second || !strings.Contains(c.Note(), "x-ca") {
			t.Errorf("a broken file: note %q, want the old configuration and why", c.Note())
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		wait(11 * time.Second)
		if config() != second || !strings.Contains(c.Note(), "no such file") {
			t.Errorf("a missing file: note %q, want the old configuration and why", c.Note())
		}
		put(pems[0])
		wait(11 * time.Second)
		if config() == second || c.Note() != "" {
			t.Errorf("the file is whole again: note %q, want it read", c.Note())
		}
	})
}
