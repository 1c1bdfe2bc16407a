package firelens

// Difference is something that is not as with Fluent Bit on ECS.
type Difference struct {
	Outputs   string // which outputs it is about; "" means all
	FluentBit string
	Here      string
}

// Differences lists where a configuration does something else than with Fluent Bit 5.1. Everything else is the same, and tested
// against what Fluent Bit has sent.
var Differences = []Difference{
	{"", "all that is not ASCII is written as \\u escapes in JSON", "it is written as UTF-8, which means the same"},
	{"", "a byte that is not UTF-8 becomes a character for private use, and makes an OTLP request invalid", "it becomes U+FFFD"},
	{"", "a line of more than 16 KiB arrives in pieces, each a record with partial_ fields", "it arrives as one record, except with forward, syslog and gelf"},
	{"", "User-Agent is Fluent-Bit", "it is secretref-logdriver"},
	{"", "ecs_cluster, ecs_task_arn and ecs_task_definition are added to each record", "there is no task, and they are left out; labels and env add fields"},
	{"", "tls.verify_hostname is off by default: a certificate for another name is accepted", "the name is always checked; tls.vhost gives another name"},
	{"", "a credential is sent without TLS when tls is not given", "refused, unless the receiver is on this host"},
	{"", "a switch that is none (tls: maybe) is off, and an unknown Format is msgpack", "refused"},
	{"", "Retry_Limit, 1 by default, says after how many tries lines are given up", "lines wait in the spool until the receiver takes them"},
	{"", "after 401 or 403 lines are given up or tried again with the same value", "the secret is read again, and lines wait"},
	{"", "the tag ends in the id of the task", "it is NAME-firelens-ID with the first twelve digits of the container's id; the log-opt tag sets another"},
	{"", "an unknown ${VARIABLE} is replaced by nothing", "refused"},
	{"", "an option in options and in secretOptions: the secret is used", "the same, and check says so"},
	{"datadog", "the headers DD-EVP-ORIGIN and DD-EVP-ORIGIN-VERSION name Fluent Bit", "they are not sent"},
	{"datadog", "dd_message_key may name any member", "the line is renamed to message when it is log, the default, and keeps its name otherwise"},
	{"splunk", "the path is /services/collector/event", "it is /services/collector/event/1.0, which is the same endpoint"},
	{"splunk", "the event may be any member, and event_field adds fields", "event_key is $log or not given; event_field is refused"},
	{"loki, grafana-loki", "containers with equal labels share a stream, and Loki refuses the lines of one that has waited", "a label container_name is added, unless the name or the id of the container is in a label"},
	{"loki", "each record is a stream object of its own when a label comes from the record", "the records of a stream stand together"},
	{"loki", "compress gzip has to be asked for", "JSON is always sent with gzip"},
	{"loki", "line_format key_value writes quotes around values without escaping those in them", "it is logfmt"},
	{"nrlogs, newrelic", "the attribute plugin names Fluent Bit and its version", "it names secretref-logdriver"},
	{"opentelemetry", "all members of the record but the line are lost, unless logs_body_key_attributes is on", "they are attributes of the log record"},
	{"opentelemetry", "without Host lines go to 127.0.0.1:80", "Host is required"},
	{"es, opensearch", "documents get an id from the server, and lines that are sent again are stored twice; with generate_id equal lines within a millisecond are stored once", "each document has an id of its session and its place in it: none is stored twice, and none is left out. With aws_service_name aoss, whose time series take no ids, there is none unless generate_id is on"},
	{"es, opensearch", "suppress_type_name is off, and documents have the type _doc, which the servers of today refuse", "suppress_type_name is on"},
	{"es, opensearch", "write_operation index replaces a document that has the same id", "documents are created; update and upsert are refused"},
	{"es, opensearch", "a pipeline is named in the path of the request, and the whole answer is asked for", "it is named beside each document, and only results and faults are asked for"},
	{"es, opensearch", "documents that are refused inside of an answer are lost, or the whole request is sent for ever", "what became of each is read: what the server was too busy for is sent again, and what it refuses is counted"},
	{"es, opensearch", "a prefix of the index may come from the record, and current_time_index puts the date of sending into it", "its options may have ${CONTAINER_NAME} and ${label:NAME}, and its date is that of the line"},
	{"syslog", "without syslog_message_key messages are empty", "it is log, the line"},
	{"syslog", "a message of rfc3164 that begins with < is sent without the head", "each message has its head"},
	{"syslog", "a message that is cut may end within a character", "it ends before it"},
	{"syslog, gelf", "parts of a message may come from any member of the record", "they may come from the container's name, its id and its labels; a severity, a level or a time is not taken from a member"},
	{"gelf", "without gelf_host_key a message has no host, which the format requires", "it is the name of this host"},
	{"gelf", "packet_size is the size of a datagram", "datagrams have at most 1,420 bytes"},
	{"gelf", "a message that is not a datagram by itself is compressed whatever compress says", "it is compressed unless compress is off; compress=false is Docker's own option, so write Compress=off"},
	{"tcp", "with Format json all records of a chunk stand in one array", "each record is an array of its own"},
	{"tcp", "raw_message_key may name any member", "it is $log, which is the line"},
	{"logdna", "a blank or another character that a URL cannot have stands in the query as it is", "it is escaped"},
	{"cloudwatch_logs, cloudwatch", "$(NAME) may be any member of the record, and a name without it is replaced by a default", "it may be what is known of the container before there is a line: $(container_name), $(container_id), $(tag), $(ecs_task_id), which is the container's id, and $(ecs_cluster), which is the label com.amazonaws.ecs.cluster or default; others are refused"},
	{"cloudwatch_logs, cloudwatch", "events that CloudWatch Logs rejects for their age are ignored", "they are counted"},
	{"cloudwatch_logs, cloudwatch, kinesis_firehose, firehose, kinesis_streams, kinesis", "log_key may name any member, and records without it are not sent", "it may name log, which is the line"},
	{"cloudwatch_logs, cloudwatch, kinesis_firehose, firehose, kinesis_streams, kinesis", "tls.ca_file, tls.verify, sts_endpoint and profile are options of the output", "they are refused: ca_bundle under [aws] is the file of certificates, and the rest is there, too"},
	{"kinesis_firehose, kinesis_streams", "with log_key the line has the escapes of JSON, but not its quotes", "it is the line as it is, as with firehose and kinesis"},
	{"kinesis_firehose, firehose, kinesis_streams, kinesis", "all records of a request are sent again when one was not taken", "only those that were not taken"},
	{"kinesis_firehose, firehose, kinesis_streams, kinesis", "simple_aggregation puts many lines into one record", "each line is a record of its own, and many records go in one request"},
	{"kinesis_streams, kinesis", "the partition key is random, or with partition_key any member of the record", "it is the container's id, so that the lines of a container keep their order; partition_key may name container_id, container_name or a label"},
	{"forward", "entries have metadata, as [[time, {}], record]", "they are [time, record], as with retain_metadata_in_forward_mode false"},
	{"http", "Format gelf, body_key, headers_key and oauth2 are possible", "refused"},
	{"http", "a user with a password and a header Authorization are both sent", "the header given in the options is sent alone"},
	{"http", "a header Content-Type is added to that of Format, unless allow_duplicated_headers is false", "it has no effect then; with allow_duplicated_headers false it replaces it, as there"},
}
