package router

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/proxy"
	"github.com/secretref/secretref/shared/secret"
)

// Bounds of one exchange over HTTP. Together with the timeout they bound what any peer can take: memory, and time.
const (
	MaxAnswer   = 64 << 10 // of an answer's body, unless a request says otherwise; the rest is not read
	maxHeader   = 64 << 10 // of its header
	dialTimeout = 10 * time.Second
)

// HTTP makes the requests of one router to one receiver. It follows no redirects, which would carry a credential
// elsewhere, and keeps connections.
type HTTP struct {
	client   *http.Client
	config   HTTPConfig
	bases    []string // the addresses
	failover Failover
	skew     skew        // of signatures
	zip      *Compressor // nil = bodies are not compressed
}

// HTTPConfig of an HTTP.
type HTTPConfig struct {
	Base    string      // scheme://host:port and perhaps a path, before the path of a request
	Others  []string    // further addresses, each as Base, for when the first does not answer: see Failover
	Hidden  bool        // the address came by reference: errors show nothing of it
	TLS     *tls.Config // nil = the system's roots
	TLSName TLSNames
	Timeout time.Duration // from the connection to the end of the answer
	// Encoding of the bodies of requests: Gzip, Zstd or "" for none. Level is the encoding's, or DefaultLevel.
	Encoding string
	Level    int
	Sticky   bool                                  // keep a load balancer's cookies
	Proxy    func(*http.Request) (*url.URL, error) // nil = what the environment says
	// ProxySetting names what Proxy comes from, for errors; "" = the environment.
	ProxySetting string
	// Redact takes secrets out of a text.
	Redact func(v *Values, text string) string
	Signer Signer // nil = requests are not signed
}

// NewHTTP returns an HTTP that connects when there is something to send.
func NewHTTP(c HTTPConfig) *HTTP {
	if c.Proxy == nil {
		c.Proxy = proxy.FromEnvironment()
	}
	h := &HTTP{config: c, bases: append([]string{c.Base}, c.Others...), client: &http.Client{
		Transport: &http.Transport{
			Proxy:                  c.Proxy,
			OnProxyConnectResponse: c.refusedByProxy,
			DialContext:            dial,
			TLSClientConfig:        c.TLS,
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        90 * time.Second,
			WriteBufferSize:        64 << 10,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if c.Encoding != "" {
		h.zip = NewCompressor(c.Encoding, c.Level)
	}
	if c.Sticky {
		h.client.Jar = &stickiness{}
	}
	return h
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return copying{c}, nil
}

// Close frees the connections that are not in use.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }

// Request is one request.
type Request struct {
	Op     string // for errors: what is being done, and where
	Method string
	Path   string // after the base
	Header http.Header
	Body   []byte  // nil = none; it is not read any more when Do has returned
	Before string  // in front of Body, as a part of it
	After  string  // behind Body, as a part of it
	Plain  bool    // the body is not compressed, whatever the Encoding
	Answer int     // bytes of the answer that are read; 0 = MaxAnswer
	Into   []byte  // memory for the answer, of which what is in it is lost; it grows as needed
	Values *Values // the options of this moment, for Redact
	// Pinned asks the address with the number At, and no other, and what it answers has no part in the choice of the next one. It is for
	// a question about what that address has answered before.
	Pinned bool
	At     int
}

// Answer is what a receiver has said.
type Answer struct {
	Status     int
	Header     http.Header
	Body       []byte // at most MaxAnswer bytes, or Request.Answer
	Cut        bool   // there was more
	Media      string // type and subtype of the body, as the receiver calls it
	HTML       bool
	RetryAfter time.Duration // at most MaxRetryAfter
	Location   string        // of a redirect: scheme and host
	At         int           // the number of the address that has said it
	from       string        // which of several addresses has said it; "" = there is one, or it is shown nowhere
	through    string        // what names the proxy that may have said it in place of the receiver; "" = there is none, as far as is known here
	redact     func(string) string
}

// Do makes one request and reads its answer. Its error says why there was none, and holds nothing secret. Of several addresses it
// asks the one whose turn it is, and the one after it when it was a look at the first that has failed.
func (h *HTTP) Do(ctx context.Context, r Request) (Answer, *Error) {
	body := [][]byte{[]byte(r.Before), r.Body, []byte(r.After)}
	if h.compresses(r) {
		z, err := h.zip.Compress(body...)
		if err != nil {
			return Answer{}, &Error{Class: ClassConfig, Op: r.Op, Cause: err.Error(), Bad: NoRecord, Err: err}
		}
		defer z.Release()
		body = [][]byte{z.Bytes()}
	}
	switch {
	case r.Pinned && r.At >= len(h.bases):
		return Answer{}, &Error{Class: ClassRetry, Op: r.Op, Cause: "the receiver is not among the addresses any more", Bad: NoRecord}
	case r.Pinned || len(h.bases) == 1:
		return h.exchange(ctx, r, h.bases[r.At], body)
	}
	for {
		i, probe := h.failover.Choose(len(h.bases))
		a, failed := h.exchange(ctx, r, h.bases[i], body)
		well := failed == nil && a.Status < http.StatusInternalServerError
		if ctx.Err() == nil || well {
			h.failover.Report(i, len(h.bases), well)
		}
		if a.At = i; !h.config.Hidden {
			a.from = shownBase(h.bases[i])
			if failed != nil {
				failed.Cause += ", at " + a.from
			}
		}
		if well || !probe || ctx.Err() != nil {
			return a, failed
		}
	}
}

// shownBase returns scheme and host of an address.
func shownBase(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// exchange makes one request with this body to the address base. It is made again when its signature was refused and the receiver's
// clock may be the reason.
func (h *HTTP) exchange(ctx context.Context, r Request, base string, body [][]byte) (Answer, *Error) {
	signed := h.skew.time()
	a, failed := h.exchangeAt(ctx, r, base, body, signed)
	if failed == nil && h.config.Signer != nil && h.skew.learn(&a, signed) {
		return h.exchangeAt(ctx, r, base, body, h.skew.time())
	}
	return a, failed
}

// Note says what is wrong with signatures that are accepted; "" means nothing.
func (h *HTTP) Note() string { return h.skew.note() }

// exchangeAt makes one request, whose signature is of the time signed.
func (h *HTTP) exchangeAt(ctx context.Context, r Request, base string, body [][]byte, signed time.Time) (Answer, *Error) {
	timed, cancel := context.WithTimeout(ctx, h.config.Timeout)
	defer cancel()
	redact := h.redact(r.Values, base)
	l := &lent{data: body}
	defer l.takeBack()
	req, err := h.request(timed, r, base, l)
	if err != nil {
		return Answer{}, h.failed(ctx, r.Op, err, redact)
	}
	if h.config.Signer != nil {
		if failed := sign(timed, h.config.Signer, req, body, signed); failed != nil {
			return Answer{}, failed
		}
	}
	res, err := h.client.Do(req)
	if err != nil {
		return Answer{}, h.failed(ctx, r.Op, err, redact)
	}
	defer res.Body.Close()
	most := cmp.Or(r.Answer, MaxAnswer)
	into := bytes.NewBuffer(r.Into[:0])
	if res.StatusCode != http.StatusSwitchingProtocols { // reading what follows that heeds no deadline
		_, err = into.ReadFrom(io.LimitReader(res.Body, int64(most)+1))
	}
	said := into.Bytes()
	if err != nil {
		return Answer{}, h.failed(ctx, r.Op, err, redact)
	}
	a := Answer{Status: res.StatusCode, Header: res.Header, Body: said, RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now()), redact: redact}
	if a.Cut = len(said) > most; a.Cut {
		a.Body = said[:most]
	}
	a.Media, _, _ = mime.ParseMediaType(res.Header.Get("Content-Type"))
	a.HTML = a.Media == "text/html" || strings.HasPrefix(strings.TrimSpace(string(a.Body[:min(len(a.Body), 64)])), "<")
	if through, _ := h.config.Proxy(req); through != nil && req.URL.Scheme != "https" { // what a proxy itself answers to CONNECT is a proxyError
		a.through = h.config.proxySetting(req.URL.Scheme)
	}
	if u, err := res.Location(); err == nil && !h.config.Hidden {
		a.Location = withoutPath(u.Scheme+"://"+u.Host, base)
	}
	return a, nil
}

// withoutPath takes out of a text what is in the path and the query of an address, where a token may be: an address that is written out
// is an option like others, and a receiver could send its token back.
func withoutPath(text, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return hide(text, append(parts(u.EscapedPath()), parts(u.RawQuery)...))
}

// redact returns what takes the secrets of a request to base out of a text.
func (h *HTTP) redact(v *Values, base string) func(text string) string {
	return func(text string) string {
		if to, err := url.Parse(base); err == nil {
			if through, _ := h.config.Proxy(&http.Request{URL: to}); through != nil {
				password, _ := through.User.Password()
				text = hide(text, []string{password})
			}
		}
		if h.config.Signer != nil {
			text = v.Redact(nil, text, h.config.Signer.Secrets()...)
		}
		return h.config.Redact(v, text)
	}
}

func (h *HTTP) compresses(r Request) bool { return h.zip != nil && len(r.Body) > 0 && !r.Plain }

// request makes the request to base that lends the body l.
func (h *HTTP) request(ctx context.Context, r Request, base string, l *lent) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, base+r.Path, nil)
	if err != nil {
		return nil, err
	}
	if r.Header != nil {
		req.Header = r.Header
	}
	req.Header.Set("User-Agent", "secretref-logdriver")
	if r.Body == nil {
		return req, nil
	}
	if h.compresses(r) {
		req.Header.Set("Content-Encoding", h.config.Encoding)
	}
	req.Body = l.reader()
	req.GetBody = func() (io.ReadCloser, error) { return l.reader(), nil } // for a connection that was closed before the first byte
	req.ContentLength = int64(l.len())
	return req, nil
}

// Text returns a short text of the answer as an error may show it: in one line, without secrets.
func (a *Answer) Text(s string) string {
	const longest = 120
	s = strings.ToValidUTF8(a.redact(s), "?")
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return fault.OneLine(s)
}

// Cause says what was answered, for an answer of which the router knows nothing better.
func (a *Answer) Cause() string {
	s := fmt.Sprintf("answer %d", a.Status)
	switch {
	case a.Location != "":
		s += ", a redirect to " + a.Text(a.Location)
	case a.HTML:
		s += " with a web page"
	case http.StatusText(a.Status) != "":
		s += " " + http.StatusText(a.Status)
	}
	if a.from != "" {
		s += ", at " + a.from
	}
	return s
}

// Class is what a status means where the protocol has nothing of its own to say: "" for 2xx, of which only the protocol
// knows whether it is a yes.
func (a *Answer) Class() (c Class, hint string) {
	switch s := a.Status; {
	case s >= 200 && s < 300:
		return "", ""
	case s >= 300 && s < 400:
		return ClassConfig, "redirects are not followed"
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return ClassCredentials, ""
	case s == http.StatusProxyAuthRequired && a.through == "":
		return ClassConfig, "no proxy of HTTPS_PROXY or HTTP_PROXY answers this: check the address, and what is between this host and the receiver"
	case s == http.StatusProxyAuthRequired:
		return ClassConfig, proxy.LoginHint(a.through)
	case s == http.StatusRequestEntityTooLarge:
		return ClassTooLarge, ""
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		return ClassRetry, ""
	}
	return ClassConfig, ""
}

// failed makes an error of a request that got no answer. ctx is the caller's.
func (h *HTTP) failed(ctx context.Context, op string, err error, redact func(string) string) *Error {
	e := &Error{Class: ClassRetry, Op: op, Bad: NoRecord, Err: secret.RedactError(err)}
	var timeout net.Error
	var refused *proxyError
	var unread *proxy.Error
	class, cause, hint := TLSFault(err, h.config.TLSName, h.config.Hidden)
	switch {
	case class != "":
		e.Class, e.Cause, e.Hint, e.IsTLS = class, cause, hint, true
	case errors.As(err, &unread):
		e.Class, e.Cause, e.Hint = ClassConfig, unread.Error(), proxy.Hint
	case errors.As(err, &refused):
		e.Class, e.Cause, e.Hint = refused.class(), refused.Error(), refused.hint()
		e.RetryAfter = refused.retryAfter
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e.Cause = "stopped"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Cause, e.TimedOut = "no answer in time", !isDial(err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed): // closed while the request was being written
		e.Cause = "the receiver closed the connection without an answer"
	case isNotHTTP(err):
		e.Cause, e.Hint = "the receiver does not answer in HTTP", "check scheme and port of its address"
	default:
		e.Cause = NetworkCause(err, h.config.Hidden)
	}
	e.Cause, e.Hint = redact(e.Cause), redact(e.Hint)
	if h.config.Hidden {
		e.Err = nil // its text has the address
	}
	return e
}

// isDial reports whether a connection could not be made: then the size of the request does not matter.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op != "read" && op.Op != "write"
}

// isNotHTTP reports whether net/http could not read the first line of an answer: another service listens there, or the receiver wants TLS.
// It has no type for this error, whose text ends with what the receiver has sent.
func isNotHTTP(err error) bool { return strings.Contains(err.Error(), ": malformed HTTP ") }

// NetworkCause says what the network said, and leaves out what others may have put into an error. With hidden nothing
// of an address is in it.
func NetworkCause(err error, hidden bool) string {
	var dns *net.DNSError
	var op *net.OpError
	isDNS, isOp := errors.As(err, &dns), errors.As(err, &op)
	switch {
	case isDNS && hidden:
		return "the receiver's name cannot be resolved: " + dns.Err
	case isOp && hidden:
		for err := op.Err; err != nil; err = errors.Unwrap(err) {
			if next := errors.Unwrap(err); next == nil {
				return op.Op + ": " + err.Error() // an errno
			}
		}
		return op.Op + " failed"
	case isOp:
		return op.Error()
	case isDNS:
		return dns.Error()
	}
	return "the connection broke"
}

// proxySetting names what gives the proxy of requests with the scheme.
func (c HTTPConfig) proxySetting(scheme string) string {
	return cmp.Or(c.ProxySetting, proxy.Variable(scheme))
}

// proxyError is a proxy's refusal of a tunnel.
type proxyError struct {
	status     int
	setting    string // what names the proxy
	retryAfter time.Duration
}

// refusedByProxy keeps what a proxy answers to CONNECT, which requests with https alone make.
func (c HTTPConfig) refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{res.StatusCode, c.proxySetting("https"), retryAfter(res.Header.Get("Retry-After"), time.Now())}
}

// Error returns one line.
func (e *proxyError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the proxy answers %d %s", e.status, http.StatusText(e.status)))
}

func (e *proxyError) class() Class {
	a := Answer{Status: e.status}
	if c, _ := a.Class(); c == ClassRetry {
		return ClassRetry
	}
	return ClassConfig
}

func (e *proxyError) hint() string {
	switch {
	case e.status == http.StatusProxyAuthRequired:
		return proxy.LoginHint(e.setting)
	case e.class() == ClassConfig && e.setting == proxy.Configured:
		return "allow the receiver at the proxy, or put the receiver's name into no_proxy under [aws]"
	case e.class() == ClassConfig:
		return "allow the receiver at the proxy, or put the receiver's name into NO_PROXY"
	}
	return "the proxy does not reach the receiver"
}

// retryAfter reads seconds or an HTTP date (RFC 9110 §10.2.3).
func retryAfter(h string, now time.Time) time.Duration {
	if h == "" {
		return 0
	}
	var d time.Duration
	if seconds, err := strconv.ParseUint(h, 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(h); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), MaxRetryAfter)
}
