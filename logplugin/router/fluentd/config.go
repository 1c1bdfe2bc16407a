// Package fluentd sends container logs to Fluentd, Fluent Bit or anything else that takes the Forward protocol.
//
// Use it through package router. The options are those of Docker's fluentd log driver, with their names and formats, and a
// record is what Docker's driver would have sent, but for the exceptions in Differences. It adds what that driver lacks:
// shared key, user and password, TLS with its own CA and client certificate, gzip, and several addresses. Any option may be
// a secret.
//
// With fluentd-request-ack delivery is at least once. Without it the protocol has no answer: what is in flight when a
// receiver ends is lost, and Send reports only the errors of the network.
//
// Protocol: https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
package fluentd

import (
	"context"
	"crypto/tls"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Docker's names first, then ours.
var options = []router.Option{
	{Name: addressForm.Option, Address: true, Default: addressForm.Default},
	{Name: "fluentd-async", Ignored: true},
	{Name: "fluentd-async-connect", Ignored: true}, // up to 20.10
	{Name: "fluentd-async-reconnect-interval", Ignored: true},
	{Name: "fluentd-buffer-limit", Ignored: true},
	{Name: "fluentd-max-retries", Ignored: true},
	{Name: "fluentd-retry-wait", Ignored: true},
	{Name: "fluentd-request-ack", Default: "false"},
	{Name: "fluentd-sub-second-precision", Session: true, Default: "false"},
	{Name: "fluentd-write-timeout", Default: "30s"},
	{Name: "fluentd-read-timeout", Default: "1m"},
	{Name: "fluentd-shared-key", Credential: true},
	{Name: "fluentd-username"},
	{Name: "fluentd-password", Credential: true},
	{Name: "fluentd-self-hostname"},
	{Name: "fluentd-tls-ca-cert"},
	{Name: "fluentd-tls-cert"},
	{Name: "fluentd-tls-key", Credential: true},
	{Name: "fluentd-tls-server-name"},
	{Name: "fluentd-tls-skip-verify", Default: "false", SkipsVerify: true},
	{Name: "fluentd-compress", Default: "none"},
}

var tlsNames = router.TLSNames{
	CA:         []string{"fluentd-tls-ca-cert"},
	Cert:       "fluentd-tls-cert",
	Key:        "fluentd-tls-key",
	ServerName: "fluentd-tls-server-name",
	SkipVerify: "fluentd-tls-skip-verify",
	NoTLS:      "tcp:// in fluentd-address",
}

// The options whose values a handshake uses.
var credentials = []string{"fluentd-shared-key", "fluentd-username", "fluentd-password"}

var addressForm = router.AddressForm{
	Option: "fluentd-address", Default: "tcp://127.0.0.1:24224", Scheme: "tcp", List: true,
	Ports: map[string]string{"tcp": "24224", "tls": "24224", "unix": ""}, Example: "tcp://HOST:24224, tls://HOST:24224 or unix:///PATH",
}

// Kind describes the router.
func Kind() router.Kind {
	return addressForm.Kind(router.Kind{
		Name: "fluentd", Options: slices.Clone(options), Pieces: true,
		New: func(o router.Options) (router.Config, error) { return Parse(o) },
	})
}

// Config is a checked set of options. Only Parse makes one.
type Config struct {
	options router.Options
}

// Batches implements router.Config.
func (Config) Batches() int { return 0 }

// Router implements router.Config.
func (c Config) Router() router.Router { return New(c) }

// Encoder implements router.Config.
func (c Config) Encoder(ctx context.Context, s router.Session) (router.Encoder, error) {
	e, err := NewEncoder(ctx, c, s)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Parse checks o as far as that is possible without asking for a secret. Options of other drivers are not looked at.
func Parse(o router.Options) (Config, error) {
	v := o.Unresolved()
	v.Bool("fluentd-sub-second-precision", false)
	checkIgnored(v)
	targetOf(v, nil)
	return Config{o}, v.Err()
}

// checkIgnored refuses what Docker's driver would refuse, so that a typing error is not taken in silence.
func checkIgnored(v *router.Values) {
	v.Bool("fluentd-async", false)
	v.Bool("fluentd-async-connect", false)
	if v.Has("fluentd-async") && v.Has("fluentd-async-connect") {
		v.Refuse("log-opts fluentd-async and fluentd-async-connect are the same thing; give one")
	}
	if v.Duration("fluentd-async-reconnect-interval", 0, 0, 10*time.Second) != 0 {
		v.Duration("fluentd-async-reconnect-interval", 0, 100*time.Millisecond, 10*time.Second)
	}
	v.Int("fluentd-max-retries", 0, 0, 1<<62)
	v.Duration("fluentd-retry-wait", 0, 0, 1<<62)
	if v.Has("fluentd-buffer-limit") && !v.Waits("fluentd-buffer-limit") && !isSize(v.String("fluentd-buffer-limit", "")) {
		v.Refuse("log-opt fluentd-buffer-limit: %s is not a size like 8m or 1MiB", v.Shown("fluentd-buffer-limit"))
	}
}

// isSize knows the sizes that Docker's options take: a number, k m g t p in any case, b or iB. Unlike those of shared/size
// they may have a fraction.
func isSize(s string) bool {
	number := strings.TrimRight(strings.ToLower(s), "bi")
	number = strings.TrimSpace(strings.TrimRight(number, "kmgtp"))
	if n, err := strconv.ParseFloat(number, 64); err != nil || !(n >= 0) || strings.ContainsAny(number, "xn_") {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(s[len(number):])) {
	case "", "b", "k", "kb", "kib", "m", "mb", "mib", "g", "gb", "gib", "t", "tb", "tib", "p", "pb", "pib":
		return true
	}
	return false
}

// target is what the options say of the receivers. It holds no credential.
type target struct {
	addresses    []router.Address
	hidden       bool        // the addresses came by reference, and are shown nowhere
	tls          *tls.Config // for those that have it
	ack, gzip    bool
	handshake    bool // a shared key or a user is given: the receiver speaks first
	selfHostname string
	write, read  time.Duration
}

// Timeouts, where Docker's default is to wait without end.
const (
	defaultWrite = 30 * time.Second
	defaultRead  = time.Minute
	maxTimeout   = 10 * time.Minute
)

// name is how errors call the receiver at an address.
func (t target) name(i int) string {
	if t.hidden {
		return "the fluentd receiver"
	}
	return t.addresses[i].String()
}

// targetOf reads the connection's options; the faults are in v. Certificates come from c, which may be nil.
func targetOf(v *router.Values, c *router.Certificates) target {
	t := target{
		ack:          v.Bool("fluentd-request-ack", false),
		gzip:         v.OneOf("fluentd-compress", "none", "gzip") == "gzip",
		selfHostname: v.String("fluentd-self-hostname", ""),
		write:        v.Duration("fluentd-write-timeout", 0, 0, maxTimeout),
		read:         v.Duration("fluentd-read-timeout", 0, 0, maxTimeout),
		handshake:    v.Has("fluentd-shared-key") || v.Has("fluentd-username"),
		hidden:       v.IsSecret(addressForm.Option),
		addresses:    v.AddressList(addressForm),
		tls:          c.Config(v, tlsNames),
	}
	if t.write == 0 {
		t.write = defaultWrite
	}
	if t.read == 0 {
		t.read = defaultRead
	}
	if v.Has("fluentd-username") != v.Has("fluentd-password") {
		v.Refuse("log-opts fluentd-username and fluentd-password need each other; give both")
	}
	secure := v.Waits(addressForm.Option) || slices.ContainsFunc(t.addresses, func(a router.Address) bool { return a.Scheme == secureScheme })
	for _, name := range append(tlsNames.Credentials(), tlsNames.ServerName, tlsNames.SkipVerify) {
		if v.Has(name) && !secure {
			v.Refuse("log-opt %s needs a %s that begins with %s://", name, addressForm.Option, secureScheme)
		}
	}
	return t
}

// dialed is the network of an address and what to dial in it.
func dialed(a router.Address) (network, address string) {
	if router.IsFile(a.Scheme) {
		return a.Scheme, a.Path
	}
	return "tcp", a.HostPort()
}

// secureScheme is the scheme with TLS.
const secureScheme = "tls"
