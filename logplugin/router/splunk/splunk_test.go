package splunk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

const (
	token    = "11111111-2222-3333-4444-555555555555"
	newToken = "99999999-2222-3333-4444-555555555555"
)

// setup is a receiver, a router to it, and what the router was made of.
type setup struct {
	hec    *hectest.Server
	router *Router
	config router.Config
	token  *routertest.Source
	batch  func(n int) *router.Batch
}

// quick are deadlines that a test can wait for.
var quick = timing{ack: 2 * time.Second, firstPoll: time.Millisecond, lastPoll: 5 * time.Millisecond}

func start(t testing.TB, o hectest.Options, options map[string]string) *setup {
	t.Helper()
	hec, err := hectest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hec.Close)
	s := &setup{hec: hec, token: routertest.NewSource(token)}
	all := map[string]string{"splunk-url": hec.URL()}
	for k, v := range options {
		all[k] = v
	}
	s.config, err = Kind().New(router.Options{Plain: all, Secrets: map[string]secret.Source{"splunk-token": s.token}})
	if err != nil {
		t.Fatal(err)
	}
	s.router, _ = s.config.Router().(*Router)
	s.router.timing = quick
	t.Cleanup(func() { _ = s.router.Close() })
	encoders := s.encoders(t)
	s.batch = func(n int) *router.Batch { b, _ := routertest.Batch(encoders, n); return b }
	return s
}

func (s *setup) encoders(t testing.TB) []router.Encoder {
	t.Helper()
	var encoders []router.Encoder
	for _, tag := range []string{"one", "two"} {
		e, err := s.config.Encoder(t.Context(), router.Session{Tag: tag, Host: "h"})
		if err != nil {
			t.Fatal(err)
		}
		encoders = append(encoders, e)
	}
	return encoders
}

// send returns the error as what it must be.
func (s *setup) send(t *testing.T, b *router.Batch) *router.Error {
	t.Helper()
	err := s.router.Send(t.Context(), b)
	var e *router.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("Send gives %T, want *router.Error", err)
	}
	routertest.Quiet(t, err, token, newToken)
	return e
}

// mishaps has a collector misbehave as routertest says.
type mishaps struct{ *hectest.Server }

func (m mishaps) Fail(all ...routertest.Mishap) {
	for _, x := range all {
		m.Server.Fail(hectest.Fault{
			Status: x.Status, RetryAfter: x.RetryAfter, HTML: x.HTML, Hang: x.Hang, Early: x.Early, Cut: x.Cut, Drop: x.Drop, Location: x.Location,
			Body: x.Body, Type: x.Type, Padding: x.Padding, Endless: x.Endless, Slow: x.Slow,
		})
	}
}

func (s *setup) peer(t *testing.T) *routertest.Peer {
	return &routertest.Peer{Router: s.router, Receiver: mishaps{s.hec}, Encoders: s.encoders(t), Secret: token, Source: s.token}
}

func TestSuite(t *testing.T) {
	for _, c := range []struct {
		name    string
		hec     hectest.Options
		options map[string]string
	}{
		{"plain", hectest.Options{}, nil},
		{"gzip", hectest.Options{}, map[string]string{"splunk-gzip": "true", "splunk-gzip-level": "1"}},
		{"ack", hectest.Options{Ack: true}, map[string]string{"splunk-index-acknowledgment": "true"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject {
				c.hec.Tokens = []string{token}
				s := start(t, c.hec, c.options)
				subject := &routertest.Subject{
					Router: s.router, Encoders: s.encoders(t), Secrets: []string{token, newToken},
					Received: func() []string { return lines(t, s.hec) },
					Hang:     func() { s.hec.FailAlways(&hectest.Fault{Hang: true}) },
					Heal:     func() { s.hec.FailAlways(nil) },
					Rotate:   func() { s.hec.SetTokens(newToken); s.token.Rotate(newToken) },
				}
				for name, f := range map[string]struct {
					fault hectest.Fault
					want  router.Class
				}{
					"drop": {hectest.Fault{Drop: true}, router.ClassRetry}, "cut": {hectest.Fault{Cut: true}, router.ClassRetry},
					"page": {hectest.Fault{HTML: true}, router.ClassConfig}, "page 503": {hectest.Fault{HTML: true, Status: 503}, router.ClassRetry},
					"page 400": {hectest.Fault{HTML: true, Status: 400}, router.ClassConfig},
					"400":      {hectest.Fault{Status: 400}, router.ClassConfig}, "401": {hectest.Fault{Status: 401}, router.ClassCredentials},
					"403": {hectest.Fault{Status: 403}, router.ClassCredentials}, "404": {hectest.Fault{Status: 404}, router.ClassConfig},
					"408": {hectest.Fault{Status: 408}, router.ClassRetry}, "413": {hectest.Fault{Status: 413}, router.ClassTooLarge},
					"413 early": {hectest.Fault{Status: 413, Early: true}, router.ClassTooLarge},
					"429":       {hectest.Fault{Status: 429}, router.ClassRetry}, "500": {hectest.Fault{Status: 500}, router.ClassRetry},
					"502": {hectest.Fault{Status: 502}, router.ClassRetry}, "503": {hectest.Fault{Status: 503}, router.ClassRetry},
					"redirect": {hectest.Fault{Location: "https://user:" + token + "@other.example.com/?t=" + token}, router.ClassConfig},
				} {
					subject.Faults = append(subject.Faults, routertest.Fault{Name: name, Break: func() { s.hec.Fail(f.fault) }, Want: f.want})
				}
				return subject
			})
		})
	}
}

// lines returns the lines in the events that hec has accepted.
func lines(t *testing.T, hec *hectest.Server) []string {
	var out []string
	for _, e := range hec.Events() {
		var event struct{ Event struct{ Line string } }
		if err := json.Unmarshal([]byte(e.Text), &event); err != nil {
			t.Fatal(err)
		}
		out = append(out, event.Event.Line)
	}
	return out
}

func TestCodes(t *testing.T) {
	const bad = "bad_records"
	want := map[int]router.Class{
		1: "credentials", 2: "credentials", 3: "credentials", 4: "credentials", 5: bad, 6: bad, 7: "config", 8: "retry",
		9: "retry", 10: "config", 11: "config", 12: bad, 13: bad, 14: "config", 15: bad, 16: "config", 17: "config", 18: "retry",
		19: "retry", 20: "retry", 21: "credentials", 22: "credentials", 23: "retry", 24: "", 25: "", 26: "retry", 27: "retry",
	}
	if len(hectest.Codes) != len(want)+1 || len(codes) != len(want)+1 {
		t.Fatalf("%d codes of HEC, %d in the router, want %d and code 0", len(hectest.Codes), len(codes), len(want))
	}
	s := start(t, hectest.Options{}, nil)
	for code, class := range want {
		before := s.token.Invalidated()
		s.hec.Fail(hectest.Fault{Code: code, Status: hectest.Codes[code].Status})
		e := s.send(t, s.batch(3))
		if router.ClassOf(asError(e)) != class {
			t.Errorf("code %d: %v, want class %q", code, e, class)
		}
		if e != nil && !strings.Contains(e.Error(), fmt.Sprintf("HEC code %d: %s", code, hectest.Codes[code].Text)) {
			t.Errorf("code %d: the error does not say so: %v", code, e)
		}
		if told := s.token.Invalidated() > before; told != (class == router.ClassCredentials) {
			t.Errorf("code %d: token invalidated: %v", code, told)
		}
	}
	if got, n := s.hec.Count(), len(s.hec.Requests()); got != 0 || n != len(want) {
		t.Errorf("%d events and %d requests; a router does not retry by itself", got, n)
	}
}

// asError keeps a nil *router.Error from becoming an error that is not nil.
func asError(e *router.Error) error {
	if e == nil {
		return nil
	}
	return e
}

func TestBadEventIsIsolated(t *testing.T) {
	s := start(t, hectest.Options{Indexes: []string{"good"}}, nil)
	for _, c := range []struct {
		name      string
		bad       string
		class     router.Class
		delivered int
	}{
		{"no event", `{"time":"1"}`, router.ClassBadRecords, 2},
		{"blank event", `{"event":""}`, router.ClassBadRecords, 2},
		{"no JSON", `{"event":}`, router.ClassBadRecords, 2},
		{"wrong index", `{"event":"x","index":"evil"}`, router.ClassConfig, 3},
	} {
		b := s.batch(7)
		replace(b, 3, c.bad)
		e := s.send(t, b)
		if e == nil || e.Class != c.class || e.Bad != 3 || e.Delivered != c.delivered {
			t.Errorf("%s: %+v, want class %s, bad 3, delivered %d", c.name, e, c.class, c.delivered)
			continue
		}
		if e := s.send(t, b.Slice(3, 4)); e == nil || e.Bad != 0 || e.Delivered != 0 {
			t.Errorf("%s alone: %+v, want bad 0, delivered 0", c.name, e)
		}
		if e := s.send(t, b.Slice(4, 7)); e != nil {
			t.Errorf("%s: the rest: %v", c.name, e)
		}
	}
	t.Run("with acknowledgement nothing is certain", func(t *testing.T) {
		s := start(t, hectest.Options{Ack: true}, map[string]string{"splunk-index-acknowledgment": "true"})
		b := s.batch(7)
		replace(b, 3, `{"time":"1"}`)
		if e := s.send(t, b); e == nil || e.Bad != 3 || e.Delivered != 0 {
			t.Errorf("%+v, want bad 3, delivered 0", e)
		}
	})
	t.Run("a number that cannot be", func(t *testing.T) {
		for _, n := range []int{-1, 4, 1 << 40} {
			s.hec.Fail(hectest.Fault{Code: 6, Bad: &n})
			if e := s.send(t, s.batch(3)); e == nil || e.Bad != router.NoRecord || e.Delivered != 0 {
				t.Errorf("invalid-event-number %d: %+v, want none", n, e)
			}
		}
	})
	t.Run("busy in the middle", func(t *testing.T) {
		n := 10
		s.hec.Fail(hectest.Fault{Code: 9, Bad: &n})
		if e := s.send(t, s.batch(20)); e == nil || e.Class != router.ClassRetry || e.Bad != router.NoRecord || e.Delivered != 0 {
			t.Errorf("%+v, want class retry, and no event that is believed to be there", e)
		}
	})
}

// replace makes record i of b the given text, of the same length.
func replace(b *router.Batch, i int, text string) {
	at := b.Body[b.Start(i):b.Ends[i]]
	copy(at, text+strings.Repeat(" ", len(at)-len(text)))
}

func TestTooLargeIsHalved(t *testing.T) {
	s := start(t, hectest.Options{MaxBytes: 1000}, nil)
	b := s.batch(16)
	if e := s.send(t, b); e == nil || e.Class != router.ClassTooLarge {
		t.Fatalf("%v, want class too_large", e)
	}
	if e := s.send(t, b.Slice(0, 4)); e != nil {
		t.Errorf("a quarter: %v", e)
	}
}

func TestHeaders(t *testing.T) {
	for _, c := range routertest.Captures(t, "splunk") {
		o := hectest.Options{Ack: c.Options["splunk-index-acknowledgment"] == "true"}
		s := start(t, o, map[string]string{"splunk-gzip": value(c.Options, "splunk-gzip", "false"),
			"splunk-index-acknowledgment": value(c.Options, "splunk-index-acknowledgment", "false")})
		if e := s.send(t, s.batch(1)); e != nil {
			t.Fatal(e)
		}
		got := s.hec.Requests()[0]
		want := http.Header{}
		for _, h := range c.Headers {
			want.Set(h[0], h[1])
		}
		for _, name := range []string{"Host", "Content-Length", "Authorization"} { // not in a Request's Header
			want.Del(name)
		}
		for name := range want {
			same := got.Header.Get(name) == want.Get(name) || name == "User-Agent" || name == "X-Splunk-Request-Channel"
			if !same || got.Header.Get(name) == "" {
				t.Errorf("%s: header %s is %q, Docker's %q", c.ID, name, got.Header.Get(name), want.Get(name))
			}
		}
		if len(got.Header) != len(want)+1 { // httptest sees Content-Length as a header
			t.Errorf("%s: headers %v, Docker's %v", c.ID, got.Header, want)
		}
		if got.Path != eventPath || got.Method != http.MethodPost {
			t.Errorf("%s: %s %s", c.ID, got.Method, got.Path)
		}
	}
}

func TestGzipIsSmall(t *testing.T) {
	for level := -1; level <= 9; level++ {
		s := start(t, hectest.Options{}, map[string]string{"splunk-gzip": "true", "splunk-gzip-level": fmt.Sprint(level)})
		b := s.batch(1000)
		for range 3 { // the compressor is used again
			if e := s.send(t, b); e != nil {
				t.Fatal(e)
			}
		}
		r := s.hec.Requests()[2]
		if string(r.Body) != string(b.Body) {
			t.Errorf("level %d: the body is not the batch", level)
		}
		if small := r.Wire < len(b.Body)/4; small == (level == 0) {
			t.Errorf("level %d: %d of %d bytes", level, r.Wire, len(b.Body))
		}
	}
}

func TestVerify(t *testing.T) {
	s := start(t, hectest.Options{Tokens: []string{"other"}}, nil)
	if err := s.router.Verify(t.Context()); err != nil { // Docker's probe has no token, so a bad one does not matter
		t.Error(err)
	}
	r := s.hec.Requests()[0]
	if r.Method != http.MethodOptions || r.Path != eventPath || len(r.Body) != 0 || r.Header.Get("X-Splunk-Request-Channel") != "" {
		t.Errorf("Verify sends %s %s %v", r.Method, r.Path, r.Header)
	}
	err := s.router.VerifyCredentials(t.Context())
	if router.ClassOf(err) != router.ClassCredentials || s.token.Invalidated() != 1 {
		t.Errorf("Health with a bad token: %v", err)
	}
	// An older server is well whatever the token is.
	s.hec.Fail(hectest.Fault{Code: 17})
	if err := s.router.VerifyCredentials(t.Context()); router.ClassOf(err) != router.ClassCredentials || !strings.Contains(err.Error(), "HEC code 4") {
		t.Errorf("Health of an older server with a bad token: %v", err)
	}
	s.hec.SetTokens(token)
	if err := s.router.VerifyCredentials(t.Context()); err != nil || s.hec.Count() != 0 {
		t.Errorf("Health: %v, and %d events", err, s.hec.Count())
	}
	for status, want := range map[int]router.Class{404: router.ClassConfig, 400: router.ClassConfig, 413: router.ClassConfig, 503: router.ClassRetry, 204: ""} {
		s.hec.Fail(hectest.Fault{Status: status})
		if err := s.router.Verify(t.Context()); router.ClassOf(err) != want {
			t.Errorf("OPTIONS answered %d: %v, want class %q", status, err, want)
		}
	}
	for code, want := range map[int]router.Class{17: "", 18: router.ClassRetry, 19: router.ClassRetry, 20: router.ClassRetry, 21: router.ClassCredentials, 22: router.ClassCredentials, 23: router.ClassRetry} {
		s.hec.Fail(hectest.Fault{Code: code})
		if err := s.router.VerifyCredentials(t.Context()); router.ClassOf(err) != want {
			t.Errorf("health code %d: %v, want class %q", code, err, want)
		}
	}
	off := start(t, hectest.Options{}, map[string]string{"splunk-verify-connection": "false"})
	if err := off.router.Verify(t.Context()); err != nil || len(off.hec.Requests()) != 0 {
		t.Errorf("verification is off: %v, %d requests", err, len(off.hec.Requests()))
	}
}

func TestNobodyListens(t *testing.T) {
	s := start(t, hectest.Options{}, nil)
	s.hec.Close()
	if e := s.send(t, s.batch(1)); e == nil || e.Class != router.ClassRetry || !strings.Contains(e.Error(), "connection refused") {
		t.Errorf("%v, want class retry and the reason", e)
	}
}

func TestSourceFails(t *testing.T) {
	s := start(t, hectest.Options{}, nil)
	unknown := errors.New("holds " + token)
	for kind, want := range map[error]router.Class{
		&fault.Error{Kind: fault.Denied, Op: "get secret x", Cause: "denied"}:  router.ClassCredentials,
		&fault.Error{Kind: fault.Throttled, Op: "get secret x", Cause: "slow"}: router.ClassRetry,
		unknown:                  router.ClassRetry,
		context.DeadlineExceeded: router.ClassRetry,
	} {
		s.token.Fail(kind)
		if e := s.send(t, s.batch(1)); e == nil || e.Class != want || errors.Is(e, kind) == errors.Is(kind, unknown) {
			t.Errorf("%T: %v, want class %s", kind, e, want)
		}
	}
	if len(s.hec.Requests()) != 0 {
		t.Error("a request without a token was sent")
	}
}
