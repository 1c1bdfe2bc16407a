// Package tcp sends container logs as JSON, msgpack or plain lines over TCP or TLS, as the output tcp of Fluent Bit does.
//
// Use it through package router, for a collector that listens on a port and speaks none of the protocols that have a router of
// their own. A record has the names of ECS: container_id, container_name, source and log.
//
// The protocol has no acknowledgement. A batch counts as delivered when the receiver's host has acknowledged its bytes; what a
// receiver that dies had not read of them is lost.
package tcp

import (
	"slices"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	address    = "tcp-address"
	format     = "tcp-format"
	dateKey    = "tcp-date-key"
	dateFormat = "tcp-date-format"
	timeout    = "tcp-timeout"
)

const secure = "tcp+tls" // the scheme with TLS

// Words of tcp-format.
const (
	jsonLines  = "json_lines"
	jsonArray  = "json"
	jsonStream = "json_stream"
	msgPack    = "msgpack"
	raw        = "raw"
)

var options = []router.Option{
	{Name: address, Required: true, Address: true},
	{Name: format, Session: true, Apart: true, Default: jsonLines},
	{Name: dateKey, Session: true, Default: "date"},
	{Name: dateFormat, Session: true, Default: fluentbit.ISO8601},
	{Name: "tcp-tls-ca-cert"},
	{Name: "tcp-tls-cert"},
	{Name: "tcp-tls-key", Credential: true},
	{Name: "tcp-tls-server-name"},
	{Name: "tcp-tls-skip-verify", Default: "false", SkipsVerify: true},
	{Name: timeout, Default: router.DefaultSocketTimeout.String()},
}

var tlsNames = router.TLSNames{
	CA:         []string{"tcp-tls-ca-cert"},
	Cert:       "tcp-tls-cert",
	Key:        "tcp-tls-key",
	ServerName: "tcp-tls-server-name",
	SkipVerify: "tcp-tls-skip-verify",
	NoTLS:      "tcp:// in tcp-address",
}

var addressForm = router.AddressForm{
	Option: address, List: true, Ports: map[string]string{"tcp": "5170", secure: "5170"}, Example: "tcp://HOST:5170 or tcp+tls://HOST:5170",
}

// Kind describes the router.
func Kind() router.Kind {
	return addressForm.Kind(router.Kind{Name: "tcp", Options: slices.Clone(options), New: parts.Config})
}

var parts = router.Parts{
	Op: "read tcp log-opts", List: options,
	Router:  func(o router.Options) router.Router { return router.NewSocket(socket(o)) },
	Check:   func(o router.Options, v *router.Values) { socket(o).Read(v) },
	Encoder: func(v *router.Values, s router.Session) router.Encoder { return encoderOf(v, s) },
}

func socket(o router.Options) router.SocketConfig {
	return router.SocketConfig{
		Router: "tcp", Options: o, List: options, Form: addressForm, Secure: secure, TLS: tlsNames, Timeout: timeout,
		Wire: func(*router.Values, router.Address) router.Wire { return router.Wire{} },
	}
}
