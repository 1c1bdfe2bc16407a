package routertest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Peer is a router over HTTP with its receiver, for Peers.
type Peer struct {
	Router   router.Router // its time for an exchange is one second
	Receiver interface{ Fail(...Mishap) }
	Encoders []router.Encoder
	Secret   string  // the credential that it sends
	Source   *Source // that gives it
	Answer   int     // bytes of an answer that it reads; 0 = router.MaxAnswer
	Lenient  bool    // a good status is a yes, whatever the receiver says besides
}

// Peers has the receiver of a router misbehave in every way that HTTP knows; start is called for each and registers its own
// clean-up. What it costs is bounded, and what the receiver says in the router's errors too.
func Peers(t *testing.T, start func(t *testing.T) *Peer) {
	t.Run("bounded", func(t *testing.T) { bounded(t, start) })
	t.Run("Retry-After", func(t *testing.T) { pauses(t, start(t)) })
	t.Run("secrets", func(t *testing.T) { repeats(t, start(t)) })
	t.Run("timeout", func(t *testing.T) {
		p := start(t)
		p.Receiver.Fail(Mishap{Hang: true})
		if e := p.send(t, 2); e == nil || e.Class != router.ClassRetry || !e.TimedOut {
			t.Errorf("%+v, want class retry, timed out", e)
		}
	})
}

func (p *Peer) send(t *testing.T, n int) *router.Error {
	t.Helper()
	b, _ := Batch(p.Encoders, n)
	return Send(t, p.Router, b, p.Secret)
}

// A peer that sends without end, nested, in drops or much costs a bounded time and memory.
func bounded(t *testing.T, start func(t *testing.T) *Peer) {
	const most = 8 << 20 // bytes allocated for one exchange; what is read of a long answer grows by a quarter each time, so it counts six times
	for name, m := range map[string]Mishap{
		"endless": {Body: strings.Repeat("x", 32<<10), Endless: true}, "endless JSON": {Body: `{"a":[`, Endless: true, Type: "application/json"},
		"endless refusal": {Body: strings.Repeat("x", 32<<10), Endless: true, Status: 503}, "endless 400": {Body: strings.Repeat("x", 32<<10), Endless: true, Status: 400},
		"nested": {Body: strings.Repeat("[", 60<<10), Type: "application/json"}, "nested objects": {Body: strings.Repeat(`{"a":`, 12<<10), Type: "application/json"},
		"64 MiB": {Body: strings.Repeat(" ", 64<<20) + "{}"}, "slow": {Body: " ", Slow: true}, "large header": {Body: "x", Padding: 1 << 20},
		"bytes": {Body: strings.Repeat("\x0a\xff\xff\xff\xff\x0f", 1000), Type: "application/x-protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			p.Receiver.Fail(m)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			e := p.send(t, 1)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if e == nil && !p.Lenient {
				t.Error("that counts as delivered")
			}
			if used := after.TotalAlloc - before.TotalAlloc; took > 10*time.Second || used > uint64(most+6*p.Answer+len(m.Body)) {
				t.Errorf("it took %v and %d bytes, want at most 10 s and %d", took, used, most+6*p.Answer+len(m.Body))
			}
		})
	}
}

func pauses(t *testing.T, p *Peer) {
	for _, status := range []int{429, 503} {
		for h, want := range map[string]time.Duration{
			"7": 7 * time.Second, "86400": router.MaxRetryAfter, "-1": 0, "soon": 0, "": 0, "99999999999999999999": 0,
			time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat):     0,
			time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat): router.MaxRetryAfter,
		} {
			p.Receiver.Fail(Mishap{Status: status, RetryAfter: h})
			if e := p.send(t, 1); e == nil || e.Class != router.ClassRetry || e.RetryAfter != want {
				t.Errorf("%d with Retry-After %q: %+v, want class retry after %v", status, h, e, want)
			}
		}
	}
}

// A receiver repeats the credential, in whatever spelling; it is shown nowhere.
func repeats(t *testing.T, p *Peer) {
	for _, spelled := range []string{
		p.Secret, strings.ToUpper(p.Secret), url.QueryEscape(p.Secret), base64.StdEncoding.EncodeToString([]byte("x:" + p.Secret)),
	} {
		for _, m := range []Mishap{
			{Status: 403, Body: "invalid token " + spelled}, {Status: 400, Body: `{"message":"` + spelled + `"}`, Type: "application/json"},
			{Status: 302, Location: "https://evil.example/" + spelled}, {Status: 502, Body: "<html>" + spelled}, {Status: 500, Body: spelled},
		} {
			p.Receiver.Fail(m)
			b, _ := Batch(p.Encoders, 1)
			err := p.Router.Send(t.Context(), b)
			if err == nil {
				t.Fatalf("%+v counts as delivered", m)
			}
			Quiet(t, err, p.Secret, spelled)
		}
	}
}
