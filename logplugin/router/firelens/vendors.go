package firelens

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
)

func datadogOutput() output {
	return output{
		names: []string{"datadog"}, router: "datadog", tls: prefixTLS("datadog"),
		options: []option{
			{name: "apikey", to: "datadog-api-key"},
			{name: "dd_service", form: template, to: "datadog-service"}, {name: "dd_source", form: template, to: "datadog-source"},
			{name: "dd_tags", form: template, to: "datadog-tags"}, {name: "dd_hostname", form: template, to: "datadog-hostname"},
			{name: "dd_message_key", setting: true}, {name: "json_date_key", setting: true}, {name: "include_tag_key", form: toggle, setting: true},
			{name: "tag_key", setting: true}, {name: "provider", setting: true}, {name: "compress"},
			{name: "header", form: refused, why: "no header but the key's is sent"}, {name: "site", form: refused, why: "write Host, as http-intake.logs.SITE"},
		},
		build: func(t *translation) {
			t.setting(fluentbit.Output, "datadog")
			t.required("apikey")
			t.protectAlways("http-intake.logs.datadoghq.com", "apikey")
			t.set("datadog-host", t.address("http", "https", "http-intake.logs.datadoghq.com", ""))
			if t.set("datadog-compress", "none"); t.has("compress") {
				t.set("datadog-compress", t.compression("gzip"))
			}
		},
	}
}

func splunkOutput() output {
	return output{
		names: []string{"splunk"}, router: "splunk",
		tls: tlsOptions{ca: "splunk-ca-cert", cert: "splunk-client-cert", key: "splunk-client-key", serverName: "splunk-caname", skipVerify: "splunk-insecureskipverify"},
		options: []option{
			{name: "splunk_token", to: "splunk-token"}, {name: "event_source", form: template, to: "splunk-source"},
			{name: "event_sourcetype", form: template, to: "splunk-sourcetype"}, {name: "event_index", form: template, to: "splunk-index"},
			{name: "event_host", setting: true}, {name: "splunk_send_raw", form: toggle, setting: true},
			{name: "event_key"}, {name: "channel", form: ignored}, {name: "compress"}, {name: "http_buffer_size", form: ignored},
			{name: "http_debug_bad_request", form: ignored},
			{name: "http_user", form: refused, why: "give the token in splunk_token"}, {name: "http_passwd", form: refused, why: "give the token in splunk_token"},
			{name: "event_sourcetype_key", form: refused, why: "give event_sourcetype"}, {name: "event_index_key", form: refused, why: "give event_index"},
			{name: "event_field", form: refused, repeats: true, why: "the members of the event are fields at search time"},
			{name: "auto_extract_timestamp", form: refusedOn, why: "the time is that of the line"},
		},
		build: func(t *translation) {
			t.setting(fluentbit.Output, "splunk")
			t.required("splunk_token")
			t.protect("splunk_token")
			t.set("splunk-url", t.address("http", "https", "127.0.0.1", "8088"))
			if t.compression("gzip") != "" {
				t.set("splunk-gzip", "true")
			}
			if key := t.text("event_key", ""); key != "" && strings.TrimPrefix(key, "$") != fluentbit.Log {
				t.fail("event_key is %s; only $log is possible, which is the line", key)
			} else if key != "" {
				t.setting("event_key", "$log")
			}
		},
	}
}

func newrelicOutput() output {
	return output{
		names: []string{"newrelic"}, router: "newrelic", tls: alwaysTLS("newrelic"),
		options: []option{
			{name: "apikey", to: "newrelic-api-key"}, {name: "licensekey", to: "newrelic-license-key"}, {name: "endpoint"},
			{name: "compression", to: "newrelic-compression"}, {name: "compress", form: ignored}, {name: "httpclienttimeout", form: ignored},
			{name: "maxbuffersize", form: ignored}, {name: "maxrecords", form: ignored}, {name: "maxtimebetweenflushes", form: ignored},
			{name: "sendmetrics", form: ignored}, {name: "lowdatamode", form: refusedOn, why: "the whole record is sent"}, {name: "ignoresystemproxy", form: refusedOn, why: "set NO_PROXY in the log driver's environment"},
			{name: "cabundlefile", to: "newrelic-ca-cert"}, {name: "cabundledir", form: refused, why: "give one file of certificates in caBundleFile"},
			{name: "validateproxycerts", form: ignored},
		},
		build: func(t *translation) {
			t.setting(fluentbit.Output, "newrelic")
			t.either("apiKey", "licenseKey")
			t.url("endpoint", "newrelic-endpoint")
		},
	}
}

func nrlogsOutput() output {
	return output{
		names: []string{"nrlogs"}, router: "newrelic", tls: alwaysTLS("newrelic"),
		options: []option{{name: "api_key", to: "newrelic-api-key"}, {name: "license_key", to: "newrelic-license-key"}, {name: "base_uri"}, {name: "compress"}},
		build: func(t *translation) {
			t.setting(fluentbit.Output, "nrlogs")
			t.either("api_key", "license_key")
			t.url("base_uri", "newrelic-endpoint")
			if word := strings.ToLower(t.text("compress", "gzip")); word != "gzip" {
				t.set("newrelic-compression", "none")
			}
		},
	}
}

// alwaysTLS are the TLS options of an output whose address is a URL, and which has no option tls.
func alwaysTLS(prefix string) tlsOptions {
	o := prefixTLS(prefix)
	o.always = true
	return o
}

func opentelemetryOutput() output {
	const body = "the line is the body, and the rest are attributes"
	return output{
		names: []string{"opentelemetry", "otel-collector"}, router: "otlp", tls: prefixTLS("otlp"),
		options: slices.Concat(
			options(ignored, "only logs are sent, over HTTP", "grpc_logs_uri", "grpc_metrics_uri", "grpc_profiles_uri", "grpc_traces_uri", "profiles_uri"),
			options(ignored, "a container's lines have no metadata", "logs_attributes_metadata_key", "logs_instrumentation_scope_metadata_key", "logs_metadata_key",
				"logs_observed_timestamp_metadata_key", "logs_resource_metadata_key", "logs_severity_number_metadata_key", "logs_severity_text_metadata_key",
				"logs_span_id_metadata_key", "logs_trace_flags_metadata_key", "logs_trace_id_metadata_key", "logs_timestamp_metadata_key"),
			options(ignored, "a request has the records of one batch", "logs_max_resources", "logs_max_scopes", "max_resources", "max_scopes"),
			options(refused, body, "logs_severity_text_message_key", "logs_severity_number_message_key", "logs_span_id_message_key", "logs_trace_id_message_key"),
			options(refusedOn, "requests are not signed; send to a Collector on the host", "aws_auth"),
			options(refused, "requests are not signed; send to a Collector on the host", "aws_service", "aws_region", "aws_role_arn", "aws_external_id", "aws_profile", "aws_sts_endpoint"),
			[]option{
				{name: "logs_uri"}, {name: "header", repeats: true}, {name: "compress"}, {name: "batch_size", form: ignored},
				{name: "logs_body_key"}, {name: "logs_body_key_attributes", form: toggle}, {name: "add_label", form: ignored, repeats: true},
				{name: "metrics_uri", form: ignored}, {name: "traces_uri", form: ignored}, {name: "log_response_payload", form: ignored},
				{name: "http2"}, {name: "grpc", form: refusedOn, why: "remove it, and give the collector's port for OTLP over HTTP, which is 4318 for most"},
				{name: "http_user", form: refused, why: "give the header Authorization, as a secret"}, {name: "http_passwd", form: refused, why: "give the header Authorization, as a secret"},
			}),
		build: buildOTLP,
	}
}

func buildOTLP(t *translation) {
	t.setting(fluentbit.Output, "opentelemetry")
	if !t.has("host") {
		t.fail("Host is missing: give the collector's name, and Port, which is 4318 for most collectors; on ECS the log router itself was the collector")
		return
	}
	t.protect("header")
	path := t.text("logs_uri", "/v1/logs")
	switch {
	case !strings.HasSuffix(path, "/v1/logs"):
		t.fail("the path in logs_uri does not end in /v1/logs, as that of OTLP does")
	}
	if key := t.text("logs_body_key", "$log"); strings.TrimPrefix(key, "$") != fluentbit.Log {
		t.fail("logs_body_key is %s; only $log is possible, which is the line", key)
	}
	t.is("http2", false)
	t.set("otlp-endpoint", t.address("http", "https", "127.0.0.1", "80")+"/"+strings.TrimPrefix(path, "/"))
	if t.set("otlp-compression", "none"); t.has("compress") {
		t.set("otlp-compression", t.compression("gzip", "zstd"))
	}
	t.headers("otlp-headers", "", false)
}

func forwardOutput() output {
	return output{
		names: []string{"forward"}, router: "fluentd",
		tls: tlsOptions{ca: "fluentd-tls-ca-cert", cert: "fluentd-tls-cert", key: "fluentd-tls-key", serverName: "fluentd-tls-server-name", skipVerify: "fluentd-tls-skip-verify"},
		options: []option{
			{name: "unix_path"}, {name: "shared_key", to: "fluentd-shared-key"}, {name: "self_hostname", to: "fluentd-self-hostname"},
			{name: "username", to: "fluentd-username"}, {name: "password", to: "fluentd-password"}, {name: "require_ack_response", form: toggle, to: "fluentd-request-ack"},
			{name: "compress"}, {name: "time_as_integer"}, {name: "tag", form: template, to: "tag"}, {name: "send_options", form: ignored},
			{name: "retain_metadata_in_forward_mode", form: ignored}, {name: "fluentd_compat", form: ignored},
			{name: "empty_shared_key", form: refusedOn, why: "give a key in shared_key"}, {name: "add_option", form: refused, repeats: true, why: "a record has no options"},
			{name: "upstream", form: refused, why: "give one Host"},
		},
		build: func(t *translation) {
			t.protect("shared_key", "password")
			if path := t.text("unix_path", ""); path != "" {
				t.set("fluentd-address", "unix://"+path)
			} else {
				t.set("fluentd-address", t.address("tcp", "tls", "127.0.0.1", "24224"))
			}
			t.set("fluentd-sub-second-precision", fmt.Sprint(!t.is("time_as_integer", false)))
			t.set("fluentd-compress", t.compression("gzip"))
		},
	}
}

func nullOutput() output {
	return output{names: []string{"null"}, router: "null", options: options(ignored, "", "format", "json_date_key", "json_date_format"), build: func(*translation) {}}
}

// required refuses options without the one of that name.
func (t *translation) required(name string) {
	if !t.has(name) {
		t.fail("%s is missing; give it in secretOptions", name)
	}
}

// either wants exactly one of two.
func (t *translation) either(a, b string) {
	switch hasA, hasB := t.has(strings.ToLower(a)), t.has(strings.ToLower(b)); {
	case hasA && hasB:
		t.fail("%s and %s are two ways to log in; give one", a, b)
	case !hasA && !hasB:
		t.fail("%s is missing; give it, or %s, in secretOptions", b, a)
	}
}

// compression returns the word of the option compress, which is one of words; "" when it is not given.
func (t *translation) compression(words ...string) string {
	if !t.has("compress") {
		return ""
	}
	return t.oneOf("compress", words...)
}

// url gives an option that is a whole URL. Without TLS it is refused, unless it is this host's.
func (t *translation) url(name, to string) {
	e := t.find(name)
	if e == nil {
		return
	}
	if !e.secret {
		u, err := url.Parse(e.value)
		if err != nil || u.Hostname() == "" {
			t.fail("%s is not a URL; write https://HOST/PATH", e.key)
			return
		}
		if ip := net.ParseIP(u.Hostname()); u.Scheme != "https" && u.Hostname() != "localhost" && !ip.IsLoopback() {
			t.fail("%s has no TLS, and the key would be sent without encryption; write https://", e.key)
		}
	}
	t.carry(*e, to, false)
}
