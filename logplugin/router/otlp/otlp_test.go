package otlp

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/otlp/otlptest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

const (
	token    = "Bearer first/token+0123456789"
	newToken = "Bearer second/token+0123456789"
	header   = headers + ".authorization" // its case does not matter
)

// setup is a receiver, a router to it, and what the router was made of.
type setup struct {
	otlp     *otlptest.Server
	router   *Router
	config   router.Config
	token    *routertest.Source
	encoders []router.Encoder
}

func start(t testing.TB, o otlptest.Options, options map[string]string) *setup {
	t.Helper()
	s := &setup{otlp: otlptest.Start(o), token: routertest.NewSource(token)}
	t.Cleanup(s.otlp.Close)
	all := map[string]string{endpoint: s.otlp.URL()}
	maps.Copy(all, options)
	var err error
	if s.config, err = Kind().New(router.Options{Plain: all, Secrets: map[string]secret.Source{header: s.token}}); err != nil {
		t.Fatal(err)
	}
	s.router, _ = s.config.Router().(*Router)
	t.Cleanup(func() { _ = s.router.Close() })
	for _, name := range []string{"one", "two"} {
		e, err := s.config.Encoder(t.Context(), router.Session{ContainerName: "/" + name, ContainerID: strings.Repeat(name[:1], 64), Host: "h", Attrs: map[string]string{"com.example/app": name}})
		if err != nil {
			t.Fatal(err)
		}
		s.encoders = append(s.encoders, e)
	}
	return s
}

// send sends n records and returns the error as what it must be.
func (s *setup) send(t *testing.T, n int) *router.Error {
	t.Helper()
	b, _ := routertest.Batch(s.encoders, n)
	return s.sendBatch(t, b)
}

func (s *setup) sendBatch(t *testing.T, b *router.Batch) *router.Error {
	t.Helper()
	return routertest.Send(t, s.router, b, token, newToken)
}

func (s *setup) peer() *routertest.Peer {
	return &routertest.Peer{Router: s.router, Receiver: s.otlp.Receiver, Encoders: s.encoders, Secret: token, Source: s.token}
}

func TestSuite(t *testing.T) {
	for name, c := range map[string]struct {
		json        bool
		compression string
	}{"gzip": {false, router.Gzip}, "zstd, JSON answers": {true, router.Zstd}, "plain": {false, "none"}} {
		t.Run(name, func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject {
				s := start(t, otlptest.Options{Auth: []string{token}, JSON: c.json}, map[string]string{compression: c.compression})
				return &routertest.Subject{
					Router: s.router, Encoders: s.encoders, Secrets: []string{token, newToken},
					Received: func() []string {
						var lines []string
						for _, r := range s.otlp.Records() {
							lines = append(lines, r.Line)
						}
						return lines
					},
					Faults: s.otlp.StatusFaults(token),
					Hang:   func() { s.otlp.FailAlways(&routertest.Mishap{Hang: true}) },
					Heal:   func() { s.otlp.FailAlways(nil) },
					Rotate: func() { s.otlp.SetAuth(newToken); s.token.Rotate(newToken) },
				}
			})
		})
	}
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, otlptest.Options{}, map[string]string{timeout: "1s"})
		return s.peer()
	})
}

// TestAnswers is the table of what a receiver, or what stands in its place, may answer.
func TestAnswers(t *testing.T) {
	const (
		retry, credentials, config, bad, large = router.ClassRetry, router.ClassCredentials, router.ClassConfig, router.ClassBadRecords, router.ClassTooLarge

		pb, js, text, html = protobufType, jsonType, "text/plain", "text/html; charset=utf-8"
		noOTLP             = "without OTLP's message"
		partial            = "\x0a\x0d\x08\x03\x12\x09not taken" // three records
	)
	var own []routertest.Answer
	for _, c := range []struct {
		status     int
		body, kind string
		want       router.Class
		refused    int // of ten records, the rest of which is stored
		says       string
	}{
		{200, "", "", "", 0, ""}, {200, "", pb, "", 0, ""}, {200, "{}", js, "", 0, ""}, {200, `{"partialSuccess":{}}`, js + "; charset=utf-8", "", 0, ""},
		{200, `{"partialSuccess":null}`, js, "", 0, ""}, {200, `{"partialSuccess":{"rejectedLogRecords":"0","errorMessage":"slow down"}}`, js, "", 0, ""},
		{200, "\x0a\x0b\x12\x09slow down", pb, "", 0, ""},
		{200, partial, pb, bad, 3, "3 records rejected"}, {200, `{"partialSuccess":{"rejectedLogRecords":"3"}}`, js, bad, 3, "3 records rejected"},
		{200, `{"partialSuccess":{"rejectedLogRecords":3}}`, js, bad, 3, "3 records rejected"}, {200, `{"partialSuccess":{"rejectedLogRecords":"-3"}}`, js, "", 0, ""},
		{200, "\x0a\x02\x08\x0a", pb, bad, 0, "10 records rejected"}, {200, `{"partialSuccess":{"rejectedLogRecords":"99"}}`, js, bad, 0, "99 records rejected"},
		{200, "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", pb, bad, 0, "records rejected"},
		{200, "OK", text, config, 0, noOTLP}, {200, "OK", "", config, 0, noOTLP}, {200, partial, text, config, 0, noOTLP}, {200, "{}", text, config, 0, noOTLP},
		{200, "no message", pb, config, 0, noOTLP}, {200, "\x0a\x05ab", pb, config, 0, noOTLP}, {200, "\x0a\x02\x08\xff", pb, config, 0, noOTLP},
		{200, "null", js, config, 0, noOTLP}, {200, "[]", js, config, 0, noOTLP}, {200, "{", js, config, 0, noOTLP}, {200, `{"partialSuccess":1}`, js, config, 0, noOTLP},
		{200, `{"partialSuccess":{"rejectedLogRecords":"x"}}`, js, config, 0, noOTLP},
		{200, "<html>", html, config, 0, "a web page"}, {200, "<p>", "", config, 0, "a web page"}, {202, "", "", config, 0, "answers 200"}, {204, "", "", config, 0, "answers 200"},
		{206, "", pb, config, 0, "answers 200"}, {301, "", "", config, 0, "redirects are not followed"},
		{400, "\x08\x03\x12\x03bad", pb, bad, 0, "400"}, {400, "", "", bad, 0, "400"}, {400, "<html>", html, config, 0, "a web page"},
		{401, "", "", credentials, 0, "401"}, {403, "<html>", html, credentials, 0, "a web page"}, {404, "", "", config, 0, "404"}, {405, "", "", config, 0, "405"},
		{407, "", "", config, 0, "proxy"}, {408, "", "", retry, 0, "408"}, {413, "", "", large, 0, "413"}, {415, "", "", config, 0, "415"}, {422, "", "", config, 0, "422"},
		{425, "", "", retry, 0, "425"}, {429, "", "", retry, 0, "429"}, {500, "", "", retry, 0, "500"}, {501, "", "", retry, 0, "501"}, {502, "<html>", html, retry, 0, "502"},
		{503, "", "", retry, 0, "503"}, {504, "", "", retry, 0, "504"},
	} {
		own = append(own, routertest.Answer{Status: c.status, Body: c.body, Type: c.kind, Want: c.want, Refused: c.refused, Says: c.says, Note: c.want == "" && c.body == "" && c.kind == ""})
	}
	routertest.Answers(t, func(t *testing.T) *routertest.Peer { return start(t, otlptest.Options{}, nil).peer() }, own...)
}

// What comes back is what was sent, as OpenTelemetry's own messages have it.
func TestRecords(t *testing.T) {
	lines := []string{"plain", "", " ", "é€😀", `"quoted" \ back`, "\x00\x01\t", "bad \xff\xfe bytes", "<&>\u2028", strings.Repeat("x", 1<<20), `{"level":"error","msg":"m"}`}
	s := start(t, otlptest.Options{}, map[string]string{resource: "deployment.environment.name=prod,host.name=other"})
	b := &router.Batch{}
	nanos := []int64{1795463301547679123, 0, 1, 1<<62 + 1, -1}
	for i, l := range lines {
		b.Append(s.encoders[i%2], &router.Record{TimeNano: nanos[i%len(nanos)], Source: []byte([]string{"stdout", "stderr", "odd"}[i%3]), Line: []byte(l)})
	}
	if e := s.sendBatch(t, b); e != nil {
		t.Fatal(e)
	}
	got := s.otlp.Records()
	if len(got) != len(lines) {
		t.Fatalf("%d records, want %d", len(got), len(lines))
	}
	for i, r := range got {
		name := []string{"one", "two"}[i%2]
		nano := uint64(max(nanos[i%len(nanos)], 0))
		want := map[string]string{"service.name": name, "container.name": name, "container.id": strings.Repeat(name[:1], 64), "host.name": "other",
			"com.example/app": name, "deployment.environment.name": "prod"}
		severity := []string{"INFO 9", "ERROR 17", " 0"}[i%3]
		values := []map[string]string{{"log.iostream": "stdout"}, {"log.iostream": "stderr"}, {}}[i%3]
		if r.Line != string([]rune(lines[i])) || r.GetTimeUnixNano() != nano || r.GetObservedTimeUnixNano() != nano || !maps.Equal(r.Resource, want) ||
			!maps.Equal(r.Values, values) || severityOf(r) != severity || r.Scope != scope || r.Schema != schema {
			t.Errorf("record %d: %.100q %v, resource %v, attributes %v, severity %s, scope %s", i, r.Line, r.GetTimeUnixNano(), r.Resource, r.Values, severityOf(r), r.Scope)
		}
	}
}

func severityOf(r otlptest.Record) string {
	return fmt.Sprint(r.GetSeverityText(), " ", int(r.GetSeverityNumber()))
}

// Records that a receiver rejects are counted, and those of the same request that it takes are not sent again.
func TestPartialSuccess(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		s := start(t, otlptest.Options{JSON: asJSON, Reject: func(line string) bool { return strings.HasSuffix(line, "3") }}, nil)
		if e := s.send(t, 20); routertest.ClassOf(e) != router.ClassBadRecords || e.Delivered != 20 || e.Refused != 2 {
			t.Errorf("%+v, want 20 delivered and 2 of them refused", e)
		}
		if n := len(s.otlp.Records()); n != 18 {
			t.Errorf("%d are stored, want 18", n)
		}
		// One that rejects all has taken none: they may be sent again, one by one.
		s = start(t, otlptest.Options{JSON: asJSON, Reject: func(string) bool { return true }}, nil)
		for n, bad := range map[int]int{20: router.NoRecord, 1: 0} {
			if e := s.send(t, n); routertest.ClassOf(e) != router.ClassBadRecords || e.Delivered != 0 || e.Refused != 0 || e.Bad != bad {
				t.Errorf("%d records: %+v, want none delivered, bad %d", n, e, bad)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	s := start(t, otlptest.Options{Auth: []string{token}}, map[string]string{headers + ".X-Scope-OrgID": "team a", headers + ".api-key": "k"})
	if e := s.send(t, 1); e != nil {
		t.Fatal(e)
	}
	h := s.otlp.Exchanges()[0].Header
	if h.Get("X-Scope-OrgID") != "team a" || h.Get("Api-Key") != "k" || h.Get("Content-Type") != protobufType || h.Get("Content-Encoding") != router.Gzip {
		t.Errorf("header %v", h)
	}
}

func TestVerify(t *testing.T) {
	s := start(t, otlptest.Options{Auth: []string{newToken}}, nil)
	if err := s.router.VerifyCredentials(t.Context()); router.ClassOf(err) != router.ClassCredentials {
		t.Errorf("a wrong token: %v, want class credentials", err)
	}
	s.otlp.SetAuth(token)
	if err := s.router.Verify(t.Context()); err != nil {
		t.Errorf("Verify: %v", err)
	}
	for _, c := range []struct {
		m    routertest.Mishap
		want router.Class
	}{
		{routertest.Mishap{Status: 404}, router.ClassConfig}, {routertest.Mishap{HTML: true}, router.ClassConfig}, {routertest.Mishap{Status: 400}, router.ClassConfig},
		{routertest.Mishap{Status: 413}, router.ClassConfig}, {routertest.Mishap{Status: 503}, router.ClassRetry}, {routertest.Mishap{Drop: true}, router.ClassRetry},
	} {
		s.otlp.Fail(c.m)
		if err := s.router.Verify(t.Context()); router.ClassOf(err) != c.want {
			t.Errorf("%+v: %v, want class %q", c.m, err, c.want)
		}
	}
	if len(s.otlp.Records()) != 0 {
		t.Error("Verify has sent something")
	}
}

func TestPaths(t *testing.T) {
	for given, want := range map[string]string{
		"": logsPath, "/": logsPath, "/prefix": "/prefix" + logsPath, logsPath: logsPath, "/insert/opentelemetry" + logsPath + "/": "/insert/opentelemetry" + logsPath,
	} {
		s := start(t, otlptest.Options{}, nil)
		s2 := start(t, otlptest.Options{}, map[string]string{endpoint: s.otlp.URL() + given})
		_ = s2.send(t, 1)
		if all := s.otlp.Exchanges(); len(all) != 1 || all[0].Path != want || all[0].Method != http.MethodPost {
			t.Errorf("%s with %q: %+v, want one request to %s", endpoint, given, all, want)
		}
	}
}

func TestPortsAreMentioned(t *testing.T) {
	for address, want := range map[string]string{"http://127.0.0.1": "4318", "http://127.0.0.1:4317": "gRPC"} {
		s := start(t, otlptest.Options{}, map[string]string{endpoint: address, timeout: "2s"})
		if e := s.send(t, 1); e == nil || !strings.Contains(e.Error(), want) {
			t.Errorf("%s: %v, want a hint with %s", address, e, want)
		}
	}
}

func TestLevels(t *testing.T) {
	for line, want := range map[string]string{
		`{"level":"warn"}`: "WARN", `{"severity":"ERROR","a":1}`: "ERROR", `{"level":30}`: "INFO", `{"lvl":"dbg"}`: "DEBUG", `{"level":"notice"}`: "INFO2",
		`{"level":"CRITICAL"}`: "ERROR2", `{"log.level":"panic"}`: "FATAL", `{"level":"trace"}`: "TRACE", `{"level":"odd"}`: "INFO", `{"level":null}`: "INFO",
		`{"level":{"a":"error"}}`: "INFO", `{"a":{"level":"error"}}`: "INFO", `{"level":"odd","severity":"error"}`: "ERROR", `{"level":"warn"`: "INFO",
		`time=now level=error msg="x"`: "ERROR", `level="warn" x`: "WARN", `loglevel=error`: "INFO", `x level=`: "INFO", `level=debug`: "DEBUG", "plain": "INFO", "": "INFO",
		strings.Repeat("x", 300) + " level=error": "INFO", `level=` + strings.Repeat("e", 100): "INFO",
	} {
		s := start(t, otlptest.Options{}, map[string]string{severities: byLevel})
		b := &router.Batch{}
		b.Append(s.encoders[0], &router.Record{Source: []byte("stdout"), Line: []byte(line)})
		if e := s.sendBatch(t, b); e != nil {
			t.Fatal(e)
		}
		if r := s.otlp.Records()[0]; r.GetSeverityText() != want || r.Line != line || len(r.Values) != 1 {
			t.Errorf("%q: severity %s of %q with %v, want %s", line, r.GetSeverityText(), r.Line, r.Values, want)
		}
	}
	s := start(t, otlptest.Options{}, map[string]string{severities: unknown})
	if e := s.send(t, 1); e != nil || s.otlp.Records()[0].GetSeverityNumber() != 0 {
		t.Errorf("%v, %v", e, s.otlp.Records())
	}
}

func TestParsedJSON(t *testing.T) {
	for line, want := range map[string]struct {
		body   string
		values map[string]string
	}{
		`{"msg":"hello \u00e9\n","n":1,"f":-1.5,"t":true,"b":false,"z":null,"s":"x\"y","o":{"a": [1]},"a":[ 1,2 ]}`: {"hello é\n", map[string]string{
			"n": "int 1", "f": "double -1.5", "t": "bool true", "b": "bool false", "s": `x"y`, "o": `{"a":[1]}`, "a": "[1,2]"}},
		`{"message":"m","level":"warn","trace":"t"}`: {"m", map[string]string{"level": "warn", "trace": "t"}},
		`{"a":1}`: {`{"a":1}`, map[string]string{"a": "int 1"}}, `{"msg":1}`: {`{"msg":1}`, map[string]string{"msg": "int 1"}},
		`{"msg":"a","message":"b"}`: {"a", map[string]string{"message": "b"}}, "plain": {"plain", nil}, `[1]`: {"[1]", nil}, `{"a":1`: {`{"a":1`, nil}, `{}`: {"{}", nil},
		`{"n":12345678901234567890,"x":1e400,"e":1e2}`: {`{"n":12345678901234567890,"x":1e400,"e":1e2}`, map[string]string{"n": "double 1.2345678901234567e+19", "x": "1e400", "e": "double 100"}},
		"{\"\xff\":\"\xfe<\"}":                         {"{\"\ufffd\":\"\ufffd<\"}", map[string]string{"\ufffd": "\ufffd<"}}, `{"s":"\ud83d\ude00\ud800"}`: {`{"s":"\ud83d\ude00\ud800"}`, map[string]string{"s": "😀\ufffd"}},
	} {
		s := start(t, otlptest.Options{}, map[string]string{parseJSON: "true"})
		b := &router.Batch{}
		for range 2 { // the second finds the memory of the first
			b.Append(s.encoders[0], &router.Record{Source: []byte("odd"), Line: []byte(line)})
		}
		if e := s.sendBatch(t, b); e != nil {
			t.Fatal(e)
		}
		for _, r := range s.otlp.Records() {
			if r.Line != want.body || !maps.Equal(r.Values, want.values) {
				t.Errorf("%q: %q with %q, want %q with %q", line, r.Line, r.Values, want.body, want.values)
			}
		}
	}
	s := start(t, otlptest.Options{}, map[string]string{parseJSON: "true", severities: byLevel})
	b := &router.Batch{}
	b.Append(s.encoders[0], &router.Record{Source: []byte("stdout"), Line: []byte(`{"level":"fatal","a":"b","msg":"m"}`)})
	_ = s.sendBatch(t, b)
	if r := s.otlp.Records(); len(r) != 1 || r[0].GetSeverityText() != "FATAL" || !maps.Equal(r[0].Values, map[string]string{"a": "b", "log.iostream": "stdout"}) || r[0].Line != "m" {
		t.Errorf("%v", r)
	}
}

// A container of Compose is an instance of its service, and the project is the service's namespace.
func TestServices(t *testing.T) {
	for _, c := range []struct {
		about router.About
		given string
		want  map[string]string
	}{
		{router.About{}, "", map[string]string{"service.name": "web-1", "container.name": "web-1"}},
		{router.About{Project: "shop", Service: "web", Image: "registry.example.com:5000/a/nginx:1.2"}, "", map[string]string{
			"service.name": "web", "service.namespace": "shop", "container.name": "web-1", "container.image.name": "registry.example.com:5000/a/nginx"}},
		{router.About{Service: "web", Image: "registry.example.com:5000/nginx@sha256:0123"}, "service.name=mine", map[string]string{
			"service.name": "mine", "container.name": "web-1", "container.image.name": "registry.example.com:5000/nginx"}},
	} {
		s := start(t, otlptest.Options{}, nil)
		options := router.Options{Plain: map[string]string{endpoint: s.otlp.URL()}}
		if c.given != "" {
			options.Plain[resource] = c.given
		}
		config, err := Kind().New(options)
		if err != nil {
			t.Fatal(err)
		}
		e, err := config.Encoder(t.Context(), router.Session{ContainerName: "/web-1", About: c.about})
		if err != nil {
			t.Fatal(err)
		}
		b := &router.Batch{}
		b.Append(e, &router.Record{Line: []byte("x")})
		if e := s.sendBatch(t, b); e != nil {
			t.Fatal(e)
		}
		if got := s.otlp.Records()[0].Resource; !maps.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.about, got, c.want)
		}
	}
}

func TestOrderOfRuns(t *testing.T) {
	s := start(t, otlptest.Options{}, nil)
	b := &router.Batch{}
	var want []string
	for i := range 9 {
		line := strings.Repeat("x", i)
		b.Append(s.encoders[i/2%2], &router.Record{Line: []byte(line)})
		want = append(want, line)
	}
	if e := s.sendBatch(t, b.Slice(1, 8)); e != nil {
		t.Fatal(e)
	}
	var got []string
	for _, r := range s.otlp.Records() {
		got = append(got, r.Line)
	}
	if !slices.Equal(got, want[1:8]) {
		t.Errorf("%q, want %q", got, want[1:8])
	}
}

func TestSeveralAddresses(t *testing.T) {
	first, second := start(t, otlptest.Options{}, nil).otlp, start(t, otlptest.Options{}, nil).otlp
	routertest.Several(t, Kind(), endpoint, nil, first.Receiver, second.Receiver, func() (lines []string) {
		for _, r := range second.Records() {
			lines = append(lines, r.Line)
		}
		return lines
	})
}
