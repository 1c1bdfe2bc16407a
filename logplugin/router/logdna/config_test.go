package logdna

import (
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestParseRefuses(t *testing.T) {
	const hidden = "h1dden-v4lue"
	for _, c := range []struct {
		name    string
		options map[string]string // on top of a good key
		secrets map[string]string
		want    string // in the error; "" = none
	}{
		{"good", nil, nil, ""},
		{"empty key", map[string]string{apiKey: ""}, nil, apiKey + " is empty"},
		{"key of two lines", map[string]string{apiKey: hidden + "\r\nX: y"}, nil, "line break"},
		{"key that is JSON", map[string]string{apiKey: `{"t":"` + hidden + `"}`}, nil, "whole JSON secret"},
		{"the older host", map[string]string{address: "https://logs.logdna.com"}, nil, ""},
		{"another path", map[string]string{address: "https://syslog.example.com/p/ingest"}, nil, ""},
		{"query", map[string]string{address: "https://logs.example.com/?apikey=" + hidden}, nil, "there is a query"},
		{"user", map[string]string{address: "https://" + hidden + ":x@logs.example.com"}, nil, "give credentials as options of their own"},
		{"no scheme", map[string]string{address: "logs.example.com"}, nil, "write https://logs.example.com"},
		{"no TLS", map[string]string{address: "http://logs.example.com"}, nil, "logdna-allow-plaintext=true"},
		{"no TLS, allowed", map[string]string{address: "http://logs.example.com", "logdna-allow-plaintext": "true"}, nil, ""},
		{"tags", map[string]string{tags: "a,b"}, nil, ""},
		{"many tags", map[string]string{tags: strings.Repeat("a", 5000)}, nil, "more than 4096 bytes"},
		{"compress", map[string]string{compress: "zstd"}, nil, `"zstd" is not one of none, gzip`},
		{"timeout", map[string]string{timeout: "1h"}, nil, timeout},
		{"setting", map[string]string{"logdna-fluent-bit": "exclude=x"}, nil, "there is no setting \"exclude\""},
		{"CA that is not there", map[string]string{"logdna-ca-cert": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"key without a certificate", nil, map[string]string{"logdna-client-key": "x"}, "need each other"},
		{"everything a secret", nil, map[string]string{address: "x", compress: "x", timeout: "x", hostname: "x", mac: "x", ip: "x", tags: "x", app: "x", file: "x",
			"logdna-ca-cert": "x", "logdna-client-cert": "x", "logdna-client-key": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(), map[string]string{apiKey: "k"}, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestSecretValueIsNotShown(t *testing.T) {
	routertest.SecretsAreNotShown(t, Kind(), map[string]string{apiKey: "k", address: "http://127.0.0.1:1"}, map[string]map[string]string{
		"logdna-client-cert": {"logdna-client-key": "/nonexistent"}, "logdna-client-key": {"logdna-client-cert": "/nonexistent"},
	}, func(o router.Option) bool { return o.Name == "logdna-fluent-bit" })
}

// The defaults of the table are those of the code.
func TestDefaults(t *testing.T) {
	routertest.Defaults(t, Kind(), map[string]string{apiKey: "k"}, func(v *router.Values) any {
		r := receiverOf(v, nil)
		return []any{r.Base, r.Name, r.Hidden, r.Encoding, r.Timeout}
	})
}

// An address that came by reference is in no error.
func TestHiddenAddress(t *testing.T) {
	const host = "hidden-logdna.example"
	routertest.HiddenAddress(t, Kind(), map[string]string{apiKey: "k"}, address, []string{"https://" + host + ":1/p", "https://" + host}, host)
}
