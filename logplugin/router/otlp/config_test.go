package otlp

import (
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestParseRefuses(t *testing.T) {
	const hidden = "h1dden-v4lue"
	for _, c := range []struct {
		name    string
		options map[string]string // on top of a good endpoint; "-" takes it away
		secrets map[string]string
		want    string // in the error; "" = none
	}{
		{"good", nil, nil, ""},
		{"no endpoint", map[string]string{endpoint: "-"}, nil, endpoint},
		{"endpoint with user", map[string]string{endpoint: "https://u:" + hidden + "@otel.example.com"}, nil, "give credentials as options of their own"},
		{"endpoint with query", map[string]string{endpoint: "https://otel.example.com/?k=" + hidden}, nil, addressExample},
		{"endpoint without scheme", map[string]string{endpoint: "otel.example.com:4318"}, nil, "it has no scheme"},
		{"compression", map[string]string{compression: "snappy"}, nil, `"snappy" is not one of gzip, zstd, none`},
		{"timeout", map[string]string{timeout: "1h"}, nil, timeout},
		{"resource", map[string]string{resource: "a"}, nil, `"a" has no value`},
		{"severity", map[string]string{severities: "high"}, nil, "is not one of stream, level, none"},
		{"parse", map[string]string{parseJSON: "yes"}, nil, "not a boolean"},
		{"header that is the driver's", map[string]string{headers + ".content-type": "text/plain"}, nil, "the log driver's own"},
		{"header whose name is none", map[string]string{headers + ".a b": "x"}, nil, "not the name of a header"},
		{"header twice", map[string]string{headers + ".a-b": "x", headers + ".A-B": "y"}, nil, "given twice"},
		{"header of two lines", map[string]string{headers + ".a": hidden + "\r\nX: y"}, nil, "line break"},
		{"header that is JSON", map[string]string{headers + ".a": `{"t":"` + hidden + `"}`}, nil, "whole JSON secret"},
		{"header without TLS", map[string]string{endpoint: "http://otel.example.com:4318"}, map[string]string{headers + ".a": "x"}, "otlp-allow-plaintext=true"},
		{"header without TLS, allowed", map[string]string{endpoint: "http://otel.example.com:4318", "otlp-allow-plaintext": "true"}, map[string]string{headers + ".a": "x"}, ""},
		{"no header and no TLS", map[string]string{endpoint: "http://otel.example.com:4318"}, nil, ""},
		{"CA that is not there", map[string]string{"otlp-ca-cert": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"key without a certificate", nil, map[string]string{"otlp-client-key": "x"}, "need each other"},
		{"everything a secret", map[string]string{endpoint: "-"}, map[string]string{endpoint: "x", compression: "x", timeout: "x", resource: "x", severities: "x", parseJSON: "x",
			headers + ".a": "x", "otlp-ca-cert": "x", "otlp-client-cert": "x", "otlp-client-key": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(), map[string]string{endpoint: "https://otel.example.com:4318"}, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestSecretValueIsNotShown(t *testing.T) {
	routertest.SecretsAreNotShown(t, Kind(), map[string]string{endpoint: "http://127.0.0.1:1"}, map[string]map[string]string{
		"otlp-client-cert": {"otlp-client-key": "/nonexistent"}, "otlp-client-key": {"otlp-client-cert": "/nonexistent"},
	}, func(o router.Option) bool { return o.Session })
}

// The defaults of the table are those of the code.
func TestDefaults(t *testing.T) {
	routertest.Defaults(t, Kind(), map[string]string{endpoint: "https://h.example"}, func(v *router.Values) any {
		c := connectionOf(router.Options{}, v, nil)
		c.Redact = nil // a function, which cannot be compared
		return c
	})
}

// An address that came by reference is in no error.
func TestHiddenAddress(t *testing.T) {
	const host = "hidden-otel.example"
	addresses := []string{"https://" + host + ":1", "http://" + host, "https://127.0.0.1:1", "http://127.0.0.1:1/prefix"}
	routertest.HiddenAddress(t, Kind(), map[string]string{endpoint: "http://127.0.0.1:1"}, endpoint, addresses, host, "127.0.0.1", "/prefix")
}
