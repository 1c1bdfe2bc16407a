package newrelic

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/newrelic/newrelictest"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// setup is a Log API and a router to it.
type setup struct {
	*routertest.Setup
	api *newrelictest.Server
}

func start(t testing.TB, o newrelictest.Options, options map[string]string) *setup {
	t.Helper()
	server := newrelictest.Start(o)
	t.Cleanup(server.Close)
	return &setup{routertest.Start(t, Kind(), licenseKey, map[string]string{endpoint: server.URL()}, options), server}
}

func (s *setup) messages() []string {
	var lines []string
	for _, l := range s.api.Logs() {
		lines = append(lines, l.Message)
	}
	return lines
}

func TestSuite(t *testing.T) {
	for _, encoding := range []string{router.Gzip, router.Zstd, noneEncoding} {
		t.Run(encoding, func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject {
				s := start(t, newrelictest.Options{}, map[string]string{compression: encoding})
				return s.Subject(s.api.Receiver, s.messages, func(key string) { s.api.SetKeys(key) })
			})
		})
	}
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, newrelictest.Options{}, map[string]string{timeout: "1s"})
		return s.Peer(s.api.Receiver)
	})
}

// TestAnswers is the table of what a Log API, or what stands in its place, may answer.
func TestAnswers(t *testing.T) {
	const config, says = router.ClassConfig, "answers 202"
	routertest.Answers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, newrelictest.Options{}, nil)
		return s.Peer(s.api.Receiver)
	},
		routertest.Answer{Status: 202}, routertest.Answer{Status: 202, Body: "{}", Type: "application/json"},
		routertest.Answer{Status: 200, Want: config, Says: says}, routertest.Answer{Status: 200, Body: "OK", Want: config, Says: says},
		routertest.Answer{Status: 201, Want: config, Says: says}, routertest.Answer{Status: 204, Want: config, Says: says}, routertest.Answer{Status: 206, Want: config, Says: says},
		routertest.Answer{Status: 401, Want: router.ClassCredentials, Says: "a key belongs to one region"}, routertest.Answer{Status: 403, Want: router.ClassCredentials, Says: "a key belongs to one region"},
	)
}

// What arrives is what was sent, with what is known of the container.
func TestLogs(t *testing.T) {
	lines := []string{"plain", "", " ", "é€😀", `"quoted" \ back`, "\x00\x01\t", "bad \xff\xfe bytes", "<&>\u2028", `{"level":"error","msg":"m"}`}
	s := start(t, newrelictest.Options{}, map[string]string{attributes: "env=prod,container.name=other"})
	b := &router.Batch{}
	for i, l := range lines {
		b.Append(s.Encoders[i%2], &router.Record{TimeNano: 1795463301547679123, Source: []byte([]string{"stdout", "stderr", "odd"}[i%3]), Line: []byte(l)})
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	got := s.api.Logs()
	if len(got) != len(lines) {
		t.Fatalf("%d logs, want %d", len(got), len(lines))
	}
	for i, log := range got {
		name := []string{"one", "two"}[i%2]
		want := map[string]any{
			"container.id": strings.Repeat(name[:1], 64), "container.name": "other", "container.image.name": "nginx:1", "compose.project": "shop",
			"hostname": "h", "plugin.type": "secretref-logdriver", "app": name, "service": "not this", "env": "prod",
		}
		if i%3 < 2 {
			want["stream"] = []string{"stdout", "stderr"}[i%3]
		}
		if log.Timestamp != 1795463301547 || log.Message != string([]rune(lines[i])) || !maps.Equal(log.Attributes, want) {
			t.Errorf("log %d is %v, want %v", i, log, want)
		}
	}
	if h := s.api.Exchanges()[0].Header; h.Get("X-License-Key") != routertest.Key || h.Get("Content-Encoding") != router.Gzip {
		t.Errorf("header %v", h)
	}
}

func TestParsedJSON(t *testing.T) {
	for line, want := range map[string]struct {
		message    string
		attributes map[string]any
	}{
		`{"msg":"hello \u00e9\n","n":1,"z":null}`: {"hello é\n", map[string]any{"n": 1.0, "z": nil}},
		`{"message":"m","msg":"x"}`:               {"m", map[string]any{"msg": "x"}},
		`{"a":1}`:                                 {`{"a":1}`, map[string]any{"a": 1.0}},
		`{"message":7,"stream":"s"}`:              {`{"message":7,"stream":"s"}`, map[string]any{"message": 7.0, "line.stream": "s", "stream": "stdout"}},
		"plain":                                   {"plain", nil}, `[1]`: {"[1]", nil}, `{"a":1`: {`{"a":1`, nil}, "{}": {"{}", nil},
	} {
		s := start(t, newrelictest.Options{}, map[string]string{parseJSON: "true"})
		b := &router.Batch{}
		for range 2 { // the second finds the memory of the first
			b.Append(s.Encoders[0], &router.Record{Source: []byte("stdout"), Line: []byte(line)})
		}
		if e := s.Send(t, b); e != nil {
			t.Fatalf("%s: %v", line, e)
		}
		for _, log := range s.api.Logs() {
			if log.Message != want.message {
				t.Errorf("%s: message %q, want %q", line, log.Message, want.message)
			}
			for name, value := range want.attributes {
				if log.Attributes[name] != value {
					t.Errorf("%s: %s is %v, want %v", line, name, log.Attributes[name], value)
				}
			}
		}
	}
}

// No request has more than New Relic takes, whatever is in a batch; what of it was delivered is not sent again.
func TestLimits(t *testing.T) {
	s := start(t, newrelictest.Options{}, nil)
	b, lines := routertest.Batch(s.Encoders, maxLines+1500)
	first := b.Fit(0, maxLines, maxBytes)
	s.api.Fail(routertest.Mishap{}, routertest.Mishap{Status: 503})
	if e := s.Send(t, b); routertest.ClassOf(e) != router.ClassRetry || e.Delivered != first {
		t.Fatalf("%+v, want %d delivered", e, first)
	}
	if e := s.Send(t, b.Slice(first, b.Len())); e != nil {
		t.Fatal(e)
	}
	if got := s.messages(); !slices.Equal(got, lines) {
		t.Errorf("%d lines arrived, want each of %d once and in order", len(got), len(lines))
	}
	s = start(t, newrelictest.Options{}, nil)
	b = &router.Batch{}
	for _, unit := range []string{"x", "\x01", "é", "\xff"} {
		for range 3 {
			b.Append(s.Encoders[0], &router.Record{Line: []byte(strings.Repeat(unit, newrelictest.MaxRequest+100))})
		}
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	if got := s.messages(); len(got) != 12 || len(s.api.Exchanges()) < 3 {
		t.Errorf("%d lines in %d requests", len(got), len(s.api.Exchanges()))
	}
	for i, line := range s.messages() {
		if !strings.HasSuffix(line, router.CutMark) {
			t.Errorf("line %d of %d bytes has no mark of the cut", i, len(line))
		}
	}
}

func TestPaths(t *testing.T) {
	for given, want := range map[string]string{"": logPath, "/": logPath, logPath: logPath, "/prefix": "/prefix"} {
		s := start(t, newrelictest.Options{}, nil)
		s2 := start(t, newrelictest.Options{}, map[string]string{endpoint: s.api.URL() + given})
		b, _ := routertest.Batch(s2.Encoders, 1)
		_ = s2.Send(t, b)
		if all := s.api.Exchanges(); len(all) != 1 || all[0].Path != want || all[0].Method != http.MethodPost {
			t.Errorf("%s with %q: %+v, want one request to %s", endpoint, given, all, want)
		}
	}
}
