package splunk

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func encoder(t testing.TB, s router.Session, options map[string]string) *Encoder {
	t.Helper()
	all := map[string]string{"splunk-url": "https://hec.example.com:8088", "splunk-token": "t"}
	for k, v := range options {
		all[k] = v
	}
	c, err := Kind().New(router.Options{Plain: all})
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.Encoder(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := made.(*Encoder)
	return e
}

// timeOf takes the time out of a captured event, so that ours can have the same.
func timeOf(t *testing.T, event []byte) int64 {
	t.Helper()
	_, rest, _ := bytes.Cut(event, []byte(`"time":"`))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	micro, err := strconv.ParseInt(strings.Replace(string(text), ".", "", 1), 10, 64)
	if err != nil {
		t.Fatalf("no time in %.200s", event)
	}
	return micro * 1000
}

// TestDockerBytes gives the encoder the pieces that the daemon gave Docker's driver, and wants its bytes.
func TestDockerBytes(t *testing.T) {
	for _, c := range routertest.Captures(t, "splunk") {
		t.Run(c.ID, func(t *testing.T) {
			e := encoder(t, c.Session(), map[string]string{
				"splunk-format": value(c.Options, "splunk-format", "inline"), "splunk-source": c.Options["splunk-source"],
				"splunk-sourcetype": c.Options["splunk-sourcetype"], "splunk-index": c.Options["splunk-index"],
			})
			sent := 0
			for _, p := range c.Pieces {
				if sent < len(c.Messages) {
					p.TimeNano = timeOf(t, c.Messages[sent])
				}
				got := e.AppendRecord(nil, &p)
				if len(got) == 0 {
					continue // a line of white space in the raw format
				}
				if sent == len(c.Messages) {
					t.Fatalf("one more event than Docker's %d: %.200s", sent, got)
				}
				want := c.Messages[sent]
				sent++
				if !utf8.Valid(want) { // declared: a bad byte inside a JSON line
					want = bytes.ReplaceAll(want, []byte("\xff"), []byte(`\ufffd`))
				}
				if e.format == formatRaw && len(c.Session().Attrs) > 0 { // declared: the order of attributes
					words := func(b []byte) []string { return strings.Fields(strings.Replace(string(b), `:"`, `:" `, 1)) }
					g, w := words(got), words(want)
					slices.Sort(g)
					slices.Sort(w)
					if !slices.Equal(g, w) {
						t.Errorf("got  %.400s\nwant %.400s, in any order of words", got, want)
					}
				} else if !bytes.Equal(got, want) {
					t.Errorf("got  %.400s\nwant %.400s", got, want)
				}
			}
			if sent != len(c.Messages) {
				t.Errorf("%d events, Docker's driver sent %d", sent, len(c.Messages))
			}
		})
	}
}

func value(m map[string]string, key, def string) string {
	if v, ok := m[key]; ok {
		return v
	}
	return def
}

func TestDifferencesAreDifferent(t *testing.T) {
	s := router.Session{Tag: "t", Host: "h", Attrs: map[string]string{"b": "2", "a": "1"}}
	deep := strings.Repeat("[", jsontext.MaxDepth+1) + strings.Repeat("]", jsontext.MaxDepth+1)
	for _, c := range []struct{ name, format, line, want string }{
		{"bad byte in JSON", "json", "{\"m\":\"\xff\"}", `{"line":{"m":"\ufffd"},`},
		{"nested too deep", "json", deep, `{"line":"` + deep + `",`},
		{"nested as deep as may be", "json", deep[1 : len(deep)-1], `{"line":` + deep[1:len(deep)-1] + `,`},
		{"attributes in order", "raw", "x", `"t a=1 b=2 x"`},
		{"backspace and form feed", "inline", "\b\f", `"\b\f"`},
	} {
		e := encoder(t, s, map[string]string{"splunk-format": c.format})
		if got := string(e.AppendRecord(nil, &router.Record{Line: []byte(c.line)})); !strings.Contains(got, c.want) {
			t.Errorf("%s: %.300s, want %.300s in it", c.name, got, c.want)
		}
	}
	if len(Differences) == 0 {
		t.Error("the table of differences is empty")
	}
}

func TestAppendTime(t *testing.T) {
	for nano, want := range map[int64]string{
		1795463301547679999: "1795463301.547679",
		0:                   "0.000000",
		999:                 "0.000000",
		1000:                "0.000001",
		-1500000000:         "-1.500000",
		-1:                  "0.000000",
		1<<63 - 1:           "9223372036.854775",
		-1 << 63:            "-9223372036.854775",
	} {
		if got := string(appendTime(nil, nano)); got != want {
			t.Errorf("appendTime(%d) = %s, want %s", nano, got, want)
		}
	}
}

// FuzzEncoder checks every format against encoding/json: what it writes is JSON and UTF-8, and says the same.
func FuzzEncoder(f *testing.F) {
	for _, c := range routertest.Captures(f, "splunk")[:1] {
		for _, p := range c.Pieces {
			f.Add(p.Line[:min(len(p.Line), 300)])
		}
	}
	f.Add([]byte("{\"a\":\"\\\xa8\"}"))
	s := router.Session{Tag: "t", Host: "h"}
	inline, asJSON, raw := encoder(f, s, nil), encoder(f, s, map[string]string{"splunk-format": "json"}), encoder(f, s, map[string]string{"splunk-format": "raw"})
	f.Fuzz(func(t *testing.T, line []byte) {
		var event struct {
			Event json.RawMessage
		}
		decode := func(e *Encoder) bool {
			got := e.AppendRecord(nil, &router.Record{Line: line})
			if len(got) == 0 {
				return false
			}
			if err := json.Unmarshal(got, &event); err != nil || !utf8.Valid(got) {
				t.Fatalf("format %s, line %q: %q: %v", e.format, line, got, err)
			}
			return true
		}
		clean := string([]rune(string(line))) // U+FFFD for each bad byte
		var in struct{ Line json.RawMessage }
		decode(inline)
		var text string
		if err := json.Unmarshal(event.Event, &in); err != nil || json.Unmarshal(in.Line, &text) != nil || text != clean {
			t.Errorf("inline: %q came back as %q", line, text)
		}
		if want, err := json.Marshal(string(line)); err != nil || string(want) != string(in.Line) {
			t.Errorf("inline: %s, encoding/json writes %s", in.Line, want)
		}
		decode(asJSON)
		if err := json.Unmarshal(event.Event, &in); err != nil {
			t.Fatal(err)
		}
		if want, ok := compactOf(line); ok && want != string(in.Line) {
			t.Errorf("json: %q is %s, encoding/json writes %s", line, in.Line, want)
		} else if !ok && (json.Unmarshal(in.Line, &text) != nil || text != clean) {
			t.Errorf("json: %q came back as %q", line, text)
		}
		if decode(raw) != (strings.TrimSpace(string(line)) != "") {
			t.Errorf("raw: %q left out or not", line)
		} else if strings.TrimSpace(string(line)) != "" && (json.Unmarshal(event.Event, &text) != nil || text != "t "+clean) {
			t.Errorf("raw: %q came back as %q", line, text)
		}
	})
}

// compactOf is encoding/json's answer: a compact text with <>& escaped, if line is JSON at all and not nested too deep.
func compactOf(line []byte) (string, bool) {
	if !json.Valid(line) { // asked now, because a backslash before a bad byte would become an escape below
		return "", false
	}
	var clean []byte // declared: a bad byte becomes an escape, here too
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		if r == utf8.RuneError && size == 1 {
			clean = append(clean, `\ufffd`...)
		} else {
			clean = append(clean, line[:size]...)
		}
		line = line[size:]
	}
	line = clean
	depth, deepest := 0, 0
	for _, c := range line { // brackets inside strings count too: then the answer is only less strict
		switch c {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	if !json.Valid(line) || deepest > jsontext.MaxDepth {
		return "", false
	}
	out, err := json.Marshal(json.RawMessage(line))
	return string(out), err == nil
}

func TestEncoderAllocs(t *testing.T) {
	s := router.Session{Tag: "t", Host: "h", Attrs: map[string]string{"a": "1"}}
	lines := []string{"hello plain ascii", `{"level":"info","n":[1,2,{"a":null}]}`, "<b>&é\u2028\xff\x00\"\\", ""}
	for _, format := range formats {
		e := encoder(t, s, map[string]string{"splunk-format": format, "splunk-index": "i"})
		buf := make([]byte, 0, 4096)
		for _, line := range lines {
			r := &router.Record{TimeNano: 1795463301547679123, Source: []byte("stderr"), Line: []byte(line)}
			if n := testing.AllocsPerRun(200, func() { buf = e.AppendRecord(buf[:0], r) }); n != 0 {
				t.Errorf("format %s allocates %v times for %q, want 0", format, n, line)
			}
		}
	}
}

func BenchmarkEncoder(b *testing.B) {
	text := strings.Repeat("GET /index.html 200 quick brown fox ", 3)[:100]
	for _, c := range []struct{ name, format, line string }{
		{"inline", "inline", text},
		{"inline-json-line", "inline", `{"level":"info","ts":"2026-11-23T19:49:20.1Z","msg":"request served","path":"/index.html","ms":12,"ok":1}`},
		{"json", "json", `{"level":"info","ts":"2026-11-23T19:49:20.1Z","msg":"request served","path":"/index.html","ms":12,"ok":1}`},
		{"json-text-line", "json", text},
		{"raw", "raw", text},
		{"inline-cyrillic", "inline", strings.Repeat("строка ", 14)[:100]},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := encoder(b, router.Session{Tag: "3e1de30f43f0", Host: "host"}, map[string]string{"splunk-format": c.format})
			r := &router.Record{TimeNano: 1795463301547679123, Source: []byte("stdout"), Line: []byte(c.line)}
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				buf = e.AppendRecord(buf[:0], r)
			}
		})
	}
}
