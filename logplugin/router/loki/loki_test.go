package loki

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/loki/lokitest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

const (
	token    = "glc_first/token+0123456789"
	newToken = "glc_second/token+0123456789"
)

// batchTime is when the entries of routertest.Batch are written, so that they are neither too old nor too new.
func batchTime() time.Time { return time.Unix(1795463301, 0) }

// setup is a receiver, a router to it, and what the router was made of.
type setup struct {
	loki     *lokitest.Server
	router   *Router
	config   router.Config
	token    *routertest.Source
	encoders []router.Encoder
}

func start(t testing.TB, o lokitest.Options, options map[string]string) *setup {
	t.Helper()
	if o.Now == nil {
		o.Now = batchTime
	}
	s := &setup{loki: lokitest.Start(o), token: routertest.NewSource(token)}
	t.Cleanup(s.loki.Close)
	all := map[string]string{"loki-url": s.loki.URL()}
	maps.Copy(all, options)
	secrets := map[string]secret.Source{"loki-bearer-token": s.token}
	if all["loki-user"] != "" {
		delete(secrets, "loki-bearer-token")
		secrets["loki-password"] = s.token
	}
	var err error
	if s.config, err = Kind().New(router.Options{Plain: all, Secrets: secrets}); err != nil {
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
	return &routertest.Peer{Router: s.router, Receiver: s.loki.Receiver, Encoders: s.encoders, Secret: token, Source: s.token}
}

var encodings = []map[string]string{{"loki-encoding": "protobuf"}, {"loki-encoding": "json"}}

func TestSuite(t *testing.T) {
	for _, options := range encodings {
		t.Run(options["loki-encoding"], func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject {
				s := start(t, lokitest.Options{Auth: []string{"Bearer " + token}}, options)
				return &routertest.Subject{
					Router: s.router, Encoders: s.encoders, Secrets: []string{token, newToken},
					Received: func() []string { return inOrder(s.loki.Entries()) },
					Faults:   s.loki.StatusFaults(token),
					Hang:     func() { s.loki.FailAlways(&routertest.Mishap{Hang: true}) },
					Heal:     func() { s.loki.FailAlways(nil) },
					Rotate:   func() { s.loki.SetAuth("Bearer " + newToken); s.token.Rotate(newToken) },
				}
			})
		})
	}
}

// inOrder returns the lines as they were written: a push has those of each stream one after the other.
func inOrder(entries []lokitest.Entry) []string {
	slices.SortStableFunc(entries, func(a, b lokitest.Entry) int {
		return cmp.Or(cmp.Compare(a.Push, b.Push), a.Time.Compare(b.Time))
	})
	var lines []string
	for _, e := range entries {
		lines = append(lines, e.Line)
	}
	return lines
}

func TestPeers(t *testing.T) {
	for _, options := range encodings {
		t.Run(options["loki-encoding"], func(t *testing.T) {
			routertest.Peers(t, func(t *testing.T) *routertest.Peer {
				o := map[string]string{"loki-timeout": "1s"}
				maps.Copy(o, options)
				s := start(t, lokitest.Options{}, o)
				return s.peer()
			})
		})
	}
}

// TestAnswers is the table of what Loki, or what stands in its place, may answer.
func TestAnswers(t *testing.T) {
	const (
		retry, credentials, config, bad, large = router.ClassRetry, router.ClassCredentials, router.ClassConfig, router.ClassBadRecords, router.ClassTooLarge

		tooOld  = `entry for stream '{a="b"}' has timestamp too old: 2026-11-20T00:00:00Z, oldest acceptable timestamp is: 2026-11-21T00:00:00Z`
		tooNew  = `entry for stream '{a="b"}' has timestamp too new: 2026-11-29T00:00:00Z`
		tooLong = `max entry size '262144' bytes exceeded for stream '{a="b"}' while adding an entry with length '300000' bytes`
		behind  = "entry with timestamp 2026-11-23 10:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2026-11-23T10:00:00Z, " +
			"oldest acceptable timestamp is: 2026-11-23T11:00:00Z',\nuser 'fake', total ignored: 3 out of 7 for stream: {a=\"b\"}"
	)
	var own []routertest.Answer
	for _, c := range []struct {
		status  int
		body    string
		want    router.Class
		refused int // of ten records, the rest of which is stored
		says    string
	}{
		{204, "", "", 0, ""},
		{200, "", config, 0, "Loki answers 204"}, {200, "ok", config, 0, "Loki answers 204"}, {202, "{}", config, 0, "Loki answers 204"}, {260, "", config, 0, "Loki answers 204"},
		{200, "<html>", config, 0, "a web page"}, {301, "", config, 0, "redirects are not followed"},
		{400, tooOld, bad, 1, "timestamp too old"}, {400, tooNew, bad, 1, "timestamp too new"}, {400, tooLong, bad, 1, "max entry size"},
		{400, "4 errors like: " + tooOld, bad, 4, "timestamp too old"},
		{400, "2 errors like: " + tooOld + "; 3 errors like: " + tooLong, bad, 5, "timestamp too old"},
		{400, "99 errors like: " + tooOld, bad, 10, "timestamp too old"},
		{400, "9999999999999999999999 errors like: " + tooOld, bad, 10, "timestamp too old"},
		{400, behind, bad, 3, "entry too far behind"},
		{400, "entry with timestamp x ignored, reason: 'entry out of order',\nuser 'fake', total ignored: 1 out of 1 for stream: {}", bad, 1, "entry out of order"},
		{400, "1 errors like: " + tooOld + "; 2 errors like: something new", bad, 1, "timestamp too old"},
		{400, "something new", bad, 0, "400"}, {400, "", bad, 0, "400"}, {400, "<html>", config, 0, "a web page"},
		{400, `error parsing labels '{a-b="c"}' with error: 1:3: parse error`, bad, 0, "error parsing labels"},
		{400, `entry for stream '{a="b"}' has 16 label names; limit 15`, bad, 0, "label names; limit 15"},
		{400, "10 errors like: stream '{}' includes structured metadata, but this feature is disallowed. Please see", config, 0, "loki-structured-metadata=false"},
		{400, "missing required labels 'cluster' for user 'fake' for stream '{}'", config, 0, "loki-external-labels"},
		{401, "no org id\n", config, 0, "loki-tenant-id"}, {401, "", credentials, 0, "401"}, {403, "", credentials, 0, "403"}, {403, "<html>", credentials, 0, "a web page"},
		{404, "page not found", config, 0, "404"}, {405, "", config, 0, "405"}, {407, "", config, 0, "proxy"}, {408, "", retry, 0, "408"},
		{413, "request body too large: 9 bytes, limit: 8 bytes", large, 0, "413"}, {422, "error at least one valid stream is required for ingestion", config, 0, "422"}, {425, "", retry, 0, "425"},
		{429, "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '10' lines", retry, 0, "ingestion rate limit exceeded"},
		{429, "Per stream rate limit exceeded (limit: 3MB/sec)", retry, 0, "Per stream rate limit"}, {429, "maximum active stream limit exceeded", retry, 0, "active stream limit"},
		{500, "rpc error: code = ResourceExhausted desc = trying to send message larger than max (6291756 vs. 4194304)", large, 0, "larger than max"},
		{500, "<html>larger than max", retry, 0, "500"}, {500, "at least 1 live replicas required", retry, 0, "500"}, {502, "", retry, 0, "502"}, {503, "", retry, 0, "503"}, {504, "<html>", retry, 0, "504"},
	} {
		own = append(own, routertest.Answer{Status: c.status, Body: c.body, Type: "text/plain; charset=utf-8", Want: c.want, Refused: c.refused, Says: c.says})
	}
	routertest.Answers(t, func(t *testing.T) *routertest.Peer { return start(t, lokitest.Options{}, nil).peer() }, own...)
}

// What comes back is what was sent: as Loki's own messages have it, and as JSON has it.
func TestEntries(t *testing.T) {
	lines := []string{"plain", "", " ", "é€😀", `"quoted" \ back`, "\x00\x01\t", "bad \xff\xfe bytes", "<&>\u2028", strings.Repeat("x", 100_000)}
	for _, options := range encodings {
		s := start(t, lokitest.Options{}, options)
		b := &router.Batch{}
		for i, l := range lines {
			for j, source := range []string{"stdout", "stderr", "odd"} {
				b.Append(s.encoders[j%2], &router.Record{TimeNano: 1795463301000000000 + int64(3*i+j), Source: []byte(source), Line: []byte(l)})
			}
		}
		if e := s.sendBatch(t, b); e != nil {
			t.Fatal(e)
		}
		got := map[string]lokitest.Entry{}
		for _, e := range s.loki.Entries() {
			got[fmt.Sprint(e.Time.UnixNano())] = e
		}
		if len(got) != 3*len(lines) {
			t.Fatalf("%v: %d entries, want %d", options, len(got), 3*len(lines))
		}
		for i, l := range lines {
			for j, source := range []string{"stdout", "stderr", ""} {
				e := got[fmt.Sprint(1795463301000000000+int64(3*i+j))]
				name := []string{"one", "two", "one"}[j]
				labels := map[string]string{"container_name": name, "host": "h", "com_example_app": name}
				if source != "" {
					labels["source"] = source
				}
				if want := string([]rune(l)); e.Line != want || !maps.Equal(e.Labels, labels) || e.Metadata["container_id"] != strings.Repeat(name[:1], 64) {
					t.Errorf("%v: got %.200q %v %v, want %.200q %v", options, e.Line, e.Labels, e.Metadata, want, labels)
				}
			}
		}
	}
}

func TestTimes(t *testing.T) {
	for _, options := range encodings {
		for _, nano := range []int64{0, 1, 999_999_999, 1_000_000_000, -1, -1_500_000_000, 1 << 62, 1795463301547679123} {
			s := start(t, lokitest.Options{Now: func() time.Time { return time.Unix(0, nano) }}, options)
			b := &router.Batch{}
			b.Append(s.encoders[0], &router.Record{TimeNano: nano, Source: []byte("stdout"), Line: []byte("x")})
			if e := s.sendBatch(t, b); e != nil {
				t.Fatal(e)
			}
			if got := s.loki.Entries(); len(got) != 1 || got[0].Time.UnixNano() != nano {
				t.Errorf("%v: time %d comes back as %v", options, nano, got)
			}
		}
	}
}

// A line that is longer than Loki takes is cut, with a mark, and never refused.
func TestLongLines(t *testing.T) {
	for _, options := range encodings {
		for name, line := range map[string]string{
			"as long as may be": strings.Repeat("x", maxLine), "longer": strings.Repeat("x", maxLine+1), "much longer": strings.Repeat("é", 1<<20),
			"bad bytes": strings.Repeat("\xff", maxLine-10), "bad bytes that fit": strings.Repeat("\xff", maxLine/3),
		} {
			s := start(t, lokitest.Options{}, options)
			b := &router.Batch{}
			b.Append(s.encoders[0], &router.Record{TimeNano: 1795463301000000000, Source: []byte("stdout"), Line: []byte(line)})
			if e := s.sendBatch(t, b); e != nil {
				t.Fatalf("%s: %v", name, e)
			}
			got := s.loki.Entries()[0].Line
			fits := len(string([]rune(line))) <= maxLine
			if strings.HasSuffix(got, router.CutMark) == fits || len(got) > maxLine || !strings.HasPrefix(string([]rune(line)), strings.TrimSuffix(got, router.CutMark)) {
				t.Errorf("%s: %d bytes ending in %q", name, len(got), got[len(got)-60:])
			}
		}
	}
}

// A push in which some entries are too old or too far behind is stored but for those, and is not sent again.
func TestPartialRefusal(t *testing.T) {
	for _, options := range encodings {
		s := start(t, lokitest.Options{}, options)
		b := &router.Batch{}
		now := batchTime().UnixNano()
		for i, at := range []int64{now, now + 1, now - int64(2*time.Hour), now + 2, now - int64(3*time.Hour), now + 3} {
			b.Append(s.encoders[0], &router.Record{TimeNano: at, Source: []byte("stdout"), Line: fmt.Append(nil, i)})
		}
		e := s.sendBatch(t, b)
		if routertest.ClassOf(e) != router.ClassBadRecords || e.Delivered != 6 || e.Refused != 2 {
			t.Errorf("%v: %+v, want 6 delivered and 2 of them refused", options, e)
		}
		if got := s.loki.Entries(); len(got) != 4 || got[3].Line != "5" {
			t.Errorf("%v: %v are stored", options, got)
		}
	}
}

// Two containers of one name, and one whose lines have waited for two hours: each has a stream of its own.
func TestStreamsAreNotShared(t *testing.T) {
	for _, labels := range []string{"", "job=docker", "job=docker,id={{.ID}}"} {
		options := map[string]string{}
		if labels != "" {
			options["loki-external-labels"] = labels
		}
		s := start(t, lokitest.Options{}, options)
		for i, e := range s.encoders {
			b := &router.Batch{}
			b.Append(e, &router.Record{TimeNano: batchTime().Add(-time.Duration(2*i) * time.Hour).UnixNano(), Source: []byte("stdout"), Line: []byte("x")})
			if e := s.sendBatch(t, b); e != nil {
				t.Errorf("labels %q: %v", labels, e)
			}
		}
	}
}

func TestMetadataIsDisallowed(t *testing.T) {
	s := start(t, lokitest.Options{NoMetadata: true}, nil)
	if e := s.send(t, 3); routertest.ClassOf(e) != router.ClassConfig || !strings.Contains(e.Error(), "loki-structured-metadata=false") {
		t.Errorf("%v, want class config with the option", e)
	}
	s = start(t, lokitest.Options{NoMetadata: true}, map[string]string{"loki-structured-metadata": "false"})
	if e := s.send(t, 3); e != nil {
		t.Error(e)
	}
}

func TestTenantAndUser(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("12345:"+token))
	s := start(t, lokitest.Options{Auth: []string{basic}, Tenants: []string{"team-a"}}, map[string]string{"loki-user": "12345", "loki-tenant-id": "team-a"})
	if e := s.send(t, 3); e != nil {
		t.Error(e)
	}
	if err := s.router.Verify(t.Context()); err != nil {
		t.Errorf("Verify: %v", err)
	}
	s = start(t, lokitest.Options{Tenants: []string{"team-a"}}, nil)
	if e := s.send(t, 3); routertest.ClassOf(e) != router.ClassConfig || s.token.Invalidated() != 0 {
		t.Errorf("without a tenant: %v, want class config", e)
	}
}

func TestVerify(t *testing.T) {
	s := start(t, lokitest.Options{Auth: []string{"Bearer " + newToken}}, nil)
	if err := s.router.VerifyCredentials(t.Context()); router.ClassOf(err) != router.ClassCredentials {
		t.Errorf("a wrong token: %v, want class credentials", err)
	}
	for _, c := range []struct {
		m    routertest.Mishap
		want router.Class
	}{
		{routertest.Mishap{Status: 204}, ""}, {routertest.Mishap{Status: 404}, router.ClassConfig}, {routertest.Mishap{HTML: true}, router.ClassConfig},
		{routertest.Mishap{Status: 400}, router.ClassConfig}, {routertest.Mishap{Status: 422, HTML: true}, router.ClassConfig},
		{routertest.Mishap{Status: 200}, router.ClassConfig}, {routertest.Mishap{Status: 503}, router.ClassRetry}, {routertest.Mishap{Drop: true}, router.ClassRetry},
	} {
		s.loki.Fail(c.m)
		if err := s.router.Verify(t.Context()); router.ClassOf(err) != c.want {
			t.Errorf("%+v: %v, want class %q", c.m, err, c.want)
		}
	}
	if len(s.loki.Entries()) != 0 {
		t.Error("Verify has sent something")
	}
}

func TestPaths(t *testing.T) {
	for given, want := range map[string]string{
		"": pushPath, "/": pushPath, "/prefix": "/prefix" + pushPath, pushPath: pushPath, "/insert" + pushPath + "/": "/insert" + pushPath, "/api/prom/push": "/api/prom/push",
	} {
		s := start(t, lokitest.Options{}, nil)
		s2 := start(t, lokitest.Options{}, map[string]string{"loki-url": s.loki.URL() + given})
		_ = s2.send(t, 1)
		if all := s.loki.Exchanges(); len(all) != 1 || all[0].Path != want || all[0].Method != http.MethodPost {
			t.Errorf("loki-url with %q: %+v, want one request to %s", given, all, want)
		}
	}
}

func TestSeveralAddresses(t *testing.T) {
	first, second := start(t, lokitest.Options{}, nil).loki, start(t, lokitest.Options{}, nil).loki
	routertest.Several(t, Kind(), "loki-url", nil, first.Receiver, second.Receiver, func() (lines []string) {
		for _, e := range second.Entries() {
			lines = append(lines, e.Line)
		}
		slices.Sort(lines) // each output is a stream of its own
		return lines
	})
}
