package http

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

const perBatch = 1000

func newTestEncoder(t testing.TB, options map[string]string) (Config, router.Encoder) {
	t.Helper()
	options[address] = cmp.Or(options[address], "http://127.0.0.1:1")
	c, err := Parse(router.Options{Plain: options})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encoder(t.Context(), router.Session{ContainerName: "/web", ContainerID: strings.Repeat("c", 64), Host: "host"})
	if err != nil {
		t.Fatal(err)
	}
	return c, e
}

func TestEncoderAllocs(t *testing.T) {
	for _, parse := range []string{"false", "true"} {
		_, e := newTestEncoder(t, map[string]string{parseJSON: parse})
		buf := make([]byte, 0, 4096)
		for _, line := range []string{"hello", "bad \xff bytes", `{"level":"WARN","msg":"a\nb","n":1,"o":{"a":[1,2]},"host":"s"}`} {
			r := &router.Record{TimeNano: 1795463301547679123, Source: []byte("stderr"), Line: []byte(line)}
			if n := testing.AllocsPerRun(1000, func() { buf = e.AppendRecord(buf[:0], r) }); n != 0 {
				t.Errorf("parse %s: AppendRecord of %q allocates %v times, want 0", parse, line, n)
			}
		}
	}
}

// BenchmarkSend encodes and sends lines of 100 bytes to a server in the same process that throws them away. One op is one line.
func BenchmarkSend(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	for _, encoding := range []string{noneEncoding, router.Gzip, router.Zstd} {
		b.Run(encoding, func(b *testing.B) {
			c, e := newTestEncoder(b, map[string]string{address: server.URL, compress: encoding})
			r := New(c)
			b.Cleanup(func() { _ = r.Close() })
			batch, lines := &router.Batch{}, routertest.Lines(perBatch)
			b.ReportAllocs()
			for sent := 0; sent < b.N; sent += perBatch {
				batch.Reset()
				record := router.Record{TimeNano: 1795463301547679123, Source: []byte("stdout")}
				for _, l := range lines {
					record.TimeNano += 12345678
					record.Line = l
					batch.Append(e, &record)
				}
				if err := r.Send(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
