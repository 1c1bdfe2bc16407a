package firelens

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
)

// awsOptions are those that all outputs for AWS have.
func awsOptions(prefix string) []option {
	return []option{
		{name: "region", to: prefix + "-region"}, {name: "role_arn", to: prefix + "-role-arn"}, {name: "external_id", to: prefix + "-external-id"},
		{name: "endpoint"}, {name: "auto_retry_requests", form: ignored}, {name: "extra_user_agent", form: ignored},
		{name: "credentials_endpoint", to: prefix + "-credentials-endpoint"},
		{name: "sts_endpoint", form: refused, why: "set AWS_ENDPOINT_URL_STS in the log driver's environment, or sts_endpoint_url under [aws]"},
		{name: "profile", form: refused, why: "name a role in role_arn, or set profile under [aws]"},
	}
}

// clusterName is the template of the cluster's name.
const clusterName = `{{or (index .ContainerLabels "` + clusterLabel + `") "default"}}`

// hostRegion leaves out a region that is ${AWS_REGION}: without one, the host's is used.
func (t *translation) hostRegion() {
	t.entries = slices.DeleteFunc(t.entries, func(e entry) bool {
		is := !e.secret && (e.name == "region" || e.name == "aws_region") && e.whole() == "${AWS_REGION}"
		if is {
			t.note("%s is ${AWS_REGION}, which is the region of this host", e.key)
		}
		return is
	})
}

func cloudwatchLogsOutput() output {
	return output{
		names: []string{"cloudwatch_logs"}, router: "awslogs", tls: alwaysTLS("awslogs"), build: buildCloudWatch,
		options: append(awsOptions("awslogs"),
			option{name: "log_group_name"}, option{name: "log_stream_name"}, option{name: "log_stream_prefix"},
			option{name: "log_group_template"}, option{name: "log_stream_template"}, option{name: "log_key"}, option{name: "log_format"},
			option{name: "auto_create_group"}, option{name: "log_retention_days"}, option{name: "log_group_class"},
			option{name: "metric_namespace", form: ignored, why: "no metrics are sent"}, option{name: "metric_dimensions", form: ignored, why: "no metrics are sent"},
			option{name: "add_entity", form: ignored, why: "it is for Kubernetes"}),
	}
}

func cloudwatchOutput() output {
	return output{
		names: []string{"cloudwatch"}, router: "awslogs", tls: alwaysTLS("awslogs"), build: buildCloudWatch,
		options: append(awsOptions("awslogs"),
			option{name: "log_group_name"}, option{name: "log_stream_name"}, option{name: "log_stream_prefix"},
			option{name: "default_log_group_name", form: ignored, why: "what $(NAME) stands for is always there"},
			option{name: "default_log_stream_name", form: ignored, why: "what $(NAME) stands for is always there"},
			option{name: "log_key"}, option{name: "log_format"}, option{name: "auto_create_group"},
			option{name: "auto_create_stream", form: toggle, to: "awslogs-create-stream"}, option{name: "log_retention_days"},
			option{name: "new_log_group_tags"}),
	}
}

func buildCloudWatch(t *translation) {
	t.endpoint("awslogs-endpoint")
	group := t.fromRecord("log_group_name", "log_group_template")
	if group == "" {
		t.fail("log_group_name is missing")
		return
	}
	t.set("awslogs-group", group)
	tag := t.plain["tag"]
	if tag == "" {
		tag = defaultTag
	}
	stream, prefix := t.fromRecord("log_stream_name", "log_stream_template"), t.fromRecord("log_stream_prefix", "")
	switch {
	case stream != "" && prefix != "":
		t.fail("log_stream_name and log_stream_prefix both name the stream; keep one")
	case stream != "":
		t.plain["tag"] = stream // the name of the stream is the tag
	default:
		t.plain["tag"] = prefix + tag
	}
	if t.has("log_format") {
		t.set("awslogs-format", t.oneOf("log_format", "json/emf"))
	}
	create := t.is("auto_create_group", false)
	t.set("awslogs-create-group", fmt.Sprint(create))
	for _, x := range []struct{ name, to string }{{"log_retention_days", "awslogs-retention-days"}, {"log_group_class", "awslogs-group-class"}, {"new_log_group_tags", "awslogs-group-tags"}} {
		switch value := t.text(x.name, ""); {
		case value == "" || value == "0":
		case !create:
			t.note("%s has no effect: it is for a log group that is created, with auto_create_group", t.find(x.name).key)
		default:
			t.set(x.to, value)
		}
	}
	if !t.lineAlone("log_key") {
		t.setting(fluentbit.Output, t.out.names[0])
	}
}

func firehoseOutput() output {
	return output{
		names: []string{"kinesis_firehose"}, router: "firehose", tls: alwaysTLS("firehose"), build: buildFirehose,
		options: append(awsOptions("firehose"),
			option{name: "delivery_stream", to: "firehose-stream"}, option{name: "time_key", setting: true}, option{name: "time_key_format"},
			option{name: "log_key"}, option{name: "compression"}, option{name: "simple_aggregation", form: ignored, why: "each line is a record, and many go in one request"}),
	}
}

func oldFirehoseOutput() output {
	return output{
		names: []string{"firehose"}, router: "firehose", tls: alwaysTLS("firehose"), build: buildFirehose,
		options: append(awsOptions("firehose"),
			option{name: "delivery_stream", to: "firehose-stream"}, option{name: "time_key", setting: true}, option{name: "time_key_format"},
			option{name: "log_key"}, option{name: "data_keys", setting: true}, option{name: "replace_dots", form: toggle, setting: true},
			option{name: "simple_aggregation", form: ignored, why: "each line is a record, and many go in one request"}),
	}
}

func buildFirehose(t *translation) {
	t.setting(fluentbit.Output, t.out.names[0])
	t.endpoint("firehose-endpoint")
	if !t.has("delivery_stream") {
		t.fail("delivery_stream is missing")
	}
	if t.lineAlone("log_key") {
		t.setting("log_key", fluentbit.Log)
	}
	t.timeFormat("time_key_format", true)
	switch word := t.oneOf("compression", "", "gzip", "snappy", "zstd"); word {
	case "zstd":
		t.fail("compression zstd is not supported; write gzip or snappy")
	case "":
	default:
		t.setting("compression", word)
	}
}

func kinesisOutput() output {
	return output{
		names: []string{"kinesis_streams"}, router: "kinesis", tls: alwaysTLS("kinesis"), build: buildKinesis,
		options: append(awsOptions("kinesis"),
			option{name: "stream", to: "kinesis-stream"}, option{name: "time_key", setting: true}, option{name: "time_key_format"},
			option{name: "log_key"}, option{name: "compression"}, option{name: "simple_aggregation", form: ignored, why: "each line is a record, and many go in one request"}),
	}
}

func oldKinesisOutput() output {
	return output{
		names: []string{"kinesis"}, router: "kinesis", tls: alwaysTLS("kinesis"), build: buildKinesis,
		options: append(awsOptions("kinesis"),
			option{name: "stream", to: "kinesis-stream"}, option{name: "partition_key"}, option{name: "time_key", setting: true}, option{name: "time_key_format"},
			option{name: "log_key"}, option{name: "data_keys", setting: true}, option{name: "replace_dots", form: toggle, setting: true},
			option{name: "append_newline"}, option{name: "compression"},
			option{name: "aggregation", form: ignored, why: "each line is a record, and many go in one request"},
			option{name: "experimental_concurrency", form: ignored}, option{name: "experimental_concurrency_retries", form: ignored},
			option{name: "http_request_timeout", form: ignored}),
	}
}

func buildKinesis(t *translation) {
	t.setting(fluentbit.Output, t.out.names[0])
	t.endpoint("kinesis-endpoint")
	if !t.has("stream") {
		t.fail("stream is missing")
	}
	if t.lineAlone("log_key") {
		t.setting("log_key", fluentbit.Log)
	}
	t.timeFormat("time_key_format", true)
	if t.out.names[0] == "kinesis" {
		t.partitionKey()
		if !t.is("append_newline", false) {
			t.setting("without_newline", "true")
		}
	}
	switch word := t.oneOf("compression", "", "gzip", "zlib", "snappy", "zstd", "none"); word {
	case "zstd":
		t.fail("compression zstd is not supported; write gzip or snappy")
	case "", "none":
	default:
		t.setting("compression", word)
	}
}

// partitionKey gives the member that decides on the shard. It is the container's id by default.
func (t *translation) partitionKey() {
	switch key := t.text("partition_key", ""); {
	case key == "":
	case key == fluentbit.Source || key == fluentbit.Log || strings.Contains(key, "->"):
		t.fail("partition_key is %s, which differs from line to line or is in another member; give container_id, container_name or a label", key)
	default:
		if with, known := t.members()[key]; known {
			t.set("kinesis-partition-key", with)
		} else {
			t.set("kinesis-partition-key", labelOf(key))
		}
	}
}

// lineAlone reports whether the option names the line, which is then sent alone. A record has no other member that differs from line to line.
func (t *translation) lineAlone(name string) bool {
	key := strings.TrimPrefix(t.text(name, ""), "$")
	if key != "" && key != fluentbit.Log {
		t.fail("%s is %s; only log is possible, which is the line: Fluent Bit sends nothing of records without such a member", t.find(name).key, key)
	}
	return key != ""
}

// endpoint gives the address in place of the public one. The outputs in C take the name of a host, those in Go a URL.
func (t *translation) endpoint(to string) {
	e := t.find("endpoint")
	if e == nil {
		return
	}
	value := t.text("endpoint", "")
	if !strings.Contains(value, "://") {
		value = "https://" + value
	}
	if port := t.text("port", ""); port != "" {
		value = strings.TrimSuffix(value, "/") + ":" + port
	}
	t.set(to, value)
}

// member is a member of the record in the name of a group or of a stream: $(NAME), $(NAME['SUB']) and $(NAME[1]), as the output cloudwatch writes
// it, or $NAME, as the templates of cloudwatch_logs do.
var (
	inParentheses = regexp.MustCompile(`\$\(([^)]*)\)`)
	afterDollar   = regexp.MustCompile(`\$([A-Za-z_][A-Za-z0-9_]*(?:\['[^']*'\])*)`)
)

// members are those that are known before there is a record, as templates.
func (t *translation) members() map[string]string {
	tag := t.plain["tag"]
	if tag == "" {
		tag = defaultTag
	}
	return map[string]string{
		"container_id": "{{.FullID}}", "container_name": "/{{.Name}}", "tag": tag, "TAG": tag, "ecs_task_id": "{{.FullID}}",
		"ecs_cluster": clusterName,
	}
}

// fromRecord returns the template that an option gives in whose value members of the record may stand, or that of the option with the
// templates of cloudwatch_logs.
func (t *translation) fromRecord(option, templates string) string {
	pattern, name := inParentheses, option
	if templates != "" && t.has(templates) {
		pattern, name = afterDollar, templates
	}
	e := t.find(name)
	switch {
	case e == nil:
		return ""
	case e.secret:
		t.fail("%s cannot be in secretOptions here; write it into options", e.key)
		return ""
	}
	// ${NAME} is expanded first, so that no member is found in it.
	value := t.expand(*e, true)
	known := t.members()
	return pattern.ReplaceAllStringFunc(value, func(found string) string {
		key := pattern.FindStringSubmatch(found)[1]
		label, isLabel := strings.CutPrefix(key, "label:")
		switch with, ok := known[key]; {
		case ok:
			return with
		case isLabel:
			return labelOf(label)
		}
		t.fail("%s has %s, which is not known before there is a line; known are $(container_name), $(container_id), $(tag), $(ecs_task_id), which is the container's id, "+
			"$(ecs_cluster), which is the label com.amazonaws.ecs.cluster or default, and ${label:NAME}", e.key, found)
		return found
	})
}
