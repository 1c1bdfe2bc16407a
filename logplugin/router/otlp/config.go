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
	"crypto/tls"
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
	Option: endpoint, Ports: map[string]string{"https": "443", "http": "80"}, Path: true, Example: addressExample,
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
	base     string // scheme, host and path of the request
	name     string // how errors call the receiver
	hidden   bool   // the address came by reference, and is shown nowhere
	portHint string // for a receiver that does not answer
	tls      *tls.Config
	timeout  time.Duration
	encoding string // of bodies; "" = none
}

// connectionOf reads the connection's options; the faults are in v. nil certificates are read from their files now.
func connectionOf(o router.Options, v *router.Values, certificates *router.Certificates) connection {
	conn := connection{
		hidden:   v.IsSecret(endpoint),
		timeout:  v.Duration(timeout, 10*time.Second, time.Second, 10*time.Minute),
		encoding: v.Compression(compression, router.Gzip, router.Zstd, "none"),
	}
	a := v.Address(addressForm)
	switch {
	case v.Waits(endpoint):
	case strings.HasSuffix(a.Path, logsPath):
		conn.base = a.Base() + a.Path
	default:
		conn.base = a.Base() + a.Path + logsPath
	}
	switch {
	case a.NoPort:
		conn.portHint = "collectors listen on port 4318, and " + endpoint + " has no port"
	case a.Port == "4317":
		conn.portHint = "port 4317 is that of OTLP over gRPC; over HTTP it is 4318"
	}
	conn.name = a.Shown(conn.hidden, "otlp")
	v.CheckPlaintext("otlp", a, o.Members(headers)...)
	conn.tls = certificates.Config(v, tlsNames)
	return conn
}

// client says how the client of c is made.
func (c connection) client() router.HTTPConfig {
	return router.HTTPConfig{Base: c.base, Hidden: c.hidden, TLS: c.tls, Timeout: c.timeout, Encoding: c.encoding, Level: router.DefaultLevel, Redact: redact}
}

// redact takes out of a text what the options hide.
func redact(v *router.Values, text string) string { return v.RedactAddress(options, addressForm, text) }
