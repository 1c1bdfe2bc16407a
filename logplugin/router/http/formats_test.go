package http

import (
	"bufio"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

const nano = 1795463301047679123

// Each date of a map is a value of the kind that its form has in JSON.
func TestDatesOfMaps(t *testing.T) {
	for how, want := range map[string]any{
		iso8601: forwardtest.Str("2026-11-23T19:48:21.047679123Z"), double: 1795463301.047679123, epoch: int64(1795463301), epochMS: int64(1795463301047), epochNano: int64(nano),
	} {
		e := sessionOf(router.Options{Plain: map[string]string{dateFormat: how, format: msgPack}}.Unresolved(), router.Session{})
		v, err := forwardtest.Decode(bufio.NewReader(strings.NewReader(string(e.AppendRecord(nil, &router.Record{TimeNano: nano, Line: []byte("x")})))))
		want := []forwardtest.Pair{{Key: forwardtest.Str("date"), Value: want}, {Key: forwardtest.Str("message"), Value: forwardtest.Str("x")}}
		if err != nil || !reflect.DeepEqual(v, want) {
			t.Errorf("%s: %v, %v; want %v", how, v, err, want)
		}
	}
}

// A message of GELF has the names that the format wants. It has none for a line without text.
func TestGELF(t *testing.T) {
	s := start(t, map[string]string{format: gelf, fields: "env=prod,id=7,a b=c"})
	b := &router.Batch{}
	times := []int64{nano, nano, -1_250_000_000}
	for i, line := range []string{"out", "", "err"} {
		b.Append(s.Encoders[0], &router.Record{TimeNano: times[i], Source: []byte([]string{"stdout", "stdout", "stderr"}[i]), Line: []byte(line)})
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	if len(s.api.records) != 2 {
		t.Fatalf("%d messages, want 2", len(s.api.records))
	}
	for i, got := range s.api.records {
		want := map[string]any{
			"version": "1.1", "host": "h", "short_message": []string{"out", "err"}[i], "timestamp": []float64{1795463301.047, -1.25}[i], "level": []float64{6, 3}[i],
			"_container_id": strings.Repeat("o", 64), "_container_name": "one", "_image": "nginx:1", "_compose_project": "shop", "_app": "one", "_service": "not this",
			"_env": "prod", "_a_b": "c",
		}
		if !maps.Equal(got, want) {
			t.Errorf("message %d is %v, want %v", i, got, want)
		}
	}
}

// The payload of Fluent Bit's msgpack is that of its chunks, without an array around it.
func TestFluentBitEvents(t *testing.T) {
	s := start(t, map[string]string{format: msgPack, "http-fluent-bit": "output=http"})
	b := &router.Batch{}
	b.Append(s.Encoders[0], &router.Record{TimeNano: nano, Source: []byte("stdout"), Line: []byte("a \xff")})
	b.Append(s.Encoders[1], &router.Record{TimeNano: -1, Source: []byte("stderr"), Line: nil})
	_ = s.Send(t, b) // the receiver takes arrays of maps alone
	r := bufio.NewReader(strings.NewReader(string(s.api.Exchanges()[0].Body)))
	for i, want := range []struct{ time, name, source, line string }{
		{"\x6b\x04\x98\x85\x02\xd7\x86\x93", "one", "stdout", "a \xff"}, {"\x00\x00\x00\x00\x3b\x9a\xc9\xff", "two", "stderr", ""},
	} {
		got, err := forwardtest.Decode(r)
		str := func(name, value string) forwardtest.Pair {
			return forwardtest.Pair{Key: forwardtest.Str(name), Value: forwardtest.Str(value)}
		}
		event := []any{
			[]any{forwardtest.Ext{Type: 0, Data: want.time}, []forwardtest.Pair(nil)},
			[]forwardtest.Pair{
				str("container_id", strings.Repeat(want.name[:1], 64)), str("container_name", "/"+want.name), str("source", want.source), str("log", want.line),
				str("app", want.name), str("service", "not this"),
			},
		}
		if err != nil || !reflect.DeepEqual(got, event) {
			t.Errorf("event %d is %v, %v; want %v", i, got, err, event)
		}
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("there is more")
	}
}

// A request has the lines of one tag, and its header has that. The order stays.
func TestHeaderTag(t *testing.T) {
	s := start(t, map[string]string{headerTag: "X-Tag"})
	var encoders []router.Encoder
	for _, tag := range []string{"a", "a", "b", "", "c \u00e9"} {
		e, err := s.Config.Encoder(t.Context(), router.Session{Tag: tag})
		if err != nil {
			t.Fatal(err)
		}
		encoders = append(encoders, e)
	}
	b, lines := routertest.Batch(encoders, 10)
	if e := s.Send(t, b.Slice(1, 10)); e != nil {
		t.Fatal(e)
	}
	if got := s.api.messages(); !slices.Equal(got, lines[1:]) {
		t.Errorf("%q, want %q", got, lines[1:])
	}
	var tags [][]string
	for _, x := range s.api.Exchanges() {
		tags = append(tags, x.Header["X-Tag"])
	}
	if want := [][]string{{"a"}, {"b"}, nil, {"c _"}}; !reflect.DeepEqual(tags, want) {
		t.Errorf("the headers are %q, want %q", tags, want)
	}
}
