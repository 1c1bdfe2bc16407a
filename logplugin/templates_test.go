package logplugin

import (
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
)

// Options that name something are templates, so that one default serves every container. Every template is one in fact, in a container's own
// options and in a destination's.
func TestNamesAreTemplates(t *testing.T) {
	names := map[string][]string{ // of every router
		"splunk": {"splunk-source", "splunk-sourcetype", "splunk-index"}, "fluentd": {}, "firehose": {}, "kinesis": {}, "s3": {"s3-key-format"}, "syslog": {}, "gelf": {}, "tcp": {}, "null": {}, "awsfirelens": {},
		"awslogs": {"awslogs-group"}, "loki": {"loki-external-labels"}, "otlp": {"otlp-resource"},
		"logdna": {"logdna-hostname", "logdna-tags", "logdna-app", "logdna-file"}, "datadog": {"datadog-service", "datadog-source", "datadog-tags", "datadog-hostname"}, "newrelic": {"newrelic-attributes"},
		"http": {"http-fields"}, "elasticsearch": {"elasticsearch-index", "elasticsearch-pipeline", "elasticsearch-fields"},
	}
	container := options.Info{ContainerID: strings.Repeat("a", 64), ContainerName: "/web-1", ContainerLabels: map[string]string{"team": "shop"}}
	for _, k := range Routers() {
		var templates []string
		for _, o := range k.Options {
			if o.Template {
				templates = append(templates, o.Name)
			}
		}
		if names[k.Name] == nil {
			t.Errorf("%s has no row", k.Name)
		}
		for _, name := range names[k.Name] {
			if !slices.Contains(templates, name) {
				t.Errorf("%s is not a template", name)
			}
		}
		if targets()[k.Name] == nil {
			continue
		}
		x := targets()[k.Name]()
		x.close()
		given := map[string]string{}
		for name, value := range x.options {
			given[strings.TrimPrefix(name, "secretOptions.")] = value
		}
		for _, name := range templates {
			template, want := `x-{{.Name}}-{{index .ContainerLabels "team"}}`, "x-web-1-shop"
			if i := slices.IndexFunc(k.Options, func(o router.Option) bool { return o.Name == name }); k.Options[i].Pairs {
				template, want = "a="+template+",b=c", "a="+want+",b=c"
			}
			given[name] = template
			rules := &options.Rules{Kinds: Routers(), Destinations: map[string]map[string]string{"all": given}}
			for how, config := range map[string]map[string]string{"own": given, "of a destination": {"destination": "all"}} {
				o, err := rules.Parse(config, container)
				if err != nil || o.Plain[name] != want {
					t.Errorf("%s, %s: %q, %v; want %q", name, how, o.Plain[name], err, want)
				}
			}
			delete(given, name)
			if value, ok := x.options[name]; ok {
				given[name] = value
			}
		}
	}
}
