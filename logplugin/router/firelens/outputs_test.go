package firelens

import (
	"strings"
	"testing"
)

// The outputs tcp, logdna and s3.
func TestTranslateOthers(t *testing.T) {
	for _, c := range []struct {
		name        string
		plain, refs m
		want        m      // among the options that come out; "" = it is not there, "REF:x" = a reference
		err         string // in the error
	}{
		{"tcp", m{"Name": "TCP"}, nil, m{"tcp-address": "tcp://127.0.0.1:5170", "tcp-format": "msgpack", "tcp-date-format": "double", "tcp-date-key": ""}, ""},
		{"tcp with TLS", m{"Name": "tcp", "Host": "c.example.com", "Port": "9000", "tls": "on", "tls.verify": "off", "Format": "JSON_Lines", "Json_Date_Key": "at", "Json_Date_Format": "ISO8601"}, nil,
			m{"tcp-address": "tcp+tls://c.example.com:9000", "tcp-format": "json_lines", "tcp-date-key": "at", "tcp-date-format": "iso8601", "tcp-tls-skip-verify": "true"}, ""},
		{"tcp with a key", m{"Name": "tcp", "tls": "on"}, m{"tls.key_file": "ref", "tls.crt_file": "cert"}, m{"tcp-tls-key": "REF:ref", "tcp-tls-cert": "REF:cert"}, ""},
		{"lines over tcp", m{"Name": "tcp", "raw_message_key": "$log"}, nil, m{"tcp-format": "raw"}, ""},
		{"another member over tcp", m{"Name": "tcp", "raw_message_key": "$msg"}, nil, nil, "only log is possible"},
		{"no format of tcp", m{"Name": "tcp", "format": "xml"}, nil, nil, `format is "xml"; write one of msgpack`},
		{"no date of tcp", m{"Name": "tcp", "json_date_format": "rfc"}, nil, nil, `json_date_format is "rfc"; write one of double`},
		{"logdna", m{"Name": "logdna", "hostname": "${HOSTNAME}", "tags": "a,b", "app": "web", "exclude_promoted_keys": "on"}, m{"api_key": "ref"},
			m{"logdna-url": "https://logs.logdna.com:443/logs/ingest", "logdna-api-key": "REF:ref", "logdna-hostname": "{{.Hostname}}", "logdna-tags": "a,b", "logdna-app": "web", "logdna-fluent-bit": "exclude_promoted_keys=true,output=logdna"}, ""},
		{"logdna elsewhere", m{"Name": "logdna", "api_key": "k", "logdna_host": "l.example.com", "logdna_port": "8443", "logdna_endpoint": "p/ingest", "tls": "off", "tls.verify": "off"}, nil,
			m{"logdna-url": "https://l.example.com:8443/p/ingest", "logdna-insecure-skip-verify": "true"}, ""},
		{"no key of logdna", m{"Name": "logdna"}, nil, nil, "api_key is missing"},
		{"host of logdna with a scheme", m{"Name": "logdna", "api_key": "k", "logdna_host": "https://l.example.com"}, nil, nil, "logdna_host is not the name of a host alone"},
		{"port of logdna", m{"Name": "logdna", "api_key": "k", "logdna_port": "x"}, nil, nil, "logdna_port is not a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := translate(c.plain, c.refs)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			for name, value := range c.want {
				have := got.Plain[name]
				if ref, ok := got.References[name]; ok {
					have = "REF:" + ref
				}
				if have != value {
					t.Errorf("%s = %q, want %q", name, have, value)
				}
			}
		})
	}
}
