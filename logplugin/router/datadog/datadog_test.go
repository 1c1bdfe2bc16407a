package datadog

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/datadog/datadogtest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

const (
	key    = "first-key-0123456789abcdef"
	newKey = "second-key-0123456789abcdef"
)

// setup is an intake, a router to it, and what the router was made of.
type setup struct {
	intake   *datadogtest.Server
	router   *Router
	config   Config
	key      *routertest.Source
	encoders []router.Encoder
}

func start(t testing.TB, o datadogtest.Options, options map[string]string) *setup {
	t.Helper()
	s := &setup{intake: datadogtest.Start(o), key: routertest.NewSource(key)}
	t.Cleanup(s.intake.Close)
	all := map[string]string{intake: s.intake.URL()}
	maps.Copy(all, options)
	var err error
	if s.config, err = Parse(router.Options{Plain: all, Secrets: map[string]secret.Source{apiKey: s.key}}); err != nil {
		t.Fatal(err)
	}
	s.router = New(s.config)
	t.Cleanup(func() { _ = s.router.Close() })
	for _, name := range []string{"one", "two"} {
		e, err := s.config.Encoder(t.Context(), router.Session{ContainerName: "/" + name, ContainerID: strings.Repeat(name[:1], 64), Host: "h", About: router.About{Image: "nginx:1", Project: "shop"}, Attrs: map[string]string{"app": name, "service": "not this"}})
		if err != nil {
			t.Fatal(err)
		}
		s.encoders = append(s.encoders, e)
	}
	return s
}

func (s *setup) sendBatch(t *testing.T, b *router.Batch) *router.Error {
	t.Helper()
	return routertest.Send(t, s.router, b, key, newKey)
}

func (s *setup) messages() []string {
	var lines []string
	for _, l := range s.intake.Logs() {
		lines = append(lines, fmt.Sprint(l["message"]))
	}
	return lines
}

func TestSuite(t *testing.T) {
	for _, encoding := range []string{router.Gzip, router.Zstd, noneEncoding} {
		t.Run(encoding, func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject {
				s := start(t, datadogtest.Options{Keys: []string{key}}, map[string]string{compress: encoding})
				return &routertest.Subject{
					Router: s.router, Encoders: s.encoders, Secrets: []string{key, newKey}, Received: s.messages,
					Faults: s.intake.StatusFaults(key),
					Hang:   func() { s.intake.FailAlways(&routertest.Mishap{Hang: true}) },
					Heal:   func() { s.intake.FailAlways(nil) },
					Rotate: func() { s.intake.SetKeys(newKey); s.key.Rotate(newKey) },
				}
			})
		})
	}
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, datadogtest.Options{}, map[string]string{timeout: "1s"})
		return &routertest.Peer{Router: s.router, Receiver: s.intake.Receiver, Encoders: s.encoders, Secret: key}
	})
}

// TestAnswers is the table of what an intake, or what stands in its place, may answer.
func TestAnswers(t *testing.T) {
	const (
		retry, credentials, config, bad, large = router.ClassRetry, router.ClassCredentials, router.ClassConfig, router.ClassBadRecords, router.ClassTooLarge

		html = "text/html; charset=utf-8"
	)
	for _, c := range []struct {
		status     int
		body, kind string
		want       router.Class
		says       string
	}{
		{202, "", "", "", ""}, {202, "{}", "application/json", "", ""}, {202, "<html>", html, config, "a web page"},
		{200, "", "", config, "answers 202"}, {200, "OK", "", config, "answers 202"}, {201, "", "", config, "answers 202"}, {204, "", "", config, "answers 202"},
		{206, "", "", config, "answers 202"}, {301, "", "", config, "redirects are not followed"},
		{400, `{"errors":[{"detail":"canary"}]}`, "application/json", bad, "400"}, {400, "<html>", html, config, "a web page"},
		{401, "", "", credentials, "a key belongs to one site"}, {403, "", "", credentials, "a key belongs to one site"}, {404, "", "", config, "404"},
		{405, "", "", config, "405"}, {407, "", "", config, "proxy"}, {408, "", "", retry, "408"}, {409, "", "", config, "409"}, {413, "", "", large, "413"},
		{415, "", "", config, "415"}, {422, "", "", config, "422"}, {425, "", "", retry, "425"}, {429, "", "", retry, "429"}, {500, "", "", retry, "500"},
		{501, "", "", retry, "501"}, {502, "<html>", html, retry, "502"}, {503, "", "", retry, "503"}, {504, "", "", retry, "504"},
	} {
		s := start(t, datadogtest.Options{}, nil)
		s.intake.Fail(routertest.Mishap{Status: c.status, Body: c.body, Type: c.kind})
		b, _ := routertest.Batch(s.encoders, 10)
		e := s.sendBatch(t, b)
		if routertest.ClassOf(e) != c.want || e != nil && (!strings.Contains(e.Error(), c.says) || strings.Contains(e.Error(), "canary") || e.Delivered != 0 || e.Bad != router.NoRecord) {
			t.Errorf("%d %q: %+v, want class %q saying %q", c.status, c.body, e, c.want, c.says)
		}
		if told := s.key.Invalidated() > 0; told != (c.want == credentials) {
			t.Errorf("%d %q: the source of the key is told: %v", c.status, c.body, told)
		}
	}
	s := start(t, datadogtest.Options{}, nil)
	s.intake.Fail(routertest.Mishap{Status: 400})
	b, _ := routertest.Batch(s.encoders, 1)
	if e := s.sendBatch(t, b); routertest.ClassOf(e) != bad || e.Bad != 0 {
		t.Errorf("one line: %+v, want it at fault", e)
	}
}

// What arrives is what was sent, with what is known of the container.
func TestLogs(t *testing.T) {
	lines := []string{"plain", "", " ", "é€😀", `"quoted" \ back`, "\x00\x01\t", "bad \xff\xfe bytes", "<&>\u2028", `{"level":"error","msg":"m"}`}
	s := start(t, datadogtest.Options{}, map[string]string{tags: "env:prod,team:a", source: "nginx"})
	b := &router.Batch{}
	for i, l := range lines {
		b.Append(s.encoders[i%2], &router.Record{TimeNano: 1795463301547679123, Source: []byte([]string{"stdout", "stderr", "odd"}[i%3]), Line: []byte(l)})
	}
	if e := s.sendBatch(t, b); e != nil {
		t.Fatal(e)
	}
	got := s.intake.Logs()
	if len(got) != len(lines) {
		t.Fatalf("%d logs, want %d", len(got), len(lines))
	}
	for i, log := range got {
		name := []string{"one", "two"}[i%2]
		want := datadogtest.Log{
			"timestamp": 1795463301547.0, "ddsource": "nginx", "service": name, "hostname": "h", "message": string([]rune(lines[i])), "app": name,
			"ddtags": "container_id:" + strings.Repeat(name[:1], 64) + ",container_name:" + name + ",docker_image:nginx:1,compose_project:shop,env:prod,team:a",
		}
		if i%3 < 2 {
			want["stream"] = []string{"stdout", "stderr"}[i%3]
		}
		if !maps.Equal(log, want) {
			t.Errorf("log %d is %v, want %v", i, log, want)
		}
	}
	h := s.intake.Exchanges()[0].Header
	if h.Get("Dd-Api-Key") != key || h.Get("Content-Encoding") != router.Gzip {
		t.Errorf("header %v", h)
	}
}

func TestParsedJSON(t *testing.T) {
	for line, want := range map[string]datadogtest.Log{
		`{"msg":"hello \u00e9\n","n":1,"o":{"a":[1]},"z":null}`: {"message": "hello é\n", "n": 1.0, "z": nil},
		`{"message":"m","msg":"x"}`:                             {"message": "m", "msg": "x"},
		`{"a":1}`:                                               {"message": `{"a":1}`, "a": 1.0},
		`{"message":7,"service":"s","timestamp":"t","ddtags":"a:b"}`: {"line.message": 7.0, "line.service": "s", "line.timestamp": "t", "line.ddtags": "a:b"},
		"plain": {"message": "plain"}, `[1]`: {"message": "[1]"}, `{"a":1`: {"message": `{"a":1`}, "{}": {"message": "{}"},
	} {
		s := start(t, datadogtest.Options{}, map[string]string{parseJSON: "true"})
		b := &router.Batch{}
		for range 2 { // the second finds the memory of the first
			b.Append(s.encoders[0], &router.Record{Source: []byte("stdout"), Line: []byte(line)})
		}
		if e := s.sendBatch(t, b); e != nil {
			t.Fatalf("%s: %v", line, e)
		}
		for _, log := range s.intake.Logs() {
			for name, value := range want {
				if log[name] != value {
					t.Errorf("%s: %s is %v, want %v", line, name, log[name], value)
				}
			}
			if log["service"] != "one" || log["app"] != "one" {
				t.Errorf("%s: %v", line, log)
			}
		}
	}
}

// No request has more than Datadog takes, whatever is in a batch; what of it was delivered is not sent again.
func TestLimits(t *testing.T) {
	s := start(t, datadogtest.Options{}, nil)
	b, lines := routertest.Batch(s.encoders, 2500)
	s.intake.Fail(routertest.Mishap{}, routertest.Mishap{Status: 503})
	if e := s.sendBatch(t, b); routertest.ClassOf(e) != router.ClassRetry || e.Delivered != 1000 {
		t.Fatalf("%+v, want 1000 delivered", e)
	}
	if e := s.sendBatch(t, b.Slice(1000, 2500)); e != nil {
		t.Fatal(e)
	}
	if got := s.messages(); !slices.Equal(got, lines) {
		t.Errorf("%d lines arrived, want each of %d once and in order", len(got), len(lines))
	}
	s = start(t, datadogtest.Options{}, nil)
	b = &router.Batch{}
	for _, unit := range []string{"x", "\x01", "é", "\xff"} {
		for range 3 {
			b.Append(s.encoders[0], &router.Record{Line: []byte(strings.Repeat(unit, datadogtest.MaxLog+100))})
		}
	}
	if e := s.sendBatch(t, b); e != nil {
		t.Fatal(e)
	}
	if got := s.messages(); len(got) != 12 || len(s.intake.Exchanges()) < 3 {
		t.Errorf("%d lines in %d requests", len(got), len(s.intake.Exchanges()))
	}
	for i, line := range s.messages() {
		if !strings.HasSuffix(line, router.CutMark) {
			t.Errorf("line %d of %d bytes has no mark of the cut", i, len(line))
		}
	}
}

func TestPaths(t *testing.T) {
	for given, want := range map[string]string{"": intakePath, "/": intakePath, "/prefix/": "/prefix" + intakePath} {
		s := start(t, datadogtest.Options{}, nil)
		s2 := start(t, datadogtest.Options{}, map[string]string{intake: s.intake.URL() + given})
		b, _ := routertest.Batch(s2.encoders, 1)
		_ = s2.sendBatch(t, b)
		if all := s.intake.Exchanges(); len(all) != 1 || all[0].Path != want || all[0].Method != http.MethodPost {
			t.Errorf("%s with %q: %+v, want one request to %s", intake, given, all, want)
		}
	}
}
