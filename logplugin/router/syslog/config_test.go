package syslog

import (
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestOptions(t *testing.T) {
	const hidden = "h1dden"
	for _, c := range []struct {
		name             string
		options, secrets map[string]string
		want             string // in the error; "" means that they are taken
	}{
		{"nothing", nil, nil, ""},
		{"Docker's", map[string]string{address: "tcp+tls://logs.example.com:6514", facility: "local3", format: "rfc5424micro", "syslog-tls-skip-verify": "true"}, nil, ""},
		{"no port", map[string]string{address: "udp://logs.example.com"}, nil, ""},
		{"stream socket", map[string]string{address: "unix:///run/log.sock"}, nil, ""},
		{"several", map[string]string{address: "tcp://a.example.com,tcp+tls://b.example.com"}, nil, ""},
		{"the same twice", map[string]string{address: "tcp://a.example.com,tcp://a.example.com:514"}, nil, "given twice"},
		{"scheme", map[string]string{address: "http://logs.example.com"}, nil, "its scheme is not one of"},
		{"no scheme", map[string]string{address: "logs.example.com:514"}, nil, "it has no scheme; write udp://HOST:514"},
		{"no socket", map[string]string{address: "unix://"}, nil, "it does not name a socket"},
		{"user", map[string]string{address: "tcp://u:" + hidden + "@logs.example.com"}, nil, "give credentials as options of their own"},
		{"facility number", map[string]string{facility: "23"}, nil, ""},
		{"facility 24", map[string]string{facility: "24"}, nil, `"24" is not a facility`},
		{"facility name", map[string]string{facility: "nope"}, nil, "is not a facility"},
		{"facility without a name", map[string]string{facility: "12"}, nil, ""},
		{"format", map[string]string{format: "rfc3339"}, nil, "is not one of"},
		{"framing", map[string]string{framing: "nul"}, nil, "is not one of default, octet-counting, lf"},
		{"timeout", map[string]string{timeout: "1ms"}, nil, timeout},
		{"TLS without TLS", map[string]string{address: "tcp://logs.example.com", "syslog-tls-server-name": "x"}, nil, "needs a syslog-address that begins with tcp+tls://"},
		{"CA that is not there", map[string]string{address: "tcp+tls://logs.example.com", "syslog-tls-ca-cert": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"certificate without key", map[string]string{address: "tcp+tls://logs.example.com", "syslog-tls-cert": "/x"}, nil, "need each other"},
		{"everything a secret", nil, map[string]string{address: "x", facility: "x", format: "x", framing: "x", timeout: "x", "syslog-tls-ca-cert": "x",
			"syslog-tls-cert": "x", "syslog-tls-key": "x", "syslog-tls-skip-verify": "x", "syslog-tls-server-name": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(), map[string]string{}, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string][]string{
		"":                           {"unixgram:///dev/log"},
		"udp://Logs.Example.com":     {"udp://logs.example.com:514"},
		"tcp+tls://[::1]:6514":       {"tcp+tls://[::1]:6514"},
		"tcp://a:1,unix:///run/sock": {"tcp://a:1", "unix:///run/sock"},
		"unix:///run/a,b,tcp://a:1":  {"unix:///run/a,b", "tcp://a:1"},
	} {
		routertest.Addresses(t, Kind(), map[string]string{address: text}, want...)
	}
}

// How messages are framed, by address, format and wish.
func TestFraming(t *testing.T) {
	for _, c := range []struct {
		address, format, framing string
		want                     bool // octets are counted
	}{
		{"tcp+tls://h", "rfc5424", "", true}, {"tcp+tls://h", "rfc5424micro", "", true}, {"tcp+tls://h", "", "", false}, {"tcp+tls://h", "rfc3164", "", false},
		{"tcp://h", "rfc5424", "", false}, {"unix:///s", "rfc5424", "", false}, {"udp://h", "rfc5424", "", false},
		{"tcp://h", "", "octet-counting", true}, {"tcp+tls://h", "rfc3164", "octet-counting", true}, {"unix:///s", "", "octet-counting", true}, {"udp://h", "", "octet-counting", false}, {"unixgram:///s", "", "octet-counting", false},
		{"tcp+tls://h", "rfc5424", "lf", false}, {"tcp+tls://h", "rfc5424", "default", true},
	} {
		plain := map[string]string{address: c.address, format: c.format}
		if c.framing != "" {
			plain[framing] = c.framing
		}
		o := router.Options{Plain: plain}
		config, err := Parse(o)
		if err != nil {
			t.Fatal(err)
		}
		v := o.Unresolved()
		if got := config.wire(v, v.AddressList(addressForm)[0]).Octets; got != c.want {
			t.Errorf("%+v: octets are counted: %v", c, got)
		}
	}
}

func TestSecretValueIsNotShown(t *testing.T) {
	secureAddress := map[string]string{address: "tcp+tls://127.0.0.1:1"}
	with := map[string]map[string]string{address: {address: "-"}, "syslog-tls-cert": {"syslog-tls-key": "/nonexistent"}, "syslog-tls-key": {"syslog-tls-cert": "/nonexistent"}}
	routertest.SecretsAreNotShown(t, Kind(), secureAddress, with, func(o router.Option) bool { return o.Name == facility || o.Name == format })
}

// An address that came by reference is in no error.
func TestHiddenAddress(t *testing.T) {
	const host = "hidden-syslog.example"
	routertest.HiddenAddress(t, Kind(), map[string]string{}, address, []string{"tcp://" + host + ":1", "tcp+tls://" + host, "tcp://127.0.0.1:1," + "tcp://" + host, "unix:///nonexistent/" + host, "unixgram:///nonexistent/" + host}, host)
}
