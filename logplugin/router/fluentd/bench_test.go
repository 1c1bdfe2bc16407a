package fluentd

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

const perBatch = 5000

// BenchmarkSend encodes and sends lines of 100 bytes to a server in the same process that throws them away. One op is one line.
func BenchmarkSend(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	for _, c := range []struct{ name, compress string }{{"plain", "none"}, {"gzip", "gzip"}} {
		b.Run(c.name, func(b *testing.B) {
			config, err := Parse(router.Options{Plain: map[string]string{"fluentd-address": l.Addr().String(), "fluentd-compress": c.compress}})
			if err != nil {
				b.Fatal(err)
			}
			e, err := NewEncoder(b.Context(), config, router.Session{Tag: "t", ContainerID: strings.Repeat("a", 64), ContainerName: "/name"})
			if err != nil {
				b.Fatal(err)
			}
			r := New(config)
			b.Cleanup(func() { _ = r.Close() })
			batch, lines := &router.Batch{}, routertest.Lines(perBatch)
			b.ReportAllocs()
			for sent := 0; sent < b.N; sent += perBatch {
				batch.Reset()
				record := router.Record{TimeNano: 1795463301547679123, Source: []byte("stdout")}
				for _, line := range lines {
					record.TimeNano += 12345678
					record.Line = line
					batch.Append(e, &record)
				}
				if err := r.Send(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
