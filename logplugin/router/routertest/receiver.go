package routertest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/secretref/secretref/logplugin/router"
)

// Mishap is what happens to one request instead of what should. The zero Mishap is none.
//
// Its size has a reason: each field is a fault of its own, and a test sets one or two of them.
type Mishap struct {
	Status     int    // answer with this status
	RetryAfter string // the header of the answer
	HTML       bool   // answer with a web page, of status 200 unless Status is set
	Hang       bool   // answer nothing until the client goes or the receiver closes
	Early      bool   // answer before the request is read
	Cut        bool   // promise an answer, send half of it, close
	Drop       bool   // close without an answer
	Location   string // redirect there
	Body       string // answer with it, of status 200 unless Status is set
	Type       string // Content-Type of the answer
	Padding    int    // bytes of another header
	Endless    bool   // repeat Body until the client goes
	Slow       bool   // send Body a byte at a time, and never its end
}

// Exchange is one request that has arrived. Its credentials are not kept.
type Exchange struct {
	Method, Path string
	Header       http.Header // without Authorization
	Body         []byte      // decompressed, when it was gzip, zstd or snappy
}

// Receiver is an HTTP server with faults on demand. What it answers to a request without a fault is its user's.
type Receiver struct {
	server *httptest.Server
	handle func(w http.ResponseWriter, r *http.Request, body []byte)
	gone   chan struct{} // Close was called

	mu        sync.Mutex
	mishaps   []Mishap
	always    *Mishap
	exchanges []Exchange
}

// ReceiverOptions say how a Receiver is to be.
type ReceiverOptions struct {
	TLS *tls.Config // nil means plain HTTP
	// Handle answers a request whose body, decompressed, is body.
	Handle func(w http.ResponseWriter, r *http.Request, body []byte)
}

// StartReceiver starts one on a port of the loopback address.
func StartReceiver(o ReceiverOptions) *Receiver {
	r := &Receiver{handle: o.Handle, gone: make(chan struct{})}
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // aborted requests are meant
	if o.TLS == nil {
		r.server.Start()
		return r
	}
	r.server.TLS = o.TLS
	r.server.StartTLS()
	return r
}

// Close ends the receiver, hanging requests too.
func (r *Receiver) Close() {
	close(r.gone)
	r.server.CloseClientConnections()
	r.server.Close()
}

// URL is scheme://host:port.
func (r *Receiver) URL() string { return r.server.URL }

// Fail makes the next requests fail, one mishap each.
func (r *Receiver) Fail(mishaps ...Mishap) {
	r.mu.Lock()
	r.mishaps = append(r.mishaps, mishaps...)
	r.mu.Unlock()
}

// FailAlways makes every request fail until it is called with nil; mishaps of Fail come first.
func (r *Receiver) FailAlways(m *Mishap) {
	r.mu.Lock()
	r.always = m
	r.mu.Unlock()
}

// Exchanges returns what has arrived, in order, also what has failed.
func (r *Receiver) Exchanges() []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exchanges)
}

func (r *Receiver) mishap() Mishap {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mishaps) > 0 {
		m := r.mishaps[0]
		r.mishaps = r.mishaps[1:]
		return m
	}
	if r.always != nil {
		return *r.always
	}
	return Mishap{}
}

// ServeHTTP answers one request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	m := r.mishap()
	if m.Early { // the connection is closed, as by a server that does not want the rest
		w.Header().Set("Connection", "close")
		w.WriteHeader(m.Status)
		return
	}
	body, err := decompress(req)
	h := req.Header.Clone()
	h.Del("Authorization")
	r.mu.Lock()
	r.exchanges = append(r.exchanges, Exchange{Method: req.Method, Path: req.URL.RequestURI(), Header: h, Body: body})
	r.mu.Unlock()
	switch {
	case r.fail(w, req, m):
	case err != nil:
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
	default:
		r.handle(w, req, body)
	}
}

// decompress reads a body, up to 64 MiB of it.
func decompress(req *http.Request) ([]byte, error) {
	from, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	var plain io.Reader
	switch encoding := req.Header.Get("Content-Encoding"); encoding {
	case "":
		return from, nil
	case router.Gzip:
		plain, err = gzip.NewReader(bytes.NewReader(from))
	case router.Snappy:
		return snappy.Decode(nil, from)
	case router.Zstd:
		var z *zstd.Decoder
		if z, err = zstd.NewReader(bytes.NewReader(from)); err == nil {
			defer z.Close()
			plain = z
		}
	default:
		err = fmt.Errorf("unknown encoding %q", encoding)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(plain, 64<<20))
}

// fail does what m says, and reports whether that was anything.
func (r *Receiver) fail(w http.ResponseWriter, req *http.Request, m Mishap) bool {
	for name, value := range map[string]string{
		"Content-Type": m.Type, "X-Padding": strings.Repeat("x", m.Padding), "Retry-After": m.RetryAfter, "Location": m.Location,
	} {
		if value != "" {
			w.Header().Set(name, value)
		}
	}
	switch {
	case m.Body != "":
		r.body(w, req, m)
	case m.Hang:
		r.wait(req.Context(), nil)
		panic(http.ErrAbortHandler)
	case m.Drop:
		panic(http.ErrAbortHandler)
	case m.Cut:
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half of")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case m.HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(cmp.Or(m.Status, http.StatusOK))
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><body>Sign in</body></html>")
	case m.Location != "":
		w.WriteHeader(cmp.Or(m.Status, http.StatusTemporaryRedirect))
	case m.Status != 0:
		w.WriteHeader(m.Status)
	default:
		return false
	}
	return true
}

// body answers with the mishap's own body.
func (r *Receiver) body(w http.ResponseWriter, req *http.Request, m Mishap) {
	w.WriteHeader(cmp.Or(m.Status, http.StatusOK))
	for i := 0; ; i++ {
		text := m.Body
		if m.Slow {
			text = m.Body[i%len(m.Body):][:1]
		}
		_, err := io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		switch {
		case !m.Endless && !m.Slow:
			return
		case err != nil, m.Slow && !r.wait(req.Context(), time.After(20*time.Millisecond)):
			panic(http.ErrAbortHandler)
		}
	}
}

// wait returns true when until has come, false when the client or the receiver is gone.
func (r *Receiver) wait(ctx context.Context, until <-chan time.Time) bool {
	select {
	case <-until:
		return true
	case <-ctx.Done():
	case <-r.gone:
	}
	return false
}

// StatusFaults are the faults of a Subject that every router over HTTP tells alike: statuses without a word of the
// protocol, broken connections, web pages, a redirect that holds secret.
func (r *Receiver) StatusFaults(secret string) []Fault {
	var faults []Fault
	add := func(name string, m Mishap, want router.Class) {
		faults = append(faults, Fault{Name: name, Break: func() { r.Fail(m) }, Want: want})
	}
	for status, class := range map[int]router.Class{
		401: router.ClassCredentials, 403: router.ClassCredentials, 404: router.ClassConfig, 405: router.ClassConfig, 407: router.ClassConfig,
		408: router.ClassRetry, 413: router.ClassTooLarge, 425: router.ClassRetry, 429: router.ClassRetry,
		500: router.ClassRetry, 502: router.ClassRetry, 503: router.ClassRetry, 504: router.ClassRetry,
	} {
		add(fmt.Sprint(status), Mishap{Status: status}, class)
		add(fmt.Sprintf("%d with a page", status), Mishap{Status: status, HTML: true}, class)
	}
	add("413 early", Mishap{Status: http.StatusRequestEntityTooLarge, Early: true}, router.ClassTooLarge)
	add("drop", Mishap{Drop: true}, router.ClassRetry)
	add("cut", Mishap{Cut: true}, router.ClassRetry)
	add("page", Mishap{HTML: true}, router.ClassConfig)
	add("redirect", Mishap{Location: "https://user:" + url.QueryEscape(secret) + "@other.example.com/?t=" + secret}, router.ClassConfig)
	return faults
}
