package routertest

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/router"
)

// BenchSocket encodes and sends lines of 100 bytes over TCP to a server in the same process that throws them away. options
// are those of a way to send to an address. One op is one line.
func BenchSocket(b *testing.B, kind router.Kind, perBatch int, ways []string, options func(address, way string) map[string]string) {
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
	for _, way := range ways {
		b.Run(way, func(b *testing.B) {
			c, e := newEncoder(b, kind, options(l.Addr().String(), way))
			benchSend(b, c, e, perBatch)
		})
	}
}

// benchSend sends b.N lines in batches of perBatch. It reports the CPU time of the process too, that of the server included, which
// other processes on the machine change less than the time that has passed.
func benchSend(b *testing.B, c router.Config, e router.Encoder, perBatch int) {
	r := c.Router()
	b.Cleanup(func() { _ = r.Close() })
	batch, lines := &router.Batch{}, Lines(perBatch)
	b.ReportAllocs()
	began := cpu()
	defer func() { b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op") }()
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
}

// cpu is the CPU time that the process has used.
func cpu() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // it cannot fail with these arguments
	return time.Duration(t.Nano())
}
