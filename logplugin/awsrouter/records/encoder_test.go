package records

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

var looked = Stream{Service: awsrouter.Service{Prefix: "s"}, Compressions: []string{"gzip", "zlib", "snappy"}}

// unpacked is what a receiver makes of a record's data.
func unpacked(t *testing.T, data []byte) string {
	t.Helper()
	if text, err := snappy.Decode(nil, data); err == nil {
		return string(text)
	}
	for _, open := range []func(io.Reader) (io.Reader, error){
		func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
	} {
		z, err := open(bytes.NewReader(data))
		if err != nil {
			continue
		}
		text, err := io.ReadAll(z) // which looks at the checksum
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return string(data)
}

// What PREFIX-fluent-bit says of the text of a record.
func TestFluentBit(t *testing.T) {
	record := &router.Record{TimeNano: 1795428000_123456789, Source: []byte("stdout"), Line: []byte(`{"a":1}`)}
	for settings, want := range map[string]string{
		"output=x,data_keys=log":                                       `{"log":"{\"a\":1}"}` + "\n",
		"output=x,data_keys=source,replace_dots=true":                  `{"source":"stdout"}` + "\n",
		`output=x,data_keys=source\,com_x,replace_dots=true`:           `{"source":"stdout","com_x":"v"}` + "\n",
		"output=x,log_key=log":                                         `{"a":1}` + "\n",
		"output=x,log_key=log,without_newline=true":                    `{"a":1}`,
		"output=x,data_keys=source,without_newline=true":               `{"source":"stdout"}`,
		"output=x,data_keys=source,time_key=at":                        `{"source":"stdout","at":"2026-11-23T10:00:00"}` + "\n",
		"output=x,data_keys=source,time_key=at,time_key_format=%s.%3N": `{"source":"stdout","at":"1795428000.123"}` + "\n",
		"output=x,data_keys=source,time_key=at,time_key_format=%Q":     "ERROR %Q is not supported",
		"output=x,compression=zip":                                     "ERROR compression is not one of , gzip, zlib, snappy",
		"output=x,data_keys=source,compression=snappy":                 `{"source":"stdout"}` + "\n",
		"output=x,data_keys=source,compression=gzip":                   `{"source":"stdout"}` + "\n",
		"output=x,data_keys=source,compression=zlib":                   `{"source":"stdout"}` + "\n",
	} {
		v := router.Options{Plain: map[string]string{"s-fluent-bit": settings}}.Unresolved()
		session := routertest.Session("one")
		session.Attrs = map[string]string{"com.x": "v"}
		e := looked.encoder(v, session)
		if text, isError := strings.CutPrefix(want, "ERROR "); isError {
			if v.Err() == nil || !strings.Contains(v.Err().Error(), text) {
				t.Errorf("%s: %v, want %q", settings, v.Err(), text)
			}
			continue
		}
		packed := e.fluent.append([]byte("before"), record)
		if got := unpacked(t, packed[len("before"):]); v.Err() != nil || got != want || strings.Contains(settings, "compression") == (string(packed[6:]) == got) {
			t.Errorf("%s: %q, %v, want %q", settings, got, v.Err(), want)
		}
	}
	empty := looked.encoder(router.Options{Plain: map[string]string{"s-fluent-bit": "output=x,log_key=log"}}.Unresolved(), routertest.Session("one"))
	if got := empty.AppendRecord(nil, &router.Record{}); len(got) > 0 {
		t.Errorf("an empty line alone is sent as %q", got)
	}
}

// The part of a record that is the same for all of them is encoded once. What arrives is the whole text, however long the line is.
func TestTail(t *testing.T) {
	session := routertest.Session("one")
	session.Attrs = map[string]string{"team": "a"}
	for _, keyed := range []bool{false, true} {
		stream := looked
		stream.Keyed = keyed
		e := stream.encoder(router.Options{}.Unresolved(), session)
		for n := range 9 {
			line := strings.Repeat("x", n)
			var record struct{ Data []byte }
			text, _ := strings.CutSuffix(string(e.AppendRecord(nil, &router.Record{TimeNano: 1795428000_123456789, Source: []byte("stdout"), Line: []byte(line)})), ",")
			want := `{"date":"2026-11-23T10:00:00.123456Z","source":"stdout","log":"` + line + `","container_id":"` + session.ContainerID + `","container_name":"/one","team":"a"}` + "\n"
			if err := json.Unmarshal([]byte(text), &record); err != nil || string(record.Data) != want {
				t.Errorf("a line of %d bytes: %q, %v, want %q", n, record.Data, err, want)
			}
		}
	}
}
