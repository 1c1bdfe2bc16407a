//go:build integration

package packages_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router/datadog/datadogtest"
	"github.com/secretref/secretref/logplugin/router/elasticsearch/elastictest"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/logdna/logdnatest"
	"github.com/secretref/secretref/logplugin/router/loki/lokitest"
	"github.com/secretref/secretref/logplugin/router/newrelic/newrelictest"
	"github.com/secretref/secretref/logplugin/router/otlp/otlptest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/fakeaws"
)

// routers tries what the page of each router says, with a receiver at the name of the page. The credential that it wants is the
// value of the reference.
func (r *reader) routers(t *testing.T) {
	r.references()
	web := func(name string) routertest.ReceiverOptions {
		return routertest.ReceiverOptions{TLS: r.certificate(name)}
	}
	take := func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(http.StatusNoContent) }
	plain := web("logs.example.com")
	plain.Handle = take
	forward, err := forwardtest.Start(forwardtest.Options{TLS: r.certificate("fluentd.example.com"), SharedKey: value})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(forward.Close)
	datadog := datadogtest.Start(datadogtest.Options{ReceiverOptions: web("http-intake.logs.datadoghq.eu"), Keys: []string{value}})
	elastic := elastictest.Start(elastictest.Options{ReceiverOptions: web("es.example.com"), Auth: "ApiKey " + value})
	loki := lokitest.Start(lokitest.Options{ReceiverOptions: web("logs-prod-012.example.com")})
	newrelic := newrelictest.Start(newrelictest.Options{ReceiverOptions: web("log-api.eu.newrelic.com"), Keys: []string{value}})
	otlp := otlptest.Start(otlptest.Options{ReceiverOptions: web("otlp.example.com"), Auth: []string{value}})
	mezmo := logdnatest.Start(logdnatest.Options{ReceiverOptions: web("logs.mezmo.com"), Keys: []string{value}})
	receiver := routertest.StartReceiver(plain)
	for _, s := range []interface{ Close() }{datadog, elastic, loki, newrelic, otlp, mezmo, receiver} {
		t.Cleanup(s.Close)
	}
	graylog := routertest.StartSocket(t, routertest.SocketOptions{Network: "tcp", Split: bufio.ScanLines})
	collector := routertest.StartSocket(t, routertest.SocketOptions{Network: "tcp", Split: bufio.ScanLines})
	syslog := routertest.StartSocket(t, routertest.SocketOptions{Network: "tcp", Split: bufio.ScanLines})
	for i, x := range []struct{ names, port, to string }{
		{"http-intake.logs.datadoghq.eu", "443", datadog.URL()}, {"es.example.com", "9200", elastic.URL()}, {"logs-prod-012.example.com", "443", loki.URL()},
		{"log-api.eu.newrelic.com", "443", newrelic.URL()}, {"otlp.example.com", "4318", otlp.URL()}, {"fluentd.example.com", "24224", forward.Address()},
		{"logs.example.com", "443", receiver.URL()}, {"graylog.example.com", "12201", graylog.Address()},
		{"logs.mezmo.com", "443", mezmo.URL()}, {"collector.example.com", "5170", collector.Address()},
	} {
		r.at(fmt.Sprintf("192.0.2.%d", 20+i), x.names, x.port, x.to)
	}
	r.forward("192.0.2.26:514", syslog.Address())

	for _, page := range []string{
		"splunk.md", "datadog.md", "elasticsearch.md", "fluentd.md", "from-loki-plugin.md", "gelf.md", "http.md", "logs.md", "newrelic.md",
		"otlp.md", "syslog.md", "logdna.md", "tcp.md", "firelens.md", "secretref-logdriver.1",
	} {
		r.shows("ok     the router ", page)
	}
	r.shows(`"firehose:PutRecordBatch"`, "firehose.md")
	r.shows(`"kinesis:PutRecords"`, "kinesis.md")
	r.alone("cloudwatch-logs.md", "127.0.0.1:4567", awstest.StartLogs("/app/web").Receiver)
	r.shows(`"logs:PutLogEvents"`, "cloudwatch-logs.md")
	r.alone("s3.md", "127.0.0.1:4568", awstest.StartS3("app-logs").Receiver)
	r.shows(`"s3:PutObject"`, "s3.md")
	r.importsOf("firelens.md")
}

// alone tries what a page says of a router to AWS, with its service at the endpoint. No driver runs beside it: a check would be made by
// that, with its credentials.
func (r *reader) alone(page, endpoint string, service *routertest.Receiver) {
	r.t.Cleanup(service.Close)
	r.forward(endpoint, service.URL())
	r.do("systemctl stop secretref-logdriver.socket secretref-logdriver.service")
	r.shows("ok     the router ", page, "secretref-logdriver check", "AWS_ACCESS_KEY_ID="+awstest.Old.ID+" AWS_SECRET_ACCESS_KEY="+awstest.Old.Secret+
		" SECRETREF_AWS_ENDPOINT_URL=http://"+endpoint+" secretref-logdriver check")
	r.do("systemctl start secretref-logdriver.socket secretref-logdriver.service")
}

// references are those of the routers' pages.
func (r *reader) references() {
	r.hec.SetTokens(value)
	for _, name := range []string{"prod/splunk", "logs/splunk"} {
		r.aws.PutSecret(fakeaws.Secret{Name: name, Suffix: "AbCdEf", String: `{"token":"` + value + `"}`})
	}
	r.aws.PutSecret(fakeaws.Secret{Name: "prod/fluentd", Suffix: "AbCdEf", String: `{"shared-key":"` + value + `"}`})
	r.aws.PutSecret(fakeaws.Secret{Name: "prod/logs-uri", Suffix: "AbCdEf", String: "/ingest"})
	for _, name := range []string{
		"/splunk/token", "/prod/datadog-api-key", "/prod/elastic-api-key", "/prod/loki-password", "/prod/logs-authorization",
		"/prod/mezmo-ingestion-key", "/prod/newrelic-license-key", "/prod/otlp-authorization",
	} {
		r.aws.PutParameter(fakeaws.Parameter{Name: name, Value: value})
	}
}

func (r *reader) certificate(name string) *tls.Config {
	r.t.Helper()
	c, err := r.ca.ServerConfig(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// at gives a receiver of the machine a name and a port in the root.
func (r *reader) at(ip, name, port, to string) {
	r.t.Helper()
	if err := r.root.Address(r.t.Context(), ip, name); err != nil {
		r.t.Fatal(err)
	}
	r.forward(ip+":"+port, to)
}

func (r *reader) forward(address, to string) {
	r.t.Helper()
	if _, host, ok := strings.Cut(to, "://"); ok {
		to = host
	}
	if err := r.root.Forward(address, to); err != nil {
		r.t.Fatal(err)
	}
}

// importsOf imports the task definition of a page.
func (r *reader) importsOf(page string) {
	_, text, _ := strings.Cut(document(r.t, "packaging/docs/"+page), "\n```json\n")
	text, _, _ = strings.Cut(text, "\n```")
	r.write("root/taskdef.json", `{"family": "web", "containerDefinitions": [{"name": "web", "image": "nginx", `+text+"}]}\n")
	r.do("cp /etc/secretref/config.toml config.before")
	r.shows(`resource "aws_iam_policy"`, page)
	r.do("mv config.before /etc/secretref/config.toml")
}
