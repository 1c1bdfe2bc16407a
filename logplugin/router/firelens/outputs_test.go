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
		{"S3", m{"Name": "s3", "bucket": "logs"}, nil, m{"s3-bucket": "logs", "s3-key-format": "/fluent-bit-logs/$TAG/%Y/%m/%d/%H/%M/%S", "s3-total-file-size": "16777216", "s3-upload-timeout": "10m0s",
			"s3-compression": "none", "s3-date-format": "iso8601", "s3-region": ""}, ""},
		{"S3 with options", m{"Name": "s3", "bucket": "logs", "region": "us-west-2", "total_file_size": "1M", "upload_timeout": "1m", "use_put_object": "On", "compression": "gzip", "s3_key_format": "/${label:team}/$TAG[0]/%Y/$UUID.gz",
			"s3_key_format_tag_delimiters": ".-", "static_file_path": "On", "log_key": "log", "json_date_key": "at", "json_date_format": "epoch", "content_type": "application/gzip", "storage_class": "GLACIER",
			"canned_acl": "private", "send_content_md5": "true", "role_arn": "r", "external_id": "e", "endpoint": "http://127.0.0.1:9000", "store_dir": "/tmp/x", "retry_limit": "5", "upload_chunk_size": "6M"}, nil,
			m{"s3-region": "us-west-2", "s3-total-file-size": "1000000", "s3-upload-timeout": "1m0s", "s3-compression": "gzip", "s3-key-format": `/{{index .ContainerLabels "team"}}/$TAG[0]/%Y/$UUID.gz`,
				"s3-key-format-tag-delimiters": ".-", "s3-format": "raw", "s3-date-key": "at", "s3-date-format": "epoch", "s3-content-type": "application/gzip", "s3-storage-class": "GLACIER",
				"s3-canned-acl": "private", "s3-send-content-md5": "true", "s3-role-arn": "r", "s3-external-id": "e", "s3-endpoint": "http://127.0.0.1:9000"}, ""},
		{"time of S3 in seconds", m{"Name": "s3", "bucket": "logs", "upload_timeout": "90"}, nil, m{"s3-upload-timeout": "1m30s"}, ""},
		{"no time of S3", m{"Name": "s3", "bucket": "logs", "upload_timeout": "soon"}, nil, nil, "write a number of seconds"},
		{"no bucket", m{"Name": "s3"}, nil, nil, "bucket is missing"},
		{"a path that stays", m{"Name": "s3", "bucket": "logs", "s3_key_format": "/a/%S.json", "static_file_path": "on"}, nil, nil, "put $UUID into s3_key_format"},
		{"small objects", m{"Name": "s3", "bucket": "logs", "total_file_size": "500K"}, nil, nil, "write a size of at least 1M"},
		{"Parquet", m{"Name": "s3", "bucket": "logs", "format": "parquet"}, nil, nil, `format is "parquet"; write one of json_lines`},
		{"Arrow", m{"Name": "s3", "bucket": "logs", "compression": "arrow"}, nil, nil, `compression is "arrow"; write one of none, gzip`},
		{"another member in S3", m{"Name": "s3", "bucket": "logs", "log_key": "message"}, nil, nil, "only log is possible"},
		{"endpoint that grants", m{"Name": "s3", "bucket": "logs", "authorization_endpoint_url": "http://a.example.com"}, nil, nil, "requests are signed"},
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
