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
	{"", "a line of more than 16 KiB arrives in pieces, each a record with partial_ fields", "it arrives as one record, except with forward"},
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
	{"http", "Format msgpack and gelf, header_tag, body_key, headers_key, aws_auth and oauth2 are possible", "refused"},
	{"http", "a user with a password and a header Authorization are both sent", "the header given in the options is sent alone"},
	{"http", "a header Content-Type is added to that of Format, unless allow_duplicated_headers is false", "it has no effect then; with allow_duplicated_headers false it replaces it, as there"},
}
