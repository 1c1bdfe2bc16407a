package firelens

// notServed lists outputs that people ask for and that no router here serves.
func notServed() []output {
	const useHTTP = "its vendor takes logs over HTTP too; use Name=http, or Name=opentelemetry"
	soon := func(names ...string) output {
		return output{names: names, why: "there is no router for it here yet; send to a Fluent Bit on the host with Name=forward"}
	}
	return []output{
		{names: []string{"stdout"}, why: "it writes into the log router's own output; use the log driver json-file or local, or Name=null"},
		{names: []string{"file"}, why: "use the log driver json-file or local"},
		{names: []string{"elasticsearch"}, why: "the output of Fluent Bit is called es"},
		{names: []string{"sumologic", "coralogix", "logz", "logzio", "loggly", "dynatrace"}, why: useHTTP},
		{names: []string{"azure", "azure_blob", "azure_kusto", "azure_logs_ingestion", "stackdriver", "bigquery", "oracle_log_analytics", "chronicle"}, why: "run a Fluent Bit or an OpenTelemetry Collector on the host, and send to it with Name=forward or Name=opentelemetry"},
		{names: []string{"signalfx", "prometheus_exporter", "prometheus_remote_write", "influxdb", "statsd"}, why: "it takes metrics and no logs"},
		soon("kafka", "kafka-rest", "nats", "td", "plot", "pgsql"),
		{names: []string{"exit", "counter", "flowcounter", "lib"}, why: "it is for tests of Fluent Bit"},
		soon("udp", "websocket"),
	}
}
