package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

// endless is a session that has lines until n are taken from all sessions together.
type endless struct {
	line   []byte
	filled int
	left   *atomic.Int64
	done   *sync.WaitGroup
}

func (e *endless) Fill(b *router.Batch, limit int) bool {
	record := router.Record{Line: e.line}
	for len(b.Body) < limit && e.filled < 50 {
		b.Append(plain{}, &record)
		e.filled++
	}
	return e.left.Load() > 0
}

func (e *endless) Commit(int) {
	if n := e.left.Add(-int64(e.filled)); n <= 0 && n+int64(e.filled) > 0 {
		e.done.Done()
	}
	e.filled = 0
}

func (*endless) Attrs() []slog.Attr { return nil }

// BenchmarkDelivery moves lines of 100 bytes from sessions that always have some to a router that takes them at once. One
// op is one line.
func BenchmarkDelivery(b *testing.B) {
	for _, feeds := range []int{1, 1000} {
		b.Run(fmt.Sprint(feeds, " sessions"), func(b *testing.B) {
			var done sync.WaitGroup
			var left atomic.Int64
			left.Store(int64(b.N))
			done.Add(1)
			d := New(nowhere{}, Config{})
			b.ReportAllocs()
			b.ResetTimer()
			for range feeds {
				f := &endless{line: make([]byte, 100), left: &left, done: &done}
				d.Add(f)
				d.Ready(f)
			}
			done.Wait()
			b.StopTimer()
			_ = d.Close()
		})
	}
}

type nowhere struct{}

func (nowhere) Send(context.Context, *router.Batch) error { return nil }
func (nowhere) Close() error                              { return nil }
