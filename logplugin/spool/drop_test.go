package spool

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// put appends bytes as a drain does, without a FIFO.
func put(t testing.TB, s *Spool, p []byte) {
	t.Helper()
	for len(p) > 0 {
		s.segs.out.Lock()
		g := s.segs.cur
		if g == nil || g.size >= g.limit {
			if err := s.segs.newFile(); err != nil {
				t.Fatal(err)
			}
			g = s.segs.cur
		}
		if !g.writable {
			if err := s.segs.reopenForWrite(g); err != nil {
				t.Fatal(err)
			}
		}
		n := min(int64(len(p)), g.limit-g.size)
		if _, err := g.f.WriteAt(p[:n], g.size); err != nil {
			t.Fatal(err)
		}
		s.segs.grow(int(n), s.store.clock.Mono())
		s.segs.out.Unlock()
		p = p[n:]
	}
}

// dropAll drops until no segment may go.
func dropAll(s *Spool) (n int) {
	for s.drop(onDisk, false) {
		n++
	}
	return n
}

func TestDropCountsExactly(t *testing.T) {
	for _, c := range []struct {
		name   string
		read   int // lines taken before the drop
		commit bool
	}{
		{"from the start", 0, true},
		{"from the cursor", 50, true},
		{"what is in flight stays", 50, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			const lines = 400
			st := newStore(t, Config{Dir: t.TempDir()})
			s := open(st, st.cfg.Dir+"/one", Options{segmentBytes: 4000})
			defer shut(t, s)
			put(t, s, appendLines(nil, 0, lines))
			r := newReader(t, s)
			for r.next < c.read {
				if _, err := r.step(c.read - r.next); err != nil {
					t.Fatal(err)
				}
			}
			if c.commit {
				r.commit()
			}
			before := s.Stats()
			if n := dropAll(s); n < 8 {
				t.Fatalf("dropped %d segments", n)
			}
			got := s.Stats()
			if got.DiskBytes >= before.DiskBytes/2 || got.DroppedBytes == 0 {
				t.Errorf("after the drop %+v, before %+v", got, before)
			}
			s.Finish()
			r.until(-1) // checks that each line is either read or counted
			if r.next != lines || len(r.gaps) != 1 || r.garbage != 0 {
				t.Fatalf("read up to line %d, gaps %+v, garbage %d", r.next, r.gaps, r.garbage)
			}
			if got.DroppedLines != r.gaps[0].Lines || r.gaps[0].Lines < 250 {
				t.Errorf("dropped %d lines, the gap says %d", got.DroppedLines, r.gaps[0].Lines)
			}
		})
	}
}

// What the reader is looking at does not go away while it looks.
func TestDropLeavesWhatIsShown(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	s := open(st, st.cfg.Dir+"/one", Options{segmentBytes: 1000})
	defer shut(t, s)
	put(t, s, appendLines(nil, 0, 100))
	buf := make([]byte, 2500)
	if n, _, _ := s.Peek(buf); n != len(buf) {
		t.Fatalf("%d bytes", n)
	}
	dropAll(s)
	if s.segs.list[0].base != 0 || s.segs.list[2].base != 2000 || s.ledger.gaps[0].From < 2500 {
		t.Errorf("segments %v, gaps %+v: what was shown is gone", s.segs.list, s.ledger.gaps)
	}
	s.Skip(0) // lets go
	dropAll(s)
	if len(s.ledger.gaps) != 1 || s.ledger.gaps[0].From != 0 || s.ledger.gaps[0].Lines != s.ledger.lines {
		t.Errorf("gaps %+v, want one from 0 with %d lines", s.ledger.gaps, s.ledger.lines)
	}
	// A gap that has been told stays as it is.
	_, g, _ := s.Peek(buf)
	put(t, s, appendLines(nil, 100, 200))
	dropAll(s)
	if _, again, _ := s.Peek(buf); again != g || g.Lines == 0 || s.ledger.gaps[1].Lines == 0 {
		t.Errorf("was told %+v, then %+v; gaps %+v", g, again, s.ledger.gaps)
	}
}

// A reader that takes gap after gap without a commit has to wait for one; no gap is forgotten meanwhile.
func TestGapsAreBounded(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	s := open(st, st.cfg.Dir+"/one", Options{segmentBytes: 1000})
	defer shut(t, s)
	r := newReader(t, s)
	next := 0
	for range 40 {
		put(t, s, appendLines(nil, next, next+60))
		next += 60
		dropAll(s)
		for range 3 {
			_, _ = r.step(3)
		}
		if len(s.ledger.gaps) > maxGaps || s.ledger.told() > maxTold {
			t.Fatalf("%d gaps, %d told", len(s.ledger.gaps), s.ledger.told())
		}
	}
	if s.ledger.told() != maxTold {
		t.Fatalf("%d gaps told, want %d", s.ledger.told(), maxTold)
	}
	r.commit()
	if n, g, err := s.Peek(r.buf); n == 0 && g.To == 0 && err == nil {
		t.Error("a commit does not let the reader go on")
	}
	s.Finish()
	r.until(-1)
	if r.next != next || r.garbage != 0 {
		t.Errorf("read and counted %d lines, want %d; garbage %d", r.next, next, r.garbage)
	}
}

// TestModel does what a driver can do in any order, also restarts, and checks that each line is delivered in order, or
// counted in the gap where it was.
func TestModel(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { model(t, seed) })
	}
}

func model(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	st := newStore(t, Config{Dir: tmpfs(t)})
	opt := Options{segmentBytes: 200 + rnd.Int64N(3000)}
	dir := filepath.Join(st.cfg.Dir, "one")
	s := open(st, dir, opt)
	r := newReader(t, s)
	r.buf = r.buf[:500+rnd.IntN(5000)]
	written, accepted := 0, 0
	var rest []byte // of a frame of which some has been put
	for range 400 {
		switch rnd.IntN(9) {
		case 0, 1, 2:
			more := rnd.IntN(20)
			p := appendLines(rest, written, written+more)
			written += more
			for len(p) > 0 {
				cut := min(len(p), 1+rnd.IntN(2000))
				put(t, s, p[:cut])
				p = p[cut:]
				if rnd.IntN(4) == 0 {
					break
				}
			}
			rest = append([]byte(nil), p...)
		case 3, 4, 5:
			_, _ = r.step(1 + rnd.IntN(30))
		case 6:
			r.commit()
			accepted = r.next
		case 7:
			for range rnd.IntN(4) {
				s.drop(onDisk, false)
			}
		case 8:
			if rnd.IntN(4) != 0 {
				break
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(st, dir, opt)
			r.s, r.next = s, accepted
		}
		if len(s.ledger.gaps) > maxGaps {
			t.Fatalf("%d gaps", len(s.ledger.gaps))
		}
	}
	put(t, s, rest)
	s.Finish()
	r.until(-1)
	if r.next != written || r.garbage != 0 {
		t.Errorf("read and counted up to %d, written %d; garbage %d", r.next, written, r.garbage)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
}

// A host that crashes leaves a segment that ends in zeros, or one that is shorter than the cursor says.
func TestAfterCrashOfHost(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	dir := st.cfg.Dir + "/one"
	s := open(st, dir, Options{segmentBytes: 4000})
	put(t, s, appendLines(nil, 0, 100))
	r := newReader(t, s)
	for r.next < 40 {
		_, _ = r.step(40 - r.next)
	}
	r.commit()
	last := s.segs.path(s.segs.list[len(s.segs.list)-1].base)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{fi.Size() / 2, fi.Size() + 5000} {
		if err := os.Truncate(last, size); err != nil {
			t.Fatal(err)
		}
	}
	s = open(st, dir, Options{segmentBytes: 4000})
	put(t, s, appendLines(nil, 1000, 1100))
	// The zeros and the frame before them are dropped without a line more or less.
	s.Finish()
	r = newReader(t, s)
	r.next = 40
	r.until(80)
	if r.garbage != 0 {
		t.Fatalf("%d bytes of garbage up to line 80", r.garbage)
	}
	r.until(-1)
	if r.next != 1100 || r.garbage < 5000 || len(r.gaps) != 0 {
		t.Errorf("read up to %d, want 1100; garbage %d, gaps %v", r.next, r.garbage, r.gaps)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// All segments are gone, and with them what the cursor says has been read.
	s = open(st, dir, Options{segmentBytes: 4000})
	before := s.Stats().Committed
	put(t, s, appendLines(nil, 0, 10))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(st, dir, Options{segmentBytes: 4000})
	defer shut(t, s)
	r = newReader(t, s)
	s.Finish()
	r.until(-1)
	if r.next != 10 || before == 0 {
		t.Errorf("read up to %d, want 10; committed %d", r.next, before)
	}
}

// What the cursor file knows of, and no segment has any more, becomes a gap at once.
func TestEndIsMissing(t *testing.T) {
	exact, unknown := Gap{4000, 8000, 30}, func(from, to int64) Gap { return Gap{From: from, To: to} }
	// One gap for each hundred bytes.
	many := func(n int) (gaps []Gap) {
		for i := range n {
			gaps = append(gaps, Gap{int64(i) * 100, int64(i)*100 + 50, 1})
		}
		return gaps
	}
	for _, c := range []struct {
		name  string
		mark  mark
		has   int64 // bytes in the only segment, from 0 on
		gaps  []Gap
		found bool // by the reader: there is a gap more
	}{
		{name: "cut", mark: mark{end: 9000}, has: 5000, gaps: []Gap{unknown(5000, 9000)}},
		{name: "nothing left", mark: mark{cursor: 300, end: 9000}, gaps: []Gap{unknown(300, 9000)}},
		{name: "committed behind the cut", mark: mark{cursor: 7000, end: 9000}, has: 5000, gaps: []Gap{unknown(7000, 9000)}},
		{name: "all committed", mark: mark{cursor: 9000, end: 9000}, has: 5000},
		{name: "longer", mark: mark{end: 4000}, has: 5000},
		{name: "behind a gap", mark: mark{end: 9000, gaps: []Gap{exact}}, has: 4000, gaps: []Gap{exact, unknown(8000, 9000)}},
		{name: "around a gap", mark: mark{end: 9000, gaps: []Gap{exact}}, has: 3000, gaps: []Gap{unknown(3000, 4000), exact, unknown(8000, 9000)}},
		{name: "in a gap", mark: mark{end: 8000, gaps: []Gap{exact}}, has: 4500, gaps: []Gap{exact}},
		{name: "joined where there is no room", mark: mark{end: 2000, gaps: many(maxGaps)}, has: 1500,
			gaps: append(many(maxGaps-1), Gap{1500, 2000, 1})},
		{name: "no room", mark: mark{end: 9000, gaps: many(maxGaps)}, has: 5000, gaps: many(maxGaps), found: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStore(t, Config{Dir: t.TempDir()})
			dir := st.cfg.Dir + "/one"
			s := open(st, dir, Options{segmentBytes: 1 << 20})
			put(t, s, appendLines(nil, 0, 100)[:c.has])
			s.segs.out.Lock()
			s.segs.setCurrent(nil)
			s.segs.out.Unlock()
			if err := s.ledger.file.write(st, &c.mark); err != nil {
				t.Fatal(err)
			}
			s.release()

			s = open(st, dir, Options{})
			defer shut(t, s)
			var got []Gap
			for _, g := range s.ledger.gaps {
				got = append(got, g.Gap)
			}
			if !slices.Equal(got, c.gaps) {
				t.Errorf("gaps %v, want %v", got, c.gaps)
			}
			// The reader comes to the end, and then to what is written behind it.
			r := newReader(t, s)
			r.inText = c.mark.cursor > 0
			read := func() {
				for range 100 {
					r.any = true
					_, _ = r.step(1 << 30)
					r.commit()
				}
			}
			read()
			want := len(c.gaps)
			if c.found {
				want++
			}
			if len(r.gaps) != want || !slices.Equal(r.gaps[:len(c.gaps)], c.gaps) {
				t.Errorf("the reader sees gaps %v", r.gaps)
			}
			put(t, s, appendLines(nil, 500, 510))
			s.Finish()
			read()
			if got := s.Stats(); r.next != 510 || got.Committed != got.End {
				t.Errorf("read up to %d, %+v", r.next, got)
			}
		})
	}
}

// Somebody removes or cuts a segment: what it held is lost, and the reader goes on behind it.
func TestSegmentRemovedByOthers(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(path string) error
		after bool // a restart
	}{
		{"removed", os.Remove, false},
		{"removed before a restart", os.Remove, true},
		{"cut", func(p string) error { return os.Truncate(p, 1000) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStore(t, Config{Dir: t.TempDir()})
			opt := Options{segmentBytes: 4000}
			dir := st.cfg.Dir + "/one"
			s := open(st, dir, opt)
			put(t, s, appendLines(nil, 0, 200))
			spoiled := s.segs.list[2]
			s.segs.closeUnused(true)
			if c.after {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.spoil(filepath.Join(dir, fmt.Sprintf("%016x%s", spoiled.base, segSuffix))); err != nil {
				t.Fatal(err)
			}
			if c.after {
				s = open(st, dir, opt)
			} else if spoiled.f != nil {
				t.Fatal("its file is still open")
			}
			defer shut(t, s)
			s.Finish()
			r := newReader(t, s)
			r.until(-1)
			if len(r.gaps) != 1 || r.gaps[0].Lines != 0 || r.gaps[0].To < 12000 || r.gaps[0].From > 9001 || r.next != 200 || r.garbage > 200 {
				t.Errorf("read up to %d, gaps %+v, garbage %d", r.next, r.gaps, r.garbage)
			}
		})
	}
}

// The session limit, and the one of all sessions, of which the largest pays.
func TestLimits(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir(), Total: 3 << 20})
	big := open(st, st.cfg.Dir+"/big", Options{MaxBytes: 2 << 20})
	small := open(st, st.cfg.Dir+"/small", Options{MaxBytes: 2 << 20})
	defer shut(t, big)
	defer shut(t, small)
	fill := func(s *Spool, from, lines int) {
		t.Helper()
		p := newFIFO(t)
		_ = startDrain(t, s, p)
		b := appendLines(nil, from, from+lines)
		end := s.Stats().End + int64(len(b))
		p.write(t, b)
		await(t, s, "all bytes", func(g Stats) bool { return g.End == end })
		if err := p.w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const lines = 20_000 // 2.8 MB
	fill(big, 0, lines)
	await(t, big, "its limit", func(g Stats) bool { return g.DiskBytes <= 2<<20 && g.DroppedLines > 0 })
	before := big.Stats()
	fill(small, 0, 10_000)
	await(t, big, "the total", func(Stats) bool { return st.Stats().DiskBytes <= 3<<20 })
	if n := small.Stats().DroppedLines; n != 0 {
		t.Errorf("the small spool has paid with %d lines", n)
	}
	if n := big.Stats().DroppedLines; n <= before.DroppedLines {
		t.Errorf("the large spool has dropped %d lines, before the other came %d", n, before.DroppedLines)
	}
	for s, want := range map[*Spool]int{big: lines, small: 10_000} {
		s.Finish()
		r := newReader(t, s)
		r.until(-1)
		if r.next != want || r.garbage != 0 {
			t.Errorf("read and counted %d lines, want %d; garbage %d", r.next, want, r.garbage)
		}
	}
}
