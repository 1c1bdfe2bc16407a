// Package logdna sends container logs to Mezmo, which was LogDNA, or what takes its ingestion API.
//
// Use it through package router. It promises at-least-once delivery: a batch is delivered when the receiver answers 200. Records of
// containers whose host name or tags differ go in requests of their own, because both belong to a request.
//
// Protocol: https://docs.mezmo.com/reference/ingest
package logdna

import (
	"slices"
	"time"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	apiKey       = "logdna-api-key"
	address      = "logdna-url"
	hostname     = "logdna-hostname"
	mac          = "logdna-mac"
	ip           = "logdna-ip"
	tags         = "logdna-tags"
	app          = "logdna-app"
	file         = "logdna-file"
	compress     = "logdna-compress"
	timeout      = "logdna-timeout"
	noneEncoding = "none"
)

const (
	ingestPath = "/logs/ingest"
	op         = "read logdna log-opts"
)

var options = slices.Concat([]router.Option{
	{Name: apiKey, Required: true, Credential: true},
	{Name: address, Address: true, Default: addressForm.Default},
	{Name: hostname, Session: true, Template: true},
	{Name: mac, Session: true},
	{Name: ip, Session: true},
	{Name: tags, Session: true, Template: true},
	{Name: app, Session: true, Template: true},
	{Name: file, Session: true, Template: true},
	{Name: compress, Default: noneEncoding},
	{Name: timeout, Default: "30s"},
	fluentbit.Option("logdna"),
}, router.TLSOptions("logdna"))

var addressForm = router.AddressForm{
	Option: address, Default: "https://logs.mezmo.com" + ingestPath, Ports: map[string]string{"https": "443", "http": "80"}, Path: true,
	Example: "https://logs.mezmo.com" + ingestPath,
}

// Kind describes the router.
func Kind() router.Kind {
	return addressForm.Kind(router.Kind{Name: "logdna", Options: slices.Clone(options), New: parts.Config})
}

var tlsNames = router.PrefixTLS("logdna", "http:// in "+address)

var parts = router.Parts{
	Op: op, List: options, Router: newRouter,
	Check: func(_ router.Options, v *router.Values) {
		v.CheckHeader(apiKey)
		receiverOf(v, nil)
	},
	Encoder: func(v *router.Values, s router.Session) router.Encoder { return encoderOf(v, s) },
}

var form = router.ReceiverForm{
	Router: "logdna", Addresses: []string{address}, Compress: compress, Encodings: []string{noneEncoding, router.Gzip},
	Timeout: timeout, Wait: 30 * time.Second, TLS: tlsNames, Redact: redact,
}

// receiverOf reads the connection's options but the key; the faults are in v. nil certificates are read from their files now.
func receiverOf(v *router.Values, certificates *router.Certificates) router.Receiver {
	a := v.Address(addressForm)
	if a.Path == "" {
		a.Path = ingestPath
	}
	return v.Receiver(form, []router.Address{a}, certificates, apiKey)
}

// redact takes out of a text what the options hide.
func redact(v *router.Values, text string) string { return v.RedactAddress(options, addressForm, text) }
