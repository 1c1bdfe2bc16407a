package proxy

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestChoosers(t *testing.T) {
	const hidden = "h1dden%zz"
	broken := "http://user:" + hidden + "@proxy.example.com:3128"
	for _, c := range []struct {
		name, https, http, no, url string
		want                       string // the proxy, "" = none
		variable                   string // of an Error
	}{
		{"none", "", "", "", "https://logs.example.com", "", ""},
		{"https", "http://proxy.example.com:3128", "", "", "https://logs.example.com", "http://proxy.example.com:3128", ""},
		{"another scheme", "http://proxy.example.com:3128", "", "", "http://logs.example.com", "", ""},
		{"without a scheme", "proxy.example.com:3128", "", "", "https://logs.example.com", "http://proxy.example.com:3128", ""},
		{"broken", broken, "", "", "https://logs.example.com", "", "HTTPS_PROXY"},
		{"broken, a path", "http://[::1/" + hidden, "", "", "https://logs.example.com", "", "HTTPS_PROXY"},
		{"broken for the other scheme", broken, "", "", "http://logs.example.com", "", ""},
		{"broken for http", "", broken, "", "http://logs.example.com", "", "HTTP_PROXY"},
		{"broken, and not to be used", broken, "", ".example.com", "https://logs.example.com", "", ""},
		{"broken, this host", broken, broken, "", "https://127.0.0.1:8088", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range map[string]string{"HTTPS_PROXY": c.https, "HTTP_PROXY": c.http, "NO_PROXY": c.no, "https_proxy": "", "http_proxy": "", "no_proxy": ""} {
				t.Setenv(name, value)
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := FromEnvironment()(r)
			var e *Error
			switch {
			case c.variable != "":
				if !errors.As(err, &e) || e.Variable != c.variable || got != nil || strings.Contains(err.Error(), hidden) {
					t.Errorf("%v, %v, want an error about %s without its text", got, err, c.variable)
				}
			case err != nil || got == nil && c.want != "" || got != nil && got.String() != c.want:
				t.Errorf("%v, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestFixed(t *testing.T) {
	choose := Fixed("http://proxy.example.com:3128", "internal.example.com")
	for address, want := range map[string]string{
		"https://logs.example.com": "http://proxy.example.com:3128", "http://logs.example.com": "http://proxy.example.com:3128",
		"https://internal.example.com": "",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := choose(r); err != nil || got == nil && want != "" || got != nil && got.String() != want {
			t.Errorf("%s: %v, %v, want %q", address, got, err, want)
		}
	}
}

// What to do about a proxy that wants a password depends on what names the proxy: the configuration takes none.
func TestLoginHint(t *testing.T) {
	for _, c := range []struct{ name, upper, lower, setting, want string }{
		{"none", "", "", "", "the proxy in HTTPS_PROXY wants a user and a password: write both into its URL"},
		{"in upper case", "http://proxy.example.com:3128", "http://proxy.example.com:3128", "", "the proxy in HTTPS_PROXY wants"},
		{"in lower case", "", "http://proxy.example.com:3128", "", "the proxy in https_proxy wants a user and a password: write both into its URL"},
		{"the configuration", "", "", Configured, "the proxy in https_proxy under [aws] wants a user and a password: no password belongs there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("HTTPS_PROXY", c.upper)
			t.Setenv("https_proxy", c.lower)
			setting := c.setting
			if setting == "" {
				setting = Variable("https")
			}
			if got := LoginHint(setting); !strings.HasPrefix(got, c.want) {
				t.Errorf("%q, want one that begins with %q", got, c.want)
			}
		})
	}
}
