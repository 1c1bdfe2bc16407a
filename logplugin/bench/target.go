package main

// target is a receiver as the options of a log driver name it.
type target struct {
	router   string
	encoding string // of bodies: "gzip", "zstd"; "" = none
	way      string // to the receiver: overTLS, overTCP, intoVictoriaLogs; "" = the usual one
}

func (t target) String() string {
	s := t.router
	for _, more := range []string{t.encoding, t.way} {
		if more != "" {
			s += ", " + more
		}
	}
	return s
}

const (
	gzip = "gzip"
	zstd = "zstd"

	overTLS          = "TLS"
	overTCP          = "TCP"
	intoVictoriaLogs = "into VictoriaLogs"
)

// targets are all that are measured.
var targets = []target{
	{router: "splunk"}, {router: "splunk", encoding: gzip}, {router: "fluentd"},
	{router: "splunk", way: overTLS}, {router: "splunk", encoding: gzip, way: overTLS}, {router: "fluentd", way: overTLS},
	{router: "splunk", way: intoVictoriaLogs}, {router: "splunk", encoding: gzip, way: intoVictoriaLogs},
	{router: "awslogs"}, {router: "firehose"}, {router: "kinesis"}, {router: "syslog", way: overTCP}, {router: "gelf", encoding: gzip}, {router: "gelf", way: overTCP},
	{router: "elasticsearch"}, {router: "elasticsearch", encoding: gzip},
	{router: "datadog"}, {router: "datadog", encoding: gzip}, {router: "datadog", encoding: zstd},
	{router: "newrelic"}, {router: "newrelic", encoding: gzip}, {router: "newrelic", encoding: zstd},
	{router: "http"}, {router: "http", encoding: gzip}, {router: "http", encoding: zstd},
	{router: "otlp"}, {router: "otlp", encoding: gzip}, {router: "otlp", encoding: zstd},
	{router: "loki"}, // always with snappy
	{router: "logdna"}, {router: "logdna", encoding: gzip},
	{router: "s3"}, {router: "s3", encoding: gzip},
	{router: "tcp"},
}

// logged reports whether containers are compared with json-file.
func (t target) logged() bool { return t.router == "splunk" || t.router == "fluentd" }

// contained reports whether containers are run with the target, and not only the driver alone.
func (t target) contained() bool { return t.logged() || t.docker() }

// docker reports whether Docker's own driver, of the version that is measured, is compared.
func (t target) docker() bool {
	switch t.router {
	case "splunk", "fluentd":
		return t.way == ""
	case "gelf":
		return t.encoding == gzip
	}
	return t.router == "awslogs" || t.router == "syslog"
}

// slow is the part of the lines that containers with the target write; 0 = all. With GELF and gzip Docker's own driver makes a compressor
// for every line: it takes half a millisecond, and the daemon cuts off what is left ten seconds after the container's end.
func (t target) slow() int {
	if t.router == "gelf" && t.encoding == gzip {
		return 100
	}
	return 0
}

// options are those that Docker's own driver and ours both know; the token is not among them.
func (w *world) options(t target) map[string]string {
	switch t.router {
	case "fluentd":
		if t.way == overTLS {
			return map[string]string{"fluentd-address": "tls://" + w.address["forwardTLS"], "fluentd-tls-ca-cert": w.path("ca.pem")}
		}
		return map[string]string{"fluentd-address": w.address["forward"]}
	case "awslogs":
		return map[string]string{"awslogs-region": region, "awslogs-endpoint": w.http("aws"), "awslogs-group": "bench", "awslogs-stream": "bench"}
	case "syslog":
		return map[string]string{"syslog-address": "tcp://" + w.address["syslog"], "syslog-format": "rfc5424micro"}
	case "gelf":
		if t.way == overTCP {
			return map[string]string{"gelf-address": "tcp://" + w.address["syslog"]}
		}
		return map[string]string{"gelf-address": "udp://" + w.address["gelf"]}
	}
	o := map[string]string{"splunk-url": "http://" + w.address["hec"]}
	switch t.way {
	case overTLS:
		o["splunk-url"], o["splunk-capath"] = "https://"+w.address["hecTLS"], w.path("ca.pem")
	case intoVictoriaLogs:
		o["splunk-url"] = w.http("victorialogs")
	}
	if t.encoding != "" {
		o["splunk-gzip"] = "true"
	}
	return o
}

// http is the address of a service of the receiver.
func (w *world) http(service string) string { return "http://" + w.address["hec"] + "/" + service }

// ourOptions are those of a container that uses our driver.
func (w *world) ourOptions(t target) map[string]string {
	url, encoding, credential := w.http(t.router), t.encoding, ""
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
	case "elasticsearch":
		o, credential = map[string]string{"elasticsearch-url": url, "elasticsearch-compress": encoding}, "elasticsearch-api-key"
	case "loki":
		o, credential = map[string]string{"loki-url": url}, "loki-bearer-token"
	case "firehose":
		o = map[string]string{"firehose-region": region, "firehose-endpoint": w.http("aws"), "firehose-stream": "bench"}
	case "kinesis":
		o = map[string]string{"kinesis-region": region, "kinesis-endpoint": w.http("aws"), "kinesis-stream": "bench"}
	case "logdna":
		o, credential = map[string]string{"logdna-url": url, "logdna-compress": encoding}, "logdna-api-key"
	case "s3": // an object has what comes within the shortest time that the option takes
		o = map[string]string{"s3-region": region, "s3-endpoint": url, "s3-bucket": "bench", "s3-compression": encoding, "s3-upload-timeout": "1s"}
	case "tcp":
		o = map[string]string{"tcp-address": "tcp://" + w.address["syslog"]}
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
