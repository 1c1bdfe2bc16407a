package lines

import (
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// What the options cost for a line of 100 bytes.
func BenchmarkFlow(b *testing.B) {
	for name, o := range map[string]Options{
		"exclude-pattern":   {ExcludePattern: `"GET /health HTTP`},
		"multiline-pattern": {MultilinePattern: `^\d{4}-\d\d-\d\d `},
		"max-rate":          {MaxRate: "1000000000", MaxRateMode: modeDrop},
	} {
		b.Run(name, func(b *testing.B) {
			r, err := o.Compile()
			if err != nil {
				b.Fatal(err)
			}
			f := r.Flow(func(*frame.Entry) {})
			e := &frame.Entry{Source: []byte("stdout"), TimeNano: time.Now().UnixNano(), Line: []byte("2026-11-28 " + strings.Repeat("x", 89))}
			f.Begin()
			b.ReportAllocs()
			for b.Loop() {
				f.Push(e)
				f.IsOver()
			}
		})
	}
}
