package tcp

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
		{"good", nil, nil, ""},
		{"several", map[string]string{address: "tcp://a.example.com,tcp+tls://b.example.com"}, nil, ""},
		{"TLS", map[string]string{address: "tcp+tls://logs.example.com", "tcp-tls-server-name": "x", "tcp-tls-skip-verify": "true"}, nil, ""},
		{"no address", map[string]string{address: "-"}, nil, "its scheme is not one of tcp, tcp+tls; write tcp://HOST:5170"},
		{"scheme", map[string]string{address: "udp://logs.example.com"}, nil, "its scheme is not one of tcp, tcp+tls"},
		{"no scheme", map[string]string{address: "logs.example.com:5170"}, nil, "it has no scheme; write tcp://HOST:5170"},
		{"path", map[string]string{address: "tcp://logs.example.com/x"}, nil, "more than the address of a host"},
		{"user", map[string]string{address: "tcp://u:" + hidden + "@logs.example.com"}, nil, "give credentials as options of their own"},
		{"format", map[string]string{format: "xml"}, nil, `"xml" is not one of json_lines, json, json_stream, msgpack, raw`},
		{"date", map[string]string{dateFormat: "rfc"}, nil, `"rfc" is not one of iso8601, double, epoch, epoch_ms, java_sql_timestamp`},
		{"timeout", map[string]string{timeout: "1ms"}, nil, timeout},
		{"TLS without TLS", map[string]string{"tcp-tls-server-name": "x"}, nil, "needs a tcp-address that begins with tcp+tls://"},
		{"CA that is not there", map[string]string{address: "tcp+tls://logs.example.com", "tcp-tls-ca-cert": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"certificate without key", map[string]string{address: "tcp+tls://logs.example.com", "tcp-tls-cert": "/x"}, nil, "need each other"},
		{"everything a secret", map[string]string{address: "-"}, map[string]string{address: "x", format: "x", dateKey: "x", dateFormat: "x", timeout: "x",
			"tcp-tls-ca-cert": "x", "tcp-tls-cert": "x", "tcp-tls-key": "x", "tcp-tls-skip-verify": "x", "tcp-tls-server-name": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(), map[string]string{address: "tcp://logs.example.com"}, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestAddresses(t *testing.T) {
	routertest.Addresses(t, Kind(), map[string]string{address: "tcp://Logs.Example.com,tcp+tls://[::1]:6514"},
		"tcp://logs.example.com:5170", "tcp+tls://[::1]:6514")
}

func TestSecretValueIsNotShown(t *testing.T) {
	with := map[string]map[string]string{"tcp-tls-cert": {"tcp-tls-key": "/nonexistent"}, "tcp-tls-key": {"tcp-tls-cert": "/nonexistent"}}
	routertest.SecretsAreNotShown(t, Kind(), map[string]string{address: "tcp+tls://127.0.0.1:1"}, with, func(o router.Option) bool {
		return o.Name == format || o.Name == dateFormat
	})
}

// An address that came by reference is in no error.
func TestHiddenAddress(t *testing.T) {
	const host = "hidden-tcp.example"
	routertest.HiddenAddress(t, Kind(), map[string]string{address: "tcp://127.0.0.1:1"}, address, []string{"tcp://" + host + ":1", "tcp+tls://" + host, "tcp://127.0.0.1:1,tcp://" + host}, host)
}
