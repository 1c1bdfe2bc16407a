package logplugin

import (
	"bytes"
	"encoding/json"
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

// mayBeSecret are the options, in small letters, that hold a secret, or an address in which one may stand.
var mayBeSecret = strings.Fields("apikey api_key licensekey license_key authorization_endpoint_bearer_token authorization_endpoint_password bearer_token cloud_auth header " +
	"http_api_key http_passwd key_file oauth2.client_secret password shared_key splunk_token tls.key_file tls.key_passwd uri url endpoint base_uri logs_uri path logdna_endpoint")

// import prints the value of none of these options, whatever the output: neither in what it makes of it nor in its refusal. A value stands
// alone, is the path of an address, or a whole address with a password.
func TestImportShowsNoSecret(t *testing.T) {
	t.Parallel()
	const canary = "h1dden-0123456789abcdef"
	list, err := os.ReadFile("router/firelens/testdata/options.txt")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for line := range strings.Lines(string(list)) {
		names := strings.Fields(line)
		output := names[0]
		if output == "(all)" {
			output = "http"
		}
		if firelens.Outputs()[output] == "" {
			continue
		}
		for _, option := range names[1:] {
			if !slices.Contains(mayBeSecret, strings.ToLower(option)) {
				continue
			}
			for _, value := range []string{canary, "/" + canary, "https://user:" + canary + "@example.com/" + canary} {
				tried++
				if printed, refused := importOf(t, output, option, value); strings.Contains(printed+refused, canary) {
					t.Errorf("%s: the value of %s=%s is printed:\n%s%s", output, option, value, refused, printed)
				}
			}
		}
	}
	if tried < 100 {
		t.Errorf("%d values were tried", tried)
	}
}
