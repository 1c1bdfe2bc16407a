package http

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

const key, newKey = routertest.Key, routertest.NewKey

// receiver takes requests with a good Authorization header, and keeps what is in them.
type receiver struct {
	*routertest.Receiver

	mu      sync.Mutex
	good    string // token; "" = every one
	records []map[string]any
	texts   []string // of the format raw
}

func startReceiver() *receiver {
	s := &receiver{}
	s.Receiver = routertest.StartReceiver(routertest.ReceiverOptions{Handle: s.take})
	return s
}

func (s *receiver) setToken(token string) {
	s.mu.Lock()
	s.good = token
	s.mu.Unlock()
}

func (s *receiver) take(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good != "" && r.Header.Get("Authorization") != "Bearer "+s.good {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
		for line := range bytes.Lines(body) {
			s.texts = append(s.texts, string(line))
		}
		return
	}
	if r.Header.Get("Content-Type") == types[msgPack] {
		s.unpack(w, body)
		return
	}
	if d := json.NewDecoder(bytes.NewReader(body)); body[0] == '[' {
		var all []map[string]any
		if d.Decode(&all) != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		s.records = append(s.records, all...)
	} else {
		for d.More() {
			var one map[string]any
			if d.Decode(&one) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			s.records = append(s.records, one)
		}
	}
}

// unpack takes an array of maps.
func (s *receiver) unpack(w http.ResponseWriter, body []byte) {
	v, err := forwardtest.Decode(bufio.NewReader(bytes.NewReader(body)))
	all, ok := v.([]any)
	if err != nil || !ok {
		w.WriteHeader(http.StatusBadRequest)
	}
	for _, one := range all {
		record := map[string]any{}
		pairs, _ := one.([]forwardtest.Pair)
		for _, p := range pairs {
			name, _ := p.Key.(forwardtest.Str)
			if text, ok := p.Value.(forwardtest.Str); ok {
				record[string(name)] = string(text)
			} else {
				record[string(name)] = p.Value
			}
		}
		s.records = append(s.records, record)
	}
}

func (s *receiver) messages() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		line, _ := r["message"].(string)
		if short, ok := r["short_message"].(string); ok {
			line = short
		}
		lines = append(lines, line)
	}
	for _, text := range s.texts {
		lines = append(lines, strings.TrimSuffix(text, "\n"))
	}
	return lines
}

// setup is a receiver and a router to it.
type setup struct {
	*routertest.Setup
	api *receiver
}

func start(t testing.TB, options map[string]string) *setup {
	t.Helper()
	api := startReceiver()
	t.Cleanup(api.Close)
	return &setup{routertest.Start(t, Kind(nil), "http-bearer-token", map[string]string{address: api.URL()}, options), api}
}

func TestSuite(t *testing.T) {
	for _, how := range []string{jsonLines, jsonArray, jsonStream, raw, msgPack, gelf} {
		t.Run(how, func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject {
				s := start(t, map[string]string{format: how, compress: router.Zstd})
				return s.Subject(s.api.Receiver, s.api.messages, s.api.setToken)
			})
		})
	}
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		p := start(t, map[string]string{timeout: "1s"}).peer()
		p.Lenient = true
		return p
	})
}

func (s *setup) peer() *routertest.Peer { return s.Peer(s.api.Receiver) }

// TestAnswers is the table of what a receiver, or what stands in its place, may answer.
func TestAnswers(t *testing.T) {
	routertest.Answers(t, func(t *testing.T) *routertest.Peer { return start(t, nil).peer() },
		routertest.Answer{Status: 202}, routertest.Answer{Status: 200}, routertest.Answer{Status: 200, Body: "OK"}, routertest.Answer{Status: 201},
		routertest.Answer{Status: 204}, routertest.Answer{Status: 200, Body: "<p>", Want: router.ClassConfig, Says: address},
		routertest.Answer{Status: 422, Want: router.ClassBadRecords, Says: "422"},
	)
}

// What arrives is what was sent, with what is known of the container.
func TestRecords(t *testing.T) {
	lines := []string{"plain", "", " ", "é€😀", `"quoted" \ back`, "\x00\x01\t", "bad \xff\xfe bytes", "<&>\u2028", `{"level":"error","msg":"m"}`}
	for _, how := range []string{jsonLines, jsonArray, jsonStream, msgPack} {
		s := start(t, map[string]string{fields: "env=prod,container_name=other", format: how, dateKey: "@timestamp", compress: router.Snappy})
		b := &router.Batch{}
		for i, l := range lines {
			b.Append(s.Encoders[i%2], &router.Record{TimeNano: 1795463301547679123, Source: []byte([]string{"stdout", "stderr", "odd"}[i%3]), Line: []byte(l)})
		}
		if e := s.Send(t, b); e != nil {
			t.Fatal(e)
		}
		if len(s.api.records) != len(lines) {
			t.Fatalf("%s: %d records, want %d", how, len(s.api.records), len(lines))
		}
		for i, record := range s.api.records {
			name := []string{"one", "two"}[i%2]
			want := map[string]any{
				"@timestamp": "2026-11-23T19:48:21.547679123Z", "message": lines[i], "container_id": strings.Repeat(name[:1], 64), "container_name": "other",
				"image": "nginx:1", "compose_project": "shop", "host": "h", "app": name, "service": "not this", "env": "prod",
			}
			if i%3 < 2 {
				want["stream"] = []string{"stdout", "stderr"}[i%3]
			}
			if how != msgPack { // which has no rule for what is not UTF-8, and can have any source
				want["message"] = string([]rune(lines[i]))
			} else if i%3 == 2 {
				want["stream"] = "odd"
			}
			if !maps.Equal(record, want) {
				t.Errorf("%s: record %d is %v, want %v", how, i, record, want)
			}
		}
		if got := s.api.Exchanges()[0]; got.Header.Get("Content-Type") != types[how] || got.Method != http.MethodPost {
			t.Errorf("%s: %s %v", how, got.Method, got.Header)
		}
	}
}

func TestRaw(t *testing.T) {
	s := start(t, map[string]string{format: raw, headers + ".Content-Type": "text/plain", headers + ".X-Sumo-Category": "prod/web", method: "PUT"})
	b := &router.Batch{}
	for _, l := range []string{"a", "", "b \xff", "\n"} {
		b.Append(s.Encoders[0], &router.Record{Line: []byte(l)})
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	if want := []string{"a\n", "b \xff\n"}; !slices.Equal(s.api.texts, want) {
		t.Errorf("%q, want %q", s.api.texts, want)
	}
	if x := s.api.Exchanges()[0]; x.Method != http.MethodPut || x.Header.Get("X-Sumo-Category") != "prod/web" || !slices.Equal(x.Header["Content-Type"], []string{"text/plain"}) {
		t.Errorf("%s %v", x.Method, x.Header)
	}
}

func TestDates(t *testing.T) {

	for how, want := range map[string]string{
		iso8601: `"2026-11-23T19:48:21.047679123Z"`, double: "1795463301.047679123", epoch: "1795463301", epochMS: "1795463301047", epochNano: "1795463301047679123",
	} {
		w := timeWriter{form: how}
		if got := string(w.append(nil, nano)); got != want {
			t.Errorf("%s: %s, want %s", how, got, want)
		}
	}
	w := timeWriter{form: double}
	if got := string(w.append(nil, -1)); got != "-0.000000001" {
		t.Errorf("before 1970: %s", got)
	}
}

func TestParsedJSON(t *testing.T) {
	s := start(t, map[string]string{parseJSON: "true"})
	b := &router.Batch{}
	for range 2 { // the second finds the memory of the first
		b.Append(s.Encoders[0], &router.Record{Source: []byte("stdout"), Line: []byte(`{"msg":"hello","n":1,"host":"x","stream":2,"date":"now"}`)})
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	for _, r := range s.api.records {
		if r["message"] != "hello" || r["n"] != 1.0 || r["host"] != "h" || r["line.host"] != "x" || r["line.stream"] != 2.0 || r["stream"] != "stdout" || r["line.date"] != "now" {
			t.Errorf("%v", r)
		}
	}
}

// A token that is part of the address comes by reference, and is asked for again when it is refused.
func TestAddressWithToken(t *testing.T) {
	api := startReceiver()
	t.Cleanup(api.Close)
	source := routertest.NewSource(api.URL() + "/bulk?token=" + key)
	c, err := Kind(nil).New(router.Options{Secrets: map[string]secret.Source{address: source}})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	e, err := c.Encoder(t.Context(), router.Session{})
	if err != nil {
		t.Fatal(err)
	}
	b := &router.Batch{}
	b.Append(e, &router.Record{Line: []byte("x")})
	api.Fail(routertest.Mishap{Status: http.StatusForbidden})
	source.Rotate(api.URL() + "/bulk?token=" + newKey)
	err = r.Send(t.Context(), b)
	routertest.Quiet(t, err, key, newKey, api.URL())
	if router.ClassOf(err) != router.ClassCredentials {
		t.Errorf("%v, want class credentials", err)
	}
	if err := r.Send(t.Context(), b); err != nil {
		t.Error(err)
	}
	if all := api.Exchanges(); len(all) != 2 || all[0].Path != "/bulk?token="+key || all[1].Path != "/bulk?token="+newKey {
		t.Errorf("%+v", all)
	}
}

// No request has more than most receivers take, whatever is in a batch; what of it was delivered is not sent again.
func TestLimits(t *testing.T) {
	s := start(t, nil)
	b, lines := routertest.Batch(s.Encoders, maxLines+1500)
	first := b.Fit(0, maxLines, maxBytes)
	s.api.Fail(routertest.Mishap{}, routertest.Mishap{Status: 503})
	if e := s.Send(t, b); routertest.ClassOf(e) != router.ClassRetry || e.Delivered != first {
		t.Fatalf("%+v, want %d delivered", e, first)
	}
	if e := s.Send(t, b.Slice(first, b.Len())); e != nil {
		t.Fatal(e)
	}
	if got := s.api.messages(); !slices.Equal(got, lines) {
		t.Errorf("%d lines arrived, want each of %d once and in order", len(got), len(lines))
	}
	s = start(t, nil)
	b = &router.Batch{}
	for _, unit := range []string{"x", "\x01", "é", "\xff"} {
		for range 3 {
			b.Append(s.Encoders[0], &router.Record{Line: []byte(strings.Repeat(unit, maxBytes+100))})
		}
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	if got := s.api.messages(); len(got) != 12 || len(s.api.Exchanges()) < 3 {
		t.Errorf("%d lines in %d requests", len(got), len(s.api.Exchanges()))
	}
	for i, line := range s.api.messages() {
		if !strings.HasSuffix(line, router.CutMark) {
			t.Errorf("line %d of %d bytes has no mark of the cut", i, len(line))
		}
	}
}

func TestSeveralAddresses(t *testing.T) {
	first, second := start(t, nil), start(t, nil)
	second.api.setToken("")
	routertest.Several(t, Kind(nil), address, map[string]string{uri: "/bulk?token=x"}, first.api.Receiver, second.api.Receiver, second.api.messages)
}

func TestSigned(t *testing.T) {
	api := startReceiver()
	t.Cleanup(api.Close)
	routertest.Signed(t, Kind, "http", address, nil, api.Receiver)
	kind := Kind(func(*router.Values, string, string) router.Signer { return struct{ router.Signer }{} })
	routertest.Refuses(t, kind, map[string]string{address: "https://h.example", "http-aws-auth": "true", "http-aws-service": "es"}, map[string]string{headers + ".authorization": "x"}, nil, "two ways to log in", "h1dden")
}
