package datadog

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
		{"empty key", map[string]string{apiKey: ""}, nil, apiKey + " is empty"},
		{"key of two lines", map[string]string{apiKey: hidden + "\r\nX: y"}, nil, "line break"},
		{"key that is JSON", map[string]string{apiKey: `{"t":"` + hidden + `"}`}, nil, "whole JSON secret"},
		{"site", map[string]string{site: "us5.datadoghq.com"}, nil, ""},
		{"site that is a URL", map[string]string{site: "https://datadoghq.eu"}, nil, "is not a site"},
		{"site with a port", map[string]string{site: "datadoghq.eu:443"}, nil, "is not a site"},
		{"site and host", map[string]string{site: "datadoghq.eu", intake: "https://dd.example.com"}, nil, "give one"},
		{"host with user", map[string]string{intake: "https://u:" + hidden + "@dd.example.com"}, nil, "give credentials as options of their own"},
		{"host without scheme", map[string]string{intake: "dd.example.com"}, nil, "write https://dd.example.com"},
		{"host without TLS", map[string]string{intake: "http://dd.example.com"}, nil, "datadog-allow-plaintext=true"},
		{"host without TLS, allowed", map[string]string{intake: "http://dd.example.com", "datadog-allow-plaintext": "true"}, nil, ""},
		{"compress", map[string]string{compress: "snappy"}, nil, `"snappy" is not one of gzip, zstd, none`},
		{"timeout", map[string]string{timeout: "1h"}, nil, timeout},
		{"parse", map[string]string{parseJSON: "yes"}, nil, "not a boolean"},
		{"CA that is not there", map[string]string{"datadog-ca-cert": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"key without a certificate", nil, map[string]string{"datadog-client-key": "x"}, "need each other"},
		{"everything a secret", nil, map[string]string{intake: "x", compress: "x", timeout: "x", service: "x", source: "x", tags: "x", hostname: "x", parseJSON: "x",
			"datadog-ca-cert": "x", "datadog-client-cert": "x", "datadog-client-key": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(), map[string]string{apiKey: "k"}, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    string
	}{
		{nil, "https://http-intake.logs.datadoghq.com:443"},
		{map[string]string{site: "datadoghq.eu"}, "https://http-intake.logs.datadoghq.eu:443"},
		{map[string]string{intake: "http://127.0.0.1:9428/insert/datadog"}, "http://127.0.0.1:9428"},
	} {
		routertest.Addresses(t, Kind(), c.options, c.want)
	}
}

func TestSecretValueIsNotShown(t *testing.T) {
	routertest.SecretsAreNotShown(t, Kind(), map[string]string{apiKey: "k", intake: "http://127.0.0.1:1"}, map[string]map[string]string{
		site: {intake: "-"}, "datadog-client-cert": {"datadog-client-key": "/nonexistent"}, "datadog-client-key": {"datadog-client-cert": "/nonexistent"},
	}, func(o router.Option) bool { return o.Name == parseJSON })
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
	const host = "hidden-dd.example"
	for name, text := range map[string]string{intake: "https://" + host + ":1", site: host} {
		routertest.HiddenAddress(t, Kind(), map[string]string{apiKey: "k"}, name, []string{text}, host)
	}
}
