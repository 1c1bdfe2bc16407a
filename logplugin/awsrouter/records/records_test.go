package records_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/firehose"
	"github.com/secretref/secretref/logplugin/router/kinesis"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// maxRecords is how many records the services take in a request.
const maxRecords = 500

// service is one of the two.
type service struct {
	name  string
	kind  func(*awsrouter.Host) router.Kind
	start func(stream string) *awstest.Stream
	again string // the code of a record that is to be sent again
	arn   string
}

var services = []service{
	{"firehose", firehose.Kind, awstest.StartFirehose, "ServiceUnavailableException", "arn:aws:firehose:eu-west-1::deliverystream/s"},
	{"kinesis", kinesis.Kind, awstest.StartKinesis, "ProvisionedThroughputExceededException", "arn:aws:kinesis:eu-west-1::stream/s"},
}

// each runs a test with both.
func each(t *testing.T, test func(t *testing.T, s service)) {
	for _, s := range services {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

type setup struct {
	server   *awstest.Stream
	home     *awstest.Home
	router   router.Router
	encoders []router.Encoder
}

// with starts the service and a router to it; the options are without their prefix.
func (s service) with(t testing.TB, options map[string]string) *setup {
	t.Helper()
	u := &setup{server: s.start("s"), home: awstest.NewHome(t)}
	t.Cleanup(u.server.Close)
	all := map[string]string{s.name + "-stream": "s"}
	for name, value := range options {
		all[s.name+"-"+name] = value
	}
	c, err := s.kind(awsrouter.NewHost(u.home.Session(u.server.URL()))).New(router.Options{Plain: all})
	if err != nil {
		t.Fatal(err)
	}
	u.router = c.Router()
	t.Cleanup(func() { _ = u.router.Close() })
	for _, name := range []string{"one", "two"} {
		session := routertest.Session(name)
		session.Attrs = map[string]string{"team": "a", "log": "not this"}
		e, err := c.Encoder(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		u.encoders = append(u.encoders, e)
	}
	return u
}

func TestSuite(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		routertest.Run(t, func(t *testing.T) *routertest.Subject {
			u := s.with(t, nil)
			return &routertest.Subject{
				Router: u.router, Encoders: u.encoders, Secrets: []string{awstest.Old.Secret, awstest.New.Secret}, Received: u.server.Lines,
				Faults: u.server.StatusFaults(awstest.Old.Secret),
				Hang:   func() { u.server.FailAlways(&routertest.Mishap{Hang: true}) },
				Heal:   func() { u.server.FailAlways(nil) },
				Rotate: func() { u.server.SetKey(awstest.New); u.home.Write(awstest.New) },
			}
		})
	})
}

// One service stands for both: what they share is all that reads from a receiver.
func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		u := services[1].with(t, map[string]string{"timeout": "1s"})
		return &routertest.Peer{Router: u.router, Receiver: u.server.Receiver, Encoders: u.encoders, Secret: awstest.Old.Secret, Answer: 1 << 20}
	})
}

// Only the records that were not taken are sent again.
func TestEachRecord(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		u := s.with(t, nil)
		u.server.SetFail(func(record string) string {
			if strings.Contains(record, "000003") {
				return s.again
			}
			return ""
		})
		b, _ := routertest.Batch(u.encoders, 6)
		e := routertest.Send(t, u.router, b)
		want := []router.Outcome{router.Taken, router.Taken, router.Taken, router.Again, router.Taken, router.Taken}
		if routertest.ClassOf(e) != router.ClassRetry || !slices.Equal(e.Outcomes, want) || !strings.Contains(e.Error(), "1 of 6 records") {
			t.Errorf("%+v, want class retry and outcomes %v", e, want)
		}
	})
}

// What each service says of a whole request, and of its own clock, means the same for both.
func TestAnswers(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		for _, c := range []struct {
			answer awstest.Answer
			want   router.Class
		}{
			{awstest.Answer{Code: "ProvisionedThroughputExceededException"}, router.ClassRetry},
			{awstest.Answer{Code: "LimitExceededException"}, router.ClassRetry},
			{awstest.Answer{Code: "ServiceUnavailableException", Status: 503}, router.ClassRetry},
			{awstest.Answer{Code: "InternalFailure", Status: 500}, router.ClassRetry},
			{awstest.Answer{Code: "KMSThrottlingException"}, router.ClassRetry},
			{awstest.Answer{Code: "ExpiredTokenException"}, router.ClassCredentials},
			{awstest.Answer{Code: "AccessDeniedException"}, router.ClassCredentials},
			{awstest.Answer{Code: "ResourceNotFoundException"}, router.ClassConfig},
			{awstest.Answer{Code: "KMSAccessDeniedException"}, router.ClassConfig},
			{awstest.Answer{Code: "InvalidArgumentException"}, router.ClassBadRecords},
			{awstest.Answer{Body: map[string]int{"FailedPutCount": 0}}, router.ClassConfig},
			{awstest.Answer{Body: map[string]any{"Records": []map[string]string{{"SequenceNumber": "1"}}}}, router.ClassConfig},
		} {
			u := s.with(t, nil)
			u.server.Say(c.answer)
			b, _ := routertest.Batch(u.encoders, 3)
			if e := routertest.Send(t, u.router, b); routertest.ClassOf(e) != c.want || e.Outcomes != nil {
				t.Errorf("%+v: %+v, want class %s for all records", c.answer, e, c.want)
			}
			if e := routertest.Send(t, u.router, b); e != nil || len(u.server.Records()) != 3 {
				t.Errorf("%+v: afterwards %v and %d records, want 3", c.answer, e, len(u.server.Records()))
			}
		}
	})
}

// The answer to a request of as many records as the service takes is read whole.
func TestFullRequest(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		u := s.with(t, nil)
		b, _ := routertest.Batch(u.encoders, 2*maxRecords)
		if e := routertest.Send(t, u.router, b); e != nil {
			t.Fatal(e)
		}
		if n := len(u.server.Records()); n != 2*maxRecords {
			t.Errorf("%d records were taken, want %d", n, 2*maxRecords)
		}
	})
}

func TestRecords(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		u := s.with(t, nil)
		b := &router.Batch{}
		b.Append(u.encoders[0], &router.Record{TimeNano: 1795463301547679123, Source: []byte("stderr"), Line: []byte("a \"b\" \xff")})
		for range 9 {
			b.Append(u.encoders[0], &router.Record{TimeNano: -1, Line: []byte(strings.Repeat("x", 2<<20))})
		}
		if e := routertest.Send(t, u.router, b); e != nil {
			t.Fatal(e)
		}
		want := fmt.Sprintf(`{"date":"2026-11-23T19:48:21.547679Z","source":"stderr","log":"a \"b\" \ufffd","container_id":"%s","container_name":"/one","team":"a"}`+"\n", strings.Repeat("o", 64))
		got := u.server.Records()
		if len(got) != 10 || got[0] != want || !strings.Contains(got[1], router.CutMark) || !strings.HasPrefix(got[1], `{"date":"1969-12-31T23:59:59.999999Z"`) {
			t.Errorf("%d records, the first\n%s, want\n%s", len(got), got[0], want)
		}
	})
}

// Labels that no record could carry are left out, and the line is sent.
func TestHugeLabels(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		u := s.with(t, nil)
		session := routertest.Session("one")
		session.Attrs = map[string]string{"a": "small", "b": strings.Repeat("x", 2<<20), "c": "small"}
		c, err := s.kind(awsrouter.NewHost(nil)).New(router.Options{Plain: map[string]string{s.name + "-stream": "s"}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := c.Encoder(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		b := &router.Batch{}
		b.Append(e, &router.Record{Line: []byte("hello")})
		if e := routertest.Send(t, u.router, b); e != nil || len(u.server.Records()) != 1 || !strings.Contains(u.server.Records()[0], `"a":"small","c":"small"}`) {
			t.Errorf("%v, %d records", e, len(u.server.Records()))
		}
	})
}

// All records of a container have one partition key: its id, or what the option says.
func TestPartitionKey(t *testing.T) {
	long := strings.Repeat("k", 257)
	for given, want := range map[string]string{"": strings.Repeat("o", 64), `a"b`: `a"b`, strings.Repeat("é", 256): strings.Repeat("é", 256)} {
		options := map[string]string{"partition-key": given}
		if given == "" {
			options = nil
		}
		u := services[1].with(t, options)
		b, _ := routertest.Batch(u.encoders[:1], 2)
		if e := routertest.Send(t, u.router, b); e != nil || !slices.Equal(u.server.Keys(), []string{want, want}) {
			t.Errorf("%q: %v, %q, want twice %q", given, e, u.server.Keys(), want)
		}
	}
	routertest.Refuses(t, kinesis.Kind(awsrouter.NewHost(nil)), map[string]string{"kinesis-stream": "s"}, map[string]string{"kinesis-partition-key": long}, nil, "257 characters", "h1dden")
}

func TestOptions(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		kind := s.kind(awsrouter.NewHost(nil))
		stream := s.name + "-stream"
		for want, options := range map[string]map[string]string{
			"": nil, "not a name of a stream": {stream: "a/b"}, "not an AWS region": {s.name + "-region": "x"},
			"letters": {stream: strings.Repeat("s", 129)}, "without": {s.name + "-external-id": "x"},
		} {
			routertest.Refuses(t, kind, map[string]string{stream: "s"}, options, nil, want, "h1dden")
		}
		v := router.Options{Plain: map[string]string{stream: "s", s.name + "-region": "eu-west-1"}}.Unresolved()
		if got := kind.Addresses(v)[0].String(); got != s.arn {
			t.Errorf("the address is %s, want %s", got, s.arn)
		}
		routertest.EncoderAllocs(t, kind, map[string]string{stream: "s"}, "hello", "bad \xff")
		routertest.EncoderAllocs(t, kind, map[string]string{stream: "s", s.name + "-fluent-bit": "output=" + s.name + ",time_key=at"}, "hello", "bad \xff")
	})
}

// One op is one line of 100 bytes, encoded, signed and sent to a server in the same process that throws it away.
func BenchmarkSend(b *testing.B) {
	for _, s := range services {
		b.Run(s.name, func(b *testing.B) { s.bench(b) })
	}
}

func (s service) bench(b *testing.B) {
	const records = 500
	each := `,{"RecordId":"` + strings.Repeat("r", 224) + `"}`
	if s.name == "kinesis" {
		each = `,{"SequenceNumber":"` + strings.Repeat("4", 56) + `","ShardId":"shardId-000000000000"}`
	}
	list := "[" + strings.Repeat(each, records)[1:] + "]"
	answer := map[string]string{"firehose": `{"FailedPutCount":0,"RequestResponses":` + list + "}", "kinesis": `{"FailedRecordCount":0,"Records":` + list + "}"}[s.name]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, answer)
	}))
	b.Cleanup(server.Close)
	c, err := s.kind(awsrouter.NewHost(awstest.NewHome(b).Session(server.URL))).New(router.Options{Plain: map[string]string{s.name + "-stream": "s"}})
	if err != nil {
		b.Fatal(err)
	}
	e, err := c.Encoder(b.Context(), routertest.Session("web"))
	if err != nil {
		b.Fatal(err)
	}
	to := c.Router()
	b.Cleanup(func() { _ = to.Close() })
	lines, batch := routertest.Lines(8*records), &router.Batch{}
	b.ReportAllocs()
	for sent := 0; sent < b.N; sent += len(lines) {
		batch.Reset()
		record := router.Record{TimeNano: 1795463301547679123, Source: []byte("stdout")}
		for _, l := range lines {
			record.TimeNano += 1234567
			record.Line = l
			batch.Append(e, &record)
		}
		if err := to.Send(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
