// Package proxy chooses the HTTP proxy of a request by the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or by a configuration in their
// place. Unlike net/http it refuses a request whose variable cannot be read, because it would go out without the proxy, with its
// credential.
package proxy

import (
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// Hint says what to do about an Error.
const Hint = "write it as http://USER:PASSWORD@HOST:PORT, with %25 for a % and %40 for an @ in the password, and start the program again"

// Configured is what Fixed gets its proxy from, for people. It takes no password.
const Configured = "https_proxy under [aws]"

// Variable returns the name of the variable that FromEnvironment reads for requests with the scheme: of two spellings the one that is set.
func Variable(scheme string) string {
	name := strings.ToUpper(scheme) + "_PROXY"
	if lower := strings.ToLower(name); os.Getenv(name) == "" && os.Getenv(lower) != "" {
		return lower
	}
	return name
}

// LoginHint says what to do about a proxy that wants a user and a password. The setting is Configured, or a variable.
func LoginHint(setting string) string {
	said := "the proxy in " + setting + " wants a user and a password: "
	if setting == Configured {
		return said + "no password belongs there, so remove https_proxy, and write both into the URL in HTTPS_PROXY in the environment of the program"
	}
	return said + "write both into its URL"
}

// Error is a proxy that cannot be read. It does not hold its text, in which a password may stand.
type Error struct {
	Variable string // as Variable returns it, or Configured
}

// Error returns one line.
func (e *Error) Error() string { return e.Variable + " is not the address of a proxy" }

// Chooser returns the proxy of a request, or nil when there is none: what http.Transport.Proxy takes.
type Chooser = func(*http.Request) (*url.URL, error)

// FromEnvironment returns what the environment says at this moment. Requests whose proxy cannot be read fail with an *Error.
func FromEnvironment() Chooser { return choose(httpproxy.FromEnvironment(), Variable) }

// Fixed returns a Chooser of one proxy for all requests but those to the hosts in no, which is in the form of NO_PROXY.
func Fixed(proxy, no string) Chooser {
	return choose(&httpproxy.Config{HTTPSProxy: proxy, HTTPProxy: proxy, NoProxy: no}, func(string) string { return Configured })
}

// unread stands for a proxy that cannot be read, so that NO_PROXY still leaves out what it names.
const unread = "http://unread.invalid"

// choose returns the Chooser of c. setting names what the proxy for requests with a scheme comes from.
func choose(c *httpproxy.Config, setting func(scheme string) string) Chooser {
	broken := map[string]*Error{} // by the scheme of requests
	if !isRead(c.HTTPSProxy) {
		c.HTTPSProxy, broken["https"] = unread, &Error{setting("https")}
	}
	if !isRead(c.HTTPProxy) {
		c.HTTPProxy, broken["http"] = unread, &Error{setting("http")}
	}
	of := c.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		u, err := of(r.URL)
		if e := broken[r.URL.Scheme]; e != nil && u != nil {
			return nil, e
		}
		return u, err
	}
}

// isRead reports whether httpproxy can read the text: one that it cannot is to it as none.
func isRead(proxy string) bool {
	if proxy == "" {
		return true
	}
	u, err := (&httpproxy.Config{HTTPSProxy: proxy}).ProxyFunc()(&url.URL{Scheme: "https", Host: "example.com"})
	return err == nil && u != nil
}
