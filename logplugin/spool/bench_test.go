package spool

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFIFOToFiles drains lines of 100 bytes. A line is one write, as the daemon's, or many lines are, which shows what
// the spool alone costs.
func BenchmarkFIFOToFiles(b *testing.B) {
	for name, batch := range map[string]int{"line by line": 1, "400 lines a write": 400} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			st := newStore(b, Config{Dir: dir})
			s := open(st, dir+"/one", Options{MaxBytes: 64 << 20})
			defer shut(b, s)
			p := newFIFO(b)
			wait := startDrain(b, s, p)
			line := appendLine(nil, 7, 98)
			var lines []byte
			for range batch {
				lines = append(lines, line...)
			}
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			b.ResetTimer()
			used := cpu(b)
			for n := 0; n < b.N; n += batch {
				p.write(b, lines)
			}
			p.w.Close()
			if err := wait(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(cpu(b)-used)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkReadBack reads and decodes lines of 100 bytes that lie in segments.
func BenchmarkReadBack(b *testing.B) {
	st := newStore(b, Config{Dir: b.TempDir()})
	s := open(st, st.cfg.Dir+"/one", Options{})
	defer shut(b, s)
	var lines []byte
	const most = 100_000
	for n := range most {
		lines = appendLine(lines, n, 94)
	}
	p := newFIFO(b)
	wait := startDrain(b, s, p)
	p.write(b, lines)
	p.w.Close()
	if err := wait(); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 256<<10)
	var e frame.Entry
	b.SetBytes(int64(len(lines) / most))
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		size, _, _ := s.Peek(buf)
		at := 0
		for n < b.N {
			k, err := frame.Decode(buf[at:size], &e)
			if errors.Is(err, frame.ErrGarbage) {
				b.Fatal(err)
			}
			if err != nil {
				break
			}
			at += k
			n++
		}
		if s.Skip(at); at == 0 { // at the end: begin anew
			s.ledger.mu.Lock()
			s.ledger.taken, s.ledger.seen = 0, 0
			s.ledger.mu.Unlock()
		}
	}
}
