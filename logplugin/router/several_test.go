package router

import (
	"net/http"
	"net/http/httptest"
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
	well.Store(true)
	h.failover.tried = time.Now().Add(-returnToFirst)
	check("a look at the first, which is well", 200, 1, 0)
	check("the first is used", 200, 1, 0)
}
