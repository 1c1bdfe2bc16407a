package options_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/lines"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/references"
)

const tokenARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf:token::"

func destinationRules() *options.Rules {
	return &options.Rules{
		Kinds: logplugin.Routers(), References: references.Allowed{Patterns: []string{}}, AllowRouters: []string{},
		Destinations: map[string]map[string]string{
			"prod": {"logDriver": "splunk", "splunk-url": "https://hec.example.com:8088", "secretOptions.splunk-token": tokenARN, "splunk-source": "fleet"},
			"dev":  {"logDriver": "fluentd", "fluentd-address": "tcp://127.0.0.1:24224"},
			"bad":  {"logDriver": "splunk", "splunk-url": "https://hec.example.com:8088"},
		},
	}
}

var somebody = options.Info{ContainerID: strings.Repeat("a", 64), ContainerName: "/web"}

// A destination is the host's own: what containers may name does not apply to it, and a container adds what is its own.
func TestDestination(t *testing.T) {
	r := destinationRules()
	o, err := r.Parse(map[string]string{"destination": "prod", "splunk-index": "web", "tag": "{{.Name}}", "max-size": "10m", "splunk-url": ""}, somebody)
	if err != nil {
		t.Fatal(err)
	}
	if o.Router != "splunk" || o.Address != "https://hec.example.com:8088" || o.Destination != "prod" || o.Tag != "web" ||
		o.Plain["splunk-source"] != "fleet" || o.Plain["splunk-index"] != "web" || len(o.References) != 1 {
		t.Errorf("options %+v", o)
	}
	if len(o.Own) != 1 || o.Own["splunk-index"] != "web" {
		t.Errorf("own options %v, want splunk-index alone", o.Own)
	}
	if err := r.Allowed(o); err != nil {
		t.Errorf("Allowed: %v", err)
	}
	again, err := r.Expand(options.Options{Destination: "prod", Own: o.Own, Tag: o.Tag, SpoolMaxBytes: o.SpoolMaxBytes}, somebody)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := r.Connection(o)
	if b, err := r.Connection(again); err != nil || a != b || again.Plain["splunk-index"] != "web" || again.Tag != "web" {
		t.Errorf("Expand gives %+v, %v", again, err)
	}
}

// Who could give an option of the connection would have the host's token sent to himself.
func TestDestinationCannotBeBent(t *testing.T) {
	r := destinationRules()
	for name, value := range map[string]string{
		"splunk-url": "https://evil.example.com", "splunk-token": "x", "splunk-capath": "/tmp/ca", "splunk-insecureskipverify": "true",
		"logDriver": "splunk", "secretOptions": "[]", "secretOptions.splunk-token": tokenARN, "secretOptions.splunk-source": tokenARN,
		"Splunk-Url": "https://evil.example.com", " splunk-url": "https://evil.example.com", "fluentd-address": "evil.example.com", "splunk-gzip": "true",
	} {
		o, err := r.Parse(map[string]string{"destination": "prod", name: value}, somebody)
		if err == nil || !strings.Contains(err.Error(), "cannot be given together with destination=prod") || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("log-opt %q: %v, want a refusal that names it", name, err)
		}
		if o.Router != "" || o.Address != "" || len(o.References) != 0 {
			t.Errorf("log-opt %q: options %+v with the error", name, o)
		}
	}
}

func TestDestinationNames(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*options.Rules)
		given  map[string]string
		want   string // the router, or a piece of the error
	}{
		{"unknown", nil, map[string]string{"destination": "prood"}, "did you mean prod?"},
		{"none configured", func(r *options.Rules) { r.Destinations = nil }, map[string]string{"destination": "prod"}, "add [logs.destinations.prod]"},
		{"incomplete", nil, map[string]string{"destination": "bad"}, "destination bad under [logs.destinations]: log-opt splunk-token is required"},
		{"default", func(r *options.Rules) { r.DefaultDestination = "dev" }, map[string]string{"tag": "x"}, "fluentd"},
		{"default and another", func(r *options.Rules) { r.DefaultDestination = "dev" }, map[string]string{"destination": "prod"}, "splunk"},
		{"default and own options", func(r *options.Rules) { r.DefaultDestination, r.AllowRouters = "prod", nil }, map[string]string{"logDriver": "fluentd"}, "fluentd"},
		{"own options are not allowed", func(r *options.Rules) { r.OnlyDestinations, r.AllowRouters = true, nil }, map[string]string{"logDriver": "fluentd"}, "allow_options in [logs]; give --log-opt destination=NAME with one of bad, dev, prod"},
		{"own options are not allowed, and no destination is there", func(r *options.Rules) { r.OnlyDestinations, r.Destinations = true, nil }, map[string]string{"logDriver": "fluentd"}, "add a table [logs.destinations.NAME]"},
		{"neither", nil, map[string]string{}, "log-opt logDriver is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := destinationRules()
			if tt.change != nil {
				tt.change(r)
			}
			o, err := r.Parse(tt.given, somebody)
			got := o.Router
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	if wrong := destinationRules().WrongDestinations(); len(wrong) != 1 || wrong["bad"] == nil {
		t.Errorf("wrong destinations %v, want bad alone", wrong)
	}
}

// A template of a destination is rendered for each container, once: a restart keeps what it gave, whatever that looks like.
func TestDestinationTemplates(t *testing.T) {
	r := destinationRules()
	r.Destinations["loki"] = map[string]string{"logDriver": "loki", "loki-url": "https://loki.example.com", "loki-external-labels": `app={{.Name}},l={{index .ContainerLabels "l"}}`}
	for label, want := range map[string]string{"x": "app=web,l=x", "{{odd}},y=z": `app=web,l={{odd}}\,y=z`} {
		i := somebody
		i.ContainerLabels = map[string]string{"l": label}
		o, err := r.Parse(map[string]string{"destination": "loki"}, i)
		if err != nil || o.Plain["loki-external-labels"] != want {
			t.Fatalf("labels %q, %v; want %q", o.Plain["loki-external-labels"], err, want)
		}
		again, err := r.Expand(options.Options{Destination: "loki", Own: o.Own, Tag: o.Tag}, somebody)
		if err != nil || again.Plain["loki-external-labels"] != want {
			t.Errorf("after a restart: labels %q, %v; want %q", again.Plain["loki-external-labels"], err, want)
		}
	}
}

// What no template gave is the destination's, and follows its configuration while the container runs. A template that the destination gets later is
// rendered with what is known of a container that runs.
func TestDestinationFollowsItsConfiguration(t *testing.T) {
	r := destinationRules()
	r.Destinations["prod"]["splunk-index"], r.Destinations["prod"]["splunk-sourcetype"] = "main", "{{.Name}}"
	o, err := r.Parse(map[string]string{"destination": "prod", "splunk-source": "{{.Name}}-own"}, somebody)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ index, sourcetype, wantIndex string }{{"main", "{{.Name}}", "main"}, {"other", "another", "other"}, {"x-{{.Name}}-{{.ID}}", "{{", "x-web-aaaaaaaaaaaa"}} {
		r.Destinations["prod"]["splunk-index"], r.Destinations["prod"]["splunk-sourcetype"] = step.index, step.sourcetype
		again, err := r.Expand(options.Options{Destination: "prod", Own: o.Own, Tag: o.Tag}, somebody)
		got := []string{again.Plain["splunk-index"], again.Plain["splunk-sourcetype"], again.Plain["splunk-source"]}
		if want := []string{step.wantIndex, "web", "web-own"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("with the index %s: %q, %v; want %q", step.index, got, err, want)
		}
	}
}

// A container that starts while its destination cannot be read has its own templates rendered, and a container of a version for which the option was
// not a template keeps its text.
func TestOwnTemplatesAreRenderedOnce(t *testing.T) {
	r := destinationRules()
	o, err := r.Parse(map[string]string{"destination": "later", "splunk-index": "{{.Name}}", "splunk-source": "{{.Nme}}"}, somebody)
	if err == nil || o.Own["splunk-index"] != "web" || o.Own["splunk-source"] != "{{.Nme}}" {
		t.Errorf("%v, %v; want the index web, and a template that cannot be rendered as it is", o.Own, err)
	}
	again, err := r.Expand(options.Options{Destination: "prod", Own: options.Plain{"splunk-index": "{{.Name}}"}}, somebody)
	if err != nil || again.Plain["splunk-index"] != "{{.Name}}" {
		t.Errorf("an index of an earlier version became %q, %v", again.Plain["splunk-index"], err)
	}
}

// The value of a secret is not a template, whatever it looks like: it is not looked at when the options are read.
func TestReferencesAreNoTemplates(t *testing.T) {
	r := destinationRules()
	r.References, r.AllowRouters = references.Allowed{}, nil
	for _, name := range []string{"splunk-source", "splunk-sourcetype", "splunk-index"} {
		o, err := r.Parse(map[string]string{"logDriver": "splunk", "splunk-url": "https://hec.example.com:8088", "secretOptions.splunk-token": tokenARN, "secretOptions." + name: tokenARN}, somebody)
		if _, plain := o.Plain[name]; err != nil || plain || o.References[name].String() != tokenARN {
			t.Errorf("%s: %v, %v", name, o, err)
		}
	}
}

// A log group may have a template, which is rendered before it is held against allow_routers.
func TestDestinationLogGroup(t *testing.T) {
	r := destinationRules()
	r.Destinations["logs"] = map[string]string{"logDriver": "awsfirelens", "Name": "cloudwatch", "region": "eu-west-1", "log_group_name": "/ecs/$(ecs_cluster)/${label:l}", "log_stream_name": "s"}
	i := somebody
	i.ContainerLabels = map[string]string{"l": "team", "com.amazonaws.ecs.cluster": "prod"}
	const want = "/ecs/prod/team"
	o, err := r.Parse(map[string]string{"destination": "logs"}, i)
	if err != nil || o.Plain["awslogs-group"] != want || !strings.HasSuffix(o.Address, ":log-group:"+want) || o.Tag != "s" {
		t.Fatalf("log group %q at %s, stream %q, %v; want %q", o.Plain["awslogs-group"], o.Address, o.Tag, err, want)
	}
	again, err := r.Expand(options.Options{Destination: "logs", Own: o.Own, Tag: o.Tag}, somebody)
	if err != nil || again.Plain["awslogs-group"] != want || again.Address != o.Address {
		t.Errorf("after a restart: log group %q at %s, %v; want %q", again.Plain["awslogs-group"], again.Address, err, want)
	}
	i.ContainerLabels["l"] = "a:b"
	if _, err := r.Parse(map[string]string{"destination": "logs"}, i); err == nil || !strings.Contains(err.Error(), "not a name of a log group") {
		t.Errorf("a label that makes a wrong name: %v", err)
	}
}

// Which lines are sent may be said by a destination, whose patterns change with the configuration, and by the container.
func TestDestinationLines(t *testing.T) {
	r := destinationRules()
	r.Destinations["prod"]["include-pattern"], r.Destinations["prod"]["exclude-pattern"] = "^fleet ", "health"
	o, err := r.Parse(map[string]string{"destination": "prod", "include-pattern": " of its own "}, somebody)
	if want := (lines.Options{IncludePattern: " of its own ", ExcludePattern: "health"}); err != nil || o.Lines != want {
		t.Fatalf("lines %+v, %v; want %+v", o.Lines, err, want)
	}
	r.Destinations["prod"]["exclude-pattern"] = "metrics"
	again, err := r.Expand(options.Options{Destination: "prod", Own: o.Own}, somebody)
	if want := (lines.Options{IncludePattern: " of its own ", ExcludePattern: "metrics"}); err != nil || again.Lines != want {
		t.Errorf("Expand gives lines %+v, %v; want %+v", again.Lines, err, want)
	}
	if o, err := r.Parse(map[string]string{"destination": "prod", "include-pattern": ""}, somebody); err != nil || o.Lines.IncludePattern != "" || o.Lines.ExcludePattern != "metrics" {
		t.Errorf("a container that takes the pattern back has %+v, %v", o.Lines, err)
	}
	r.Destinations["bad"] = map[string]string{"logDriver": "fluentd", "exclude-pattern": "("}
	if wrong := r.WrongDestinations(); len(wrong) != 1 || wrong["bad"] == nil || !strings.Contains(wrong["bad"].Error(), "exclude-pattern") {
		t.Errorf("wrong destinations %v, want bad for its pattern", wrong)
	}
	r.Destinations["fire"] = map[string]string{"logDriver": "awsfirelens", "Name": "http", "Host": "logs.example.com", "include-pattern": "^a", "max-rate": "10"}
	o, err = r.Parse(map[string]string{"destination": "fire", "multiline-pattern": "^b"}, somebody)
	if want := (lines.Options{IncludePattern: "^a", MultilinePattern: "^b", MaxRate: "10"}); err != nil || o.Lines != want {
		t.Errorf("with FireLens options: %+v, %v; want %+v", o.Lines, err, want)
	}
	delete(r.Destinations, "prod")
	r.DefaultDestination = "prod"
	if o, err := r.Parse(map[string]string{"exclude-pattern": "x"}, somebody); err == nil || o.Own["exclude-pattern"] != "x" {
		t.Errorf("without its destination the container's own options are %v, %v", o.Own, err)
	}
}
