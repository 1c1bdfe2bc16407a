package splunk

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

const perBatch = 5000

// BenchmarkSend encodes and sends lines of 100 bytes to a server in the same process that throws them away. One op is one line.
func BenchmarkSend(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"text":"Success","code":0}`)
	}))
	defer server.Close()
	for _, c := range []struct {
		name    string
		options map[string]string
	}{{"plain", nil}, {"gzip", map[string]string{"splunk-gzip": "true"}}, {"gzip-1", map[string]string{"splunk-gzip": "true", "splunk-gzip-level": "1"}}} {
		b.Run(c.name, func(b *testing.B) {
			options := map[string]string{"splunk-url": server.URL, "splunk-token": "t"}
			for k, v := range c.options {
				options[k] = v
			}
			e := encoder(b, router.Session{Tag: "3e1de30f43f0", Host: "host"}, options)
			config, err := Kind().New(router.Options{Plain: options})
			if err != nil {
				b.Fatal(err)
			}
			r := config.Router()
			b.Cleanup(func() { _ = r.Close() })
			batch, lines := &router.Batch{}, routertest.Lines(perBatch)
			b.ReportAllocs()
			for sent := 0; sent < b.N; sent += perBatch {
				fill(batch, e, lines)
				if err := r.Send(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func fill(batch *router.Batch, e *Encoder, lines [][]byte) {
	batch.Reset()
	record := router.Record{TimeNano: 1795463301547679123, Source: []byte("stdout")}
	for _, l := range lines {
		record.TimeNano += 12345678
		record.Line = l
		batch.Append(e, &record)
	}
}

// BenchmarkCompress is gzip's own part of that, per line.
func BenchmarkCompress(b *testing.B) {
	batch := &router.Batch{}
	fill(batch, encoder(b, router.Session{Tag: "3e1de30f43f0", Host: "host"}, nil), routertest.Lines(perBatch))
	for _, level := range []int{1, 2, 3, 4, 5, 6} {
		b.Run(string(rune('0'+level)), func(b *testing.B) {
			c := router.NewCompressor(router.Gzip, level)
			b.ReportAllocs()
			for sent := 0; sent < b.N; sent += perBatch {
				z, err := c.Compress(batch.Body)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(batch.Body))/float64(len(z.Bytes())), "ratio")
				z.Release()
			}
		})
	}
}
