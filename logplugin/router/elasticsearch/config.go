// Package elasticsearch sends container logs to Elasticsearch, to OpenSearch, or to anything that speaks their bulk protocol.
//
// Use it through package router. Any option may be a secret.
//
// It promises at-least-once delivery, and that a line which is sent twice is stored once: each has an id that is made of its
// session and its place in it, and is created, never replaced. What the server refuses of a request is told record by record.
// It refuses to follow redirects, which would carry a password elsewhere.
//
// Protocol: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
package elasticsearch

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	address      = "elasticsearch-url"
	cloudID      = "elasticsearch-cloud-id"
	index        = "elasticsearch-index"
	pipeline     = "elasticsearch-pipeline"
	fields       = "elasticsearch-fields"
	apiKey       = "elasticsearch-api-key"
	cloudAuth    = "elasticsearch-cloud-auth"
	compress     = "elasticsearch-compress"
	timeout      = "elasticsearch-timeout"
	parseJSON    = "elasticsearch-parse-json"
	defaultIndex = "logs-docker-default"
	noneEncoding = "none"
)

const (
	// bulkPath asks for no more of an answer than is looked at.
	bulkPath       = "/_bulk?filter_path=errors,error.type,error.reason,items.*.status,items.*.error.type"
	addressExample = "https://HOST:9200"
	op             = "read elasticsearch log-opts"
)

var options = slices.Concat([]router.Option{
	{Name: address, Address: true},
	{Name: cloudID, Address: true},
	{Name: index, Session: true, Apart: true, Template: true, Default: defaultIndex}, // where it is wrong, all that is sent with it waits
	{Name: pipeline, Session: true, Apart: true, Template: true},
	{Name: fields, Session: true, Template: true, Pairs: true},
	{Name: "elasticsearch-user"},
	{Name: "elasticsearch-password", Credential: true},
	{Name: apiKey, Credential: true},
	{Name: "elasticsearch-bearer-token", Credential: true},
	{Name: cloudAuth, Credential: true},
	{Name: compress, Default: router.Gzip},
	{Name: timeout, Default: "30s"},
	{Name: parseJSON, Session: true, Default: "false"},
	fluentbit.Option("elasticsearch"),
}, signing.Options(), router.TLSOptions("elasticsearch"))

var signing = router.SigningForm{Router: "elasticsearch", Service: "es"}

// addressForm is that of elasticsearch-url. What it has by default is made of elasticsearch-cloud-id.
var addressForm = router.AddressForm{
	Option: address, Ports: map[string]string{"https": "443", "http": "80"}, Path: true, Query: true, List: true, Example: addressExample,
}

// Kind describes the router, whose requests are signed by sign where the options ask for it.
func Kind(sign router.Signing) router.Kind {
	return router.Kind{
		Name: "elasticsearch", Options: slices.Clone(options), Ports: addressForm.Ports,
		Addresses: func(v *router.Values) []router.Address {
			if v.Waits(address) || v.Waits(cloudID) {
				return nil
			}
			return addressesOf(v)
		},
		New: partsWith(sign).Config,
	}
}

// addressesOf returns where lines go, one address at least; the faults are in v.
func addressesOf(v *router.Values) []router.Address {
	f := addressForm
	switch {
	case v.Waits(address) || v.Waits(cloudID):
		return []router.Address{{}}
	case v.Has(address) && v.Has(cloudID):
		v.Refuse("log-opts %s and %s both say where to send; give one", cloudID, address)
		return []router.Address{{}}
	case v.Has(cloudID):
		f.Option, f.Path, f.Query, f.List = cloudID, false, false, false
		host, ok := cloudHost(v.String(cloudID, ""))
		if !ok {
			v.Refuse("log-opt %s: that is not a cloud id; copy it from the deployment's page, it looks like NAME:BASE64", cloudID)
			return []router.Address{{}}
		}
		a, err := f.Parse("https://" + host)
		if err != nil {
			v.Refuse("log-opt %s: there is not the name of a host in it", cloudID)
		}
		return []router.Address{a}
	case !v.Has(address):
		v.Refuse("log-opt %s is required by logDriver elasticsearch; write %s", address, addressExample)
		return []router.Address{{}}
	}
	return v.AddressList(f)
}

// cloudHost returns the host that a cloud id names: NAME:base64(HOST$ELASTICSEARCH$KIBANA) is ELASTICSEARCH.HOST.
func cloudHost(id string) (host string, ok bool) {
	text, err := base64.StdEncoding.DecodeString(id[strings.LastIndexByte(id, ':')+1:])
	parts := strings.Split(string(text), "$")
	if err != nil || len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return "", false
	}
	return parts[1] + "." + parts[0], true
}

var (
	tlsNames = router.PrefixTLS("elasticsearch", "http:// in "+address)
	login    = router.Login{
		User: "elasticsearch-user", Password: "elasticsearch-password", Token: "elasticsearch-bearer-token", APIKey: apiKey, Both: cloudAuth,
	}
)

func partsWith(sign router.Signing) router.Parts {
	read := func(v *router.Values, c *router.Certificates) router.Receiver { return receiverOf(v, c, sign) }
	return router.Parts{
		Op: op, List: options, Router: func(o router.Options) router.Router { return newRouter(o, read) },
		Check: func(_ router.Options, v *router.Values) {
			login.Check(v)
			read(v, nil)
		},
		Encoder: sessionOf,
	}
}

var form = router.ReceiverForm{
	Router: "elasticsearch", Addresses: []string{address, cloudID}, Path: bulkPath, Compress: compress, Encodings: []string{router.Gzip, noneEncoding},
	Timeout: timeout, Wait: 30 * time.Second, TLS: tlsNames, Redact: redact,
}

// receiverOf reads the connection's options; the faults are in v. nil certificates are read from their files now.
func receiverOf(v *router.Values, certificates *router.Certificates, sign router.Signing) router.Receiver {
	signer := signing.Read(v, sign, append(login.Credentials(), cloudAuth)...)
	r := v.Receiver(form, addressesOf(v), certificates, append(login.Credentials(), signing.Credential(signer)...)...)
	r.Signer = signer
	return r
}

// redact takes out of a text what the options hide.
func redact(v *router.Values, text string) string { return v.RedactAddress(options, addressForm, text) }
