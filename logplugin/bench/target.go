package main

// target is a receiver as the options of a log driver name it.
type target struct {
	router   string
	encoding string // of bodies: "gzip", "zstd"; "" = none
	tls      bool
}

func (t target) String() string {
	s := t.router
	if t.encoding != "" {
		s += ", " + t.encoding
	}
	if t.tls {
		s += ", TLS"
	}
	return s
}

const (
	gzip = "gzip"
	zstd = "zstd"
)

// targets are all that are measured.
var targets = []target{
	{router: "splunk"}, {router: "splunk", encoding: gzip}, {router: "fluentd"},
	{router: "splunk", tls: true}, {router: "splunk", encoding: gzip, tls: true}, {router: "fluentd", tls: true},
	{router: "datadog"}, {router: "datadog", encoding: gzip}, {router: "datadog", encoding: zstd},
	{router: "newrelic"}, {router: "newrelic", encoding: gzip}, {router: "newrelic", encoding: zstd},
	{router: "http"}, {router: "http", encoding: gzip}, {router: "http", encoding: zstd},
	{router: "otlp"}, {router: "otlp", encoding: gzip}, {router: "otlp", encoding: zstd},
	{router: "loki"}, // always with snappy
}

// contained reports whether containers are run with the target, and not only the driver alone.
func (t target) contained() bool { return t.router == "splunk" || t.router == "fluentd" }

// docker reports whether Docker's own driver, of the version that is measured, can do the same.
func (t target) docker() bool { return t.router == "splunk" || t.router == "fluentd" && !t.tls }

// options are those that Docker's own driver and ours both know; the token is not among them.
func (w *world) options(t target) map[string]string {
	switch {
	case t.router == "fluentd" && t.tls:
		return map[string]string{"fluentd-address": "tls://" + w.address["forwardTLS"], "fluentd-tls-ca-cert": w.path("ca.pem")}
	case t.router == "fluentd":
		return map[string]string{"fluentd-address": w.address["forward"]}
	}
	o := map[string]string{"splunk-url": "http://" + w.address["hec"]}
	if t.tls {
		o["splunk-url"], o["splunk-capath"] = "https://"+w.address["hecTLS"], w.path("ca.pem")
	}
	if t.encoding != "" {
		o["splunk-gzip"] = "true"
	}
	return o
}

// ourOptions are those of a container that uses our driver.
func (w *world) ourOptions(t target) map[string]string {
	url, encoding, credential := "http://"+w.address["hec"]+"/"+t.router, t.encoding, ""
	if encoding == "" {
		encoding = "none"
	}
	var o map[string]string
	switch t.router {
	case "datadog":
		o, credential = map[string]string{"datadog-host": url, "datadog-compress": encoding}, "datadog-api-key"
	case "newrelic":
		o, credential = map[string]string{"newrelic-endpoint": url, "newrelic-compression": encoding}, "newrelic-license-key"
	case "http":
		o, credential = map[string]string{"http-url": url, "http-compress": encoding}, "http-bearer-token"
	case "otlp":
		o, credential = map[string]string{"otlp-endpoint": url, "otlp-compression": encoding}, "otlp-headers.api-key"
	case "loki":
		o, credential = map[string]string{"loki-url": url}, "loki-bearer-token"
	case "splunk":
		o, credential = w.options(t), "splunk-token"
	default:
		o = w.options(t)
	}
	o["logDriver"] = t.router
	if credential != "" {
		o["secretOptions."+credential] = w.arn + ":token::"
	}
	return o
}

// dockerOptions are those of a container that uses Docker's driver.
func (w *world) dockerOptions(t target) map[string]string {
	o := w.options(t)
	if t.router == "splunk" {
		o["splunk-token"] = token
	}
	return o
}
