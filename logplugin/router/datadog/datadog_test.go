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
)

// setup is an intake and a router to it.
type setup struct {
	*routertest.Setup
	intake *datadogtest.Server
}

func start(t testing.TB, o datadogtest.Options, options map[string]string) *setup {
	t.Helper()
	server := datadogtest.Start(o)
	t.Cleanup(server.Close)
	return &setup{routertest.Start(t, Kind(), apiKey, map[string]string{intake: server.URL()}, options), server}
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
				s := start(t, datadogtest.Options{}, map[string]string{compress: encoding})
				return s.Subject(s.intake.Receiver, s.messages, func(key string) { s.intake.SetKeys(key) })
			})
		})
	}
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, datadogtest.Options{}, map[string]string{timeout: "1s"})
		return s.Peer(s.intake.Receiver)
	})
}

// TestAnswers is the table of what an intake, or what stands in its place, may answer.
func TestAnswers(t *testing.T) {
	const config, says = router.ClassConfig, "answers 202"
	routertest.Answers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, datadogtest.Options{}, nil)
		return s.Peer(s.intake.Receiver)
	},
		routertest.Answer{Status: 202}, routertest.Answer{Status: 202, Body: "{}", Type: "application/json"},
		routertest.Answer{Status: 200, Want: config, Says: says}, routertest.Answer{Status: 200, Body: "OK", Want: config, Says: says},
		routertest.Answer{Status: 201, Want: config, Says: says}, routertest.Answer{Status: 204, Want: config, Says: says}, routertest.Answer{Status: 206, Want: config, Says: says},
		routertest.Answer{Status: 401, Want: router.ClassCredentials, Says: "a key belongs to one site"}, routertest.Answer{Status: 403, Want: router.ClassCredentials, Says: "a key belongs to one site"},
	)
}

// What arrives is what was sent, with what is known of the container.
func TestLogs(t *testing.T) {
	lines := []string{"plain", "", " ", "é€😀", `"quoted" \ back`, "\x00\x01\t", "bad \xff\xfe bytes", "<&>\u2028", `{"level":"error","msg":"m"}`}
	s := start(t, datadogtest.Options{}, map[string]string{tags: "env:prod,team:a", source: "nginx"})
	b := &router.Batch{}
	for i, l := range lines {
		b.Append(s.Encoders[i%2], &router.Record{TimeNano: 1795463301547679123, Source: []byte([]string{"stdout", "stderr", "odd"}[i%3]), Line: []byte(l)})
	}
	if e := s.Send(t, b); e != nil {
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
	if h.Get("Dd-Api-Key") != routertest.Key || h.Get("Content-Encoding") != router.Gzip {
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
			b.Append(s.Encoders[0], &router.Record{Source: []byte("stdout"), Line: []byte(line)})
		}
		if e := s.Send(t, b); e != nil {
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
	b, lines := routertest.Batch(s.Encoders, 2500)
	s.intake.Fail(routertest.Mishap{}, routertest.Mishap{Status: 503})
	if e := s.Send(t, b); routertest.ClassOf(e) != router.ClassRetry || e.Delivered != 1000 {
		t.Fatalf("%+v, want 1000 delivered", e)
	}
	if e := s.Send(t, b.Slice(1000, 2500)); e != nil {
		t.Fatal(e)
	}
	if got := s.messages(); !slices.Equal(got, lines) {
		t.Errorf("%d lines arrived, want each of %d once and in order", len(got), len(lines))
	}
	s = start(t, datadogtest.Options{}, nil)
	b = &router.Batch{}
	for _, unit := range []string{"x", "\x01", "é", "\xff"} {
		for range 3 {
			b.Append(s.Encoders[0], &router.Record{Line: []byte(strings.Repeat(unit, datadogtest.MaxLog+100))})
		}
	}
	if e := s.Send(t, b); e != nil {
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
		b, _ := routertest.Batch(s2.Encoders, 1)
		_ = s2.Send(t, b)
		if all := s.intake.Exchanges(); len(all) != 1 || all[0].Path != want || all[0].Method != http.MethodPost {
			t.Errorf("%s with %q: %+v, want one request to %s", intake, given, all, want)
		}
	}
}
