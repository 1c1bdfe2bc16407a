// Package otlp sends container logs to an OpenTelemetry Collector, or to anything that takes OTLP over HTTP.
//
// Use it through package router. Requests are protocol buffers, with resource and log attributes named by OpenTelemetry's
// semantic conventions. Certificates and keys may also be PEM text, and any option may be a secret.
//
// It promises at-least-once delivery: a batch is delivered when the receiver answers 200 with OTLP's message. Records that
// the message says were rejected are counted, and not sent again. It refuses to follow redirects, which would carry a
// credential elsewhere.
//
// Protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp
package otlp

import (
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	endpoint    = "otlp-endpoint"
	headers     = "otlp-headers"
	compression = "otlp-compression"
	timeout     = "otlp-timeout"
	resource    = "otlp-resource"
	severities  = "otlp-severity"
	parseJSON   = "otlp-parse-json"
)

// Words of otlp-severity.
const (
	bySource = "stream"
	byLevel  = "level"
	unknown  = "none"
)

const (
	op             = "read otlp log-opts"
	logsPath       = "/v1/logs"
	addressExample = "https://HOST:4318"
)

var options = slices.Concat([]router.Option{
	{Name: endpoint, Required: true, Address: true},
	{Name: headers, Family: true, Credential: true},
	{Name: compression, Default: router.Gzip},
	{Name: timeout, Default: "10s"},
	{Name: resource, Session: true, Template: true, Pairs: true},
	{Name: severities, Session: true, Default: bySource},
	{Name: parseJSON, Session: true, Default: "false"},
	fluentbit.Option("otlp"),
}, router.TLSOptions("otlp"))

var addressForm = router.AddressForm{
	Option: endpoint, Ports: map[string]string{"https": "443", "http": "80"}, Path: true, List: true, Example: addressExample,
}

// Kind describes the router.
func Kind() router.Kind {
	return addressForm.Kind(router.Kind{
		Name: "otlp", Options: slices.Clone(options),
		New: parts.Config,
	})
}

var (
	tlsNames = router.PrefixTLS("otlp", "http:// in "+endpoint)
	given    = router.Headers{Family: headers, Own: []string{"Content-Type"}}
)

var parts = router.Parts{
	Op: op, List: options, Router: newRouter,
	Check: func(o router.Options, v *router.Values) {
		given.Check(o, v)
		connectionOf(o, v, nil)
	},
	Encoder: func(v *router.Values, s router.Session) router.Encoder { return sessionOf(v, s) },
}

// connection is what the options say of the receiver. It holds no credential.
type connection struct {
	router.Receiver
	portHint string // for a receiver that does not answer
}

var form = router.ReceiverForm{
	Router: "otlp", Addresses: []string{endpoint}, Compress: compression, Encodings: []string{router.Gzip, router.Zstd, "none"},
	Timeout: timeout, Wait: 10 * time.Second, TLS: tlsNames, Redact: redact,
}

// connectionOf reads the connection's options; the faults are in v. nil certificates are read from their files now.
func connectionOf(o router.Options, v *router.Values, certificates *router.Certificates) connection {
	var conn connection
	all := v.AddressList(addressForm)
	for i, a := range all {
		switch {
		case a.NoPort:
			conn.portHint = "collectors listen on port 4318, and " + endpoint + " has no port"
		case a.Port == "4317":
			conn.portHint = "port 4317 is that of OTLP over gRPC; over HTTP it is 4318"
		}
		if !strings.HasSuffix(a.Path, logsPath) {
			all[i].Path += logsPath
		}
	}
	conn.Receiver = v.Receiver(form, all, certificates, o.Members(headers)...)
	return conn
}

// client says how the client of c is made.
func (c connection) client() router.HTTPConfig { return c.Client() }

// redact takes out of a text what the options hide.
func redact(v *router.Values, text string) string { return v.RedactAddress(options, addressForm, text) }
