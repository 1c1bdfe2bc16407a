package awslogs

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

const testGroup = "web"

// base is the time of the records that package routertest makes.
var base = time.Unix(0, 1795463301547679123)

// setup is CloudWatch Logs, a router to it, and what the router was made of.
type setup struct {
	logs     *awstest.Logs
	home     *awstest.Home
	kind     router.Kind
	config   router.Config
	router   router.Router
	encoders []router.Encoder
}

func start(t testing.TB, options map[string]string) *setup {
	t.Helper()
	s := &setup{logs: awstest.StartLogs(testGroup), home: awstest.NewHome(t)}
	t.Cleanup(s.logs.Close)
	s.logs.SetNow(base.Add(time.Hour))
	s.kind = Kind(awsrouter.NewHost(s.home.Session(s.logs.URL())))
	s.config = s.parse(t, options)
	s.router = s.config.Router()
	t.Cleanup(func() { _ = s.router.Close() })
	s.encoders = []router.Encoder{s.encoder(t, s.config, "one"), s.encoder(t, s.config, "two")}
	return s
}

// parse checks options on top of the group.
func (s *setup) parse(t testing.TB, options map[string]string) router.Config {
	t.Helper()
	all := map[string]string{group: testGroup}
	maps.Copy(all, options)
	c, err := s.kind.New(router.Options{Plain: all})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *setup) encoder(t testing.TB, c router.Config, name string) router.Encoder {
	t.Helper()
	return s.named(t, c, routertest.Session(name).ContainerID)
}

// named returns the encoder of a session with this tag, which names its stream.
func (s *setup) named(t testing.TB, c router.Config, tag string) router.Encoder {
	t.Helper()
	session := routertest.Session("one")
	session.Tag = tag
	e, err := c.Encoder(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *setup) send(t *testing.T, b *router.Batch) *router.Error {
	t.Helper()
	return routertest.Send(t, s.router, b, awstest.Old.Secret, awstest.New.Secret)
}

// messages returns what was stored of a stream.
func (s *setup) messages(stream string) (list []string) {
	events, _ := s.logs.Stream(testGroup, stream)
	for _, e := range events {
		list = append(list, e.Message)
	}
	return list
}

func TestSuite(t *testing.T) {
	routertest.Run(t, func(t *testing.T) *routertest.Subject {
		s := start(t, nil)
		return &routertest.Subject{
			Router: s.router, Encoders: s.encoders, Secrets: []string{awstest.Old.Secret, awstest.New.Secret}, Received: s.logs.Messages,
			Faults: s.logs.StatusFaults(awstest.Old.Secret),
			Hang:   func() { s.logs.FailAlways(&routertest.Mishap{Hang: true}) },
			Heal:   func() { s.logs.FailAlways(nil) },
			Rotate: func() { s.logs.SetKey(awstest.New); s.home.Write(awstest.New) },
		}
	})
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, map[string]string{"awslogs-timeout": "1s"})
		return &routertest.Peer{Router: s.router, Receiver: s.logs.Receiver, Encoders: s.encoders, Secret: awstest.Old.Secret}
	})
}

// TestAnswers is the table of what CloudWatch Logs may answer to PutLogEvents.
func TestAnswers(t *testing.T) {
	const (
		retry, credentials, config, bad, large = router.ClassRetry, router.ClassCredentials, router.ClassConfig, router.ClassBadRecords, router.ClassTooLarge
	)
	for _, c := range []struct {
		code    string
		status  int
		message string
		want    router.Class
		says    string
	}{
		{"ThrottlingException", 400, "Rate exceeded", retry, "Rate exceeded"}, {"com.amazonaws.logs#ThrottlingException", 400, "", retry, "ThrottlingException"},
		{"ServiceUnavailableException", 500, "", retry, "ServiceUnavailable"}, {"InternalFailure", 500, "", retry, "InternalFailure"},
		{"SomethingNew", 500, "", retry, "SomethingNew"}, {"SomethingNew", 400, "", config, "SomethingNew"}, {"SomethingNew", 429, "", retry, "SomethingNew"},
		{"OperationAbortedException", 400, "", retry, ""}, {"InvalidSequenceTokenException", 400, "", retry, ""},
		{"DataAlreadyAcceptedException", 400, "", "", ""},
		{"AccessDeniedException", 400, "User: x is not authorized to perform: logs:PutLogEvents", credentials, "let the policy of this identity allow it"},
		{"ExpiredTokenException", 400, "", credentials, "fetched anew"}, {"UnrecognizedClientException", 400, "", credentials, "fetched anew"},
		{"InvalidSignatureException", 400, "Signature expired", credentials, "clock"},
		{"InvalidParameterException", 400, "Log event message is too long", bad, "too long"},
		{"InvalidParameterException", 400, "Value at 'logStreamName' failed to satisfy constraint", config, "logStreamName"},
		{"SerializationException", 400, "", bad, ""}, {"RequestEntityTooLargeException", 413, "", large, ""},
		{"UnknownOperationException", 400, "", config, ""},
	} {
		s := start(t, nil)
		b, _ := routertest.Batch(s.encoders[:1], 1)
		if e := s.send(t, b); e != nil { // the stream is there from now on
			t.Fatal(e)
		}
		a := awstest.Answer{Code: c.code, Status: c.status, Message: c.message}
		s.logs.Say(a, a)
		b, _ = routertest.Batch(s.encoders[:1], 10)
		e := s.send(t, b)
		if routertest.ClassOf(e) != c.want || e != nil && (!strings.Contains(e.Error(), c.says) || e.Delivered != 0) {
			t.Errorf("%s %d: %+v, want class %q saying %q", c.code, c.status, e, c.want, c.says)
		}
	}
}

// A page of a proxy, or JSON that is not of AWS, is not a yes.
func TestNotAWS(t *testing.T) {
	for name, m := range map[string]routertest.Mishap{
		"a page": {HTML: true}, "a text": {Body: "OK"}, "a list": {Body: "[]", Type: "application/json"}, "half an object": {Body: "{", Type: "application/x-amz-json-1.1"},
		"400 with a page": {Status: 400, HTML: true}, "400 without a code": {Status: 400, Body: "{}", Type: "application/json"}, "redirect": {Location: "https://login.example.com/"},
	} {
		s := start(t, nil)
		s.logs.FailAlways(&m)
		b, _ := routertest.Batch(s.encoders, 4)
		if e := s.send(t, b); routertest.ClassOf(e) != router.ClassConfig {
			t.Errorf("%s: %v, want class config", name, e)
		}
	}
}

// No request has more than CloudWatch Logs takes, whatever is in a batch: the server refuses what is more.
func TestLimits(t *testing.T) {
	at := func(d time.Duration) int64 { return base.Add(d).UnixNano() }
	for _, c := range []struct {
		name     string
		records  []router.Record
		requests int
		messages int
	}{
		{"many", slices.Repeat([]router.Record{{TimeNano: at(0), Line: []byte("x")}}, 25_000), 3, 25_000},
		{"bytes", slices.Repeat([]router.Record{{TimeNano: at(0), Line: []byte(strings.Repeat("x", 200_000))}}, 11), 3, 11},
		{"escapes", slices.Repeat([]router.Record{{TimeNano: at(0), Line: []byte(strings.Repeat("\x01\xff", 50_000))}}, 4), 4, 4},
		{"a day", []router.Record{{TimeNano: at(-25 * time.Hour), Line: []byte("a")}, {TimeNano: at(-time.Hour), Line: []byte("b")}, {TimeNano: at(0), Line: []byte("c")}}, 2, 3},
		{"back and forth over a day", []router.Record{{TimeNano: at(0), Line: []byte("a")}, {TimeNano: at(-25 * time.Hour), Line: []byte("b")}, {TimeNano: at(0), Line: []byte("c")}}, 3, 3},
		{"one long line", []router.Record{{TimeNano: at(0), Line: []byte(strings.Repeat("é", 500_000))}}, 1, 4},
		{"longer than a request", []router.Record{{TimeNano: at(0), Line: []byte(strings.Repeat("x", 1<<20))}, {TimeNano: at(0), Line: []byte("after")}}, 2, 6},
		{"negative", []router.Record{{TimeNano: -5e9, Line: []byte("a")}}, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, map[string]string{stream: "s"})
			b, _ := routertest.Batch(s.encoders[:1], 1)
			if e := s.send(t, b); e != nil {
				t.Fatal(e)
			}
			before, calls := len(s.logs.Messages()), len(s.logs.Calls())
			b = &router.Batch{}
			want := ""
			for i := range c.records {
				b.Append(s.encoders[0], &c.records[i])
				want += strings.ToValidUTF8(string(c.records[i].Line), "�")
			}
			if e := s.send(t, b); e != nil && c.messages > 0 {
				t.Fatal(e)
			}
			got := s.logs.Messages()[before:]
			if n := len(s.logs.Calls()) - calls; n != c.requests || len(got) != c.messages {
				t.Errorf("%d messages in %d requests, want %d in %d", len(got), n, c.messages, c.requests)
			}
			if joined := strings.Join(got, ""); c.messages > 0 && len(joined) != len(want) && c.name != "escapes" {
				t.Errorf("%d bytes arrived, want %d", len(joined), len(want))
			}
		})
	}
}

// Events of a request are in the order of their times; those of one millisecond stay as they were written.
func TestOrder(t *testing.T) {
	s := start(t, map[string]string{stream: "s"})
	b := &router.Batch{}
	for i, ms := range []int64{5, 3, 5, 4, 3} {
		b.Append(s.encoders[0], &router.Record{TimeNano: base.UnixNano() + ms*1e6, Line: fmt.Append(nil, ms, "-", i)})
	}
	if e := s.send(t, b); e != nil {
		t.Fatal(e)
	}
	if got, want := s.messages("s"), []string{"3-1", "3-4", "4-3", "5-0", "5-2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What CloudWatch Logs does not store for its age is counted, and is not sent again.
func TestTooOldAndTooNew(t *testing.T) {
	s := start(t, map[string]string{stream: "s"})
	b := &router.Batch{}
	for i, age := range []time.Duration{0, 14*24*time.Hour - 22*time.Hour, 15 * 24 * time.Hour, -4 * time.Hour, time.Minute} {
		b.Append(s.encoders[0], &router.Record{TimeNano: base.Add(-age).UnixNano(), Line: fmt.Append(nil, i)})
	}
	e := s.send(t, b)
	want := []router.Outcome{router.Discarded, router.Discarded, router.Taken}
	if routertest.ClassOf(e) != router.ClassBadRecords || e.Delivered != 2 || !slices.Equal(e.Outcomes, want) || !strings.Contains(e.Error(), "older than 14 days") {
		t.Fatalf("%+v, want outcomes %v of the records from 2 on", e, want)
	}
	if got := s.messages("s"); len(got) != 3 {
		t.Errorf("stored are %q, want three", got)
	}
}

// A clock that is wrong costs one request, and is not asked for again.
func TestClock(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, 20 * time.Minute} {
		s := start(t, map[string]string{stream: "s"})
		s.logs.SetAhead(ahead)
		b, lines := routertest.Batch(s.encoders[:1], 3)
		for range 2 {
			if e := s.send(t, b); e != nil {
				t.Fatalf("a clock that is %v ahead: %v", ahead, e)
			}
		}
		if got := len(s.logs.Exchanges()); got != 5 || len(s.messages("s")) != 2*len(lines) { // refused, missing, created, put, put
			t.Errorf("a clock that is %v ahead: %d requests, want 5", ahead, got)
		}
	}
}

// Embedded metrics are announced in a header.
func TestFormat(t *testing.T) {
	s := start(t, map[string]string{format: embeddedMetrics, stream: "s"})
	b, _ := routertest.Batch(s.encoders[:1], 1)
	if e := s.send(t, b); e != nil {
		t.Fatal(e)
	}
	if got := s.logs.Exchanges()[0].Header.Get("X-Amzn-Logs-Format"); got != embeddedMetrics {
		t.Errorf("the header is %q, want %s", got, embeddedMetrics)
	}
}

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name    string
		options map[string]string
		deny    bool
		key     awstest.Key
		want    router.Class
	}{
		{"good", nil, false, awstest.Old, ""},
		{"a group that is created", map[string]string{group: "none", createGroup: "true"}, false, awstest.Old, ""},
		{"not allowed", nil, true, awstest.Old, router.ClassCredentials},
		{"bad credentials", nil, false, awstest.New, router.ClassCredentials},
	} {
		s := start(t, c.options)
		s.logs.Deny("PutLogEvents", c.deny)
		s.logs.SetKey(c.key)
		err := s.router.(router.Verifier).Verify(t.Context())
		if got := router.ClassOf(err); got != c.want {
			t.Errorf("%s: %v, want class %q", c.name, err, c.want)
		}
		if n := len(s.logs.Messages()); n != 0 {
			t.Errorf("%s: %d messages were stored", c.name, n)
		}
	}
	s := start(t, nil)
	s.logs.Say(awstest.Answer{Code: "ResourceNotFoundException", Message: "The specified log group does not exist."})
	if err := s.router.(router.Verifier).Verify(t.Context()); router.ClassOf(err) != router.ClassConfig || !strings.Contains(err.Error(), createGroup) {
		t.Errorf("no group: %v, want class config", err)
	}
}

// The session token of temporary credentials goes with each request, and comes back in no error.
func TestSessionToken(t *testing.T) {
	const token = "FwoGZXIvYXdzEXAMPLETOKEN"
	s := start(t, nil)
	t.Setenv("AWS_ACCESS_KEY_ID", awstest.Old.ID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", awstest.Old.Secret)
	t.Setenv("AWS_SESSION_TOKEN", token)
	s.logs.FailAlways(&routertest.Mishap{Status: http.StatusForbidden, Body: `{"__type":"AccessDeniedException","message":"the token ` + token + ` is bad"}`, Type: "application/json"})
	b, _ := routertest.Batch(s.encoders[:1], 1)
	e := routertest.Send(t, s.router, b, token)
	if routertest.ClassOf(e) != router.ClassCredentials || s.logs.Exchanges()[0].Header.Get("X-Amz-Security-Token") != token {
		t.Errorf("%v, header %v", e, s.logs.Exchanges()[0].Header)
	}
}
