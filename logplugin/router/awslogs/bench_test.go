package awslogs

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestEncoderAllocs(t *testing.T) {
	for _, options := range []map[string]string{{group: "g", stream: "s"}, {group: "g", stream: "s", "awslogs-fluent-bit": "output=cloudwatch"}} {
		routertest.EncoderAllocs(t, looking(), options, "hello", "bad \xff bytes", `{"level":"WARN","msg":"a\nb"}`)
	}
}

// The time of an event is in milliseconds, whatever was written before it.
func TestTimes(t *testing.T) {
	e := &Encoder{stream: "s"}
	for _, nano := range []int64{1795463301547679123, 1795463301007000000, 1795463302999999999, 1795463302000000000, 999_000_000, 1_000_000_000, 0, -1_500_000_000} {
		want := fmt.Sprintf(`{"timestamp":%d,"message":"x"},`, nano/1e6)
		got := e.AppendRecord(nil, &router.Record{TimeNano: nano, Line: []byte("x")})
		if string(got) != want || timeOf(got) != nano/1e6 {
			t.Errorf("%d: %s, read as %d, want %s", nano, got, timeOf(got), want)
		}
	}
}

// One op is one line of 100 bytes, encoded, signed and sent to a server in the same process that throws it away.
func BenchmarkSend(b *testing.B) {
	const perBatch = 4000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	kind := Kind(awsrouter.NewHost(awstest.NewHome(b).Session(server.URL)))
	c, err := kind.New(router.Options{Plain: map[string]string{group: "g", stream: "s"}})
	if err != nil {
		b.Fatal(err)
	}
	e, err := c.Encoder(b.Context(), routertest.Session("web"))
	if err != nil {
		b.Fatal(err)
	}
	r := c.Router()
	defer func() { _ = r.Close() }()
	batch, lines := &router.Batch{}, routertest.Lines(perBatch)
	b.ReportAllocs()
	for sent := 0; sent < b.N; sent += perBatch {
		batch.Reset()
		record := router.Record{TimeNano: base.UnixNano(), Source: []byte("stdout")}
		for _, l := range lines {
			record.TimeNano += 1234567
			record.Line = l
			batch.Append(e, &record)
		}
		if err := r.Send(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
