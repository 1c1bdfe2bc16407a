package firelens

func tcpOutput() output {
	return output{
		names: []string{"tcp"}, router: "tcp", tls: socketTLS("tcp"), build: buildTCP,
		options: []option{{name: "format"}, {name: "json_date_key", to: "tcp-date-key"}, {name: "json_date_format"}, {name: "raw_message_key"}},
	}
}

func buildTCP(t *translation) {
	t.set("tcp-address", t.address("tcp", "tcp+tls", "127.0.0.1", "5170"))
	t.set("tcp-format", t.oneOf("format", "msgpack", "json", "json_lines", "json_stream"))
	t.set("tcp-date-format", t.dateForm("json_date_format"))
	switch {
	case t.lineAlone("raw_message_key"):
		t.set("tcp-format", "raw")
	case !t.has("format"):
		t.note("Format is not given and is msgpack, as with Fluent Bit")
	}
}
