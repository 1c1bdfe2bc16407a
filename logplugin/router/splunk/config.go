// Package splunk sends container logs to a Splunk HTTP Event Collector (HEC), or to anything that speaks its protocol.
//
// Use it through package router. The options are those of Docker's splunk log driver, with their names, defaults and
// formats, so that what arrives is what Docker's driver would have sent; the list Differences has the exceptions. Certificates and keys
// may also be PEM text, and any option may be a secret.
//
// It promises at-least-once delivery as far as HEC's answers allow: with splunk-index-acknowledgment a batch is delivered when the
// indexers have it. It refuses to follow redirects, which would carry the token elsewhere.
//
// Protocol: https://docs.splunk.com/Documentation/Splunk/latest/Data/HECRESTendpoints and
// https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector (codes).
package splunk

import (
	"crypto/tls"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const op = "read splunk log-opts"

const (
	formatInline = "inline"
	formatJSON   = "json"
	formatRaw    = "raw"
)

var formats = []string{formatInline, formatJSON, formatRaw}

// Docker's names first, then ours.
var options = []router.Option{
	{Name: "splunk-url", Required: true, Address: true},
	{Name: "splunk-token", Required: true, Credential: true},
	{Name: "splunk-source", Session: true, Template: true},
	{Name: "splunk-sourcetype", Session: true, Template: true},
	{Name: "splunk-index", Session: true, Apart: true, Template: true}, // code 7 stops everybody who is in the batch
	{Name: "splunk-capath"},
	{Name: "splunk-caname"},
	{Name: "splunk-insecureskipverify", Default: "false", SkipsVerify: true},
	{Name: "splunk-format", Session: true, Default: formatInline},
	{Name: "splunk-verify-connection", Default: "true"},
	{Name: "splunk-gzip", Default: "false"},
	{Name: "splunk-gzip-level", Default: "-1"},
	{Name: "splunk-index-acknowledgment", Default: "false"},
	{Name: "splunk-timeout", Default: "30s"},
	{Name: "splunk-accept-any-2xx", Default: "false"},
	{Name: "splunk-ca-cert"},
	{Name: "splunk-client-cert"},
	{Name: "splunk-client-key", Credential: true},
	fluentbit.Option("splunk"),
}

var addressForm = router.AddressForm{
	Option: "splunk-url", Ports: map[string]string{"https": "443", "http": "80"}, Path: true, List: true, Example: "https://HOST:8088",
}

// Kind describes the router.
func Kind() router.Kind {
	return addressForm.Kind(router.Kind{
		Name: "splunk", Options: slices.Clone(options), EmptyTag: true,
		New: configOf,
	})
}

var tlsNames = router.TLSNames{
	CA:         []string{"splunk-capath", "splunk-ca-cert"},
	Cert:       "splunk-client-cert",
	Key:        "splunk-client-key",
	ServerName: "splunk-caname",
	SkipVerify: "splunk-insecureskipverify",
	NoTLS:      "http:// in splunk-url",
}

var parts = router.Parts{
	Op: op, List: options, Router: newRouter,
	Check: func(_ router.Options, v *router.Values) {
		checkToken(v)
		connectionOf(v, nil)
	},
	Encoder: func(v *router.Values, s router.Session) router.Encoder { return sessionOf(v, s) },
}

// acknowledgedBatches may be under way at once when each waits for the indexers, which takes seconds: of different
// containers, because a container is in one batch at a time.
const acknowledgedBatches = 8

// configOf makes a Config of o.
func configOf(o router.Options) (router.Config, error) {
	p := parts
	if connectionOf(o.Unresolved(), nil).ack {
		p.Batches = acknowledgedBatches
	}
	return p.Config(o)
}

// connection is what the options say of the receiver. It holds no token.
type connection struct {
	bases   []string // of each address: scheme, host, and a proxy's prefix
	name    string   // how errors call the receiver
	hidden  bool     // the address came by reference, and is shown nowhere
	noPort  bool     // an address has none
	tls     *tls.Config
	timeout time.Duration
	verify  bool
	gzip    bool
	level   int
	ack     bool
	any2xx  bool
}

// connectionOf reads the connection's options; the faults are in v. nil certificates are read from their files now.
func connectionOf(v *router.Values, certificates *router.Certificates) connection {
	c := connection{
		name:    "the splunk receiver",
		hidden:  v.IsSecret("splunk-url"),
		timeout: v.Duration("splunk-timeout", defaultTimeout, time.Second, 10*time.Minute),
		verify:  v.Bool("splunk-verify-connection", true),
		gzip:    v.Bool("splunk-gzip", false),
		level:   int(v.Int("splunk-gzip-level", router.DefaultLevel, gzip.DefaultCompression, gzip.BestCompression)),
		ack:     v.Bool("splunk-index-acknowledgment", false),
		any2xx:  v.Bool("splunk-accept-any-2xx", false),
	}
	if !v.Has("splunk-url") {
		v.Refuse("log-opt splunk-url is missing; it is like https://hec.example.com:8088")
	} else if !v.Waits("splunk-url") {
		all := v.AddressList(addressForm)
		for _, a := range all {
			prefix, ok := cutCollector(a.Path)
			if !ok {
				v.Refuse("log-opt splunk-url: the path goes on after /services/collector; write https://HOST:8088, or a proxy's prefix with it")
			}
			c.bases, c.noPort = append(c.bases, a.Base()+prefix), c.noPort || a.NoPort
		}
		c.name = router.ShownList(all, c.hidden, "splunk")
	}
	c.tls = certificates.Config(v, tlsNames)
	return c
}

// checkToken refuses what cannot be a token.
func checkToken(v *router.Values) {
	switch {
	case !v.Has("splunk-token"):
		v.Refuse("log-opt splunk-token is missing; name it in secretOptions")
	case v.Waits("splunk-token"):
	case v.Secret("splunk-token").IsEmpty():
		v.Refuse("log-opt splunk-token is empty")
	case strings.ContainsFunc(v.Credential("splunk-token").Reveal(), func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		v.Refuse("log-opt splunk-token has a blank, a line break or another character that cannot be in a header")
	}
}

// cutCollector returns what a path has before HEC's own paths, which Splunk shows as a part of the URL.
func cutCollector(path string) (prefix string, ok bool) {
	prefix, rest, found := strings.Cut(path, "/services/collector")
	if !found {
		return path, true
	}
	return prefix, slices.Contains([]string{"", "/event", "/event/1.0", "/raw", "/raw/1.0"}, rest)
}
