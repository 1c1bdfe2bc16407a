// Package http sends container logs to any receiver that takes JSON or text over HTTP.
//
// Use it through package router. Any option may be a secret, the address with a token in it too.
//
// It promises at-least-once delivery: a batch is delivered when the receiver answers with a status of 2xx and no web page. It
// refuses to follow redirects, which would carry a credential elsewhere.
package http

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	address      = "http-url"
	uri          = "http-uri"
	method       = "http-method"
	format       = "http-format"
	headers      = "http-header"
	headerTag    = "http-header-tag"
	compress     = "http-compress"
	dateKey      = "http-date-key"
	dateFormat   = "http-date-format"
	messageKey   = "http-message-key"
	fields       = "http-fields"
	timeout      = "http-timeout"
	parseJSON    = "http-parse-json"
	noneEncoding = "none"
	op           = "read http log-opts"
)

// Words of http-format.
const (
	jsonLines  = "json_lines"
	jsonArray  = "json"
	jsonStream = "json_stream"
	raw        = "raw"
	msgPack    = "msgpack"
	gelf       = "gelf"
)

// Words of http-date-format.
const (
	iso8601   = "iso8601"
	double    = "double"
	epoch     = "epoch"
	epochMS   = "epoch_ms"
	epochNano = "epoch_ns"
)

var options = slices.Concat([]router.Option{
	{Name: address, Required: true, Address: true},
	{Name: uri, Credential: true},
	{Name: method, Default: http.MethodPost},
	{Name: format, Session: true, Apart: true, Default: jsonLines},
	{Name: headers, Family: true, Credential: true},
	{Name: headerTag},
	{Name: "http-user"},
	{Name: "http-password", Credential: true},
	{Name: "http-bearer-token", Credential: true},
	{Name: compress, Default: noneEncoding},
	{Name: dateKey, Session: true, Default: "date"},
	{Name: dateFormat, Session: true, Default: iso8601},
	{Name: messageKey, Session: true, Default: "message"},
	{Name: fields, Session: true, Template: true, Pairs: true},
	{Name: timeout, Default: "30s"},
	{Name: parseJSON, Session: true, Default: "false"},
	fluentbit.Option("http"),
}, signing.Options(), router.TLSOptions("http"))

var signing = router.SigningForm{Router: "http"}

var addressForm = router.AddressForm{
	Option: address, Ports: map[string]string{"https": "443", "http": "80"}, Path: true, Query: true, List: true, Example: "https://HOST/PATH",
}

// Kind describes the router, whose requests are signed by sign where the options ask for it.
func Kind(sign router.Signing) router.Kind {
	return addressForm.Kind(router.Kind{
		Name: "http", Options: slices.Clone(options), New: partsWith(sign).Config,
	})
}

var (
	tlsNames = router.PrefixTLS("http", "http:// in "+address)
	given    = router.Headers{Family: headers}
	login    = router.Login{User: "http-user", Password: "http-password", Token: "http-bearer-token"}
)

func partsWith(sign router.Signing) router.Parts {
	return router.Parts{
		Op: op, List: options, Router: func(o router.Options) router.Router { return newRouter(o, sign) },
		Check: func(o router.Options, v *router.Values) {
			check(o, v)
			connectionOf(o, v, nil, sign)
		},
		Encoder: func(v *router.Values, s router.Session) router.Encoder { return sessionOf(v, s) },
	}
}

// credentialsOf are the options that go into each request.
func credentialsOf(o router.Options) []string {
	return append(o.Members(headers), login.Credentials()...)
}

// check looks at them.
func check(o router.Options, v *router.Values) {
	login.Check(v)
	given.Check(o, v)
}

var form = router.ReceiverForm{
	Router: "http", Addresses: []string{address}, Compress: compress, Encodings: []string{noneEncoding, router.Gzip, router.Zstd, router.Snappy},
	Timeout: timeout, Wait: 30 * time.Second, TLS: tlsNames, Redact: redact,
}

// connection is what the options say of the receiver, and of requests to it.
type connection struct {
	router.Receiver
	method string
	tag    string // the header for it; "" = none
}

// connectionOf reads the connection's options; the faults are in v. nil certificates are read from their files now.
func connectionOf(o router.Options, v *router.Values, certificates *router.Certificates, sign router.Signing) connection {
	signer := signing.Read(v, sign, login.Credentials()...)
	if signer != nil && given.Has(o, "Authorization") {
		v.Refuse("log-opts http-aws-auth and %s.Authorization are two ways to log in; give one", headers)
	}
	secrets := append(credentialsOf(o), signing.Credential(signer)...)
	if v.IsSecret(address) {
		secrets = append(secrets, address)
	}
	if v.IsSecret(uri) {
		secrets = append(secrets, uri)
	}
	all := v.AddressList(addressForm)
	conn := connection{v.Receiver(form, all, certificates, secrets...), v.OneOf(method, http.MethodPost, http.MethodPut), given.Named(o, v, headerTag)}
	conn.Signer = signer
	path := pathOf(v, all)
	conn.Base += path
	for i := range conn.Others {
		conn.Others[i] += path
	}
	return conn
}

// pathOf returns what http-uri gives to stand behind the addresses: a path and a query, which may hold a token. Its value is in no
// error.
func pathOf(v *router.Values, addresses []router.Address) string {
	if !v.Has(uri) || v.Waits(uri) {
		return ""
	}
	path := v.String(uri, "")
	u, err := url.ParseRequestURI(path)
	switch {
	case slices.ContainsFunc(addresses, func(a router.Address) bool { return a.Path != "" || a.Query != "" }):
		v.Refuse("log-opts %s and %s both give a path; give one", address, uri)
	case err != nil || u.Host != "" || !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }):
		v.Refuse("log-opt %s is not a path that begins with a slash, with or without a query", uri)
	}
	return path
}

// redact takes out of a text what the options hide. An address has its token in its path or its query, and is left out of
// errors but for scheme, host and port.
func redact(v *router.Values, text string) string { return v.RedactAddress(options, addressForm, text) }
