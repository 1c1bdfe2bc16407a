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
	maxCookies     = 8
	maxCookieBytes = 4 << 10 // of one
)

// stickiness is a cookie jar for the one thing that needs one: a load balancer that sends a client to the same receiver
// again. It is for one host, and forgets the oldest cookie when there are too many.
type stickiness struct {
	mu      sync.Mutex
	cookies []*http.Cookie
}

// SetCookies implements http.CookieJar.
func (s *stickiness) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range cookies {
		s.cookies = slices.DeleteFunc(s.cookies, func(old *http.Cookie) bool { return old.Name == c.Name })
		if c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now()) || len(c.Name)+len(c.Value) > maxCookieBytes {
			continue
		}
		s.cookies = append(s.cookies, &http.Cookie{Name: c.Name, Value: c.Value})
		if len(s.cookies) > maxCookies {
			s.cookies = slices.Delete(s.cookies, 0, 1)
		}
	}
}

// Cookies implements http.CookieJar.
func (s *stickiness) Cookies(*url.URL) []*http.Cookie {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.cookies)
}
