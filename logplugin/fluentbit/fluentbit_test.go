package fluentbit

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

var session = router.Session{ContainerID: "c1", ContainerName: "/web", Attrs: map[string]string{"b": "2", "a": "1", Log: "x"}}

func TestObject(t *testing.T) {
	line := &router.Record{TimeNano: 1795428000_123456789, Source: []byte("stderr"), Line: []byte("a \"b\" \xff")}
	for _, c := range []struct {
		name, key, form string
		shape           Shape
		want            string
	}{
		{"whole", "date", Double, Shape{}, `{"date":1795428000.123457,"container_id":"c1","container_name":"/web","source":"stderr","log":"a \"b\" \ufffd","a":"1","b":"2"}`},
		{"no time", "false", Double, Shape{}, `{"container_id":"c1","container_name":"/web","source":"stderr","log":"a \"b\" \ufffd","a":"1","b":"2"}`},
		{"iso8601", "t", ISO8601, Shape{Without: []string{ContainerID, ContainerName, "a", "b"}}, `{"t":"2026-11-23T10:00:00.123456Z","source":"stderr","log":"a \"b\" \ufffd"}`},
		{"java", "t", JavaSQL, Shape{Without: []string{ContainerID, Source, "a", "b"}, Message: "message"}, `{"t":"2026-11-23 10:00:00.123456","container_name":"/web","message":"a \"b\" \ufffd"}`},
		{"epoch", "t", Epoch, Shape{Without: []string{ContainerID, ContainerName, Source, Log, "b"}}, `{"t":1795428000,"a":"1"}`},
		{"epoch_ms", "t", EpochMS, Shape{Without: []string{ContainerID, ContainerName, Source, "b", "a"}}, `{"t":1795428000123,"log":"a \"b\" \ufffd"}`},
		{"renamed over a label", "false", Epoch, Shape{Without: []string{ContainerID, ContainerName, Source}, Message: "a"}, `{"a":"a \"b\" \ufffd","b":"2"}`},
	} {
		got := NewObject(c.key, c.form, NewRecord(session, c.shape, 1000)).AppendObject(nil, line)
		if string(got) != c.want || !json.Valid(got) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAppendSeconds(t *testing.T) {
	for nano, want := range map[int64]string{0: "0.000000", 1_500: "0.000002", 1_999_999_999: "2.000000", -1_500_000_000: "-1.500000", 5: "0.000000", math.MaxInt64: "9223372036.854776"} {
		if got := string(AppendSeconds(nil, nano)); got != want {
			t.Errorf("AppendSeconds(%d) = %s, want %s", nano, got, want)
		}
	}
}

func TestRecordAllocs(t *testing.T) {
	for _, form := range DateForms() {
		o := NewObject("date", form, NewRecord(session, Shape{}, 1000))
		buf := make([]byte, 0, 512)
		r := &router.Record{TimeNano: 1, Source: []byte("stdout"), Line: []byte("hello")}
		if n := testing.AllocsPerRun(1000, func() { buf = o.AppendObject(buf[:0], r); r.TimeNano += 1e8 }); n != 0 {
			t.Errorf("%s: AppendObject allocates %v times, want 0", form, n)
		}
	}
}

func TestGELF(t *testing.T) {
	line := &router.Record{TimeNano: -1_500_000_000, Source: []byte("stderr"), Line: []byte("a \xff")}
	for name, c := range map[string]struct {
		attributes map[string]string
		settings   Settings
		want       string // without the version and what describes the container
	}{
		"usual":               {nil, nil, `"host":"h","short_message":"a \ufffd","timestamp":-1.500,"_source":"stderr"}`},
		"parts by their name": {map[string]string{"host": "x", "level": "4", "full_message": "f", "timestamp": "1"}, nil, `"host":"x","short_message":"a \ufffd","timestamp":"1","_source":"stderr","full_message":"f","level":4}`},
		"parts of others":     {map[string]string{"host": "x", "a": "ERR", "b": "f", "c": "1", "d": "y"}, Settings{GELFHost: "d", GELFFull: "b", GELFLevel: "a", GELFTimestamp: "c"}, `"host":"y","short_message":"a \ufffd","timestamp":"1","_source":"stderr","level":3,"full_message":"f","_host":"x"}`},
		"no level":            {map[string]string{"level": "loud"}, nil, `"host":"h","short_message":"a \ufffd","timestamp":-1.500,"_source":"stderr","level":"loud"}`},
		"the source":          {nil, Settings{GELFLevel: Source}, `"host":"h","short_message":"a \ufffd","timestamp":-1.500,"level":"stderr"}`},
		"an id, and a tag":    {map[string]string{"id": "i", "t": "gone", "a b": "c"}, Settings{GELFTag: "t"}, `"host":"h","short_message":"a \ufffd","timestamp":-1.500,"_source":"stderr","_a_b":"c","_t":"tag"}`},
	} {
		s := router.Session{ContainerID: "c1", ContainerName: "/web", Tag: "tag", Host: "h", Attrs: c.attributes}
		got := strings.NewReplacer(`"version":"1.1",`, "", `,"_container_id":"c1","_container_name":"/web"`, "").Replace(string(NewGELF(s, c.settings, 1000).AppendGELF(nil, line)))
		if got != "{"+c.want || !json.Valid([]byte(got)) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
