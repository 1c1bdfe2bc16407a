package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router/datadog/datadogtest"
	"github.com/secretref/secretref/logplugin/router/elasticsearch/elastictest"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/logdna/logdnatest"
	"github.com/secretref/secretref/logplugin/router/loki/lokitest"
	"github.com/secretref/secretref/logplugin/router/newrelic/newrelictest"
	"github.com/secretref/secretref/logplugin/router/otlp/otlptest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

const key = "0123456789abcdef0123456789abcdef"

// try runs the program with these variables.
func try(environment map[string]string) (code int, out string) {
	var b strings.Builder
	code = run(program{kinds: logplugin.Routers(), getenv: func(name string) string { return environment[name] }, out: &b})
	return code, b.String()
}

// Without an account nothing is sent, and each router's variables are named.
func TestUnset(t *testing.T) {
	code, out := try(nil)
	if code != 1 || !strings.HasSuffix(out, "live: no account is named, so nothing was tried\n") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	for _, k := range logplugin.Routers() {
		want := "set SECRETREF_LIVE_" + strings.ToUpper(k.Name) + " to NAME=VALUE,NAME=VALUE and SECRETREF_LIVE_" + strings.ToUpper(k.Name) + "_SECRET to NAME=VALUE"
		if has := strings.Contains(out, want); has == (k.Name == "null" || k.Name == "awsfirelens") {
			t.Errorf("%s: %v that the output has %q\n%s", k.Name, has, want, out)
		}
	}
}

// receiver is one in memory, for the router of that name.
type receiver struct {
	name       string
	options    string // the address among them
	credential string // "" = it has none
	lines      func() int
	close      func()
}

// receivers are those of every router that has one.
func receivers(t *testing.T) []receiver {
	t.Helper()
	hec, err := hectest.Start(hectest.Options{Tokens: []string{key}})
	if err != nil {
		t.Fatal(err)
	}
	forward, err := forwardtest.Start(forwardtest.Options{SharedKey: key})
	if err != nil {
		t.Fatal(err)
	}
	loki, otlp := lokitest.Start(lokitest.Options{Auth: []string{"Bearer " + key}}), otlptest.Start(otlptest.Options{Auth: []string{key}})
	dd, nr, mezmo := datadogtest.Start(datadogtest.Options{Keys: []string{key}}), newrelictest.Start(newrelictest.Options{Keys: []string{key}}), logdnatest.Start(logdnatest.Options{Keys: []string{key}})
	elastic := elastictest.Start(elastictest.Options{Auth: "ApiKey " + key})
	var taken atomic.Int32
	plain := routertest.StartReceiver(routertest.ReceiverOptions{Handle: func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if r.Header.Get("X-Token") != key {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		taken.Add(1)
	}})
	logs, firehose, kinesis, bucket := awstest.StartLogs(), awstest.StartFirehose("s"), awstest.StartKinesis("s"), awstest.StartS3("logs")
	all := []receiver{
		{"splunk", "splunk-url=" + hec.URL(), "splunk-token=" + key, hec.Count, hec.Close},
		{"fluentd", "fluentd-request-ack=true,fluentd-address=" + forward.Address(), "fluentd-shared-key=" + key, func() int { return len(forward.Entries()) }, forward.Close},
		{"loki", "loki-url=" + loki.URL(), "loki-bearer-token=" + key, func() int { return len(loki.Entries()) }, loki.Close},
		{"otlp", "otlp-endpoint=" + otlp.URL(), "otlp-headers.Authorization=" + key, func() int { return len(otlp.Records()) }, otlp.Close},
		{"datadog", "datadog-service=live,datadog-host=" + dd.URL(), "datadog-api-key=" + key, func() int { return len(dd.Logs()) }, dd.Close},
		{"newrelic", "newrelic-endpoint=" + nr.URL(), "newrelic-license-key=" + key, func() int { return len(nr.Logs()) }, nr.Close},
		{"logdna", "logdna-url=" + mezmo.URL(), "logdna-api-key=" + key, func() int { return len(mezmo.Lines()) }, mezmo.Close},
		{"http", "http-url=" + plain.URL(), "http-header.X-Token=" + key, func() int { return int(taken.Load()) }, plain.Close},
		{"elasticsearch", "elasticsearch-url=" + elastic.URL(), "elasticsearch-api-key=" + key, func() int { return len(elastic.Documents()) }, elastic.Close},
		{"awslogs", "awslogs-group=new,awslogs-create-group=true,awslogs-endpoint=" + logs.URL(), "", func() int { return len(logs.Messages()) }, logs.Close},
		{"firehose", "firehose-stream=s,firehose-endpoint=" + firehose.URL(), "", func() int { return len(firehose.Lines()) }, firehose.Close},
		{"kinesis", "kinesis-stream=s,kinesis-endpoint=" + kinesis.URL(), "", func() int { return len(kinesis.Lines()) }, kinesis.Close},
		{"s3", "s3-bucket=logs,s3-endpoint=" + bucket.URL(), "", func() int { return len(bucket.Lines()) }, bucket.Close},
	}
	for name, options := range map[string]string{"syslog": "syslog-format=rfc5424,syslog-address=tcp://", "gelf": "gelf-address=tcp://", "tcp": "tcp-address=tcp://"} {
		split := bufio.ScanLines
		if name == "gelf" {
			split = untilZero
		}
		s := routertest.StartSocket(t, routertest.SocketOptions{Network: "tcp", Split: split})
		all = append(all, receiver{name, options + s.Address(), "", func() int { return len(s.Messages()) }, func() {}})
	}
	for _, r := range all {
		t.Cleanup(r.close)
	}
	return all
}

func untilZero(data []byte, _ bool) (int, []byte, error) {
	before, _, found := bytes.Cut(data, []byte{0})
	if !found {
		return 0, nil, nil
	}
	return len(before) + 1, before, nil
}

// A line, a refusal and a rotation for every router, at receivers in memory; one line for those without a credential.
func TestAccounts(t *testing.T) {
	home := awstest.NewHome(t)
	all, environment := receivers(t), map[string]string{}
	for _, r := range all {
		options, credential := variables(r.name)
		environment[options], environment[credential] = r.options, r.credential
	}
	var b strings.Builder
	code := run(program{kinds: logplugin.RoutersOf(home.Session("")), getenv: func(name string) string { return environment[name] }, out: &b})
	out := b.String()
	if code != 0 || strings.Contains(out, key) || strings.Contains(out, "failed") || strings.Contains(out, "unset") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	for _, r := range all {
		wants, lines := []string{"a line: secretref live test ", "a refusal: ", "a rotation\n"}, 2
		if r.credential == "" {
			wants, lines = []string{"a line: secretref live test ", "no credential is given"}, 1
		}
		for _, want := range wants {
			if !strings.Contains(out, fmt.Sprintf("%-14s %-7s %s", r.name, "ok", want)) {
				t.Errorf("%s: there is no %q", r.name, want)
			}
		}
		routertest.Await(t, r.name+" has the lines", func() bool { return r.lines() >= lines })
		if n := r.lines(); n != lines {
			t.Errorf("%s: %d lines arrived, want %d", r.name, n, lines)
		}
	}
	without := []string{"null", "awsfirelens", "s3"} // a receiver here
	for _, k := range logplugin.Routers() {
		if !slices.Contains(without, k.Name) && !slices.ContainsFunc(all, func(r receiver) bool { return r.name == k.Name }) {
			t.Errorf("the router %s is not tried", k.Name)
		}
	}
}

func TestFailures(t *testing.T) {
	d := datadogtest.Start(datadogtest.Options{})
	t.Cleanup(d.Close)
	for _, c := range []struct {
		name, options, credential, want string
		mishap                          routertest.Mishap
	}{
		{"a wrong key is accepted", "datadog-host=" + d.URL(), "datadog-api-key=" + key, "a wrong credential was accepted", routertest.Mishap{}},
		{"the key is refused", "datadog-host=" + d.URL(), "datadog-api-key=" + key, "answer 403", routertest.Mishap{Status: 403}},
		{"no credential", "datadog-host=" + d.URL(), "", "the log option datadog-api-key is required", routertest.Mishap{}},
		{"no value", "datadog-host=" + d.URL(), "datadog-api-key", "is not NAME=VALUE", routertest.Mishap{}},
		{"options", "datadog-host", "datadog-api-key=" + key, "has no value", routertest.Mishap{}},
		{"a wrong option", "datadog-site=x", "datadog-api-key=" + key, "is not a site", routertest.Mishap{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.mishap.Status != 0 {
				d.Fail(c.mishap)
			}
			code, out := try(map[string]string{"SECRETREF_LIVE_DATADOG": c.options, "SECRETREF_LIVE_DATADOG_SECRET": c.credential})
			if code != 1 || !strings.Contains(out, "failed") || !strings.Contains(out, c.want) || strings.Contains(out, key) {
				t.Errorf("exit status %d, want 1 and %q\n%s", code, c.want, out)
			}
		})
	}
}

func TestWrong(t *testing.T) {
	for value, want := range map[string]string{"Bearer az-9F": "Bearer bu-0A", "0123": "1234", "": "", "é": "é"} {
		if got := wrong(value); got != want {
			t.Errorf("wrong(%q) = %q, want %q", value, got, want)
		}
	}
}
