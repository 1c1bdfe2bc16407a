// Package newrelic sends container logs to New Relic, or to anything that speaks its Log API.
//
// Use it through package router. Any option may be a secret.
//
// It promises at-least-once delivery: a batch is delivered when New Relic answers 202. A request never has more than what
// New Relic takes, and a line that is too long for it is cut with a mark. It refuses to follow redirects, which would carry
// the key elsewhere.
//
// Protocol: https://docs.newrelic.com/docs/logs/log-api/introduction-log-api/
package newrelic

import (
	"slices"
	"time"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	licenseKey   = "newrelic-license-key"
	apiKey       = "newrelic-api-key"
	region       = "newrelic-region"
	endpoint     = "newrelic-endpoint"
	attributes   = "newrelic-attributes"
	compression  = "newrelic-compression"
	timeout      = "newrelic-timeout"
	parseJSON    = "newrelic-parse-json"
	noneEncoding = "none"
	logPath      = "/log/v1"
	op           = "read newrelic log-opts"
)

var options = slices.Concat([]router.Option{
	{Name: licenseKey, Credential: true},
	{Name: apiKey, Credential: true},
	{Name: region, Address: true, Default: "us"},
	{Name: endpoint, Address: true},
	{Name: attributes, Session: true, Template: true, Pairs: true},
	{Name: compression, Default: router.Gzip},
	{Name: timeout, Default: "30s"},
	{Name: parseJSON, Session: true, Default: "false"},
	fluentbit.Option("newrelic"),
}, router.TLSOptions("newrelic"))

// regions are the hosts of New Relic's data centers.
var regions = map[string]string{
	"us": "https://log-api.newrelic.com", "eu": "https://log-api.eu.newrelic.com", "gov": "https://gov-log-api.newrelic.com",
}

// addressForm is that of newrelic-endpoint. What it has by default is made of newrelic-region.
var addressForm = router.AddressForm{
	Option: endpoint, Ports: map[string]string{"https": "443", "http": "80"}, Path: true, Example: regions["us"] + logPath,
}

// Kind describes the router.
func Kind() router.Kind {
	return router.Kind{
		Name: "newrelic", Options: slices.Clone(options), Ports: addressForm.Ports,
		Addresses: func(v *router.Values) []router.Address {
			if v.Waits(endpoint) || v.Waits(region) {
				return nil
			}
			return []router.Address{addressOf(v)}
		},
		New: parts.Config,
	}
}

// addressOf returns where lines go; the faults are in v.
func addressOf(v *router.Values) router.Address {
	if v.Waits(endpoint) || v.Waits(region) {
		return router.Address{}
	}
	if v.Has(endpoint) && v.Has(region) {
		v.Refuse("log-opts %s and %s both say where to send; give one", region, endpoint)
	}
	f := addressForm
	f.Default = regions[v.OneOf(region, "us", "eu", "gov")]
	return v.Address(f)
}

// checkKey refuses keys that cannot be in a header, and wants one of the two.
func checkKey(v *router.Values) {
	switch has, other := v.Has(licenseKey), v.Has(apiKey); {
	case has && other:
		v.Refuse("log-opts %s and %s are two ways to log in; give one", licenseKey, apiKey)
	case !has && !other:
		v.Refuse("log-opt %s is required by logDriver newrelic; give a reference to it as secretOptions.%s", licenseKey, licenseKey)
	}
	v.CheckHeader(licenseKey)
	v.CheckHeader(apiKey)
}

var tlsNames = router.PrefixTLS("newrelic", "http:// in "+endpoint)

var parts = router.Parts{
	Op: op, List: options, Router: newRouter,
	Check: func(_ router.Options, v *router.Values) {
		checkKey(v)
		receiverOf(v, nil)
	},
	Encoder: func(v *router.Values, s router.Session) router.Encoder { return sessionOf(v, s) },
}

var form = router.ReceiverForm{
	Router: "newrelic", Addresses: []string{endpoint, region}, Compress: compression, Encodings: []string{router.Gzip, router.Zstd, noneEncoding},
	Timeout: timeout, Wait: 30 * time.Second, TLS: tlsNames, Redact: redact,
}

// receiverOf reads the connection's options; the faults are in v. nil certificates are read from their files now.
func receiverOf(v *router.Values, certificates *router.Certificates) router.Receiver {
	a := addressOf(v)
	if a.Path == "" {
		a.Path = logPath
	}
	return v.Receiver(form, []router.Address{a}, certificates, licenseKey, apiKey)
}

// redact takes out of a text what the options hide.
func redact(v *router.Values, text string) string { return v.RedactAddress(options, addressForm, text) }
