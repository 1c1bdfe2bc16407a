package logplugin

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/firelens"
	"github.com/secretref/secretref/shared/polltest"
)

// firelensTargets are the receivers of the outputs of FireLens, with the options that a task definition would have.
func firelensTargets() map[string]func() target {
	all := map[string]func() target{}
	for output, x := range map[string]struct {
		of      func() target
		options map[string]string // HOST, PORT and URL are those of the receiver
		records bool              // the receiver's lines are whole records
	}{
		"http":             {func() target { return httpTargetOf(lineOf) }, map[string]string{"Host": "HOST", "Port": "PORT", "Format": "json_lines", "secretOptions.Header X-Token": "SECRET"}, false},
		"datadog":          {datadogTarget, map[string]string{"Host": "HOST", "Port": "PORT", "secretOptions.apikey": "SECRET"}, false},
		"splunk":           {splunkTarget, map[string]string{"Host": "HOST", "Port": "PORT", "event_key": "$log", "secretOptions.splunk_token": "SECRET"}, false},
		"loki":             {lokiTarget, map[string]string{"Host": "HOST", "Port": "PORT", "Labels": "job=x", "secretOptions.bearer_token": "SECRET"}, true},
		"grafana-loki":     {openLokiTarget, map[string]string{"Url": "URL/loki/api/v1/push", "Labels": `{job="x"}`}, true},
		"newrelic":         {newrelicTarget, map[string]string{"endpoint": "URL", "secretOptions.licenseKey": "SECRET"}, false},
		"nrlogs":           {newrelicTarget, map[string]string{"base_uri": "URL", "secretOptions.license_key": "SECRET"}, false},
		"opentelemetry":    {otlpTarget, map[string]string{"Host": "HOST", "Port": "PORT", "secretOptions.Header Authorization": "SECRET"}, false},
		"forward":          {fluentdTarget, map[string]string{"Host": "HOST", "Port": "PORT", "require_ack_response": "On", "secretOptions.shared_key": "SECRET"}, false},
		"es":               {elasticTarget, map[string]string{"Host": "HOST", "Port": "PORT", "Suppress_Type_Name": "On", "secretOptions.http_api_key": "SECRET"}, false},
		"opensearch":       {openSearchTarget, map[string]string{"Host": "HOST", "Port": "PORT", "Suppress_Type_Name": "On", "HTTP_User": "u", "secretOptions.HTTP_Passwd": "SECRET"}, false},
		"otel-collector":   {otlpTarget, map[string]string{"Host": "HOST", "Port": "PORT", "logs_body_key": "$log", "secretOptions.Header Authorization": "SECRET"}, false},
		"cloudwatch_logs":  {awslogsTarget, map[string]string{"log_group_name": "new", "auto_create_group": "true", "log_stream_prefix": "x-", "log_key": "log", "endpoint": "URL"}, false},
		"cloudwatch":       {awslogsTarget, map[string]string{"log_group_name": "new", "auto_create_group": "true", "log_stream_name": "$(ecs_task_id)", "log_retention_days": "7", "endpoint": "URL"}, true},
		"kinesis_firehose": {firehoseTarget, map[string]string{"delivery_stream": "s", "time_key": "at", "endpoint": "URL"}, true},
		"firehose":         {firehoseTarget, map[string]string{"delivery_stream": "s", "data_keys": "log", "endpoint": "URL"}, true},
		"kinesis_streams":  {kinesisTarget, map[string]string{"stream": "s", "endpoint": "URL"}, true},
		"logdna":           {secureLogDNATarget, map[string]string{"logdna_host": "HOST", "logdna_port": "PORT", "tls.verify": "off", "app": "web", "secretOptions.api_key": "SECRET"}, true},
		"s3":               {s3Target, map[string]string{"bucket": "logs", "log_key": "log", "upload_timeout": "1s", "s3_key_format": "/$TAG/%Y/%m/%d/$UUID", "endpoint": "URL"}, false},
		"kinesis":          {kinesisTarget, map[string]string{"stream": "s", "data_keys": "log", "partition_key": "container_id", "endpoint": "URL"}, true},
	} {
		all[firelens.Name+" "+output] = func() target {
			t := x.of()
			host, port, _ := strings.Cut(t.url[strings.LastIndexByte(t.url, '/')+1:], ":")
			t.options = map[string]string{"logDriver": firelens.Name, "Name": output}
			for name, value := range x.options {
				t.options[name] = strings.NewReplacer("HOST", host, "PORT", port, "URL", t.url).Replace(value)
			}
			if lines := t.lines; x.records {
				t.lines = func(from int) (all []string) {
					for _, l := range lines(from) {
						all = append(all, lineOf(l))
					}
					return all
				}
			}
			t.name += " of FireLens"
			return t
		}
	}
	return all
}

// Every output of FireLens with a Mode has a row for each in fireLensSockets.
func TestEveryModeIsKilled(t *testing.T) {
	tried := map[string]bool{}
	for _, x := range fireLensSockets() {
		tried[x.options["Name"]+" "+x.options["Mode"]] = true
	}
	for _, output := range []string{"syslog", "gelf"} {
		for _, mode := range []string{"udp", "tcp", "tls"} {
			if !tried[output+" "+mode] {
				t.Errorf("the output %s has no row for Mode %s", output, mode)
			}
		}
	}
	answering := answeringTargets()
	for output := range firelens.Outputs() {
		if answering[firelens.Name+" "+output] == nil && !slices.ContainsFunc(fireLensSockets(), func(x socketTarget) bool { return x.options["Name"] == output }) && output != "null" {
			t.Errorf("nothing kills the driver while it sends to %s; null has TestFireLensNull", output)
		}
	}
}

// The output null takes all lines, before and after a kill of the driver, and those that were written while there was none.
func TestFireLensNull(t *testing.T) {
	t.Parallel()
	const lines = 500
	k := startKillable(t)
	f := k.fifo(t, "c1")
	if a := k.startWith(t, "c1", map[string]string{"logDriver": firelens.Name, "Name": "Null"}); a != `{"Err":""}` {
		t.Fatalf("StartLogging: %s", a)
	}
	taken := func(what string) {
		t.Helper()
		polltest.Until(t, 60*time.Second, what, func() bool {
			all := k.sessions(t)
			return len(all) == 1 && all[0].SentLines >= lines && all[0].WaitingBytes == 0 && all[0].IsWell()
		})
	}
	write(t, f, slices.Repeat([]string{"before"}, lines)...)
	taken("the lines before the kill")
	k.kill()
	write(t, f, slices.Repeat([]string{"after"}, lines)...)
	k.launch(t)
	taken("the lines that were written without a driver")
}

// lineOf is the line of a record in JSON.
func lineOf(record string) string {
	var r struct{ Log string }
	if err := json.Unmarshal([]byte(record), &r); err != nil {
		return record
	}
	return r.Log
}
