package options

import (
	"errors"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

// Which references are allowed is the matter of package references; here it is what an error names.
func TestAllowReferences(t *testing.T) {
	r := rules()
	r.References = references.Allowed{Patterns: []string{}, Setting: "allow_references in [logs]"}
	o, err := r.Parse(splunk("secretOptions.splunk-token", arn), info())
	var no *NotAllowedError
	want := "log-opt secretOptions.splunk-token: containers may not name " + arn + " on this host; allow_references in [logs] says which they may"
	if !errors.As(err, &no) || err.Error() != want {
		t.Errorf("error %T %v, want a NotAllowedError %q", err, err, want)
	}
	if o.Router != "splunk" {
		t.Errorf("with the error come %v", o)
	}
}

func TestAllowRouters(t *testing.T) {
	const url = "https://hec.splunk.example.com:8088"
	for _, c := range []struct {
		name     string
		patterns []string
		router   string
		address  string
		ok       bool
	}{
		{"no list", nil, "splunk", url, true},
		{"empty list", []string{}, "splunk", url, false},
		{"everything", []string{"*"}, "splunk", url, true},
		{"itself", []string{url}, "splunk", url, true},
		{"one label and any port", []string{"https://*.splunk.example.com:*"}, "splunk", url, true},
		{"part of a label", []string{"https://h*c.splunk.example.com:80??"}, "splunk", url, true},
		{"a star is one label", []string{"https://*.example.com:*"}, "splunk", url, false},
		{"not the name above", []string{"https://*.hec.splunk.example.com:*"}, "splunk", url, false},
		{"another port", []string{"https://*.splunk.example.com:443"}, "splunk", url, false},
		{"no port is the scheme's", []string{"https://*.splunk.example.com"}, "splunk", url, false},
		{"no port in both", []string{"https://*.example.com"}, "splunk", "https://hec.example.com/", true},
		{"another scheme", []string{"https://*.splunk.example.com:*"}, "splunk", strings.Replace(url, "https", "http", 1), false},
		{"capitals", []string{"HTTPS://HEC.Splunk.example.com:8088/"}, "splunk", strings.Replace(url, "hec", "HEC", 1), true},
		{"dot at the end", []string{url}, "splunk", "https://hec.splunk.example.com.:8088", true},
		{"another host behind a path", []string{"https://*.splunk.example.com:*"}, "splunk", "https://evil.example/.splunk.example.com:8088", false},
		{"another host behind a query", []string{"https://*.splunk.example.com:*"}, "splunk", "https://evil.example?.splunk.example.com:8088", false},
		{"another host behind a fragment", []string{"https://*.splunk.example.com:*"}, "splunk", "https://evil.example#.splunk.example.com:8088", false},
		{"another host behind a user", []string{"https://*.splunk.example.com:*"}, "splunk", "https://a.splunk.example.com:8088@evil.example", false},
		{"bare host", []string{"tcp://fluent.example.com:24224"}, "fluentd", "fluent.example.com", true},
		{"bare host and port", []string{"tcp://fluent.example.com:*"}, "fluentd", "fluent.example.com:24225", true},
		{"the default", []string{"tcp://127.0.0.1"}, "fluentd", "", true},
		{"not the default", []string{"tls://127.0.0.1"}, "fluentd", "", false},
		{"an address of numbers", []string{"tls://10.0.*.*:*"}, "fluentd", "tls://10.0.3.4", true},
		{"IPv6", []string{"tcp://[2001:db8::1]"}, "fluentd", "tcp://[2001:DB8::1]:24224", true},
		{"IPv6, a star", []string{"tcp://*:*"}, "fluentd", "tcp://[2001:db8::1]:24224", false},
		{"a socket", []string{"unix:///run/fluent/*.sock"}, "fluentd", "unix:///run/fluent/a.sock", true},
		{"a socket with more dots", []string{"unix:///run/fluent/*.sock"}, "fluentd", "unix:///run/fluent/a.b.sock", false},
		{"this socket", []string{"unix:///run/*/fluent.sock"}, "fluentd", "unix:///run/x/fluent.sock", true},
		{"another directory", []string{"unix:///run/*"}, "fluentd", "unix:///run/x/fluent", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rules()
			r.AllowRouters = c.patterns
			err := r.CheckAddresses(c.router, values(c.router, c.address))
			if (err == nil) != c.ok {
				t.Fatalf("%q with %q: %v, want ok %v", c.address, c.patterns, err, c.ok)
			}
			if errors.Is(err, errRouterNotAllowed) && !strings.Contains(err.Error(), "://") {
				t.Errorf("error %q does not name the address", err)
			}
			if c.address == "" {
				return
			}
			err = r.CheckAddresses(c.router, hidden(t, c.router, c.address))
			if (err == nil) != c.ok {
				t.Fatalf("%q by reference with %q: %v, want ok %v", c.address, c.patterns, err, c.ok)
			}
			if err != nil && (strings.Contains(strings.ToLower(err.Error()), "example") || strings.Contains(err.Error(), "2001") || !strings.Contains(err.Error(), addressOption[c.router])) {
				t.Errorf("error %q shows the address, or does not name its option", err)
			}
		})
	}
}

var addressOption = map[string]string{"splunk": "splunk-url", "fluentd": "fluentd-address"}

// values are what a router has resolved when its address is text.
func values(name, text string) *router.Values {
	return router.Options{Plain: map[string]string{addressOption[name]: text}}.Unresolved()
}

// hidden is values for an address that a reference gives.
func hidden(t *testing.T, name, text string) *router.Values {
	t.Helper()
	o := router.Options{Secrets: map[string]secret.Source{addressOption[name]: routertest.NewSource(text)}}
	v, err := o.Connection(t.Context(), rules().kind(name).Options)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAddressByReferenceIsCheckedLater(t *testing.T) {
	r := rules()
	r.AllowRouters = []string{"tcp://fluent.example.com"}
	o, err := r.Parse(map[string]string{"logDriver": "fluentd", "secretOptions.fluentd-address": "/address"}, info())
	if err != nil || o.Address != "" {
		t.Fatalf("address %q, %v", o.Address, err)
	}
	o, err = r.Parse(map[string]string{"logDriver": "fluentd", "fluentd-address": "Other.example.com"}, info())
	if want := "fluentd-address: tcp://other.example.com:24224: "; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q in it", err, want)
	}
	// A container that was accepted before the list changed goes on to be read: its options are wanted.
	var no *NotAllowedError
	if !errors.As(err, &no) || o.Router != "fluentd" || o.Address != "tcp://other.example.com:24224" || o.Tag == "" {
		t.Errorf("with error %T come %v", err, o)
	}
	r.AllowRouters = nil
	if err := r.Allowed(o); err != nil {
		t.Errorf("without a list: %v", err)
	}
	if err := r.CheckAddresses("gelf", values("gelf", "x")); err == nil {
		t.Error("an address of an unknown router is fine")
	}
}

func TestConnection(t *testing.T) {
	key := func(pairs ...string) Connection {
		t.Helper()
		o, err := rules().Parse(splunk(pairs...), info())
		if err != nil {
			t.Fatal(err)
		}
		c, err := rules().Connection(o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	base := key()
	for name, same := range map[string]Connection{
		"tag":       key("tag", "x"),
		"source":    key("splunk-source", "x"),
		"labels":    key("labels", "tier"),
		"spool":     key("spool-max-bytes", "1g"),
		"mode":      key("mode", "blocking"),
		"the list":  key("secretOptions.splunk-token", "-", "secretOptions", `[{"name":"splunk-token","valueFrom":"`+arn+`:token::"}]`),
		"a failure": key("secret-failure", "start"),
	} {
		if same != base {
			t.Errorf("another %s is another connection", name)
		}
	}
	seen := map[Connection]string{base: "base"}
	for name, other := range map[string]Connection{
		"url":                        key("splunk-url", "https://hec.example.com:8089"),
		"reference":                  key("secretOptions.splunk-token", arn+":other::"),
		"plain token":                key("secretOptions.splunk-token", "-", "splunk-token", arn+":token::"),
		"gzip":                       key("splunk-gzip", "true"),
		"gzip in capath":             key("splunk-capath", "true"),
		"index":                      key("splunk-index", "main"),
		"another index":              key("splunk-index", "other"),
		"index by reference":         key("secretOptions.splunk-index", "/i"),
		"another index by reference": key("secretOptions.splunk-index", "/j"),
	} {
		if before, ok := seen[other]; ok {
			t.Errorf("%s is the same connection as %s", name, before)
		}
		seen[other] = name
	}
	if _, err := rules().Connection(Options{Router: "gelf"}); err == nil {
		t.Error("an unknown router has a connection")
	}
	if strings.Contains(base.String(), "splunk") || len(base.String()) != 12 {
		t.Errorf("String is %q", base)
	}
}
