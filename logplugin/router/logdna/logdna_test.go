package logdna

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/logdna/logdnatest"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// setup is a receiver and a router to it.
type setup struct {
	*routertest.Setup
	receiver *logdnatest.Server
}

func start(t testing.TB, options map[string]string) *setup {
	t.Helper()
	server := logdnatest.Start(logdnatest.Options{})
	t.Cleanup(server.Close)
	return &setup{routertest.Start(t, Kind(), apiKey, map[string]string{address: server.URL()}, options), server}
}

func (s *setup) lines() (all []string) {
	for _, l := range s.receiver.Lines() {
		all = append(all, l.Line)
	}
	return all
}

func TestSuite(t *testing.T) {
	for _, encoding := range []string{router.Gzip, noneEncoding} {
		t.Run(encoding, func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject {
				s := start(t, map[string]string{compress: encoding})
				return s.Subject(s.receiver.Receiver, s.lines, func(key string) { s.receiver.SetKeys(key) })
			})
		})
	}
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, map[string]string{timeout: "1s"})
		return s.Peer(s.receiver.Receiver)
	})
}

// TestAnswers is the table of what a receiver, or what stands in its place, may answer.
func TestAnswers(t *testing.T) {
	const config, says = router.ClassConfig, "answers 200"
	routertest.Answers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, nil)
		return s.Peer(s.receiver.Receiver)
	},
		routertest.Answer{Status: 200}, routertest.Answer{Status: 200, Body: `{"status":"ok"}`, Type: "application/json"},
		routertest.Answer{Status: 200, Body: "OK", Want: config, Says: says}, routertest.Answer{Status: 200, Body: "[]", Want: config, Says: says},
		routertest.Answer{Status: 201, Want: config, Says: says}, routertest.Answer{Status: 202, Want: config, Says: says},
		routertest.Answer{Status: 204, Want: config, Says: says}, routertest.Answer{Status: 206, Want: config, Says: says},
	)
}

// What arrives is what was sent, with what is known of the container.
func TestLines(t *testing.T) {
	lines := []string{"plain", "", " ", "é€😀", `"quoted" \ back`, "\x00\x01\t", "bad \xff\xfe bytes", "<&>\u2028", `{"level":"error","msg":"m"}`}
	s := start(t, map[string]string{tags: "prod, a&b", mac: "00:11:22:aa:bb:cc", ip: "10.0.0.1", file: "f"})
	b := &router.Batch{}
	for i, l := range lines {
		b.Append(s.Encoders[i%2], &router.Record{TimeNano: 1795463301547679123, Source: []byte([]string{"stdout", "stderr"}[i%2]), Line: []byte(l)})
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	got := s.receiver.Lines()
	if len(got) != len(lines) {
		t.Fatalf("%d lines, want %d", len(got), len(lines))
	}
	for i, l := range got {
		name := []string{"one", "two"}[i%2]
		want := logdnatest.Line{
			Line: string([]rune(lines[i])), App: name, File: "f", Hostname: "h", Timestamp: 1795463301547, Host: "h", MAC: "00:11:22:aa:bb:cc", IP: "10.0.0.1", Tags: "prod,a&b",
			Meta: map[string]any{"container_id": strings.Repeat(name[:1], 64), "container_name": name, "image": "nginx:1", "compose_project": "shop", "app": name, "service": "not this", "stream": []string{"stdout", "stderr"}[i%2]},
		}
		if !reflect.DeepEqual(l, want) {
			t.Errorf("line %d is\n%+v, want\n%+v", i, l, want)
		}
	}
}

// Lines whose request differs go in several, and what of them was delivered is not sent again.
func TestSeveralHosts(t *testing.T) {
	s := start(t, nil)
	c, err := Kind().New(router.Options{Plain: map[string]string{apiKey: "k", address: s.receiver.URL(), hostname: "other"}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Encoder(t.Context(), routertest.Session("other"))
	if err != nil {
		t.Fatal(err)
	}
	b := &router.Batch{}
	for i, e := range []router.Encoder{s.Encoders[0], s.Encoders[1], other, other, s.Encoders[0]} {
		b.Append(e, &router.Record{TimeNano: int64(i), Line: []byte{byte('a' + i)}})
	}
	s.receiver.Fail(routertest.Mishap{}, routertest.Mishap{Status: 503})
	if e := s.Send(t, b); routertest.ClassOf(e) != router.ClassRetry || e.Delivered != 2 {
		t.Fatalf("%+v, want 2 delivered", e)
	}
	if e := s.Send(t, b.Slice(2, 5)); e != nil {
		t.Fatal(e)
	}
	var got []string
	for _, l := range s.receiver.Lines() {
		got = append(got, l.Line+" "+l.Host)
	}
	if want := []string{"a h", "b h", "c other", "d other", "e h"}; !slices.Equal(got, want) || len(s.receiver.Exchanges()) != 4 {
		t.Errorf("%q in %d requests, want %q in 4", got, len(s.receiver.Exchanges()), want)
	}
}

// No request has more than Mezmo takes, whatever is in a batch.
func TestLimits(t *testing.T) {
	for _, settings := range []string{"", "output=logdna"} {
		options := map[string]string{}
		if settings != "" {
			options["logdna-fluent-bit"] = settings
		}
		s := start(t, options)
		b := &router.Batch{}
		for _, unit := range []string{"x", "\x01", "é", "\xff", `"`} {
			for range 3 {
				b.Append(s.Encoders[0], &router.Record{Line: []byte(strings.Repeat(unit, 1_000_000))})
			}
		}
		if e := s.Send(t, b); e != nil {
			t.Fatal(e)
		}
		if got := s.receiver.Lines(); len(got) != 15 || len(s.receiver.Exchanges()) < 2 {
			t.Errorf("%d lines in %d requests", len(got), len(s.receiver.Exchanges()))
		}
		for i, line := range s.lines() {
			if !strings.Contains(line, router.CutMark) {
				t.Errorf("line %d of %d bytes has no mark of the cut", i, len(line))
			}
		}
	}
}

func TestPaths(t *testing.T) {
	for given, want := range map[string]string{"": ingestPath, "/": ingestPath, "/prefix/ingest": "/prefix/ingest"} {
		s := start(t, nil)
		s2 := start(t, map[string]string{address: s.receiver.URL() + given})
		b, _ := routertest.Batch(s2.Encoders, 1)
		_ = s2.Send(t, b)
		all := s.receiver.Exchanges()
		if len(all) != 1 || !strings.HasPrefix(all[0].Path, want+"?hostname=h&mac=&ip=&now=") || all[0].Method != http.MethodPost {
			t.Errorf("%s with %q: %+v, want one request to %s", address, given, all, want)
		}
	}
}

// Fluent Bit's payload, with members that stand beside the line.
func TestFluentBit(t *testing.T) {
	session := routertest.Session("web")
	session.Attrs = map[string]string{"severity": "warn", "app": "shop", "x": "y"}
	members := `{\"container_id\":\"` + session.ContainerID + `\",\"container_name\":\"/web\",\"source\":\"stderr\",\"log\":\"a \\\"b\\\"\"`
	for settings, want := range map[string]string{
		"output=logdna":              `{"app":"shop","hostname":"host","level":"warn","timestamp":1795428000,"line":"` + members + `,\"app\":\"shop\",\"severity\":\"warn\",\"x\":\"y\"}"},`,
		"exclude_promoted_keys=true": `{"app":"shop","hostname":"host","level":"warn","timestamp":1795428000,"line":"` + members + `,\"x\":\"y\"}"},`,
	} {
		c, err := Kind().New(router.Options{Plain: map[string]string{apiKey: "k", app: "other", "logdna-fluent-bit": settings}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := c.Encoder(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(e.AppendRecord(nil, &router.Record{TimeNano: 1795428000_123456789, Source: []byte("stderr"), Line: []byte(`a "b"`)})); got != want {
			t.Errorf("%s:\n%s, want\n%s", settings, got, want)
		}
	}
}
