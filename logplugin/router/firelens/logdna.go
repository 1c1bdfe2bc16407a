package firelens

import (
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
)

func logdnaOutput() output {
	return output{
		names: []string{"logdna"}, router: "logdna", tls: alwaysTLS("logdna"), build: buildLogDNA,
		options: []option{
			{name: "api_key", to: "logdna-api-key"}, {name: "logdna_host"}, {name: "logdna_port"}, {name: "logdna_endpoint"},
			{name: "hostname", form: template, to: "logdna-hostname"}, {name: "mac", to: "logdna-mac"}, {name: "ip", to: "logdna-ip"},
			{name: "tags", form: template, to: "logdna-tags"}, {name: "app", form: template, to: "logdna-app"}, {name: "file", form: template, to: "logdna-file"},
			{name: "exclude_promoted_keys", form: toggle, setting: true},
			{name: "host", form: ignored, why: "the receiver is logdna_host"}, {name: "port", form: ignored, why: "the receiver's port is logdna_port"},
		},
	}
}

func buildLogDNA(t *translation) {
	t.setting(fluentbit.Output, "logdna")
	t.required("api_key")
	path := t.text("logdna_endpoint", "/logs/ingest")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	t.set("logdna-url", t.addressOf("logdna_host", "logdna_port", "http", "https", "logs.logdna.com", "443")+path)
}
