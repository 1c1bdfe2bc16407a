package logplugin

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func bodyOf(t *testing.T, text string, zipped []byte) []byte {
	t.Helper()
	if zipped == nil {
		return []byte(text)
	}
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// received is a request in a form in which two can be compared: what its members say, not how they are written.
type received struct {
	path   string
	header http.Header
	values []any
}

// sendAll sends the records with the router of o, and returns what has arrived.
func sendAll(t *testing.T, o options.Options, info options.Info, records []router.Record, receiver *routertest.Receiver) received {
	t.Helper()
	config, b := encodeAll(t, o, info, records)
	r := config.Router()
	defer func() { _ = r.Close() }()
	if err := r.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	all := receiver.Exchanges()
	if len(all) != 1 {
		t.Fatalf("%d requests", len(all))
	}
	var pairs [][2]string
	for name, values := range all[0].Header {
		for _, value := range values {
			pairs = append(pairs, [2]string{name, value})
		}
	}
	return received{path: all[0].Path, header: headersOf(pairs), values: valuesOf(t, all[0].Header.Get("Content-Type"), all[0].Body)}
}

// headersOf leaves out those that are the connection's, and those that a Receiver does not keep.
func headersOf(pairs [][2]string) http.Header {
	h := http.Header{}
	for _, p := range pairs {
		h.Add(p[0], p[1])
	}
	for _, name := range []string{"Host", "Content-Length", "User-Agent", "Connection", "Accept-Encoding", "Authorization"} {
		h.Del(name)
	}
	return h
}

// valuesOf reads a body of JSON: an array, or values one after the other.
func valuesOf(t *testing.T, contentType string, body []byte) []any {
	t.Helper()
	switch contentType {
	case "application/x-protobuf":
		return logRecords(t, body)
	case "application/msgpack": // as it is, but for the size of the metadata's empty map, and for text that is not UTF-8
		text := strings.ReplaceAll(string(body), "\xdf\x00\x00\x00\x00", "\x80")
		return []any{notUTF8.ReplaceAllString(text, "bad text tail")}
	}
	var values []any
	d := json.NewDecoder(bytes.NewReader(body))
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %q", err, base64.StdEncoding.EncodeToString(body[:min(len(body), 200)]))
		}
		values = append(values, plain(v))
	}
	return values
}

// plain replaces what stands for a byte that is not UTF-8, and reads lines that are JSON themselves, whose members may be in another order.
func plain(v any) any {
	switch v := v.(type) {
	case string:
		s := strings.Map(func(r rune) rune {
			if r >= 0xe080 && r <= 0xe0ff {
				return '\ufffd'
			}
			return r
		}, v)
		var inner map[string]any
		if strings.HasPrefix(s, "{") && json.Unmarshal([]byte(s), &inner) == nil {
			return plain(any(inner))
		}
		return s
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = plain(v[name])
		}
	}
	return v
}

// change takes away what a declared difference is about.
func (r *received) change(name string) {
	switch output, _, _ := strings.Cut(name, "-"); output {
	case "datadog":
		r.header.Del("Dd-Evp-Origin")
		r.header.Del("Dd-Evp-Origin-Version")
	case "splunk":
		r.path = strings.TrimSuffix(r.path, "/1.0")
		r.header.Del("X-Splunk-Request-Channel")
	case "logdna":
		before, rest, _ := strings.Cut(r.path, "&now=")
		_, after, _ := strings.Cut(rest, "&")
		r.path = before + "&" + after
	case "nrlogs":
		for _, m := range r.values {
			common, _ := m.([]any)[0].(map[string]any)["common"].(map[string]any)
			delete(common["attributes"].(map[string]any), "plugin")
		}
	case "es", "opensearch":
		r.path, _, _ = strings.Cut(r.path, "?")
		for _, v := range r.values {
			if action, ok := v.(map[string]any)["create"].(map[string]any); ok {
				delete(action, "_id")
				delete(action, "_type")
			}
		}
	case "loki":
		r.header.Del("Content-Encoding")
		r.values = lokiEntries(r.values)
	}
	switch name {
	case "loki-meta": // each line is a JSON string, with other escapes
		for _, e := range r.values {
			entry, _ := e.([]any)[1].([]any)
			var line string
			if err := json.Unmarshal([]byte(fmt.Sprint(entry[1])), &line); err == nil {
				entry[1] = plain(strings.ToValidUTF8(line, "\ufffd"))
			}
		}
	case "loki-kv": // the same members, in other quotes and in another order
		for _, e := range r.values {
			entry, _ := e.([]any)[1].([]any)
			entry[1] = slices.Sorted(slices.Values(strings.Fields(strings.NewReplacer("\"", "", "\\", "").Replace(fmt.Sprint(entry[1])))))
		}
		r.values = r.values[:1] // the others have quotes in the line
	case "http-docker-partials": // two records there
		var line string
		for _, v := range r.values {
			record, _ := v.(map[string]any)
			piece, _ := record["log"].(string)
			line += piece
		}
		r.values = []any{line}
	case "opentelemetry", "opentelemetry-valid":
		for _, v := range r.values {
			delete(v.(map[string]any), "attributes")
		}
	}
}

// lokiEntries are the entries of a push, each with its stream, without the label that is added here.
func lokiEntries(values []any) (entries []any) {
	for _, v := range values {
		streams, _ := v.(map[string]any)["streams"].([]any)
		for _, s := range streams {
			stream, _ := s.(map[string]any)
			delete(stream["stream"].(map[string]any), "container_name")
			for _, e := range stream["values"].([]any) {
				entries = append(entries, []any{stream["stream"], e})
			}
		}
	}
	slices.SortFunc(entries, func(a, b any) int { // by time
		return strings.Compare(fmt.Sprint(a.([]any)[1].([]any)[0]), fmt.Sprint(b.([]any)[1].([]any)[0]))
	})
	return entries
}

// logRecords reads an OTLP request that may not be UTF-8, which a strict decoder refuses.
func logRecords(t *testing.T, body []byte) (records []any) {
	t.Helper()
	for _, resource := range fields(t, body)[1] {
		for _, scope := range fields(t, resource)[2] {
			for _, r := range fields(t, scope)[2] {
				f := fields(t, r)
				record := map[string]any{"time": fmt.Sprintf("%x", f[1]), "body": word(fields(t, f[5][0])[1])}
				attributes := map[string]any{}
				for _, a := range f[6] {
					pair := fields(t, a)
					attributes[word(pair[1])] = word(fields(t, pair[2][0])[1])
				}
				if record["attributes"] = attributes; len(f[2])+len(f[3])+len(f[11]) > 0 {
					t.Error("a record has a severity or a time of observation, which Fluent Bit does not send")
				}
				records = append(records, record)
			}
		}
	}
	return records
}

// word is a text, in which each byte that is not UTF-8 is U+FFFD.
func word(field [][]byte) string {
	var b strings.Builder
	for _, f := range field {
		for _, r := range string(f) {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// fields are the bytes of each field of a message, by its number.
func fields(t *testing.T, message []byte) map[protowire.Number][][]byte {
	t.Helper()
	all := map[protowire.Number][][]byte{}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		value := message[:n]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(message)
		}
		all[number] = append(all[number], value)
		message = message[n:]
	}
	return all
}

func show(v any) string {
	data, _ := json.Marshal(v)
	return strings.ReplaceAll(string(data), strings.Repeat("0123456789abcdef", 100), "…")
}
