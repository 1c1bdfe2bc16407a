package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestThrough(t *testing.T) {
	for _, c := range []struct {
		name  string
		dir   func(*testing.T) string
		copy  bool
		mode  Mode
		piece int // bytes of one write
	}{
		{"disk", func(t *testing.T) string { return t.TempDir() }, false, Splice, 1 << 20},
		{"tmpfs", tmpfs, false, Splice, 1 << 20},
		{"pieces across frames", tmpfs, false, Splice, 777},
		{"a file system that cannot splice", tmpfs, true, Copy, 5000},
	} {
		t.Run(c.name, func(t *testing.T) {
			const lines = 20_000
			st := newStore(t, Config{Dir: c.dir(t)})
			if !st.CanSplice() {
				t.Error("the probe says that this file system cannot splice")
			}
			st.copies.Store(c.copy)
			dir := filepath.Join(st.cfg.Dir, "one")
			s := open(st, dir, Options{segmentBytes: 100 << 10})
			p := newFIFO(t)
			ended := startDrain(t, s, p)
			r := newReader(t, s)
			all := appendLines(nil, 0, lines)
			go func() {
				for rest := all; len(rest) > 0; {
					n := min(c.piece, len(rest))
					_, _ = p.w.Write(rest[:n])
					rest = rest[n:]
				}
				p.w.Close()
			}()
			r.until(lines / 2)
			if got := s.Stats().Mode; got != c.mode {
				t.Errorf("mode %s, want %s", got, c.mode)
			}
			r.until(lines)
			if err := ended(); err != nil {
				t.Fatalf("Drain ends at EOF with %v", err)
			}
			s.Finish()
			r.until(-1)
			got := s.Stats()
			if got.End != int64(len(all)) || got.Committed != got.End || got.DroppedLines != 0 || got.Err != nil || len(r.gaps) != 0 || r.garbage != 0 || !got.Since.IsZero() {
				t.Errorf("at the end %+v, %d bytes in, gaps %v, garbage %d", got, len(all), r.gaps, r.garbage)
			}
			if got.DiskBytes > 100<<10 || len(files(t, dir)) > 2 {
				t.Errorf("all is accepted, and there are still %d bytes: %v", got.DiskBytes, files(t, dir))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if got := st.Stats(); got.DiskBytes != 0 || got.RAMBytes != 0 || got.Spools != 0 || got.PipeBytes != 0 {
				t.Errorf("the store still counts %+v", got)
			}
			if err := s.Remove(); err != nil || len(files(t, st.cfg.Dir)) != 0 {
				t.Errorf("Remove: %v, leaves %v", err, files(t, st.cfg.Dir))
			}
		})
	}
}

// A spool goes on where it was, wherever that is: also in the middle of a frame.
func TestReopen(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	p := newFIFO(t)
	all := appendLines(nil, 0, 1000)
	next, accepted := 0, 0
	for at := 0; at < len(all); at += 9973 {
		s := open(st, st.cfg.Dir+"/one", Options{segmentBytes: minSegmentBytes})
		_ = startDrain(t, s, p)
		end := min(at+9973, len(all))
		p.write(t, all[at:end])
		await(t, s, "all bytes", func(g Stats) bool { return g.End == int64(end) })
		r := newReader(t, s)
		r.next = accepted
		for {
			if n, _ := r.step(10); n == 0 {
				break
			}
			if r.next%3 == 0 {
				r.commit()
				accepted = r.next
			}
		}
		if r.next <= next && end < len(all) {
			t.Fatalf("no line more with the bytes up to %d", end)
		}
		next = r.next
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Drain(t.Context(), p.r); err == nil {
			t.Fatal("a closed spool drains")
		}
	}
	if next != 1000 {
		t.Errorf("read %d lines, want 1000", next)
	}
}

func TestDrainEnds(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	s := open(st, st.cfg.Dir+"/one", Options{})
	p := newFIFO(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Drain(ctx, p.r) }()
	p.write(t, appendLines(nil, 0, 1))
	r := newReader(t, s)
	r.until(1)
	if err := s.Drain(t.Context(), p.r); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second Drain: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// The FIFO is as it was, and another Drain goes on.
	ended := startDrain(t, s, p)
	p.write(t, appendLines(nil, 1, 2))
	r.until(2)
	if _, err := r.step(1); err != nil {
		t.Errorf("before Finish: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := ended(); !errors.Is(err, context.Canceled) {
		t.Errorf("closed: %v", err)
	}
	if _, err := r.step(1); !errors.Is(err, io.EOF) {
		t.Errorf("after Close: %v, want EOF", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	f, err := os.Open(p.path + "/..")
	if err == nil {
		defer f.Close()
	}
	if err := open(st, st.cfg.Dir+"/two", Options{}).Drain(t.Context(), f); err == nil {
		t.Error("drains what is no FIFO")
	}
}

func TestNotify(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	s := open(st, st.cfg.Dir+"/one", Options{})
	defer shut(t, s)
	p := newFIFO(t)
	_ = startDrain(t, s, p)
	r := newReader(t, s)
	if n, err := r.step(1); n != 0 || err != nil {
		t.Fatalf("an empty spool: %d lines, %v", n, err)
	}
	half := appendLines(nil, 0, 1)
	p.write(t, half[:30])
	if err := waitFor(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if n, _ := r.step(1); n != 0 {
		t.Errorf("half a frame: %d lines", n)
	}
	p.write(t, half[30:])
	if err := waitFor(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if n, _ := r.step(1); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
}

// A drain that waits is parked in the poller of the runtime: it holds no thread.
func TestIdleCostsNoThreads(t *testing.T) {
	const spools = 200
	st := newStore(t, Config{Dir: t.TempDir()})
	threads := func() int { return len(files(t, "/proc/self/task")) }
	before := threads()
	for i := range spools {
		s := open(st, fmt.Sprintf("%s/%d", st.cfg.Dir, i), Options{})
		p := newFIFO(t)
		_ = startDrain(t, s, p)
		p.write(t, appendLines(nil, 0, 1))
		newReader(t, s).until(1)
	}
	if n := threads() - before; n > 20 {
		t.Errorf("%d idle spools have made %d threads", spools, n)
	}
}

// Under load many lines are moved by one call.
func TestCoalesces(t *testing.T) {
	const lines = 20_000
	calls := &faultyFS{}
	st := newFaultyStore(t, Config{Dir: t.TempDir()}, calls, systemClock{time.Now()})
	s := open(st, st.cfg.Dir+"/one", Options{})
	defer shut(t, s)
	p := newFIFO(t)
	ended := startDrain(t, s, p)
	go func() {
		for n := range lines {
			_, _ = p.w.Write(appendLine(nil, n, 100))
		}
		p.w.Close()
	}()
	r := newReader(t, s)
	r.until(lines)
	if err := ended(); err != nil {
		t.Fatal(err)
	}
	if n := calls.count("splice"); n > lines/100 {
		t.Errorf("%d lines took %d calls", lines, n)
	}
}

func TestAllocs(t *testing.T) {
	st := newStore(t, Config{Dir: tmpfs(t)})
	s := open(st, st.cfg.Dir+"/one", Options{})
	defer shut(t, s)
	p := newFIFO(t)
	_ = startDrain(t, s, p)
	line := bytes.Repeat(appendLine(nil, 1, 100), 10)
	buf := make([]byte, 64<<10)
	round := func() {
		if _, err := p.w.Write(line); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < len(line); {
			n, _, err := s.Peek(buf)
			if err != nil {
				t.Fatal(err)
			}
			s.Skip(n)
			if got += n; n == 0 {
				_ = waitFor(context.Background(), s)
			}
		}
		if err := s.Commit(s.Taken()); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		round()
	}
	// Now and then a segment is made and one removed; ten lines a round.
	if n := testing.AllocsPerRun(100, round); n > 1 {
		t.Errorf("ten lines from FIFO to cursor allocate %v times, want less than 1", n)
	}
}
