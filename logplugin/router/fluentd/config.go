// Package fluentd sends container logs to Fluentd, Fluent Bit or anything else that takes the Forward protocol.
//
// Use it through package router. The options are those of Docker's fluentd log driver, with their names and formats, so
// that a record is what Docker's driver would have sent; the list Differences has the exceptions. What that driver lacks is added: shared
// key, user and password, TLS with one's own CA and client certificate, and gzip. Any option may be a secret.
//
// With fluentd-request-ack delivery is at least once. Without, the protocol has no answer: what is in flight when a
// receiver ends is lost, and Send tells only of what the network told.
//
// Protocol: https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
package fluentd

import (
	"crypto/tls"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Docker's names first, then ours.
var options = []router.Option{
	{Name: "fluentd-address"},
	{Name: "fluentd-async", Ignored: true},
	{Name: "fluentd-async-connect", Ignored: true}, // up to 20.10
	{Name: "fluentd-async-reconnect-interval", Ignored: true},
	{Name: "fluentd-buffer-limit", Ignored: true},
	{Name: "fluentd-max-retries", Ignored: true},
	{Name: "fluentd-retry-wait", Ignored: true},
	{Name: "fluentd-request-ack"},
	{Name: "fluentd-sub-second-precision", Session: true},
	{Name: "fluentd-write-timeout"},
	{Name: "fluentd-read-timeout"},
	{Name: "fluentd-shared-key"},
	{Name: "fluentd-username"},
	{Name: "fluentd-password"},
	{Name: "fluentd-self-hostname"},
	{Name: "fluentd-tls-ca-cert"},
	{Name: "fluentd-tls-cert"},
	{Name: "fluentd-tls-key"},
	{Name: "fluentd-tls-server-name"},
	{Name: "fluentd-tls-skip-verify"},
	{Name: "fluentd-compress"},
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

// Options lists the router's own log options.
func Options() []router.Option { return slices.Clone(options) }

func isSession(name string) bool {
	return slices.ContainsFunc(options, func(o router.Option) bool { return o.Name == name && o.Session })
}

func isConnection(name string) bool {
	return slices.ContainsFunc(options, func(o router.Option) bool { return o.Name == name && !o.Session && !o.Ignored })
}

// Config is a checked set of options. Only Parse makes one.
type Config struct {
	options router.Options
}

// Parse checks o as far as that is possible without asking for a secret. Options of other drivers are not looked at.
func Parse(o router.Options) (Config, error) {
	v := o.Unresolved()
	v.Bool("fluentd-sub-second-precision", false)
	checkIgnored(v)
	targetOf(v)
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

// isSize knows the sizes that Docker's options take: a number, k m g t p in any case, b or iB.
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

// target is what the options say of the receiver. It holds no credential.
type target struct {
	network, address string // of net.Dial
	hidden           bool   // the address came by reference, and is shown nowhere
	tls              *tls.Config
	ack, gzip        bool
	handshake        bool // a shared key or a user is given: the receiver speaks first
	selfHostname     string
	write, read      time.Duration
}

// Timeouts where Docker's default is to wait for ever.
const (
	defaultWrite = 30 * time.Second
	defaultRead  = time.Minute
	maxTimeout   = 10 * time.Minute
)

// name is how errors call the receiver.
func (t target) name() string {
	if t.hidden {
		return "the fluentd receiver"
	}
	scheme := t.network
	if t.tls != nil {
		scheme = "tls"
	}
	return scheme + "://" + t.address
}

// targetOf reads the connection's options; the faults are in v.
func targetOf(v *router.Values) target {
	t := target{
		ack:          v.Bool("fluentd-request-ack", false),
		gzip:         v.OneOf("fluentd-compress", "none", "gzip") == "gzip",
		selfHostname: v.String("fluentd-self-hostname", ""),
		write:        v.Duration("fluentd-write-timeout", 0, 0, maxTimeout),
		read:         v.Duration("fluentd-read-timeout", 0, 0, maxTimeout),
		handshake:    v.Has("fluentd-shared-key") || v.Has("fluentd-username"),
		hidden:       v.IsSecret("fluentd-address"),
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
	secure := false
	if !v.Waits("fluentd-address") {
		t.network, t.address, secure = address(v)
	}
	c := v.TLS(tlsNames)
	if secure {
		if c.ServerName == "" {
			c.ServerName, _, _ = net.SplitHostPort(t.address)
		}
		t.tls = c
		return t
	}
	for _, o := range options {
		if strings.HasPrefix(o.Name, "fluentd-tls-") && v.Has(o.Name) && !v.Waits("fluentd-address") {
			v.Refuse("log-opt %s needs a fluentd-address that begins with tls://", o.Name)
		}
	}
	return t
}

// address reads fluentd-address: host, host:port, tcp://, tls:// or unix://. Its text is not shown: it may hold what
// does not belong there.
func address(v *router.Values) (network, addr string, secure bool) {
	const wrong = "log-opt fluentd-address is not of the form tcp://host:port, tls://host:port or unix:///path"
	text := v.String("fluentd-address", "")
	if text == "" {
		text = "tcp://127.0.0.1:24224"
	}
	if !strings.Contains(text, "://") {
		text = "tcp://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		v.Refuse(wrong)
		return "", "", false
	}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || strings.Trim(u.Path, "/") == "" {
			v.Refuse(wrong)
		}
		return "unix", u.Path, false
	case "tcp", "tls":
	default:
		v.Refuse(wrong)
		return "", "", false
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "127.0.0.1"
	}
	if port == "" {
		port = "24224"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || u.Path != "" {
		v.Refuse(wrong)
	}
	return "tcp", net.JoinHostPort(host, port), u.Scheme == "tls"
}
