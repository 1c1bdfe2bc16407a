package awslogs

// Differences lists where this router does not send what Docker's awslogs driver sends, and why. What an event says is the same but for
// these, and tested against Docker's own driver and captures of it.
var Differences = []struct{ Docker, Here string }{
	{"20.10 sends bytes that are not UTF-8 as they are: the request is refused, and all lines in it are lost",
		"each such byte is U+FFFD, as with 28 and 29"},
	{"an event of several lines ends in a newline",
		"it has newlines between its lines, and none at its end"},
	{"lines of both streams go into one event, whose end comes with a line that matches or after awslogs-force-flush-interval-seconds",
		"each stream has events of its own, which end after 500 lines, 256 KiB or 5 s at the latest"},
	{"a group that is missing keeps the container from starting, without awslogs-create-group",
		"the container starts, its lines wait in the spool, and status says what is missing"},
	{"labels, labels-regex, env and env-regex are refused",
		"they are taken, as for every router, and can stand in the tag"},
	{"a tag with a colon or an asterisk is sent as the name of a stream, which CloudWatch Logs refuses: the container does not start",
		"the container starts, its lines wait in the spool, and status says what to write"},
	{"awslogs-force-flush-interval-seconds and awslogs-max-buffered-events decide when a request is sent and what is kept",
		"they are taken and checked, and do nothing: lines wait in the spool"},
}
