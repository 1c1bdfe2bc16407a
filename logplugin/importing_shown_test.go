package logplugin

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router/firelens"
	"github.com/secretref/secretref/logplugin/taskdef"
)

// wholeOutputs are options with which each output that needs more than Host and tls is accepted.
var wholeOutputs = map[string]map[string]string{
	"cloudwatch": {"log_group_name": "g"}, "cloudwatch_logs": {"log_group_name": "g"}, "kinesis_firehose": {"delivery_stream": "s"}, "firehose": {"delivery_stream": "s"},
	"kinesis_streams": {"stream": "s"}, "kinesis": {"stream": "s"}, "s3": {"bucket": "logs", "region": "eu-west-1"}, "syslog": {"Host": "example.com", "Mode": "tls"}, "gelf": {"Host": "example.com", "Mode": "tls"}, "grafana-loki": {"Url": "https://example.com/loki/api/v1/push"},
	"datadog": {"ref apikey": ""}, "splunk": {"ref splunk_token": ""}, "newrelic": {"ref licenseKey": ""}, "nrlogs": {"ref license_key": ""}, "logdna": {"ref api_key": ""},
}

// alone are the options that take the place of another.
var alone = map[string]string{"apikey": "licenseKey", "api_key": "license_key"}

// importOf is all that import prints for one output with one more option in clear, and why it refuses it.
func importOf(t *testing.T, output, option, value string) (printed, refused string) {
	t.Helper()
	given, secrets := map[string]string{"Name": output}, map[string]string{}
	if wholeOutputs[output] == nil {
		given["Host"], given["tls"] = "example.com", "on"
	}
	for name, value := range wholeOutputs[output] {
		if secret, ok := strings.CutPrefix(name, "ref "); ok && !strings.EqualFold(secret, option) && secret != alone[option] {
			secrets[secret] = "/prod/key"
		} else if !ok {
			given[name] = value
		}
	}
	if output == "datadog" || output == "splunk" {
		given["Host"], given["tls"] = "example.com", "on"
	}
	maps.DeleteFunc(given, func(name, _ string) bool { return strings.EqualFold(name, option) })
	given[option] = value
	data, err := json.Marshal(map[string]any{"logDriver": firelens.Name, "options": given, "secretOptions": secrets})
	if err != nil {
		t.Fatal(err)
	}
	in, err := taskdef.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	plan := taskdef.NewPlan(in, Routers())
	var b bytes.Buffer
	refused = strings.Join(plan.Refused, "\n")
	plan.Refused = nil
	for _, part := range append(taskdef.Parts(), "") {
		if err := plan.Write(&b, part, "json"); err != nil {
			t.Fatal(err)
		}
	}
	return b.String(), refused
}

// The options of every output of FireLens whose value import prints, and those whose value is in its refusal, are those in the file: none of
// them holds a secret. A value stands alone, is the path of an address, or a whole address with a password.
func TestImportShows(t *testing.T) {
	t.Parallel()
	const canary = "h1dden-0123456789abcdef"
	list, err := os.ReadFile("router/firelens/testdata/options.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string][]string{}
	for line := range strings.Lines(string(list)) {
		if words := strings.Fields(line); words[0] != "#" {
			names[words[0]] = words[1:]
		}
	}
	var b strings.Builder
	for _, output := range slices.Sorted(maps.Keys(firelens.Outputs())) {
		known := names[output]
		if output == "http" {
			known = slices.Concat(known, names["(all)"]) // those that all outputs have are the same everywhere
		}
		if len(known) == 0 && output != "null" && output != "otel-collector" {
			t.Errorf("the options of %s are not in the list", output)
		}
		for _, form := range []string{canary, "/" + canary, "https://user:" + canary + "@example.com/" + canary} {
			var shown, refused []string
			for _, option := range known {
				printed, why := importOf(t, output, option, form)
				if strings.Contains(printed, canary) {
					shown = append(shown, option)
				}
				if strings.Contains(why, canary) {
					refused = append(refused, option)
				}
			}
			fmt.Fprintf(&b, "%s %s\n  printed: %s\n  in a refusal: %s\n", output, strings.ReplaceAll(form, canary, "VALUE"), strings.Join(shown, " "), strings.Join(refused, " "))
		}
	}
	const golden = "testdata/import-shown.txt"
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || string(want) != b.String() {
		t.Errorf("%v; it is\n%s\nrun with -update and read the difference", err, b.String())
	}
}
