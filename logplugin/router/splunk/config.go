// Package splunk sends container logs to a Splunk HTTP Event Collector (HEC), or to anything that speaks its protocol.
//
// Use it through package router. The options are those of Docker's splunk log driver, with their names, defaults and
// formats, so that what arrives is what Docker's driver would have sent; the list Differences has the exceptions. Certificates and keys
// may also be PEM text, and any option may be a secret.
//
// It promises at-least-once delivery as far as HEC tells: with splunk-index-acknowledgment a batch is delivered when the
// indexers have it. It refuses to follow redirects, which would carry the token elsewhere.
//
// Protocol: https://docs.splunk.com/Documentation/Splunk/latest/Data/HECRESTendpoints and
// https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector (codes).
package splunk

import (
	"crypto/tls"
	"net/url"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/secretref/secretref/logplugin/router"
)

const (
	formatInline = "inline"
	formatJSON   = "json"
	formatRaw    = "raw"
)

var formats = []string{formatInline, formatJSON, formatRaw}

// Docker's names first, then ours.
var options = []router.Option{
	{Name: "splunk-url"},
	{Name: "splunk-token"},
	{Name: "splunk-source", Session: true},
	{Name: "splunk-sourcetype", Session: true},
	{Name: "splunk-index", Session: true, Apart: true}, // code 7 stops everybody who is in the batch
	{Name: "splunk-capath"},
	{Name: "splunk-caname"},
	{Name: "splunk-insecureskipverify"},
	{Name: "splunk-format", Session: true},
	{Name: "splunk-verify-connection"},
	{Name: "splunk-gzip"},
	{Name: "splunk-gzip-level"},
	{Name: "splunk-index-acknowledgment"},
	{Name: "splunk-ca-cert"},
	{Name: "splunk-client-cert"},
	{Name: "splunk-client-key"},
}

var tlsNames = router.TLSNames{
	CA:         []string{"splunk-capath", "splunk-ca-cert"},
	Cert:       "splunk-client-cert",
	Key:        "splunk-client-key",
	ServerName: "splunk-caname",
	SkipVerify: "splunk-insecureskipverify",
	NoTLS:      "http:// in splunk-url",
}

// Options lists the router's own log options.
func Options() []router.Option { return slices.Clone(options) }

func isSession(name string) bool {
	return slices.ContainsFunc(options, func(o router.Option) bool { return o.Name == name && o.Session })
}

func isConnection(name string) bool {
	return slices.ContainsFunc(options, func(o router.Option) bool { return o.Name == name && !o.Session })
}

// Config is a checked set of options. Only Parse makes one.
type Config struct {
	options router.Options
}

// Parse checks o as far as that is possible without asking for a secret. Options of other drivers are not looked at.
func Parse(o router.Options) (Config, error) {
	v := o.Unresolved()
	v.OneOf("splunk-format", formats...)
	connectionOf(v)
	return Config{o}, v.Err()
}

// acknowledgedBatches may be under way at once when each waits for the indexers, which takes seconds: of different
// containers, because a container is in one batch at a time.
const acknowledgedBatches = 8

// Batches is how many batches are worth having under way at once; 0 = as many as for any router.
func (c Config) Batches() int {
	if v := c.options.Unresolved(); v.Bool("splunk-index-acknowledgment", false) {
		return acknowledgedBatches
	}
	return 0
}

// connection is what the options say of the receiver. It holds no token.
type connection struct {
	base   *url.URL // scheme and host only
	tls    *tls.Config
	verify bool
	gzip   bool
	level  int
	ack    bool
}

// connectionOf reads the connection's options; the faults are in v.
func connectionOf(v *router.Values) connection {
	c := connection{
		verify: v.Bool("splunk-verify-connection", true),
		gzip:   v.Bool("splunk-gzip", false),
		level:  int(v.Int("splunk-gzip-level", gzip.DefaultCompression, gzip.DefaultCompression, gzip.BestCompression)),
		ack:    v.Bool("splunk-index-acknowledgment", false),
	}
	switch {
	case !v.Has("splunk-token"):
		v.Refuse("log-opt splunk-token is missing; name it in secretOptions")
	case v.Waits("splunk-token"):
	case v.Secret("splunk-token").IsEmpty():
		v.Refuse("log-opt splunk-token is empty")
	case strings.ContainsFunc(v.Secret("splunk-token").Reveal(), func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		v.Refuse("log-opt splunk-token has a blank, a line break or another character that cannot be in a header")
	}
	if !v.Has("splunk-url") {
		v.Refuse("log-opt splunk-url is missing; it is like https://hec.example.com:8088")
	} else if !v.Waits("splunk-url") {
		c.base = baseURL(v)
	}
	c.tls = v.TLS(tlsNames)
	return c
}

// baseURL reads splunk-url, which has no path: the driver knows it. Its text is not shown, it may have a password in it.
func baseURL(v *router.Values) *url.URL {
	u, err := url.Parse(v.String("splunk-url", ""))
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		v.Refuse("log-opt splunk-url is not of the form https://host:port")
	case u.User != nil:
		v.Refuse("log-opt splunk-url holds a user name; the token is splunk-token")
	case (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		v.Refuse("log-opt splunk-url has more than https://host:port; leave the rest out")
	default:
		return &url.URL{Scheme: u.Scheme, Host: u.Host}
	}
	return nil
}
