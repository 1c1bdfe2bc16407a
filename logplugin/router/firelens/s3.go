package firelens

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

func s3Output() output {
	const (
		spooled = "lines wait in the spool, and an object is made of what is there"
		blobs   = "it is for files, of which a container has none"
		noAuth  = "requests are signed with the credentials of the host or of a role"
	)
	return output{
		names: []string{"s3"}, router: "s3", tls: alwaysTLS("s3"), build: buildS3,
		options: slices.Concat(awsOptions("s3"),
			options(ignored, spooled, "upload_chunk_size", "store_dir", "store_dir_limit_size", "quarantine_dir_limit_size", "retry_exhausted_action"),
			options(ignored, blobs, "blob_database_file", "part_size", "file_delivery_attempt_limit", "part_delivery_attempt_limit", "upload_parts_timeout", "upload_part_freshness_limit"),
			options(refused, noAuth, "authorization_endpoint_url", "authorization_endpoint_username", "authorization_endpoint_password", "authorization_endpoint_bearer_token"),
			[]option{
				{name: "bucket", to: "s3-bucket"}, {name: "s3_key_format"}, {name: "s3_key_format_tag_delimiters", to: "s3-key-format-tag-delimiters"},
				{name: "total_file_size"}, {name: "upload_timeout"}, {name: "static_file_path"}, {name: "compression"}, {name: "format"}, {name: "log_key"},
				{name: "json_date_key", to: "s3-date-key"}, {name: "json_date_format"}, {name: "content_type", to: "s3-content-type"},
				{name: "storage_class", to: "s3-storage-class"}, {name: "canned_acl", to: "s3-canned-acl"}, {name: "send_content_md5", form: toggle, to: "s3-send-content-md5"},
				{name: "use_put_object", form: ignored, why: "every object is put as a whole"},
				{name: "preserve_data_ordering", form: ignored, why: "the lines of a container keep their order"},
			}),
	}
}

func buildS3(t *translation) {
	t.endpoint("s3-endpoint")
	if !t.has("bucket") {
		t.fail("bucket is missing")
	}
	format := "/fluent-bit-logs/$TAG/%Y/%m/%d/%H/%M/%S"
	if e := t.find("s3_key_format"); e != nil && e.secret {
		t.fail("%s cannot be in secretOptions here; write it into options", e.key)
	} else if e != nil {
		format = t.expand(*e, true)
	}
	t.set("s3-key-format", format)
	if t.is("static_file_path", false) && !strings.Contains(format, "$UUID") && !strings.Contains(format, "$INDEX") {
		t.fail("static_file_path is on and s3_key_format has neither $UUID nor $INDEX: objects of one second would replace each other, and their lines be lost; put $UUID into s3_key_format")
	}
	t.objectSize()
	if wait := t.seconds("upload_timeout", 10*time.Minute); wait > 0 {
		t.set("s3-upload-timeout", wait.String())
	}
	t.set("s3-compression", t.oneOf("compression", "none", "gzip", "zstd", "snappy"))
	t.oneOf("format", "json_lines", "json")
	if t.lineAlone("log_key") {
		t.set("s3-format", "raw")
	}
	t.set("s3-date-format", t.oneOf("json_date_format", "iso8601", "double", "epoch", "epoch_ms", "java_sql_timestamp"))
}

// objectSize gives the size of an object. Fluent Bit's are up to 50 GB, in parts.
func (t *translation) objectSize() {
	const least, most = 1_000_000, 16 << 20
	n, ok := sizeOf(t.text("total_file_size", "100M"))
	switch {
	case !ok || n < least:
		t.fail("total_file_size is %q; write a size of at least 1M", t.text("total_file_size", ""))
	case n > most:
		if t.has("total_file_size") {
			t.note("total_file_size is more than 16 MiB, which an object has at most here")
		}
		n = most
	}
	t.set("s3-total-file-size", strconv.FormatInt(n, 10))
}

// seconds reads a time as Fluent Bit does: a number of seconds, or one with s, m, h or d behind it.
func (t *translation) seconds(name string, def time.Duration) time.Duration {
	text := strings.ToLower(t.text(name, ""))
	if text == "" {
		return def
	}
	digits := strings.TrimRight(text, "smhd")
	unit, known := map[string]time.Duration{"": time.Second, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[text[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 20)
	if !known || err != nil || n == 0 {
		t.fail("%s is %q; write a number of seconds, or one with a unit, such as 10m", t.find(name).key, text)
		return def
	}
	return time.Duration(n) * unit //nolint:gosec // it has 20 bits
}
