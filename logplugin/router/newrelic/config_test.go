package newrelic

import (
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
		{"empty key", map[string]string{licenseKey: ""}, nil, licenseKey + " is empty"},
		{"key of two lines", map[string]string{licenseKey: hidden + "\r\nX: y"}, nil, "line break"},
		{"key that is JSON", map[string]string{licenseKey: `{"t":"` + hidden + `"}`}, nil, "whole JSON secret"},
		{"two keys", map[string]string{apiKey: "k"}, nil, "give one"},
		{"region", map[string]string{region: "eu"}, nil, ""},
		{"region that is none", map[string]string{region: "asia"}, nil, `"asia" is not one of us, eu, gov`},
		{"region and endpoint", map[string]string{region: "eu", endpoint: "https://nr.example.com"}, nil, "give one"},
		{"attributes", map[string]string{attributes: "a"}, nil, `"a" has no value`},
		{"host with user", map[string]string{endpoint: "https://u:" + hidden + "@nr.example.com"}, nil, "give credentials as options of their own"},
		{"host without scheme", map[string]string{endpoint: "nr.example.com"}, nil, "write https://nr.example.com"},
		{"host without TLS", map[string]string{endpoint: "http://nr.example.com"}, nil, "newrelic-allow-plaintext=true"},
		{"host without TLS, allowed", map[string]string{endpoint: "http://nr.example.com", "newrelic-allow-plaintext": "true"}, nil, ""},
		{"compress", map[string]string{compression: "snappy"}, nil, `"snappy" is not one of gzip, zstd, none`},
		{"timeout", map[string]string{timeout: "1h"}, nil, timeout},
		{"parse", map[string]string{parseJSON: "yes"}, nil, "not a boolean"},
		{"CA that is not there", map[string]string{"newrelic-ca-cert": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"key without a certificate", nil, map[string]string{"newrelic-client-key": "x"}, "need each other"},
		{"everything a secret", nil, map[string]string{endpoint: "x", compression: "x", timeout: "x", attributes: "a=x", parseJSON: "x",
			"newrelic-ca-cert": "x", "newrelic-client-cert": "x", "newrelic-client-key": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(), map[string]string{licenseKey: "k"}, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    string
	}{
		{nil, "https://log-api.newrelic.com:443"},
		{map[string]string{region: "eu"}, "https://log-api.eu.newrelic.com:443"},
		{map[string]string{endpoint: "http://127.0.0.1:9428/x"}, "http://127.0.0.1:9428"},
	} {
		routertest.Addresses(t, Kind(), c.options, c.want)
	}
}

func TestSecretValueIsNotShown(t *testing.T) {
	routertest.SecretsAreNotShown(t, Kind(), map[string]string{licenseKey: "k", endpoint: "http://127.0.0.1:1"}, map[string]map[string]string{
		region: {endpoint: "-"}, apiKey: {licenseKey: "-"},
		"newrelic-client-cert": {"newrelic-client-key": "/nonexistent"}, "newrelic-client-key": {"newrelic-client-cert": "/nonexistent"},
	}, func(o router.Option) bool { return o.Name == parseJSON || o.Name == attributes })
}

// The defaults of the table are those of the code.
func TestDefaults(t *testing.T) {
	routertest.Defaults(t, Kind(), map[string]string{licenseKey: "k"}, func(v *router.Values) any {
		r := receiverOf(v, nil)
		return []any{r.Base, r.Name, r.Hidden, r.Encoding, r.Timeout}
	})
}

// An address that came by reference is in no error.
func TestHiddenAddress(t *testing.T) {
	const host = "hidden-nr.example"
	routertest.HiddenAddress(t, Kind(), map[string]string{licenseKey: "k"}, endpoint, []string{"https://" + host + ":1"}, host)
}
