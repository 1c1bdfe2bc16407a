package router

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// timeSigner gives requests the time of the signature as a header.
type timeSigner struct{ Signer }

func (timeSigner) Sign(_ context.Context, r *http.Request, _ string, at time.Time) *Error {
	r.Header.Set("X-Signed", at.UTC().Format(time.RFC3339))
	return nil
}

func (timeSigner) Secrets() []string { return nil }

// A receiver whose clock is another refuses signatures. They have its time from then on, until its clock is another again, and a
// person is told.
func TestSignaturesHaveTheReceiversTime(t *testing.T) {
	var mu sync.Mutex
	var ahead time.Duration // of the receiver's clock
	var date string         // in place of its time, if it is given
	var status, asked int   // what is answered to a signature of another time, and how many requests there were
	set := func(by time.Duration, as int, told string) {
		mu.Lock()
		defer mu.Unlock()
		ahead, status, date, asked = by, as, told, 0
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		now := time.Now().Add(ahead)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		if date != "" {
			w.Header().Set("Date", date)
		}
		if at, err := time.Parse(time.RFC3339, r.Header.Get("X-Signed")); err != nil || at.Sub(now).Abs() > 5*time.Minute {
			w.WriteHeader(status)
		}
	}))
	t.Cleanup(server.Close)
	h := NewHTTP(HTTPConfig{Base: server.URL, Timeout: 10 * time.Second, Signer: timeSigner{}, Redact: func(_ *Values, s string) string { return s }})
	t.Cleanup(h.Close)
	for _, c := range []struct {
		name     string
		ahead    time.Duration
		status   int
		date     string
		want     int // the status in the end
		requests int
		note     string // "" = none
	}{
		{"the clocks agree", 0, 403, "", 200, 1, ""},
		{"it is ahead", time.Hour, 403, "", 200, 2, "1h0m0s behind the receiver's"},
		{"it still is", time.Hour, 403, "", 200, 1, "1h0m0s behind the receiver's"},
		{"it is right again", 0, 401, "", 200, 2, ""},
		{"it is behind", -24 * time.Hour, 400, "", 200, 2, "24h0m0s ahead of the receiver's"},
		{"a small difference", -24*time.Hour + 3*time.Minute, 403, "", 200, 1, "24h0m0s ahead of the receiver's"},
		{"another refusal", time.Hour, 503, "", 503, 1, "24h0m0s ahead of the receiver's"},
		{"no time in the answer", time.Hour, 403, "soon", 403, 1, "24h0m0s ahead of the receiver's"},
		{"a false time in the answer", time.Hour, 403, "Mon, 01 Jan 2001 00:00:00 GMT", 403, 2, "ahead of the receiver's"},
		{"in the end", 0, 403, "", 200, 2, ""},
	} {
		set(c.ahead, c.status, c.date)
		a, failed := h.Do(t.Context(), Request{Op: "send", Method: http.MethodPost, Body: []byte("x")})
		if failed != nil || a.Status != c.want || asked != c.requests {
			t.Errorf("%s: %v, status %d after %d requests, want %d after %d", c.name, failed, a.Status, asked, c.want, c.requests)
		}
		if got := h.Note(); !strings.Contains(got, c.note) || (got == "") != (c.note == "") {
			t.Errorf("%s: note %q, want %q", c.name, got, c.note)
		}
	}
}
