// Package datadog sends container logs to Datadog, or to anything that speaks its intake protocol.
//
// Use it through package router. Any option may be a secret.
//
// It promises at-least-once delivery: a batch is delivered when Datadog answers 202. A request never has more than what
// Datadog takes: 1,000 lines and 5 MB, and a line that is too long for it is cut with a mark. It refuses to follow
// redirects, which would carry the key elsewhere.
//
// Protocol: https://docs.datadoghq.com/api/latest/logs/#send-logs
package datadog

import (
	"regexp"
	"slices"
	"time"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	apiKey       = "datadog-api-key"
	site         = "datadog-site"
	intake       = "datadog-host"
	service      = "datadog-service"
	source       = "datadog-source"
	tags         = "datadog-tags"
	hostname     = "datadog-hostname"
	compress     = "datadog-compress"
	timeout      = "datadog-timeout"
	parseJSON    = "datadog-parse-json"
	defaultSite  = "datadoghq.com"
	noneEncoding = "none"
)

const (
	intakePath = "/api/v2/logs"
	op         = "read datadog log-opts"
)

var options = slices.Concat([]router.Option{
	{Name: apiKey, Required: true, Credential: true},
	{Name: site, Address: true, Default: defaultSite},
	{Name: intake, Address: true},
	{Name: service, Session: true, Template: true},
	{Name: source, Session: true, Template: true, Default: "docker"},
	{Name: tags, Session: true, Template: true},
	{Name: hostname, Session: true, Template: true},
	{Name: compress, Default: router.Gzip},
	{Name: timeout, Default: "30s"},
	{Name: parseJSON, Session: true, Default: "false"},
	fluentbit.Option("datadog"),
}, router.TLSOptions("datadog"))

// addressForm is that of datadog-host. What it has by default is made of datadog-site.
var addressForm = router.AddressForm{
	Option: intake, Ports: map[string]string{"https": "443", "http": "80"}, Path: true, Example: "https://http-intake.logs.datadoghq.com",
}

// Kind describes the router.
func Kind() router.Kind {
	return router.Kind{
		Name: "datadog", Options: slices.Clone(options), Ports: addressForm.Ports,
		Addresses: func(v *router.Values) []router.Address {
			if v.Waits(intake) || v.Waits(site) {
				return nil
			}
			return []router.Address{addressOf(v)}
		},
		New: parts.Config,
	}
}

var siteName = regexp.MustCompile(`^([a-z0-9-]+\.)+[a-z]+$`)

// addressOf returns where lines go; the faults are in v.
func addressOf(v *router.Values) router.Address {
	f := addressForm
	name := v.String(site, defaultSite)
	switch {
	case v.Waits(intake) || v.Waits(site):
		return router.Address{}
	case v.Has(intake) && v.Has(site):
		v.Refuse("log-opts %s and %s both say where to send; give one", site, intake)
	case v.Has(intake):
	case !siteName.MatchString(name):
		v.Refuse("log-opt %s: %s is not a site; write one such as %s, datadoghq.eu or us5.datadoghq.com", site, v.Shown(site), defaultSite)
		return router.Address{}
	default:
		f.Default = "https://http-intake.logs." + name
	}
	return v.Address(f)
}

var tlsNames = router.PrefixTLS("datadog", "http:// in "+intake)

var parts = router.Parts{
	Op: op, List: options, Router: newRouter,
	Check: func(_ router.Options, v *router.Values) {
		v.CheckHeader(apiKey)
		receiverOf(v, nil)
	},
	Encoder: func(v *router.Values, s router.Session) router.Encoder { return sessionOf(v, s) },
}

var form = router.ReceiverForm{
	Router: "datadog", Addresses: []string{intake, site}, Path: intakePath, Compress: compress, Encodings: []string{router.Gzip, router.Zstd, noneEncoding},
	Timeout: timeout, Wait: 30 * time.Second, TLS: tlsNames, Redact: redact,
}

// receiverOf reads the connection's options; the faults are in v. nil certificates are read from their files now.
func receiverOf(v *router.Values, certificates *router.Certificates) router.Receiver {
	return v.Receiver(form, []router.Address{addressOf(v)}, certificates, apiKey)
}

// redact takes out of a text what the options hide.
func redact(v *router.Values, text string) string { return v.RedactAddress(options, addressForm, text) }
