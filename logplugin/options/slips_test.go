package options

import (
	"maps"
	"strings"
	"testing"
)

// What people write by mistake is understood, or the error says what to write instead.
func TestSlips(t *testing.T) {
	reference := func(s string) map[string]string { return splunk("secretOptions.splunk-token", s) }
	list := func(s string) map[string]string { return splunk("secretOptions.splunk-token", "-", "secretOptions", s) }
	for name, c := range map[string]struct {
		config map[string]string
		want   string // the whole error; "" = it is understood
	}{
		"logdriver":                  {splunk("logDriver", "-", "logdriver", "splunk"), `log-opt "logdriver" is not known; did you mean logDriver?`},
		"log-driver":                 {splunk("logDriver", "-", "log-driver", "splunk"), `log-opt "log-driver" is not known; did you mean logDriver?`},
		"LogDriver":                  {splunk("logDriver", "-", "LogDriver", "splunk"), `log-opt "LogDriver" is not known; did you mean logDriver?`},
		"driver":                     {splunk("logDriver", "-", "driver", "splunk"), `log-opt "driver" is not known; did you mean logDriver?`},
		"both spellings":             {splunk("log_driver", "splunk"), `log-opt "log_driver" is unknown to logDriver splunk; did you mean logDriver?`},
		"case of the router":         {splunk("logDriver", "Splunk"), `log-opt logDriver names "Splunk", which is not a router here; did you mean splunk?`},
		"blanks around the router":   {splunk("logDriver", " splunk "), ""},
		"secretOption":               {splunk("secretOption.splunk-token", "/a"), `log-opt "secretOption.splunk-token" is unknown to logDriver splunk; did you mean secretOptions.splunk-token?`},
		"secretoptions":              {splunk("secretoptions.splunk-token", "/a"), `log-opt "secretoptions.splunk-token" is unknown to logDriver splunk; did you mean secretOptions.splunk-token?`},
		"secret-options":             {splunk("secret-options.splunk_token", "/a"), `log-opt "secret-options.splunk_token" is unknown to logDriver splunk; did you mean secretOptions.splunk-token?`},
		"secretOptions:":             {splunk("secretOptions:splunk-token", "/a"), `log-opt "secretOptions:splunk-token" is unknown to logDriver splunk; did you mean secretOptions.splunk-token?`},
		"case of an option":          {splunk("Splunk-Index", "main"), `log-opt "Splunk-Index" is unknown to logDriver splunk; did you mean splunk-index?`},
		"underscore":                 {splunk("splunk_index", "main"), `log-opt "splunk_index" is unknown to logDriver splunk; did you mean splunk-index?`},
		"no hyphen":                  {splunk("splunkindex", "main"), `log-opt "splunkindex" is unknown to logDriver splunk; did you mean splunk-index?`},
		"blank behind a name":        {splunk("splunk-index ", "main"), `log-opt "splunk-index " is unknown to logDriver splunk; did you mean splunk-index?`},
		"quotes around a name":       {splunk(`"splunk-index"`, "main"), `log-opt "\"splunk-index\"" is unknown to logDriver splunk; did you mean splunk-index?`},
		"option of another router":   {splunk("fluentd-address", "x"), `log-opt "fluentd-address" is unknown to logDriver splunk; it belongs to logDriver fluentd; if it comes from log-opts in daemon.json, an empty value takes it back: --log-opt fluentd-address=`},
		"blanks around a URL":        {splunk("splunk-url", " https://hec.example.com:8088\n"), ""},
		"quotes around a URL":        {splunk("splunk-url", `"https://hec.example.com:8088"`), `log-opt splunk-url: there are quotes around its value; remove them, or let a shell or YAML do it`},
		"quotes around a reference":  {reference("'" + arn + "'"), `log-opt secretOptions.splunk-token: there are quotes around its value; remove them, or let a shell or YAML do it`},
		"blanks around a reference":  {reference(" " + arn + " "), ""},
		"URL without scheme":         {splunk("splunk-url", "hec.example.com:8088"), `log-opt splunk-url: it has no scheme; write https://hec.example.com:8088`},
		"URL of a host alone":        {splunk("splunk-url", "hec.example.com"), `log-opt splunk-url: it has no scheme; write https://hec.example.com`},
		"URL with a path, no scheme": {splunk("splunk-url", "10.1.2.3:8088/services/collector"), `log-opt splunk-url: it has no scheme; write https://10.1.2.3:8088/services/collector`},
		"URL with one slash":         {splunk("splunk-url", "https:/hec.example.com:8088"), `log-opt splunk-url: its scheme does not end with ://; write https://HOST:8088`},
		"URL without a colon":        {splunk("splunk-url", "https//hec.example.com:8088"), `log-opt splunk-url: its scheme does not end with ://; write https://HOST:8088`},
		"URL of another scheme":      {splunk("splunk-url", "tcp://hec.example.com:8088"), `log-opt splunk-url: its scheme is not one of http, https; write https://HOST:8088`},
		"letter missing":             {splunk("splunk-url", "htps://hec.example.com:8088"), `log-opt splunk-url: its scheme is not one of http, https; write https://HOST:8088`},
		"address with http":          {map[string]string{"logDriver": "fluentd", "fluentd-address": "http://h:24224"}, `log-opt fluentd-address: its scheme is not one of tcp, tls, unix; write tcp://HOST:24224`},
		"address with one slash":     {map[string]string{"logDriver": "fluentd", "fluentd-address": "tcp:/h:24224"}, `log-opt fluentd-address: its scheme does not end with ://; write tcp://HOST:24224`},
		"address without scheme":     {map[string]string{"logDriver": "fluentd", "fluentd-address": "h:24224"}, ""},
		"ARN in capitals":            {reference("ARN:aws:secretsmanager:eu-west-1:111122223333:secret:a"), `log-opt secretOptions.splunk-token: parse reference: it looks like an ARN, and does not begin with arn: in small letters; write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, arn:aws:ssm:REGION:ACCOUNT:parameter/NAME or arn:aws:s3:::BUCKET/KEY`},
		"ARN without arn":            {reference("aws:secretsmanager:eu-west-1:111122223333:secret:a"), `log-opt secretOptions.splunk-token: parse reference: it looks like an ARN, and does not begin with arn: in small letters; write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, arn:aws:ssm:REGION:ACCOUNT:parameter/NAME or arn:aws:s3:::BUCKET/KEY`},
		"ARN with a slash":           {reference("arn:aws:secretsmanager:eu-west-1:111122223333:secret/a"), `log-opt secretOptions.splunk-token: parse reference arn:aws:secretsmanager:eu-west-1:111122223333:secret/a: the resource does not begin with secret:; write …:secret:NAME`},
		"ARN with one colon":         {reference(arn + ":token"), `log-opt secretOptions.splunk-token: parse reference ` + arn + `:token: an invalid ARN format for the AWS Secrets Manager secret was specified: fields after the name: 1, not 0 or 3; write all three colons, as in …:secret:NAME:json-key:version-stage:version-id or …:secret:NAME:json-key::`},
		"one object":                 {list(`{"name":"splunk-token","valueFrom":"` + arn + `"}`), ""},
		"a map":                      {list(`{"splunk-token":"` + canary + `"}`), `log-opt secretOptions is an object that is not one of a name and a valueFrom; write [{"name":"OPTION","valueFrom":"REFERENCE"}]`},
		"the key with the list":      {list(`"secretOptions":[{"name":"splunk-token","valueFrom":"/a"}]`), `log-opt secretOptions holds more than the list of an ECS logConfiguration; write [{"name":"OPTION","valueFrom":"REFERENCE"}]`},
		"the whole logConfiguration": {list(`{"logDriver":"splunk","secretOptions":[]}`), `log-opt secretOptions holds more than the list of an ECS logConfiguration; write [{"name":"OPTION","valueFrom":"REFERENCE"}]`},
		"case of valueFrom":          {list(`[{"name":"splunk-token","value_from":"/a"}]`), `log-opt secretOptions has entry 1, which has the key value_from; names of keys are name and valueFrom; write [{"name":"OPTION","valueFrom":"REFERENCE"}]`},
		"quotes around the list":     {list(`'[{"name":"splunk-token","valueFrom":"/a"}]'`), `log-opt secretOptions: there are quotes around its value; remove them, or let a shell or YAML do it`},
		"blanks around a size":       {splunk("spool-max-bytes", " 64MiB "), ""},
		"blanks around a word":       {splunk("secret-failure", " start"), ""},
		"a blank in a tag":           {splunk("tag", " "), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rules().Parse(c.config, info())
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("error %q, want %q", got, c.want)
			}
		})
	}
}

// daemon.json gives its log-opts to every container with its driver; an empty value takes one back.
func TestEmptyValueTakesAnOptionBack(t *testing.T) {
	for name, c := range map[string]struct {
		config map[string]string
		plain  Plain
	}{
		"of another router":       {splunk("fluentd-address", ""), Plain{"splunk-url": "https://hec.example.com:8088"}},
		"of this router":          {splunk("splunk-index", ""), Plain{"splunk-url": "https://hec.example.com:8088"}},
		"the list":                {splunk("secretOptions", ""), Plain{"splunk-url": "https://hec.example.com:8088"}},
		"the plain form":          {splunk("splunk-token", ""), Plain{"splunk-url": "https://hec.example.com:8088"}},
		"the form with a dot":     {splunk("secretOptions.splunk-token", "", "splunk-token", "t"), Plain{"splunk-url": "https://hec.example.com:8088", "splunk-token": "t"}},
		"options of every router": {splunk("spool-max-bytes", "", "secret-failure", "", "labels", ""), Plain{"splunk-url": "https://hec.example.com:8088"}},
	} {
		o, err := rules().Parse(c.config, info())
		if err != nil || !maps.Equal(o.Plain, c.plain) || o.SpoolMaxBytes != 0 {
			t.Errorf("%s: %q, spool %d, %v, want %q", name, map[string]string(o.Plain), o.SpoolMaxBytes, err, map[string]string(c.plain))
		}
	}
	if _, err := rules().Parse(splunk("splunk-url", ""), info()); err == nil || !strings.Contains(err.Error(), "splunk-url is required") {
		t.Errorf("without its address: %v", err)
	}
	if _, err := rules().Parse(splunk("splunk-ulr", ""), info()); err == nil || !strings.Contains(err.Error(), "did you mean splunk-url?") {
		t.Errorf("an option that no router has: %v", err)
	}
}
