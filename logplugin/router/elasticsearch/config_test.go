package elasticsearch

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// id is a cloud id of this host.
func id(host string) string {
	return "my-deployment:" + base64.StdEncoding.EncodeToString([]byte(host+"$0123456789abcdef$fedcba9876543210"))
}

func TestParseRefuses(t *testing.T) {
	const hidden = "h1dden-v4lue"
	for _, c := range []struct {
		name    string
		options map[string]string // on top of a good address; "-" takes it away
		secrets map[string]string
		want    string // in the error; "" = none
	}{
		{"good", nil, nil, ""},
		{"no address", map[string]string{address: "-"}, nil, "elasticsearch-url is required"},
		{"address with user", map[string]string{address: "https://u:" + hidden + "@es.example.com"}, nil, "give credentials as options of their own"},
		{"address without scheme", map[string]string{address: "es.example.com:9200"}, nil, "write https://es.example.com:9200"},
		{"cloud id", map[string]string{address: "-", cloudID: id("eu-west-1.aws.found.io")}, nil, ""},
		{"cloud id with a port", map[string]string{address: "-", cloudID: id("eu-west-1.aws.found.io:9243")}, nil, ""},
		{"cloud id and address", map[string]string{cloudID: id("eu-west-1.aws.found.io")}, nil, "give one"},
		{"cloud id that is none", map[string]string{address: "-", cloudID: hidden}, nil, "is not a cloud id"},
		{"cloud id of a page", map[string]string{address: "-", cloudID: id("found.io/" + hidden + "?")}, nil, "not the name of a host"},
		{"two ways to log in", map[string]string{"elasticsearch-user": "u"}, map[string]string{"elasticsearch-password": "p", apiKey: "k"}, "two ways"},
		{"user and password in one", nil, map[string]string{cloudAuth: "u:p"}, ""},
		{"user and password in one, in clear", map[string]string{cloudAuth: hidden}, nil, "is not USER:PASSWORD"},
		{"user and password in one, and a key", nil, map[string]string{cloudAuth: "u:p", apiKey: "k"}, "two ways"},
		{"Fluent Bit's payload", map[string]string{"elasticsearch-fluent-bit": "output=es,time_key=t"}, nil, ""},
		{"Fluent Bit's time", map[string]string{"elasticsearch-fluent-bit": "output=es,time_key_format=%Q"}, nil, "%Q is not supported"},
		{"token and key", nil, map[string]string{"elasticsearch-bearer-token": "p", apiKey: "k"}, "two ways"},
		{"user without password", map[string]string{"elasticsearch-user": "u"}, nil, "need each other"},
		{"key of two lines", map[string]string{apiKey: hidden + "\r\nX: y"}, nil, "line break"},
		{"key without TLS", map[string]string{address: "http://es.example.com"}, map[string]string{apiKey: "x"}, "elasticsearch-allow-plaintext=true"},
		{"password without TLS", map[string]string{address: "http://es.example.com", "elasticsearch-user": "u"}, map[string]string{"elasticsearch-password": "x"}, "elasticsearch-allow-plaintext=true"},
		{"without TLS, allowed", map[string]string{address: "http://es.example.com", "elasticsearch-allow-plaintext": "true"}, map[string]string{apiKey: "x"}, ""},
		{"nothing to hide and no TLS", map[string]string{address: "http://es.example.com"}, nil, ""},
		{"index that is nothing", map[string]string{index: "..."}, nil, "is not the name of an index"},
		{"index of marks", map[string]string{index: "-_+"}, nil, "is not the name of an index"},
		{"index with another date", map[string]string{index: "logs-%B"}, nil, "is not a date"},
		{"index with half a date", map[string]string{index: "logs-%"}, nil, "is not a date"},
		{"long index", map[string]string{index: strings.Repeat("x", 256)}, nil, "more than 255 bytes"},
		{"fields", map[string]string{fields: "a"}, nil, `"a" has no value`},
		{"field of ours", map[string]string{fields: "message=x"}, nil, `"message" is a field of the log driver's own`},
		{"field in place of an object", map[string]string{fields: "container=x"}, nil, `"container" is a field of the log driver's own`},
		{"compress", map[string]string{compress: "zstd"}, nil, `"zstd" is not one of gzip, none`},
		{"timeout", map[string]string{timeout: "1h"}, nil, timeout},
		{"parse", map[string]string{parseJSON: "yes"}, nil, "not a boolean"},
		{"CA that is not there", map[string]string{"elasticsearch-ca-cert": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"key without a certificate", nil, map[string]string{"elasticsearch-client-key": "x"}, "need each other"},
		{"everything a secret", map[string]string{address: "-"}, map[string]string{address: "x", apiKey: "x", index: "x", pipeline: "x", compress: "x", timeout: "x", fields: "x", parseJSON: "x",
			"elasticsearch-ca-cert": "x", "elasticsearch-client-cert": "x", "elasticsearch-client-key": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(nil), map[string]string{address: "https://es.example.com"}, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    string
	}{
		{map[string]string{address: "https://es.example.com"}, "https://es.example.com:443"},
		{map[string]string{address: "http://127.0.0.1:9428/insert/elasticsearch"}, "http://127.0.0.1:9428"},
		{map[string]string{address: "https://a.example.com:9200,https://b.example.com:9200/x"}, "https://a.example.com:9200 https://b.example.com:9200"},
		{map[string]string{cloudID: id("eu-west-1.aws.found.io")}, "https://0123456789abcdef.eu-west-1.aws.found.io:443"},
		{map[string]string{cloudID: id("eu-west-1.aws.found.io:9243")}, "https://0123456789abcdef.eu-west-1.aws.found.io:9243"},
	} {
		routertest.Addresses(t, Kind(nil), c.options, strings.Fields(c.want)...)
	}
}

func TestSecretValueIsNotShown(t *testing.T) {
	routertest.SecretsAreNotShown(t, Kind(nil), map[string]string{address: "http://127.0.0.1:1"}, map[string]map[string]string{
		cloudID: {address: "-"}, "elasticsearch-user": {"elasticsearch-password": "p"}, "elasticsearch-password": {"elasticsearch-user": "u"},
		"elasticsearch-client-cert": {"elasticsearch-client-key": "/nonexistent"}, "elasticsearch-client-key": {"elasticsearch-client-cert": "/nonexistent"},
	}, func(o router.Option) bool { return slices.Contains([]string{fields, parseJSON}, o.Name) })
}

// The defaults of the table are those of the code.
func TestDefaults(t *testing.T) {
	routertest.Defaults(t, Kind(nil), map[string]string{address: "https://es.example.com"}, func(v *router.Values) any {
		r := receiverOf(v, nil, nil)
		return []any{r.Base, r.Name, r.Hidden, r.Encoding, r.Timeout}
	})
}

// An address that came by reference is in no error.
func TestHiddenAddress(t *testing.T) {
	const host = "hidden-es.example"
	for name, text := range map[string]string{address: "https://" + host + ":1", cloudID: id(host + ":1")} {
		good := map[string]string{address: "http://127.0.0.1:1"}
		routertest.HiddenAddress(t, Kind(nil), good, name, []string{text}, host, "0123456789abcdef")
	}
}
