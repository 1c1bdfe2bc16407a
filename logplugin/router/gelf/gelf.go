// Package gelf sends container logs to Graylog, or what takes the Graylog Extended Log Format, over UDP, TCP or TLS.
//
// Use it through package router. The options are those of Docker's gelf log driver, with their names and formats, and a
// message is what Docker's driver would have sent, but for the exceptions in Differences. It adds what that driver lacks:
// TLS with certificates by reference, and several addresses.
//
// The protocol has no acknowledgement. Over TCP a batch counts as delivered when the receiver's host has acknowledged its
// bytes; what a receiver that dies had not read of them is lost. UDP loses what the network loses.
//
// Format: https://go2docs.graylog.org/current/getting_in_log_data/gelf.html
package gelf

import (
	"context"
	"slices"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	address     = "gelf-address"
	compression = "gelf-compression-type"
	level       = "gelf-compression-level"
	reconnects  = "gelf-tcp-max-reconnect"
	delay       = "gelf-tcp-reconnect-delay"
	timeout     = "gelf-timeout"
)

const secure = "tcp+tls" // the scheme with TLS

// Docker's names first, then ours.
var options = []router.Option{
	{Name: address, Required: true, Address: true},
	{Name: compression, Default: compressions[0]},
	{Name: level, Default: "1"},
	{Name: reconnects, Ignored: true},
	{Name: delay, Ignored: true},
	{Name: "gelf-tls-ca-cert"},
	{Name: "gelf-tls-cert"},
	{Name: "gelf-tls-key", Credential: true},
	{Name: "gelf-tls-server-name"},
	{Name: "gelf-tls-skip-verify", Default: "false", SkipsVerify: true},
	{Name: timeout, Default: router.DefaultSocketTimeout.String()},
	fluentbit.Option("gelf"),
}

var tlsNames = router.TLSNames{
	CA:         []string{"gelf-tls-ca-cert"},
	Cert:       "gelf-tls-cert",
	Key:        "gelf-tls-key",
	ServerName: "gelf-tls-server-name",
	SkipVerify: "gelf-tls-skip-verify",
	NoTLS:      "tcp:// in gelf-address",
}

var addressForm = router.AddressForm{
	Option: address, List: true, Ports: map[string]string{"udp": "12201", "tcp": "12201", secure: "12201"},
	Example: "udp://HOST:12201, tcp://HOST:12201 or tcp+tls://HOST:12201",
}

var compressions = []string{"gzip", "zlib", "none"}

// Kind describes the router.
func Kind() router.Kind {
	return addressForm.Kind(router.Kind{
		Name: "gelf", Options: slices.Clone(options), Pieces: true, Command: true,
		New: func(o router.Options) (router.Config, error) { return Parse(o) },
	})
}

// Config is a checked set of options. Only Parse makes one.
type Config struct {
	options router.Options
}

// Parse checks o as far as that is possible without asking for a secret. Options of other drivers are not looked at.
func Parse(o router.Options) (Config, error) {
	c := Config{o}
	v := o.Unresolved()
	v.Int(reconnects, 0, 0, 1<<62)
	v.Int(delay, 0, 0, 1<<62)
	checkProtocols(v)
	settingsOf(v)
	if err := v.Err(); err != nil {
		return Config{}, err
	}
	return c, c.socket(&compressor{}).Check()
}

// checkProtocols refuses options of the protocol that is not used, as Docker's driver does.
func checkProtocols(v *router.Values) {
	if v.Waits(address) {
		return
	}
	all := v.AddressList(addressForm)
	packets := slices.ContainsFunc(all, func(a router.Address) bool { return a.Scheme == "udp" })
	streams := slices.ContainsFunc(all, func(a router.Address) bool { return a.Scheme != "udp" })
	for _, name := range []string{compression, level} {
		if v.Has(name) && !packets {
			v.Refuse("log-opt %s needs a gelf-address that begins with udp://: only datagrams are compressed", name)
		}
	}
	for _, name := range []string{reconnects, delay} {
		if v.Has(name) && !streams {
			v.Refuse("log-opt %s needs a gelf-address that begins with tcp:// or tcp+tls://", name)
		}
	}
}

// Batches implements router.Config.
func (Config) Batches() int { return 0 }

// Router implements router.Config.
func (c Config) Router() router.Router { return router.NewSocket(c.socket(&compressor{})) }

func (c Config) socket(z *compressor) router.SocketConfig {
	return router.SocketConfig{
		Router: "gelf", Options: c.options, List: options, Form: addressForm, Secure: secure, TLS: tlsNames, Timeout: timeout,
		Wire: func(v *router.Values, a router.Address) router.Wire {
			z.set(v.OneOf(compression, compressions...), int(v.Int(level, 1, -1, 9)))
			if a.Scheme != "udp" {
				return router.Wire{}
			}
			return router.Wire{Datagram: z.datagrams}
		},
	}
}

// Encoder implements router.Config.
func (c Config) Encoder(ctx context.Context, s router.Session) (router.Encoder, error) {
	return c.options.NewEncoder(ctx, "read gelf log-opts", options, func(v *router.Values) router.Encoder {
		if f := settingsOf(v); f != nil {
			return FluentEncoder{fluentbit.NewGELF(s, f, maxFluent)}
		}
		return newEncoder(s)
	})
}
