// Package loki sends container logs to Grafana Loki, or to anything that speaks its push protocol.
//
// Use it through package router. The options are those of Grafana's Docker plugin, as far as they make sense here, with
// their names and defaults; the others are refused with words. Certificates and keys may also be PEM text, and any option
// may be a secret.
//
// It promises at-least-once delivery: a batch is delivered when Loki answers 204, or when it says that it has stored the
// batch but for entries that it names; those are counted. Loki stores an entry that it has already got once. It refuses
// to follow redirects, which would carry a password elsewhere.
//
// Protocol: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
package loki

import (
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	encodingProtobuf = "protobuf"
	encodingJSON     = "json"
)

const (
	pushPath       = "/loki/api/v1/push"
	addressExample = "https://HOST" + pushPath
	op             = "read loki log-opts"
)

// The plugin's names first, then ours.
var options = slices.Concat([]router.Option{
	{Name: "loki-url", Required: true, Address: true},
	{Name: "loki-external-labels", Session: true, Template: true, Pairs: true, Default: "container_name={{.Name}}"},
	{Name: "loki-tenant-id"},
	{Name: "loki-timeout", Default: "10s"},
	{Name: "loki-batch-wait", Ignored: true},
	{Name: "loki-batch-size", Ignored: true},
	{Name: "loki-min-backoff", Ignored: true},
	{Name: "loki-max-backoff", Ignored: true},
	{Name: "loki-retries", Ignored: true},
	{Name: "no-file", Ignored: true},
	{Name: "keep-file", Ignored: true},
	{Name: "loki-tls-ca-file"},
	{Name: "loki-tls-cert-file"},
	{Name: "loki-tls-key-file", Credential: true},
	{Name: "loki-tls-insecure-skip-verify", Default: "false", SkipsVerify: true},
	{Name: "loki-user"},
	{Name: "loki-password", Credential: true},
	{Name: "loki-bearer-token", Credential: true},
	{Name: "loki-encoding", Session: true, Apart: true, Default: encodingProtobuf},
	{Name: "loki-structured-metadata", Session: true, Apart: true, Default: "true"}, // where Loki disallows it, it refuses the whole batch
	fluentbit.Option("loki"),
}, router.TLSOptions("loki"))

// refusedOptions are those of the plugin that have no place here.
var refusedOptions = map[string]string{
	"loki-pipeline-stages":     "lines are sent as they are; parse them in queries, or in Loki's pipeline",
	"loki-pipeline-stage-file": "lines are sent as they are; parse them in queries, or in Loki's pipeline",
	"loki-relabel-config":      "give the labels that you want in loki-external-labels, labels and env",
	"loki-proxy-url":           "set HTTPS_PROXY and NO_PROXY in the log driver's environment",
}

// renamed are the plugin's names of options that every router here has.
var renamed = map[string]string{
	"loki-tls-ca-file": "loki-ca-cert", "loki-tls-cert-file": "loki-client-cert", "loki-tls-key-file": "loki-client-key",
	"loki-tls-insecure-skip-verify": "loki-insecure-skip-verify",
}

var addressForm = router.AddressForm{
	Option: "loki-url", Ports: map[string]string{"https": "443", "http": "80"}, Path: true, List: true, Example: addressExample,
}

// Kind describes the router.
func Kind() router.Kind {
	return addressForm.Kind(router.Kind{
		Name: "loki", Options: slices.Clone(options), Refused: refusedOptions,
		New: parts.Config,
	})
}

var (
	tlsNames = router.PrefixTLS("loki", "http:// in loki-url")
	login    = router.Login{User: "loki-user", Password: "loki-password", Token: "loki-bearer-token"}
)

var parts = router.Parts{
	Op: op, List: options, Renamed: renamed, Router: newRouter,
	Check: func(_ router.Options, v *router.Values) {
		login.Check(v)
		connectionOf(v, nil)
	},
	Encoder: func(v *router.Values, s router.Session) router.Encoder { return sessionOf(v, s) },
}

// connection is what the options say of the receiver. It holds no credential.
type connection struct {
	router.Receiver
	tenant string
}

var form = router.ReceiverForm{
	Router: "loki", Addresses: []string{"loki-url"}, Encodings: []string{router.Gzip}, Timeout: "loki-timeout", Wait: 10 * time.Second, TLS: tlsNames, Redact: redact,
}

// connectionOf reads the connection's options; the faults are in v. nil certificates are read from their files now.
func connectionOf(v *router.Values, certificates *router.Certificates) connection {
	tenant := v.String("loki-tenant-id", "")
	if strings.ContainsFunc(tenant, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`/\`, r) }) {
		v.Refuse("log-opt loki-tenant-id: %s is not a tenant's id; it has letters, digits and !-_.*'() alone", v.Shown("loki-tenant-id"))
	}
	all := v.AddressList(addressForm)
	for i := range all {
		if !strings.HasSuffix(all[i].Path, "/push") {
			all[i].Path += pushPath
		}
	}
	return connection{v.Receiver(form, all, certificates, login.Credentials()...), tenant}
}

// client says how the client of c is made.
func (c connection) client() router.HTTPConfig { return c.Client() }

// redact takes out of a text what the options hide.
func redact(v *router.Values, text string) string { return v.RedactAddress(options, addressForm, text) }
