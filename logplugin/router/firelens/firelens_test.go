package firelens

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

// docker are names that Docker or the log driver has; `docker run` adds those of daemon.json to a container's.
var docker = []string{"tag", "labels", "labels-regex", "env", "env-regex", "mode", "max-size", "max-file", "compress", "spool-max-bytes"}

func translate(plain, refs map[string]string) (router.Translated, error) {
	return Translate(router.Foreign{Plain: plain, References: refs, Docker: docker})
}

type m = map[string]string

func TestTranslate(t *testing.T) {
	http := func(more m) m {
		all := m{"Name": "http", "Host": "logs.example.com", "Port": "443", "tls": "on", "Format": "json"}
		maps.Copy(all, more)
		return all
	}
	for _, c := range []struct {
		name        string
		plain, refs m
		want        m      // among the options that come out; "-" = it is not there, "REF:x" = a reference
		err         string // in the error
	}{
		{"any case", m{"NAME": "HTTP", "hOST": "h.example.com", "PORT": "8443", "TLS": "On", "FORMAT": "JSON_lines"}, nil, m{"http-url": "https://h.example.com:8443", "http-format": "json_lines"}, ""},
		{"defaults", m{"Name": "http"}, nil, m{"http-url": "http://127.0.0.1:80", "http-format": "json", "tag": defaultTag}, ""},
		{"key with blanks", http(m{"Header Authorization Bearer": "tok"}), nil, m{"http-header.Authorization": "Bearer tok"}, ""},
		{"two headers", http(m{"Header": "A 1", "header": "B 2"}), nil, m{"http-header.A": "1", "http-header.B": "2"}, ""},
		{"one header twice", http(m{"Header": "A 1", "header": "A 2"}), nil, nil, "the header A is given twice"},
		{"Host and host, equal", http(m{"host": "logs.example.com"}), nil, m{"http-url": "https://logs.example.com:443"}, ""},
		{"Host and host", http(m{"host": "other.example.com"}), nil, nil, "Host and host are one option with two values"},
		{"secret path", http(nil), m{"URI": "ref"}, m{"http-uri": "REF:ref"}, ""},
		{"the secret wins", http(m{"uri": "/plain"}), m{"URI": "ref"}, m{"http-uri": "REF:ref"}, ""},
		{"secret header", http(nil), m{"Header X-Key": "ref"}, m{"http-header.X-Key": "REF:ref"}, ""},
		{"secret bearer token", http(nil), m{"Header Authorization Bearer": "ref"}, m{"http-bearer-token": "REF:ref"}, ""},
		{"secret behind another word", http(nil), m{"Header Authorization Api-Token": "ref"}, nil, "store the whole value in the secret"},
		{"a whole header in a secret", http(nil), m{"Header": "ref"}, nil, "write its name into the option"},
		{"secret host", m{"Name": "http"}, m{"Host": "ref"}, nil, "Host cannot be in secretOptions here"},
		{"secret Name", m{"Host": "h"}, m{"Name": "ref"}, nil, "Name is not a secret"},
		{"no Name", m{"Host": "h"}, nil, nil, "the option Name is missing"},
		{"two names", m{"Name": "http", "name": "loki"}, nil, nil, "name two outputs"},
		{"unknown output", m{"Name": "datadgo"}, nil, nil, "did you mean datadog?"},
		{"vendor without output", m{"Name": "coralogix"}, nil, nil, "use Name=http"},
		{"unknown option", http(m{"Formatt": "x"}), nil, nil, "Formatt is not an option of this output; did you mean format?"},
		{"an option that people mean", m{"Name": "datadog", "tls": "on"}, m{"dd_api_key": "ref"}, nil, "the key is apikey"},
		{"no switch", http(m{"tls": "maybe"}), nil, nil, `tls is "maybe", which Fluent Bit takes for off`},
		{"no format", http(m{"Format": "xml"}), nil, nil, `Format is "xml"; write one of json`},
		{"host with a scheme", http(m{"Host": "http://h.example.com"}), nil, nil, "write it without a scheme"},
		{"no port", http(m{"Port": "x"}), nil, nil, "Port is not a number"},
		{"credential without TLS", http(m{"tls": "off", "Header": "Authorization x"}), nil, nil, "Header would be sent to logs.example.com without encryption"},
		{"credential to this host", m{"Name": "http", "Header": "Authorization x"}, nil, m{"http-header.Authorization": "x"}, ""},
		{"not verified", http(m{"tls.verify": "off"}), nil, m{"http-insecure-skip-verify": "true"}, ""},
		{"name in the certificate", http(m{"tls.vhost": "x.example.com"}), nil, m{"http-tls-server-name": "x.example.com"}, ""},
		{"Match of all", http(m{"Match": "*"}), nil, m{"http-format": "json"}, ""},
		{"Match of others", http(m{"Match": "kube.*"}), nil, nil, "with which Fluent Bit would send nothing"},
		{"Retry_Limit", http(m{"Retry_Limit": "False"}), nil, m{"http-format": "json"}, ""},
		{"no Retry_Limit", http(m{"Retry_Limit": "many"}), nil, nil, "Retry_Limit is"},
		{"filters", http(m{"include-pattern": "^a", "exclude-pattern": "b"}), nil, m{"include-pattern": "^a", "exclude-pattern": "b"}, ""},
		{"a custom file", http(m{"config-file-type": "s3"}), nil, nil, "a custom Fluent Bit configuration is not read"},
		{"variable", m{"Name": "datadog", "apikey": "k", "tls": "on", "dd_service": "${CONTAINER_NAME}-{{x}}", "dd_tags": "v:${label:com.example.v}"}, nil,
			m{"datadog-service": `{{.Name}}-{{"{{"}}x}}`, "datadog-tags": `v:{{index .ContainerLabels "com.example.v"}}`}, ""},
		{"variable of a connection", http(m{"URI": "/${CONTAINER_NAME}"}), nil, nil, "can have no variable here"},
		{"unknown variable", m{"Name": "datadog", "apikey": "k", "tls": "on", "dd_service": "${TASK_ID}"}, nil, nil, "${TASK_ID}, which is not known here"},
		{"no collector", m{"Name": "otel-collector"}, nil, nil, "Host is missing: give the collector's name"},
		{"collector", m{"Name": "opentelemetry", "Host": "otel", "Port": "4318"}, nil, m{"otlp-endpoint": "http://otel:4318/v1/logs", "otlp-compression": "none"}, ""},
		{"two keys", m{"Name": "newrelic"}, m{"apiKey": "a", "licenseKey": "b"}, nil, "two ways to log in"},
		{"another path of Loki", m{"Name": "loki", "uri": "/x"}, nil, nil, "does not end in /push"},
		{"labels in braces", m{"Name": "grafana-loki", "Url": "https://u:p@loki.example.com/loki/api/v1/push", "Labels": `{a="b,c", d="e"}`}, nil,
			m{"loki-url": "https://loki.example.com/loki/api/v1/push", "loki-user": "u", "loki-password": "p"}, ""},
		{"labels without braces", m{"Name": "grafana-loki", "Labels": "a=b"}, nil, nil, "Labels are not {NAME="},
		{"socket", m{"Name": "forward", "unix_path": "/run/fluent.sock", "require_ack_response": "on"}, nil, m{"fluentd-address": "unix:///run/fluent.sock", "fluentd-request-ack": "true"}, ""},
		{"key with TLS", m{"Name": "forward", "Host": "f.example.com", "tls": "on"}, m{"shared_key": "ref"}, m{"fluentd-address": "tls://f.example.com:24224", "fluentd-shared-key": "REF:ref"}, ""},
		{"key without TLS", m{"Name": "forward", "Host": "f.example.com"}, m{"shared_key": "ref"}, nil, "shared_key would be sent to f.example.com"},
		{"event_key", m{"Name": "splunk", "event_key": "$log"}, m{"splunk_token": "ref"}, m{"splunk-token": "REF:ref", "splunk-url": "http://127.0.0.1:8088"}, ""},
		{"elastic", m{"Name": "es", "Host": "es.example.com", "Port": "443", "tls": "on", "Index": "a", "Path": "/p/", "compress": "gzip", "Pipeline": "x"}, nil,
			m{"elasticsearch-url": "https://es.example.com:443/p", "elasticsearch-index": "a", "elasticsearch-compress": "gzip", "elasticsearch-pipeline": "x", "elasticsearch-fluent-bit": "output=es"}, ""},
		{"elastic with types", m{"Name": "OpenSearch", "Suppress_Type_Name": "off", "Type": "doc"}, nil, m{"elasticsearch-fluent-bit": "output=opensearch,type=doc", "elasticsearch-index": "fluent-bit"}, ""},
		{"logstash", m{"Name": "es", "logstash_format": "On", "logstash_prefix": "${label:team}", "logstash_dateformat": "%Y.%m"}, nil,
			m{"elasticsearch-index": `{{index .ContainerLabels "team"}}-%Y.%m`}, ""},
		{"prefix of a label", m{"Name": "opensearch", "logstash_format": "On", "logstash_prefix": "app", "logstash_prefix_key": "$team"}, nil,
			m{"elasticsearch-index": `{{with index .ContainerLabels "team"}}{{.}}{{else}}app{{end}}-%Y.%m.%d`}, ""},
		{"prefix of the source", m{"Name": "es", "logstash_format": "On", "logstash_prefix_key": "source"}, nil, nil, "differs from line to line"},
		{"cloud", m{"Name": "es", "Cloud_ID": "x:y", "Host": "ignored", "tls": "on"}, m{"Cloud_Auth": "ref"}, m{"elasticsearch-cloud-id": "x:y", "elasticsearch-cloud-auth": "REF:ref", "elasticsearch-url": ""}, ""},
		{"cloud without TLS", m{"Name": "es", "Host": "es.example.com"}, m{"Cloud_Auth": "ref"}, nil, "Cloud_Auth would be sent to es.example.com"},
		{"time_key_format", m{"Name": "es", "time_key_format": "%Y %Q"}, nil, nil, "%Q is not supported"},
		{"write_operation", m{"Name": "es", "write_operation": "upsert"}, nil, nil, "write create or index"},
		{"signing that is off", http(m{"aws_auth": "off", "oauth2.enable": "No"}), nil, m{"http-format": "json"}, ""},
		{"tokens", http(m{"oauth2.enable": "on"}), nil, nil, "give a token as the header Authorization"},
		{"signed", m{"Name": "opensearch", "Host": "x.eu-west-1.aoss.amazonaws.com", "Port": "443", "tls": "on", "AWS_Auth": "On", "AWS_Region": "eu-west-1", "AWS_Service_Name": "aoss", "aws_role_arn": "r"}, nil,
			m{"elasticsearch-aws-auth": "true", "elasticsearch-aws-region": "eu-west-1", "elasticsearch-aws-service": "aoss", "elasticsearch-aws-role-arn": "r", "elasticsearch-fluent-bit": "output=opensearch,generate_id=false"}, ""},
		{"signed http", http(m{"aws_auth": "true", "aws_service": "osis", "aws_region": "eu-west-1"}), nil, m{"http-aws-auth": "true", "http-aws-service": "osis", "http-aws-region": "eu-west-1"}, ""},
		{"region without a signature", http(m{"aws_region": "eu-west-1"}), nil, m{"http-aws-region": ""}, ""},
		{"profile of a signature", http(m{"aws_auth": "on", "aws_profile": "x"}), nil, nil, "set profile under [aws]"},
		{"MessagePack", http(m{"Format": "msgpack", "header_tag": "X-Tag", "compress": "snappy"}), nil, m{"http-format": "msgpack", "http-header-tag": "X-Tag", "http-compress": "snappy"}, ""},
		{"CloudWatch Logs", m{"Name": "cloudwatch_logs", "region": "eu-west-1", "log_group_name": "g", "log_stream_prefix": "p-", "auto_create_group": "True", "log_retention_days": "30", "role_arn": "r"}, nil,
			m{"awslogs-region": "eu-west-1", "awslogs-group": "g", "tag": "p-" + defaultTag, "awslogs-create-group": "true", "awslogs-retention-days": "30", "awslogs-role-arn": "r", "awslogs-fluent-bit": "output=cloudwatch_logs"}, ""},
		{"the line alone", m{"Name": "cloudwatch", "log_group_name": "g", "log_stream_name": "s", "log_key": "log", "log_format": "json/emf"}, nil,
			m{"tag": "s", "awslogs-fluent-bit": "", "awslogs-format": "json/emf", "awslogs-create-group": "false"}, ""},
		{"no group", m{"Name": "cloudwatch"}, nil, nil, "log_group_name is missing"},
		{"two streams", m{"Name": "cloudwatch", "log_group_name": "g", "log_stream_name": "s", "log_stream_prefix": "p"}, nil, nil, "both name the stream"},
		{"retention of a group that is there", m{"Name": "cloudwatch", "log_group_name": "g", "log_retention_days": "30"}, nil, m{"awslogs-retention-days": ""}, ""},
		{"another member alone", m{"Name": "cloudwatch_logs", "log_group_name": "g", "log_key": "message"}, nil, nil, "only log is possible"},
		{"variables of the image with an init process", m{"Name": "cloudwatch_logs", "region": "${AWS_REGION}", "log_group_name": "${ECS_CLUSTER}/application", "log_stream_name": "${ECS_TASK_ID}"}, nil,
			m{"awslogs-group": `{{or (index .ContainerLabels "com.amazonaws.ecs.cluster") "default"}}/application`, "tag": "{{.FullID}}", "awslogs-region": ""}, ""},
		{"members", m{"Name": "cloudwatch", "log_group_name": "/ecs/$(ecs_cluster)", "log_stream_name": "$(container_name)/$(ecs_task_id)/$(label:a b)/$(tag)/${label:team}", "tag": "t"}, nil,
			m{"awslogs-group": `/ecs/{{or (index .ContainerLabels "com.amazonaws.ecs.cluster") "default"}}`, "tag": `/{{.Name}}/{{.FullID}}/{{index .ContainerLabels "a b"}}/t/{{index .ContainerLabels "team"}}`}, ""},
		{"templates", m{"Name": "cloudwatch_logs", "log_group_name": "g", "log_stream_template": "x.$container_id", "log_stream_prefix": ""}, nil, m{"tag": "x.{{.FullID}}"}, ""},
		{"unknown member", m{"Name": "cloudwatch", "log_group_name": "$(kubernetes['namespace'])"}, nil, nil, "$(kubernetes['namespace']), which is not known before there is a line"},
		{"endpoint without a scheme", m{"Name": "cloudwatch_logs", "log_group_name": "g", "endpoint": "logs.example.com", "port": "8443"}, nil, m{"awslogs-endpoint": "https://logs.example.com:8443"}, ""},
		{"not verified AWS", m{"Name": "cloudwatch_logs", "log_group_name": "g", "tls.verify": "off"}, nil, m{"awslogs-insecure-skip-verify": "true"}, ""},
		{"tags of a group", m{"Name": "cloudwatch", "log_group_name": "g", "auto_create_group": "true", "new_log_group_tags": "a=b,c=d e"}, nil, m{"awslogs-group-tags": "a=b,c=d e"}, ""},
		{"tags of a group that is not created", m{"Name": "cloudwatch", "log_group_name": "g", "new_log_group_tags": "a=b"}, nil, m{"awslogs-group-tags": ""}, ""},
		{"TLS of what sends nothing", m{"Name": "null", "tls": "on", "tls.verify": "off", "tls.ca_file": "/ca.pem"}, nil, m{}, ""},
		{"authority of AWS", m{"Name": "kinesis_firehose", "delivery_stream": "s", "tls.ca_file": "/ca.pem", "tls.vhost": "firehose.example.com"}, nil, m{"firehose-ca-cert": "/ca.pem", "firehose-tls-server-name": "firehose.example.com"}, ""},
		{"Firehose", m{"Name": "Kinesis_Firehose", "delivery_stream": "s", "time_key": "ts", "time_key_format": "%Y.%3N", "compression": "gzip", "log_key": "log"}, nil,
			m{"firehose-stream": "s", "firehose-fluent-bit": "time_key=ts,output=kinesis_firehose,log_key=log,time_key_format=%Y.%3N,compression=gzip"}, ""},
		{"older Firehose", m{"Name": "firehose", "delivery_stream": "s", "data_keys": "log,source"}, nil, m{"firehose-fluent-bit": `data_keys=log\,source,output=firehose`}, ""},
		{"no stream of Firehose", m{"Name": "firehose"}, nil, nil, "delivery_stream is missing"},
		{"Kinesis", m{"Name": "kinesis_streams", "region": "us-east-1", "stream": "s", "compression": "snappy"}, nil, m{"kinesis-stream": "s", "kinesis-region": "us-east-1", "kinesis-fluent-bit": "output=kinesis_streams,compression=snappy"}, ""},
		{"older Kinesis", m{"Name": "kinesis", "stream": "s", "partition_key": "container_name", "compression": "none"}, nil, m{"kinesis-partition-key": "/{{.Name}}", "kinesis-fluent-bit": "output=kinesis,without_newline=true"}, ""},
		{"key that is a label", m{"Name": "kinesis", "stream": "s", "partition_key": "team", "append_newline": "on"}, nil, m{"kinesis-partition-key": `{{index .ContainerLabels "team"}}`, "kinesis-fluent-bit": "output=kinesis"}, ""},
		{"key of each line", m{"Name": "kinesis", "stream": "s", "partition_key": "log"}, nil, nil, "differs from line to line"},
		{"no stream of Kinesis", m{"Name": "kinesis"}, nil, nil, "stream is missing"},
		{"zstd of Firehose", m{"Name": "kinesis_firehose", "delivery_stream": "s", "compression": "zstd"}, nil, nil, "write gzip or snappy"},
		{"syslog", m{"Name": "syslog", "Host": "s.example.com", "Mode": "tls", "syslog_message_key": "log", "syslog_hostname_key": "container_id", "syslog_appname_key": "app", "syslog_appname_preset": "web", "syslog_procid_preset": "1", "syslog_maxsize": "8k"}, nil,
			m{"syslog-address": "tcp+tls://s.example.com:514", "syslog-framing": "lf", "syslog-fluent-bit": `output=syslog,syslog_format=rfc5424,hostname={{.FullID}},appname={{with index .ContainerLabels "app"}}{{.}}{{else}}web{{end}},procid=1,maxsize=8000`}, ""},
		{"syslog over UDP", m{"Name": "syslog", "syslog_format": "RFC3164", "syslog_facility_preset": "16"}, nil, m{"syslog-address": "udp://127.0.0.1:514", "syslog-fluent-bit": "output=syslog,syslog_format=rfc3164,facility=16"}, ""},
		{"syslog over UDP with TLS", m{"Name": "syslog", "tls": "on"}, nil, nil, "Mode is udp, which has no TLS"},
		{"syslog not verified", m{"Name": "syslog", "Mode": "tcp", "tls": "on", "tls.verify": "off"}, nil, m{"syslog-tls-skip-verify": "true", "syslog-address": "tcp+tls://127.0.0.1:514"}, ""},
		{"severity of a member", m{"Name": "syslog", "syslog_severity_key": "level"}, nil, nil, "give its preset"},
		{"message of another member", m{"Name": "syslog", "syslog_message_key": "msg"}, nil, nil, "only log is possible"},
		{"program of each line", m{"Name": "syslog", "syslog_appname_key": "source"}, nil, nil, "differs from line to line"},
		{"no size", m{"Name": "syslog", "syslog_maxsize": "much"}, nil, nil, "write a number of bytes"},
		{"no mode", m{"Name": "syslog", "Mode": "http"}, nil, nil, "write one of udp, tcp, tls"},
		{"GELF", m{"Name": "gelf", "Host": "g.example.com", "gelf_short_message_key": "log", "gelf_host_key": "container_name", "compress": "off"}, nil,
			m{"gelf-address": "udp://g.example.com:12201", "gelf-compression-type": "none", "gelf-fluent-bit": "output=gelf,gelf_host_key=container_name"}, ""},
		{"GELF over TLS", m{"Name": "gelf", "Mode": "tls", "compress": "off", "gelf_tag_key": "t"}, nil, m{"gelf-address": "tcp+tls://127.0.0.1:12201", "gelf-compression-type": ""}, ""},
		{"GELF with parts", m{"Name": "gelf", "gelf_level_key": "$level", "gelf_timestamp_key": "t", "gelf_full_message_key": "container_id"}, nil,
			m{"gelf-fluent-bit": "output=gelf,gelf_full_message_key=container_id,gelf_level_key=level,gelf_timestamp_key=t"}, ""},
		{"GELF with the line twice", m{"Name": "gelf", "gelf_full_message_key": "log"}, nil, nil, "name another member"},
		{"GELF of the source", m{"Name": "gelf", "gelf_host_key": "source"}, nil, nil, "which is stdout or stderr"},
		{"GELF over HTTP", http(m{"Format": "GELF", "gelf_short_message_key": "log", "gelf_host_key": "container_name"}), nil,
			m{"http-format": "gelf", "http-fluent-bit": "output=http,gelf_host_key=container_name"}, ""},
		{"a body by itself", http(m{"body_key": "$log", "headers_key": "$h"}), nil, nil, "http-format=raw for the line alone"},
		{"value with a line break", http(m{"URI": "/a\nName x"}), nil, nil, "has a line break"},
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

// Names that Docker has too: the output's meaning and Docker's, with and without what daemon.json adds for all containers.
func TestCollisions(t *testing.T) {
	loki, http := m{"Name": "loki"}, m{"Name": "http"}
	for _, c := range []struct {
		name              string
		base, own, daemon m
		want              m // "-" = it does not come out
	}{
		{"labels of the output", loki, m{"labels": "job=x"}, nil, m{"labels": "-", "loki-fluent-bit": `output=loki,labels=job=x,line_format=json`}},
		{"labels of daemon.json", loki, nil, m{"labels": "com.example.team"}, m{"labels": "com.example.team", "loki-fluent-bit": `output=loki,labels=job=fluent-bit,line_format=json`}},
		{"labels of both", loki, m{"Labels": "job=x"}, m{"labels": "com.example.team"}, m{"labels": "com.example.team", "loki-fluent-bit": `output=loki,labels=job=x,line_format=json`}},
		{"labels of an output that has none", http, m{"labels": "com.example.team"}, nil, m{"labels": "com.example.team"}},
		{"compress of the output", http, m{"compress": "gzip"}, nil, m{"compress": "-", "http-compress": "gzip"}},
		{"compress of daemon.json", http, nil, m{"compress": "true"}, m{"compress": "true", "http-compress": "-"}},
		{"compress of both", http, m{"Compress": "gzip"}, m{"compress": "false"}, m{"compress": "false", "http-compress": "gzip"}},
		{"compress of an output that has none", m{"Name": "null"}, nil, m{"compress": "true"}, m{"compress": "true"}},
		{"max-size", http, m{"max-size": "10m"}, nil, m{"max-size": "10m"}},
		{"max-size of daemon.json", http, nil, m{"max-size": "10m", "max-file": "3"}, m{"max-size": "10m", "max-file": "3"}},
		{"mode", http, m{"mode": "non-blocking"}, nil, m{"mode": "non-blocking"}},
		{"mode of daemon.json", loki, nil, m{"mode": "blocking"}, m{"mode": "blocking"}},
		{"mode of the output, and of daemon.json", m{"Name": "syslog"}, m{"Mode": "tcp"}, m{"mode": "non-blocking"}, m{"mode": "non-blocking", "syslog-address": "tcp://127.0.0.1:514"}},
		{"mode of daemon.json alone", m{"Name": "syslog"}, nil, m{"mode": "non-blocking"}, m{"mode": "non-blocking", "syslog-address": "udp://127.0.0.1:514"}},
		{"compress of gelf", m{"Name": "gelf"}, m{"Compress": "false"}, m{"compress": "true"}, m{"compress": "true", "gelf-compression-type": "none"}},
		{"compress of daemon.json, gelf", m{"Name": "gelf"}, nil, m{"compress": "false"}, m{"compress": "false", "gelf-compression-type": "-"}},
		{"tag of cloudwatch", m{"Name": "cloudwatch", "log_group_name": "g", "log_stream_prefix": "p-"}, nil, m{"tag": "x"}, m{"tag": "p-x"}},
		{"tag that is taken back", http, m{"tag": ""}, m{"tag": "x"}, m{"tag": defaultTag}},
		{"tag", http, m{"tag": "{{.Name}}"}, nil, m{"tag": "{{.Name}}"}},
		{"tag of daemon.json", loki, nil, m{"tag": "x"}, m{"tag": "x"}},
		{"tag of the output forward", m{"Name": "forward"}, m{"tag": "app"}, nil, m{"tag": "app"}},
		{"env", http, m{"env": "A,B"}, nil, m{"env": "A,B"}},
		{"env of daemon.json", loki, nil, m{"env-regex": "^A"}, m{"env-regex": "^A"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			given := maps.Clone(c.base)
			maps.Copy(given, c.daemon)
			maps.Copy(given, c.own) // the daemon lets the container's win
			got, err := translate(given, nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if have, ok := got.Plain[name]; have != want && (want != "-" || ok) {
					t.Errorf("%s = %q, want %q", name, have, want)
				}
			}
		})
	}
}

// A container has the members that ECS adds when it has the labels of ECS, and the options do not say otherwise.
func TestMetadataOfECS(t *testing.T) {
	for value, want := range map[string]bool{"": true, "true": true, "TRUE": true, "false": false} {
		got, err := translate(m{"Name": "null", "enable-ecs-log-metadata": value}, nil)
		if has := got.Attributes["ecs_cluster"] != ""; err != nil || has != want {
			t.Errorf("enable-ecs-log-metadata %q: %v, %v", value, got.Attributes, err)
		}
	}
	if _, err := translate(m{"Name": "null", "enable-ecs-log-metadata": "no"}, nil); err == nil || !strings.Contains(err.Error(), "write true or false") {
		t.Errorf("error %v", err)
	}
}

// Whatever the options are, an error shows no value that may be a secret.
func TestErrorsShowNoSecret(t *testing.T) {
	const hidden = "h1dden-v4lue"
	for _, o := range outputs() {
		if o.why != "" {
			continue
		}
		for _, name := range o.known() {
			given := m{"Name": o.names[0], "Host": "logs.example.com", name: hidden}
			x := o.option(name)
			if x == nil || x.to == "" && !slices.Contains([]string{"header", "uri", "url", "base_uri", "endpoint"}, name) {
				continue // a word out of a list, or a number: they are shown
			}
			if _, err := translate(given, nil); err != nil && x.form != toggle && strings.Contains(err.Error(), hidden) {
				t.Errorf("%s %s: %v", o.names[0], name, err)
			}
		}
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add("http", "Header Authorization Bearer", "tok", "URI", "ref")
	f.Add("grafana-loki", "Labels", `{a="b"}`, "Url", "ref")
	f.Add("loki", "labels", "a=$b,c", "http_passwd", "ref")
	f.Fuzz(func(t *testing.T, name, key, value, secretName, ref string) {
		got, err := translate(m{"Name": name, key: value}, m{secretName: ref})
		if err == nil && (got.Router == "" || Outputs()[strings.ToLower(strings.TrimSpace(name))] == "" && !strings.EqualFold(key, "name")) {
			t.Errorf("Translate(%q, %q) = %+v", name, key, got.Router)
		}
	})
}

// Every option that Fluent Bit has for an output that is served is known here: it has an effect, or is taken without one, or is refused and
// it is said what to do.
func TestEveryOptionIsKnown(t *testing.T) {
	text, err := os.ReadFile("testdata/options.txt")
	if err != nil {
		t.Fatal(err)
	}
	of := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if names := strings.Fields(line); !strings.HasPrefix(line, "#") {
			of[names[0]] = names[1:]
		}
	}
	for name := range Outputs() {
		o, err := find(name)
		if err != nil {
			t.Fatal(err)
		}
		if own := of[o.names[0]]; len(own) == 0 {
			t.Errorf("the options of %s are not in testdata/options.txt", o.names[0])
		}
		for _, option := range slices.Concat(of["(all)"], of[o.names[0]]) {
			switch x := o.option(strings.ToLower(option)); {
			case x == nil:
				t.Errorf("%s does not know %s", name, option)
			case (x.form == refused || x.form == refusedOn) && x.why == "":
				t.Errorf("%s refuses %s and does not say what to do", name, option)
			}
		}
	}
}
