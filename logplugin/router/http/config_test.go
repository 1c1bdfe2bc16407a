package http

import (
	"slices"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestParseRefuses(t *testing.T) {
	const hidden = "h1dden-v4lue"
	for _, c := range []struct {
		name    string
		options map[string]string // on top of a good address; "-" takes it away
		secrets map[string]string
		want    string // in the error; "" = none
	}{
		{"good", nil, nil, ""},
		{"path and query", map[string]string{address: "https://logs.example.com/bulk?token=x&type=y"}, nil, ""},
		{"several addresses", map[string]string{address: "https://a.example.com/x, https://b.example.com/x"}, nil, ""},
		{"commas in a path", map[string]string{address: "https://logs.example.com/tag/a,b/?c=d,e"}, nil, ""},
		{"one address twice", map[string]string{address: "https://a.example.com/x,https://a.example.com/y"}, nil, "the same address is given twice"},
		{"a header without TLS to the second", map[string]string{address: "https://a.example.com,http://b.example.com"}, map[string]string{headers + ".a": "x"}, "http-allow-plaintext=true"},
		{"address with user", map[string]string{address: "https://u:" + hidden + "@logs.example.com"}, nil, "give credentials as options of their own"},
		{"address without scheme", map[string]string{address: "logs.example.com"}, nil, "write https://logs.example.com"},
		{"fragment", map[string]string{address: "https://logs.example.com/#" + hidden}, nil, "fragment"},
		{"method", map[string]string{method: "GET"}, nil, `"GET" is not one of POST, PUT`},
		{"format", map[string]string{format: "xml"}, nil, `"xml" is not one of json_lines, json, json_stream, raw, msgpack, gelf`},
		{"parsed lines in msgpack", map[string]string{format: msgPack, parseJSON: "true"}, nil, "write http-format=json_lines"},
		{"header of the tag", map[string]string{headerTag: "X-Tag"}, nil, ""},
		{"header of the tag with a colon", map[string]string{headerTag: "X-Tag:"}, nil, `"X-Tag:" is not the name of a header`},
		{"header of the tag that is ours", map[string]string{headerTag: "content-type"}, nil, "the log driver's own"},
		{"header of the tag, given", map[string]string{headerTag: "x-tag", headers + ".X-Tag": "x"}, nil, "give the same header"},
		{"date", map[string]string{dateFormat: "rfc"}, nil, "is not one of iso8601"},
		{"compress", map[string]string{compress: "br"}, nil, `"br" is not one of none, gzip, zstd, snappy`},
		{"timeout", map[string]string{timeout: "1h"}, nil, timeout},
		{"parse", map[string]string{parseJSON: "yes"}, nil, "not a boolean"},
		{"fields", map[string]string{fields: "a"}, nil, `"a" has no value`},
		{"header of the connection", map[string]string{headers + ".content-length": "1"}, nil, "the log driver's own"},
		{"header of two lines", map[string]string{headers + ".a": hidden + "\r\nX: y"}, nil, "line break"},
		{"user without password", map[string]string{"http-user": "u"}, nil, "need each other"},
		{"two ways to log in", map[string]string{"http-user": "u"}, map[string]string{"http-password": "p", "http-bearer-token": "t"}, "two ways"},
		{"token without TLS", map[string]string{address: "http://logs.example.com"}, map[string]string{"http-bearer-token": "x"}, "http-allow-plaintext=true"},
		{"header without TLS", map[string]string{address: "http://logs.example.com"}, map[string]string{headers + ".a": "x"}, "http-allow-plaintext=true"},
		{"without TLS, allowed", map[string]string{address: "http://logs.example.com", "http-allow-plaintext": "true"}, map[string]string{"http-bearer-token": "x"}, ""},
		{"nothing to hide and no TLS", map[string]string{address: "http://logs.example.com"}, nil, ""},
		{"CA that is not there", map[string]string{"http-ca-cert": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"key without a certificate", nil, map[string]string{"http-client-key": "x"}, "need each other"},
		{"everything a secret", map[string]string{address: "-"}, map[string]string{address: "x", method: "x", format: "x", compress: "x", timeout: "x", fields: "x", dateKey: "x", dateFormat: "x", messageKey: "x",
			parseJSON: "x", headers + ".a": "x", "http-ca-cert": "x", "http-client-cert": "x", "http-client-key": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(nil), map[string]string{address: "https://logs.example.com"}, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestSecretValueIsNotShown(t *testing.T) {
	routertest.SecretsAreNotShown(t, Kind(nil), map[string]string{address: "http://127.0.0.1:1"}, map[string]map[string]string{
		"http-user": {"http-password": "p"}, "http-password": {"http-user": "u"},
		"http-client-cert": {"http-client-key": "/nonexistent"}, "http-client-key": {"http-client-cert": "/nonexistent"},
	}, func(o router.Option) bool {
		return slices.Contains([]string{format, dateFormat, fields, parseJSON}, o.Name)
	})
}

// The defaults of the table are those of the code.
func TestDefaults(t *testing.T) {
	routertest.Defaults(t, Kind(nil), map[string]string{address: "https://logs.example.com"}, func(v *router.Values) any {
		c := connectionOf(router.Options{}, v, nil, nil)
		return []any{c.Base, c.Name, c.Hidden, c.Encoding, c.Timeout, c.method}
	})
}
