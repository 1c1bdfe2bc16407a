package session

import (
	"math"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/lines"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/spool"
)

// From the spool's bytes to the batch a line allocates nothing; the entry into which all are decoded is one allocation.
func TestDecodeAllocs(t *testing.T) {
	const many = 1000
	var buf []byte
	for _, l := range routertest.Lines(many) {
		buf = frame.AppendFrame(buf, &frame.Entry{Source: []byte("stdout"), TimeNano: 1_790_000_000_123_456_789, Line: l})
	}
	for name, c := range map[string]struct {
		pieces bool
		lines  lines.Options
	}{
		"joined": {}, "in pieces": {pieces: true},
		"one event each": {lines: lines.Options{MultilinePattern: "."}},
		"at a rate":      {lines: lines.Options{MaxRate: "1000000000", MaxRateMode: "drop"}},
		"with patterns":  {lines: lines.Options{IncludePattern: ".", ExcludePattern: `^ERROR \d+$`}},
	} {
		t.Run(name, func(t *testing.T) {
			st := spool.NewStore(spool.Config{Dir: t.TempDir(), Total: 1 << 30, Memory: 1 << 20, Retry: time.Second})
			s := &session{spool: st.Open(t.TempDir(), spool.Options{MaxBytes: 1 << 20})}
			f := &s.feed
			s.meta.Options.Lines = c.lines
			if err := f.begin(s, c.pieces); err != nil {
				t.Fatal(err)
			}
			f.encoder, f.batch = &memory{}, &router.Batch{}
			defer func() {
				if err := s.spool.Close(); err != nil {
					t.Error(err)
				}
			}()
			turns := 0 // on a busy machine patterns may need more than one for all lines
			n := testing.AllocsPerRun(100, func() {
				f.batch.Reset()
				for used := 0; used < len(buf); turns++ {
					if f.flow != nil {
						f.flow.Begin()
					}
					used += f.decode(buf[used:], math.MaxInt, false)
				}
				if f.batch.Len() < many-1 { // an event may be open
					t.Fatalf("%d lines became %d", many, f.batch.Len())
				}
			})
			most := float64(turns+100) / 101
			if testing.Short() && c.lines != (lines.Options{}) {
				most = 10 * many // the race detector makes package regexp throw away what it would use again
			}
			if n > most {
				t.Errorf("%d lines allocate %v times in about %d turns, want %v at most", many, n, turns/101, most)
			}
		})
	}
}
