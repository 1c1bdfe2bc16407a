package firelens

import (
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
)

func esOutput() output {
	return output{
		names: []string{"es"}, router: "elasticsearch", tls: prefixTLS("elasticsearch"), build: buildElastic,
		options: append(elasticOptions(),
			option{name: "http_api_key", to: "elasticsearch-api-key"}, option{name: "cloud_id"}, option{name: "cloud_auth", to: "elasticsearch-cloud-auth"},
			option{name: "upstream", form: refused, why: "give one Host"}),
	}
}

func opensearchOutput() output {
	return output{names: []string{"opensearch"}, router: "elasticsearch", tls: prefixTLS("elasticsearch"), options: elasticOptions(), build: buildElastic}
}

// elasticOptions are those that es and opensearch have both.
func elasticOptions() []option {
	const place = "each document gets an id of its session and its place in it"
	return append([]option{
		{name: "index"}, {name: "type"}, {name: "suppress_type_name"}, {name: "http_user", to: "elasticsearch-user"}, {name: "http_passwd", to: "elasticsearch-password"},
		{name: "compress"}, {name: "path"}, {name: "pipeline", form: template, to: "elasticsearch-pipeline"},
		{name: "logstash_format"}, {name: "logstash_prefix"}, {name: "logstash_prefix_separator"}, {name: "logstash_dateformat"},
		{name: "logstash_prefix_key"},
		{name: "time_key", setting: true}, {name: "time_key_format"}, {name: "time_key_nanos", form: toggle, setting: true},
		{name: "include_tag_key", form: toggle, setting: true}, {name: "tag_key", setting: true}, {name: "replace_dots", form: toggle, setting: true},
		{name: "generate_id"}, {name: "id_key", form: refused, why: place}, {name: "write_operation"},
		{name: "current_time_index", form: ignored, why: "a date in the index is that of the line"}, {name: "buffer_size", form: ignored},
		{name: "trace_output", form: ignored}, {name: "trace_error", form: ignored, why: "what the server refuses is counted and shown by status"},
		{name: "aws_auth"}, {name: "aws_region"}, {name: "aws_service_name"}, {name: "aws_role_arn"}, {name: "aws_external_id"},
	}, signingRefused()...)
}

// signingRefused are options of the outputs that can sign their requests for AWS which belong to the whole log driver here.
func signingRefused() []option {
	return []option{
		{name: "aws_sts_endpoint", form: refused, why: "set sts_endpoint_url under [aws]"},
		{name: "aws_profile", form: refused, why: "name a role in aws_role_arn, or set profile under [aws]"},
	}
}

// signing gives the options of signed requests to the router's own. service is the name of the option for the service.
func (t *translation) signing(prefix, service string) {
	on := t.is("aws_auth", false)
	if on {
		t.set(prefix+"-aws-auth", "true")
	}
	for _, x := range []struct{ name, to string }{
		{service, "service"}, {"aws_region", "region"}, {"aws_role_arn", "role-arn"}, {"aws_external_id", "external-id"},
	} {
		switch e := t.find(x.name); {
		case e == nil:
		case !on:
			t.note("%s has no effect: aws_auth is not on", e.key)
		default:
			t.carry(*e, prefix+"-aws-"+x.to, false)
		}
	}
}

func buildElastic(t *translation) {
	t.setting(fluentbit.Output, t.out.names[0])
	t.protect("http_passwd", "http_api_key", "cloud_auth")
	t.signing("elasticsearch", "aws_service_name")
	if without := strings.EqualFold(t.text("aws_service_name", ""), "aoss"); !t.is("generate_id", !without) && without {
		t.setting("generate_id", "false") // collections of time series refuse an id
	}
	if t.oneOf("write_operation", "create", "index", "update", "upsert"); strings.HasPrefix(t.text("write_operation", ""), "up") {
		t.fail("write_operation is %q; write create or index: each line is a document of its own", t.text("write_operation", ""))
	}
	if id := t.find("cloud_id"); id != nil {
		t.carry(*id, "elasticsearch-cloud-id", false)
		if t.has("host") {
			t.note("Host has no effect beside Cloud_ID")
		}
	} else {
		path := strings.Trim(t.text("path", ""), "/")
		if path != "" {
			path = "/" + path
		}
		t.set("elasticsearch-url", t.address("http", "https", "127.0.0.1", "9200")+path)
	}
	if t.set("elasticsearch-compress", "none"); t.has("compress") {
		t.set("elasticsearch-compress", t.compression("gzip"))
	}
	t.index()
	t.timeFormat("time_key_format", false)
	switch {
	case t.has("suppress_type_name") && !t.is("suppress_type_name", true):
		t.setting("type", t.text("type", "_doc"))
	case t.has("type"):
		t.note("Type has no effect unless suppress_type_name is off: the servers of today know no types")
	}
}

// index gives the name of the index. A date in it is that of the line.
func (t *translation) index() {
	name := func(option, def string) string { return t.expanded(option, def, true) }
	if e := t.find("index"); e != nil && t.out.names[0] == "opensearch" && strings.Contains(variable.ReplaceAllString(e.value, ""), "$") {
		t.fail("%s has a member of the record, after a $; write ${CONTAINER_NAME} or ${label:NAME} instead", e.key)
	}
	if !t.is("logstash_format", false) {
		t.set("elasticsearch-index", name("index", "fluent-bit"))
		return
	}
	prefix := t.member("logstash_prefix_key", name("logstash_prefix", "logstash"))
	t.set("elasticsearch-index", prefix+name("logstash_prefix_separator", "-")+name("logstash_dateformat", "%Y.%m.%d"))
}

// timeFormat gives the setting of that name, which is a format of strftime.
func (t *translation) timeFormat(name string, fractions bool) {
	format := t.text(name, "")
	if format == "" {
		return
	}
	if _, err := fluentbit.ParseTimeFormat(format, fractions); err != nil {
		t.fail("%s is %q, and %v", t.find(name).key, format, err)
		return
	}
	t.setting(name, format)
}
