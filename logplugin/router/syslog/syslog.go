// Package syslog sends container logs to a syslog receiver: over UDP, TCP, TLS or a socket of this host.
//
// Use it through package router. The options are those of Docker's syslog log driver, with their names and formats, and a
// message is what Docker's driver would have sent, but for the exceptions in Differences. It adds what that driver lacks:
// certificates by reference, the server's name, octet counting on request, and several addresses.
//
// The protocol has no acknowledgement. Over TCP a batch counts as delivered when the receiver's host has acknowledged its
// bytes; what a receiver that dies had not read of them is lost. UDP loses what the network loses.
//
// Formats: RFC 3164, RFC 5424; framing: RFC 6587, RFC 5425.
package syslog

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	address  = "syslog-address"
	facility = "syslog-facility"
	format   = "syslog-format"
	framing  = "syslog-framing"
	timeout  = "syslog-timeout"
)

const secure = "tcp+tls" // the scheme with TLS

// Docker's names first, then ours.
var options = []router.Option{
	{Name: address, Address: true, Default: addressForm.Default},
	{Name: facility, Session: true, Default: "daemon"},
	{Name: format, Session: true, Apart: true}, // it decides how messages are framed over TLS
	{Name: "syslog-tls-ca-cert"},
	{Name: "syslog-tls-cert"},
	{Name: "syslog-tls-key", Credential: true},
	{Name: "syslog-tls-skip-verify", Default: "false", SkipsVerify: true},
	{Name: "syslog-tls-server-name"},
	{Name: framing, Default: framings[0]},
	{Name: timeout, Default: router.DefaultSocketTimeout.String()},
	fluentbit.Option("syslog"),
}

var tlsNames = router.TLSNames{
	CA:         []string{"syslog-tls-ca-cert"},
	Cert:       "syslog-tls-cert",
	Key:        "syslog-tls-key",
	ServerName: "syslog-tls-server-name",
	SkipVerify: "syslog-tls-skip-verify",
	NoTLS:      "tcp:// in syslog-address",
}

var addressForm = router.AddressForm{
	Option: address, Default: "unixgram:///dev/log", List: true,
	Ports:   map[string]string{"udp": "514", "tcp": "514", secure: "514", "unix": "", "unixgram": ""},
	Example: "udp://HOST:514, tcp://HOST:514, tcp+tls://HOST:6514, unix:///PATH or unixgram:///PATH",
}

// How messages are told apart on a stream: as Docker's driver does it, by their lengths, or by line breaks.
var framings = []string{"default", "octet-counting", "lf"}

// formats are the words of the option; the first is Docker's default.
var formats = []string{"", "rfc3164", "rfc5424", "rfc5424micro"}

var facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// Kind describes the router.
func Kind() router.Kind {
	return addressForm.Kind(router.Kind{
		Name: "syslog", Options: slices.Clone(options), Pieces: true,
		New: func(o router.Options) (router.Config, error) { return Parse(o) },
	})
}

// Config is a checked set of options. Only Parse makes one.
type Config struct {
	options router.Options
}

// Parse checks o as far as that is possible without asking for a secret. Options of other drivers are not looked at.
func Parse(o router.Options) (Config, error) {
	v := o.Unresolved()
	encoderOf(v, router.Session{})
	if err := v.Err(); err != nil {
		return Config{}, err
	}
	c := Config{o}
	return c, c.socket().Check()
}

// Batches implements router.Config.
func (Config) Batches() int { return 0 }

// Router implements router.Config.
func (c Config) Router() router.Router { return router.NewSocket(c.socket()) }

func (c Config) socket() router.SocketConfig {
	return router.SocketConfig{
		Router: "syslog", Options: c.options, List: options, Form: addressForm, Secure: secure, TLS: tlsNames, Timeout: timeout,
		Wire: c.wire,
	}
}

// wire says how messages are framed: Docker's driver counts octets over TLS, in the formats of RFC 5424 alone. A format that
// comes by reference is the encoder's to know, and octets are counted then.
func (c Config) wire(v *router.Values, a router.Address) router.Wire {
	switch v.OneOf(framing, framings...) {
	case "octet-counting":
		return router.Wire{Octets: a.Scheme == "tcp" || a.Scheme == secure || a.Scheme == "unix"}
	case "lf":
		return router.Wire{}
	}
	return router.Wire{Octets: a.Scheme == secure && (c.options.Secrets[format] != nil || strings.HasPrefix(v.String(format, ""), "rfc5424"))}
}

// style is what the session's options say.
type style struct {
	facility int
	format   string
}

func styleOf(v *router.Values) style {
	s := style{format: v.OneOf(format, formats...), facility: 3}
	text := v.String(facility, "")
	if text == "" {
		return s
	}
	if i := slices.Index(facilities, text); i >= 0 {
		s.facility = i
		return s
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n >= len(facilities) {
		v.Refuse("log-opt %s: %s is not a facility; write a name such as daemon or local0, or a number from 0 to 23", facility, v.Shown(facility))
	}
	s.facility = n
	return s
}

// Encoder implements router.Config.
func (c Config) Encoder(ctx context.Context, s router.Session) (router.Encoder, error) {
	return c.options.NewEncoder(ctx, "read syslog log-opts", options, func(v *router.Values) router.Encoder { return encoderOf(v, s) })
}

// encoderOf makes the encoder of a session; the faults are in v.
func encoderOf(v *router.Values, s router.Session) router.Encoder {
	style := styleOf(v)
	if f := settingsOf(v); f != nil {
		return asFluentBit(v, f)
	}
	return newEncoder(style, s)
}
