package logplugin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/s3"
)

// compareSent compares the messages that Fluent Bit has sent with those that are sent here, where they are not requests over HTTP that
// anybody can read.
func compareSent(t *testing.T, name string, o options.Options, info options.Info, records []router.Record, sent []textOrBytes) {
	t.Helper()
	if name == "gelf-udp-chunked" { // a record of its own: one line that compression does not make small
		var message struct {
			Line string  `json:"short_message"`
			Time float64 `json:"timestamp"`
		}
		if err := json.Unmarshal(sent[0].bytes(), &message); err != nil {
			t.Fatal(err)
		}
		records = []router.Record{{TimeNano: int64(message.Time*1000+0.5) * 1e6, Source: []byte("stdout"), Line: []byte(message.Line)}}
	}
	_, b := encodeAll(t, o, info, records)
	var got, want []any
	for i := range b.Len() {
		for _, m := range messagesOf(t, o.Router, b.Body[b.Start(i):b.Ends[i]]) {
			got = append(got, messageValue(m))
		}
	}
	for _, m := range sent {
		for _, m := range aggregated(o.Router, m.bytes()) {
			want = append(want, messageValue(m))
		}
	}
	for i, v := range got { // what a declared difference is about
		switch v := v.(type) {
		case map[string]any:
			if name == "gelf-udp" || name == "gelf-udp-chunked" {
				delete(v, "host")
			}
		case string:
			if name == "syslog-tcp-nokey" {
				got[i], _, _ = strings.Cut(v, " \ufeff")
			}
		}
	}
	for i, v := range want {
		if text, ok := v.(string); ok && i < len(got) && name == "syslog-tcp-nothing" { // a long line has two bytes less there
			want[i] = strings.Replace(text, " : ", " ", 1)
			if here, _ := got[i].(string); strings.HasPrefix(here, want[i].(string)) {
				got[i] = want[i]
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sent\n%s\nwant\n%s", show(got), show(want))
	}
}

// aggregated are the records of Firehose that Fluent Bit has put into one.
func aggregated(router string, message []byte) (all [][]byte) {
	if router != "firehose" {
		return [][]byte{message}
	}
	for line := range bytes.Lines(message) {
		if len(line) > 1 { // there is one more newline at the end of all
			all = append(all, line)
		}
	}
	return all
}

// messagesOf are the messages in one encoded record.
func messagesOf(t *testing.T, router string, text []byte) (all [][]byte) {
	t.Helper()
	switch router {
	case "awslogs":
		var events []struct{ Message string }
		if err := json.Unmarshal([]byte("["+strings.TrimSuffix(string(text), ",")+"]"), &events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			all = append(all, []byte(e.Message))
		}
	case "firehose", "kinesis":
		var record struct{ Data []byte }
		if err := json.Unmarshal([]byte(strings.TrimSuffix(string(text), ",")), &record); err != nil {
			t.Fatal(err)
		}
		if z, err := gzip.NewReader(bytes.NewReader(record.Data)); err == nil {
			if record.Data, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, record.Data)
	default:
		all = append(all, bytes.TrimRight(text, "\n\x00"))
	}
	return all
}

// messageValue is what a message says: the members of a JSON object may be in another order.
func messageValue(message []byte) any {
	var object map[string]any
	if json.Unmarshal(message, &object) == nil {
		return plain(any(object))
	}
	return plain(strings.ToValidUTF8(string(message), "\ufffd"))
}

// compareForward compares the entries of the Forward protocol: the tag, each time to the nanosecond, and each record to the byte.
func compareForward(t *testing.T, o options.Options, info options.Info, records []router.Record, c fluentBit) {
	t.Helper()
	type entry struct {
		sec, nano uint32
		record    map[string]string
	}
	_, b := encodeAll(t, o, info, records)
	var got, want []entry
	for r := bufio.NewReader(bytes.NewReader(b.Body)); ; {
		v, err := forwardtest.Decode(r)
		if errors.Is(err, io.EOF) {
			break
		}
		pair, ok := v.([]any)
		if err != nil || !ok || len(pair) != 2 {
			t.Fatalf("an entry is %v, %v", v, err)
		}
		at, _ := pair[0].(forwardtest.Ext)
		members, _ := pair[1].([]forwardtest.Pair)
		e := entry{binary.BigEndian.Uint32([]byte(at.Data)), binary.BigEndian.Uint32([]byte(at.Data[4:])), map[string]string{}}
		for _, m := range members {
			name, _ := m.Key.(forwardtest.Str)
			value, _ := m.Value.(forwardtest.Str)
			e.record[string(name)] = string(value)
		}
		got = append(got, e)
	}
	for _, m := range c.Messages {
		for _, x := range m.Entries {
			if m.Tag != o.Tag {
				t.Errorf("the tag is %q, want %q", o.Tag, m.Tag)
			}
			at := x[0]
			if pair, hasMetadata := at.([]any); hasMetadata {
				at = pair[0]
			}
			parts, _ := at.(map[string]any)["$eventtime"].([]any)
			sec, _ := parts[0].(float64)
			nano, _ := parts[1].(float64)
			e := entry{uint32(sec), uint32(nano), map[string]string{}}
			for name, value := range x[1].(map[string]any) {
				if encoded, isBytes := value.(map[string]any); isBytes {
					text, err := base64.StdEncoding.DecodeString(encoded["$str_base64"].(string))
					if err != nil {
						t.Fatal(err)
					}
					value = string(text)
				}
				e.record[name] = value.(string)
			}
			want = append(want, e)
		}
	}
	if len(want) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d entries\n%.3000s\nwant %d\n%.3000s", len(got), fmt.Sprint(got), len(want), fmt.Sprint(want))
	}
}

// What differs from object to object in a key: random letters, and the time of sending with use_put_object.
var (
	randomInKey = regexp.MustCompile(`(-object|_00-|-)([0-9A-Za-z]{8}|[0-9A-Za-z]{16})(\.gz)?$`)
	sentInKey   = regexp.MustCompile(`/\d\d/\d\d/\d\d-object`)
)

// compareObject compares the object that Fluent Bit has put into a bucket.
func compareObject(t *testing.T, o options.Options, info options.Info, records []router.Record, c fluentBit) {
	t.Helper()
	server := awstest.StartS3(o.Plain["s3-bucket"])
	defer server.Close()
	o.Plain["s3-endpoint"], o.Plain["s3-region"] = server.URL(), awstest.Region
	config, err := s3.Kind(awsrouter.NewHost(awstest.NewHome(t).Session(server.URL()))).New(router.Options{Plain: o.Plain})
	if err != nil {
		t.Fatal(err)
	}
	e, err := config.Encoder(t.Context(), router.Session{ID: "s", ContainerID: info.ContainerID, ContainerName: info.ContainerName, Tag: o.Tag})
	if err != nil {
		t.Fatal(err)
	}
	b := &router.Batch{}
	for i := range records {
		b.Append(e, &records[i])
	}
	r := config.Router()
	defer func() { _ = r.Close() }()
	if err := r.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	stored := server.Stored()
	if len(stored) != 1 {
		t.Fatalf("%d objects", len(stored))
	}
	keyOf := func(path string) string {
		return sentInKey.ReplaceAllString(randomInKey.ReplaceAllString(path, "${1}RANDOM$3"), "/TIME-object")
	}
	want := c.Requests[0]
	if got := "/" + o.Plain["s3-bucket"] + "/" + stored[0].Key; keyOf(got) != keyOf(want.Path) || want.Method != http.MethodPut {
		t.Errorf("the object is at %s, want %s", got, want.Path)
	}
	if got, want := stored[0].Header.Get("Content-Encoding"), headersOf(want.Headers).Get("Content-Encoding"); got != want {
		t.Errorf("Content-Encoding %q, want %q", got, want)
	}
	if got, want := valuesOf(t, "", []byte(stored[0].Body)), valuesOf(t, "", bodyOf(t, want.Body, want.Gzip)); !reflect.DeepEqual(got, want) {
		t.Errorf("body\n%s\nwant\n%s", show(got), show(want))
	}
}
