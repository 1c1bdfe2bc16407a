package router

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Bounds of what is kept of a load balancer's cookies.
const (
	maxCookies     = 8       // of one host
	maxCookieBytes = 4 << 10 // of one cookie
)

// stickiness is a cookie jar for the one thing that needs one: a load balancer that sends a client to the same receiver
// again. A cookie goes to the host that it came from. The oldest cookie of a host is forgotten when there are too many.
type stickiness struct {
	mu      sync.Mutex
	cookies map[string][]*http.Cookie // by host and port, of which there are as many as addresses
}

// SetCookies implements http.CookieJar.
func (s *stickiness) SetCookies(u *url.URL, cookies []*http.Cookie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.cookies[u.Host]
	for _, c := range cookies {
		kept = slices.DeleteFunc(kept, func(old *http.Cookie) bool { return old.Name == c.Name })
		if c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now()) || len(c.Name)+len(c.Value) > maxCookieBytes {
			continue
		}
		kept = append(kept, &http.Cookie{Name: c.Name, Value: c.Value})
		if len(kept) > maxCookies {
			kept = slices.Delete(kept, 0, 1)
		}
	}
	if s.cookies == nil {
		s.cookies = map[string][]*http.Cookie{}
	}
	s.cookies[u.Host] = kept
}

// Cookies implements http.CookieJar.
func (s *stickiness) Cookies(u *url.URL) []*http.Cookie {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.cookies[u.Host])
}
