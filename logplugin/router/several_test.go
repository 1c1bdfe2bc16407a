package router

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// An HTTP of several addresses leaves one that fails, and looks at the first again with one request, which the next address gets when
// the first has still failed.
func TestSeveralAddresses(t *testing.T) {
	var well atomic.Bool
	asked := make([]atomic.Int32, 2)
	var urls []string
	for i := range asked {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[i].Add(1)
			if r.URL.Path != "/path" || r.Header.Get("X-Key") != "k" || i == 0 && !well.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		t.Cleanup(server.Close)
		urls = append(urls, server.URL)
	}
	h := NewHTTP(HTTPConfig{Base: urls[0], Others: urls[1:], Timeout: 10 * time.Second, Redact: func(_ *Values, s string) string { return s }})
	t.Cleanup(h.Close)
	check := func(what string, status int, first, second int32) {
		t.Helper()
		asked[0].Store(0)
		asked[1].Store(0)
		a, failed := h.Do(t.Context(), Request{Op: "send", Method: http.MethodPost, Path: "/path", Header: http.Header{"X-Key": {"k"}}, Body: []byte("x")})
		if failed != nil || a.Status != status || asked[0].Load() != first || asked[1].Load() != second {
			t.Errorf("%s: %+v, status %d, asked %d and %d times; want %d, %d, %d", what, failed, a.Status, asked[0].Load(), asked[1].Load(), status, first, second)
		}
		if status == http.StatusServiceUnavailable && !strings.HasSuffix(a.Cause(), ", at "+urls[0]) {
			t.Errorf("%s: %s", what, a.Cause())
		}
	}
	for range leaveAfter {
		check("the first fails", 503, 1, 0)
	}
	check("the second is used", 200, 0, 1)
	h.failover.tried = time.Now().Add(-returnToFirst)
	check("a look at the first", 200, 1, 1)
	check("the second goes on", 200, 0, 1)
	pinned(t, h)
	check("a question to the first changes nothing", 200, 0, 1)
	well.Store(true)
	h.failover.tried = time.Now().Add(-returnToFirst)
	check("a look at the first, which is well", 200, 1, 0)
	check("the first is used", 200, 1, 0)
}

// pinned asks the first address, which fails, and one that there is not.
func pinned(t *testing.T, h *HTTP) {
	t.Helper()
	for range leaveAfter {
		a, failed := h.Do(t.Context(), Request{Op: "ask", Method: http.MethodPost, Path: "/path", Pinned: true})
		if failed != nil || a.Status != http.StatusServiceUnavailable {
			t.Errorf("%+v, status %d, want the answer of the first", failed, a.Status)
		}
	}
	if _, failed := h.Do(t.Context(), Request{Op: "ask", Method: http.MethodPost, Pinned: true, At: 2}); failed == nil || failed.Class != ClassRetry {
		t.Errorf("an address that there is not: %+v, want class retry", failed)
	}
}

// A cookie goes to the host that it came from.
func TestCookiesOfHosts(t *testing.T) {
	var s stickiness
	one, other := &url.URL{Host: "a.example.com:1"}, &url.URL{Host: "b.example.com:1"}
	s.SetCookies(one, []*http.Cookie{{Name: "node", Value: "1"}})
	if got := s.Cookies(one); len(got) != 1 || got[0].Value != "1" {
		t.Errorf("%v, want the cookie", got)
	}
	if got := s.Cookies(other); len(got) != 0 {
		t.Errorf("another host gets %v", got)
	}
}
