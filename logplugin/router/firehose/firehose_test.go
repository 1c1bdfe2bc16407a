package firehose

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

type setup struct {
	firehose *awstest.Firehose
	home     *awstest.Home
	router   router.Router
	encoders []router.Encoder
}

func start(t testing.TB, options map[string]string) *setup {
	t.Helper()
	s := &setup{firehose: awstest.StartFirehose("s"), home: awstest.NewHome(t)}
	t.Cleanup(s.firehose.Close)
	all := map[string]string{stream: "s"}
	for name, value := range options {
		all[name] = value
	}
	c, err := Kind(awsrouter.NewHost(s.home.Session(s.firehose.URL()))).New(router.Options{Plain: all})
	if err != nil {
		t.Fatal(err)
	}
	s.router = c.Router()
	t.Cleanup(func() { _ = s.router.Close() })
	for _, name := range []string{"one", "two"} {
		session := routertest.Session(name)
		session.Attrs = map[string]string{"team": "a", "log": "not this"}
		e, err := c.Encoder(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		s.encoders = append(s.encoders, e)
	}
	return s
}

func TestSuite(t *testing.T) {
	routertest.Run(t, func(t *testing.T) *routertest.Subject {
		s := start(t, nil)
		return &routertest.Subject{
			Router: s.router, Encoders: s.encoders, Secrets: []string{awstest.Old.Secret, awstest.New.Secret}, Received: s.firehose.Lines,
			Faults: s.firehose.StatusFaults(awstest.Old.Secret),
			Hang:   func() { s.firehose.FailAlways(&routertest.Mishap{Hang: true}) },
			Heal:   func() { s.firehose.FailAlways(nil) },
			Rotate: func() { s.firehose.SetKey(awstest.New); s.home.Write(awstest.New) },
		}
	})
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, map[string]string{"firehose-timeout": "1s"})
		return &routertest.Peer{Router: s.router, Receiver: s.firehose.Receiver, Encoders: s.encoders, Secret: awstest.Old.Secret}
	})
}

// Only the records that were not taken are sent again.
func TestEachRecord(t *testing.T) {
	s := start(t, nil)
	s.firehose.SetFail(func(record string) string {
		if strings.Contains(record, "000003") {
			return "ServiceUnavailableException"
		}
		return ""
	})
	b, _ := routertest.Batch(s.encoders, 6)
	e := routertest.Send(t, s.router, b)
	want := []router.Outcome{router.Taken, router.Taken, router.Taken, router.Again, router.Taken, router.Taken}
	if routertest.ClassOf(e) != router.ClassRetry || !slices.Equal(e.Outcomes, want) || !strings.Contains(e.Error(), "1 of 6 records") {
		t.Errorf("%+v, want class retry and outcomes %v", e, want)
	}
}

// The answer to a request of as many records as Firehose takes is read whole.
func TestFullRequest(t *testing.T) {
	s := start(t, nil)
	b, _ := routertest.Batch(s.encoders, 2*maxRecords)
	if e := routertest.Send(t, s.router, b); e != nil {
		t.Fatal(e)
	}
	if n := len(s.firehose.Records()); n != 2*maxRecords {
		t.Errorf("%d records were taken, want %d", n, 2*maxRecords)
	}
}

func TestRecords(t *testing.T) {
	s := start(t, nil)
	b := &router.Batch{}
	b.Append(s.encoders[0], &router.Record{TimeNano: 1795463301547679123, Source: []byte("stderr"), Line: []byte("a \"b\" \xff")})
	b.Append(s.encoders[0], &router.Record{Line: []byte(strings.Repeat("x", 2<<20))})
	if e := routertest.Send(t, s.router, b); e != nil {
		t.Fatal(e)
	}
	want := fmt.Sprintf(`{"date":"2026-11-23T19:48:21.547679Z","source":"stderr","log":"a \"b\" \ufffd","container_id":"%s","container_name":"/one","team":"a"}`+"\n", strings.Repeat("o", 64))
	got := s.firehose.Records()
	if len(got) != 2 || got[0] != want || !strings.Contains(got[1], router.CutMark) {
		t.Errorf("%d records, the first\n%s, want\n%s", len(got), got[0], want)
	}
}

func TestOptions(t *testing.T) {
	kind := Kind(awsrouter.NewHost(nil))
	for want, options := range map[string]map[string]string{
		"": nil, "not a name of a stream": {stream: "a/b"}, "not an AWS region": {"firehose-region": "x"},
	} {
		routertest.Refuses(t, kind, map[string]string{stream: "s"}, options, nil, want, "h1dden")
	}
	v := router.Options{Plain: map[string]string{stream: "s", "firehose-region": "eu-west-1"}}.Unresolved()
	if got := kind.Addresses(v)[0].String(); got != "arn:aws:firehose:eu-west-1::deliverystream/s" {
		t.Errorf("the address is %s", got)
	}
	routertest.EncoderAllocs(t, kind, map[string]string{stream: "s"}, "hello", "bad \xff")
}

// What firehose-fluent-bit says of the text of a record.
func TestFluentBit(t *testing.T) {
	record := &router.Record{TimeNano: 1795428000_123456789, Source: []byte("stdout"), Line: []byte(`{"a":1}`)}
	for settings, want := range map[string]string{
		"output=firehose,data_keys=log":                                       `{"log":"{\"a\":1}"}` + "\n",
		"output=firehose,data_keys=source,replace_dots=true":                  `{"source":"stdout"}` + "\n",
		`output=firehose,data_keys=source\,com_x,replace_dots=true`:           `{"source":"stdout","com_x":"v"}` + "\n",
		"output=firehose,log_key=log":                                         `{"a":1}` + "\n",
		"output=firehose,data_keys=source,time_key=at":                        `{"source":"stdout","at":"2026-11-23T10:00:00"}` + "\n",
		"output=firehose,data_keys=source,time_key=at,time_key_format=%s.%3N": `{"source":"stdout","at":"1795428000.123"}` + "\n",
		"output=firehose,data_keys=source,time_key=at,time_key_format=%Q":     "ERROR %Q is not supported",
		"output=firehose,compression=zip":                                     "ERROR compression is not one of , gzip, snappy",
		"output=firehose,data_keys=source,compression=snappy":                 `{"source":"stdout"}` + "\n",
	} {
		v := router.Options{Plain: map[string]string{stream: "s", "firehose-fluent-bit": settings}}.Unresolved()
		session := routertest.Session("one")
		session.Attrs = map[string]string{"com.x": "v"}
		e := encoderOf(v, session)
		if text, isError := strings.CutPrefix(want, "ERROR "); isError {
			if v.Err() == nil || !strings.Contains(v.Err().Error(), text) {
				t.Errorf("%s: %v, want %q", settings, v.Err(), text)
			}
			continue
		}
		got := e.appendText(nil, record)
		if strings.HasSuffix(settings, "snappy") {
			got, _ = snappy.Decode(nil, got)
		}
		if v.Err() != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", settings, got, v.Err(), want)
		}
	}
	empty := encoderOf(router.Options{Plain: map[string]string{"firehose-fluent-bit": "output=firehose,log_key=log"}}.Unresolved(), routertest.Session("one"))
	if got := empty.AppendRecord(nil, &router.Record{}); len(got) > 0 {
		t.Errorf("an empty line alone is sent as %q", got)
	}
}
