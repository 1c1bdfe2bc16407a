package frame

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// gather is a Joiner whose lines are kept as text: source, line, and for a piece its number and whether it is the last.
type gather struct {
	*Joiner
	lines []string
	pos   int64
}

func newGather(o JoinerOptions) *gather {
	g := &gather{}
	g.Joiner = NewJoiner(o, func(e *Entry) {
		s := fmt.Sprintf("%.3s:%s", e.Source[3:], e.Line)
		if e.Partial {
			s += fmt.Sprintf(" #%d", e.Ordinal)
			if e.Last {
				s += "."
			}
			if e.PartialID != nil {
				s += " " + string(e.PartialID)
			}
		} else if e.PartialID != nil || e.Ordinal != 0 || e.Last {
			s += fmt.Sprintf(" with metadata: %+v", *e)
		}
		g.lines = append(g.lines, s)
	})
	return g
}

func (g *gather) push(source, line, id string, partial, last bool) {
	e := &Entry{Source: []byte(source), TimeNano: g.pos + 1, Line: []byte(line), Partial: partial, Last: last, Ordinal: 1}
	if id != "" {
		e.PartialID = []byte(id)
	}
	g.Push(e, g.pos, t0.Add(time.Duration(g.pos)*time.Second))
	g.pos++
}

// Each step is "source line [id] [flags]": p partial, l last; ! flushes.
func TestJoiner(t *testing.T) {
	for _, c := range []struct {
		name  string
		max   int
		steps []string
		want  []string
	}{
		{"whole lines", 0, []string{"stdout a", "stderr b"}, []string{"out:a", "err:b"}},
		{"joined by id, the last also says partial", 0, []string{"stdout a x p", "stdout b x p", "stdout c x pl", "stdout d"}, []string{"out:abc", "out:d"}},
		{"two streams interleave", 0, []string{"stdout a x p", "stderr 1 y p", "stdout b x p", "stderr 2 y pl", "stdout c x pl"}, []string{"err:12", "out:abc"}},
		{"a whole line of the other stream passes", 0, []string{"stdout a x p", "stderr 1", "stdout b x pl"}, []string{"err:1", "out:ab"}},
		{"one piece that is the last", 0, []string{"stdout a x pl"}, []string{"out:a"}},
		{"without metadata the first that is not partial ends it", 0, []string{"stdout a - p", "stderr 1 - p", "stdout b - p", "stdout c", "stderr 2"}, []string{"out:abc", "err:12"}},
		{"tail without an end", 0, []string{"stdout a x p", "stderr 1 y p", "!"}, []string{"out:a", "err:1"}},
		{"flushed oldest first", 0, []string{"stderr 1 y p", "stdout a x p", "!"}, []string{"err:1", "out:a"}},
		{"the next line of the stream ends one whose last piece is missing", 0, []string{"stdout a x p", "stdout b"}, []string{"out:a", "out:b"}},
		{"another id ends one whose last piece is missing", 0, []string{"stdout a x p", "stdout b y p", "stdout c y pl"}, []string{"out:a", "out:bc"}},
		{"too long", 4, []string{"stdout abc x p", "stdout de x p", "stdout fg x p", "stdout h x pl", "stdout i"}, []string{"out:abc #1 x", "out:defg #2 x", "out:h #3. x", "out:i"}},
		{"too long, no id", 2, []string{"stdout abc - p", "stdout d"}, []string{"out:abc #1", "out:d #2."}},
		{"a piece longer than the limit", 2, []string{"stdout a x p", "stdout abcdef x p", "stdout g x pl"}, []string{"out:a #1 x", "out:abcdef #2 x", "out:g #3. x"}},
		{"the end comes just after a piece", 2, []string{"stdout abc x p", "!", "stdout c"}, []string{"out:abc #1 x", "out:c"}},
		{"as long as it may be, with an empty last piece", 4, []string{"stdout ab x p", "stdout cd x p", "stdout '' x pl"}, []string{"out:abcd"}},
		{"twice that", 2, []string{"stdout ab x p", "stdout cd x p", "stdout '' x pl"}, []string{"out:ab #1 x", "out:cd #2. x"}},
		{"more streams than there are", 0, []string{"stdaaa 1 a p", "stdbbb 2 b p", "stdccc 3 c p", "stdddd 4 d p", "stdeee 5 e p", "stdeee 6 e pl", "!"},
			[]string{"aaa:1", "eee:56", "bbb:2", "ccc:3", "ddd:4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGather(JoinerOptions{MaxBytes: c.max})
			for _, step := range c.steps {
				f := append(strings.Fields(step), "", "", "")
				if f[0] == "!" {
					g.Flush()
					continue
				}
				g.push(f[0], strings.Trim(f[1], "'"), strings.Trim(f[2], "-"), strings.Contains(f[3], "p"), strings.Contains(f[3], "l"))
			}
			if !slices.Equal(g.lines, c.want) {
				t.Errorf("got  %q\nwant %q", g.lines, c.want)
			}
			if pos, ok := g.Held(); ok {
				t.Errorf("still holds position %d", pos)
			}
		})
	}
}

func TestJoinerHeld(t *testing.T) {
	g := newGather(JoinerOptions{MaxBytes: 5})
	held := func(want int64) {
		t.Helper()
		pos, ok := g.Held()
		if !ok {
			pos = -1
		}
		if pos != want {
			t.Fatalf("holds %d, want %d; emitted %q", pos, want, g.lines)
		}
	}
	held(-1)
	g.push("stderr", "zero", "", false, false) // position 0
	held(-1)
	g.push("stdout", "ab", "x", true, false) // 1
	g.push("stderr", "12", "y", true, false) // 2
	held(1)
	g.push("stdout", "c", "x", true, true)   // 3
	held(1)                                  // from 2 on, only the end of a line that has left would be read again
	g.push("stderr", "34", "y", true, false) // 4
	held(1)
	g.push("stderr", "56", "y", true, false) // 5: what came before it leaves as a piece
	held(5)
	g.push("stderr", "789", "y", true, false) // 6: the limit, and perhaps the end
	held(5)
	g.push("stderr", "!", "y", true, true) // 7
	held(-1)
	if want := []string{"err:zero", "out:abc", "err:1234 #1 y", "err:56789 #2 y", "err:! #3. y"}; !slices.Equal(g.lines, want) {
		t.Errorf("emitted %q, want %q", g.lines, want)
	}
}

func TestJoinerExpire(t *testing.T) {
	g := newGather(JoinerOptions{MaxAge: 5 * time.Second})
	if _, ok := g.Deadline(); ok {
		t.Error("a deadline without an open line")
	}
	g.push("stdout", "ab", "x", true, false) // at 0 s
	g.push("stderr", "12", "y", true, false) // at 1 s
	if at, ok := g.Deadline(); !ok || at != t0.Add(5*time.Second) {
		t.Errorf("deadline %v, %v, want 5 s", at.Sub(t0), ok)
	}
	g.Expire(t0.Add(5*time.Second - 1))
	if len(g.lines) != 0 {
		t.Fatalf("emitted too early: %q", g.lines)
	}
	g.Expire(t0.Add(5 * time.Second))
	if at, ok := g.Deadline(); !ok || at != t0.Add(6*time.Second) {
		t.Errorf("next deadline %v, %v, want 6 s", at.Sub(t0), ok)
	}
	g.push("stdout", "cd", "x", true, true)
	g.push("stderr", "34", "y", true, true)
	if want := []string{"out:ab #1 x", "out:cd #2. x", "err:1234"}; !slices.Equal(g.lines, want) {
		t.Errorf("emitted %q, want %q", g.lines, want)
	}
}

// A line that stays open holds the cursor back only so far, however much the other stream has.
func TestJoinerSpan(t *testing.T) {
	g := newGather(JoinerOptions{MaxSpan: 3})
	g.push("stdout", "ab", "x", true, false) // position 0
	for i := range 5 {                       // 1 to 5
		g.push("stderr", fmt.Sprint(i), "", false, false)
		if pos, ok := g.Held(); ok && g.pos-1-pos > 3 {
			t.Fatalf("at %d the cursor is held at %d", g.pos-1, pos)
		}
	}
	g.push("stdout", "cd", "x", true, true)
	if want := []string{"err:0", "err:1", "err:2", "out:ab #1 x", "err:3", "err:4", "out:cd #2. x"}; !slices.Equal(g.lines, want) {
		t.Errorf("emitted %q, want %q", g.lines, want)
	}
}

// A buffer that a long line has made does not stay for ever.
func TestJoinerGivesBuffersBack(t *testing.T) {
	g := newGather(JoinerOptions{})
	g.push("stdout", strings.Repeat("a", 500<<10), "x", true, false)
	g.push("stdout", "b", "x", true, true)
	size := func() (n int) {
		for i := range g.open {
			n += cap(g.open[i].text)
		}
		return n
	}
	g.Expire(t0)
	if size() < 500<<10 {
		t.Error("a buffer that was in use just now is gone")
	}
	g.Expire(t0)
	if n := size(); n > maxOpen*keepBytes {
		t.Errorf("an idle Joiner keeps %d bytes", n)
	}
}

func TestJoinerAllocs(t *testing.T) {
	j := NewJoiner(JoinerOptions{}, func(*Entry) {})
	now := time.Now()
	line, id, stdout, stderr := bytes.Repeat([]byte("x"), 16<<10), []byte(idOf64), []byte("stdout"), []byte("stderr")
	if n := testing.AllocsPerRun(100, func() {
		j.Push(&Entry{Source: stdout, Line: line, Partial: true, PartialID: id, Ordinal: 1}, 0, now)
		j.Push(&Entry{Source: stderr, Line: line}, 1, now)
		j.Push(&Entry{Source: stdout, Line: line, Partial: true, PartialID: id, Ordinal: 2, Last: true}, 2, now)
		j.Held()
	}); n != 0 {
		t.Errorf("joining allocates %v times, want 0", n)
	}
}

// FuzzJoiner pushes pieces of any kind: every byte of every stream comes out once and in order, and nothing is kept.
func FuzzJoiner(f *testing.F) {
	f.Add([]byte("abcdefgh"), 3)
	f.Add([]byte{0, 1, 2, 3, 0x10, 0x21, 0x32, 0x43, 0xff}, 100)
	f.Fuzz(func(t *testing.T, steps []byte, limit int) {
		in, out := map[string]string{}, map[string]string{}
		j := NewJoiner(JoinerOptions{MaxBytes: limit, MaxAge: 3 * time.Second}, func(e *Entry) {
			out[string(e.Source)] += string(e.Line)
		})
		for i, s := range steps {
			source, line := "std"+string('a'+rune(s&7)%6), fmt.Sprint(i, ";")
			e := &Entry{Source: []byte(source), Line: []byte(line), Partial: s&8 != 0, Last: s&16 != 0}
			if s&32 != 0 {
				e.PartialID = []byte{s >> 6}
			}
			in[source] += line
			j.Push(e, int64(i), t0.Add(time.Duration(i)*time.Second))
			if s == 0xff {
				j.Expire(t0.Add(time.Duration(i) * time.Second))
			}
			if pos, ok := j.Held(); ok && (pos < 0 || pos > int64(i)) {
				t.Fatalf("after %d it holds %d", i, pos)
			}
		}
		j.Flush()
		if pos, ok := j.Held(); ok {
			t.Fatalf("holds %d after Flush", pos)
		}
		for s := range in {
			if in[s] != out[s] {
				t.Fatalf("%s: in %q, out %q", s, in[s], out[s])
			}
		}
	})
}

func BenchmarkJoinerWholeLines(b *testing.B) {
	j := NewJoiner(JoinerOptions{}, func(*Entry) {})
	e, now := entry("stdout", strings.Repeat("x", 100)), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		j.Push(e, 0, now)
	}
}

// A line has the position of its first byte, however its pieces leave: no two have one, and reading again gives the same.
func TestPositions(t *testing.T) {
	var got []string
	j := NewJoiner(JoinerOptions{MaxBytes: 6}, func(e *Entry) { got = append(got, fmt.Sprintf("%d %s", e.Pos, e.Line)) })
	now := time.Now()
	for i, e := range []Entry{
		{Line: []byte("one"), Source: []byte("stdout")},
		{Line: []byte("abc"), Source: []byte("stdout"), Partial: true, PartialID: []byte("1")},
		{Line: []byte("err"), Source: []byte("stderr")},
		{Line: []byte("def"), Source: []byte("stdout"), Partial: true, PartialID: []byte("1")},
		{Line: []byte("ghi"), Source: []byte("stdout"), Partial: true, PartialID: []byte("1"), Last: true},
		{Line: []byte("x"), Source: []byte("stdout"), Partial: true, PartialID: []byte("2")},
		{Line: []byte("y"), Source: []byte("stdout"), Partial: true, PartialID: []byte("2"), Last: true},
	} {
		j.Push(&e, int64(10*i), now)
	}
	if want := []string{"0 one", "20 err", "10 abcdef", "40 ghi", "50 xy"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// By default a line of more than 1 MiB is one record for each MiB: the routers' pages say so.
func TestJoinerOfLineOverMebibyte(t *testing.T) {
	const mebibyte, piece = 1 << 20, 16 << 10
	for _, c := range []struct {
		bytes int
		want  []int
	}{
		{mebibyte, []int{mebibyte}},
		{mebibyte + 1, []int{mebibyte, 1}},
		{4 * mebibyte, []int{mebibyte, mebibyte, mebibyte, mebibyte}},
		{4*mebibyte + piece, []int{mebibyte, mebibyte, mebibyte, mebibyte, piece}},
	} {
		var got []int
		j := NewJoiner(JoinerOptions{}, func(e *Entry) { got = append(got, len(e.Line)) })
		text := make([]byte, c.bytes)
		for pos := 0; pos < c.bytes; pos += piece {
			end := min(pos+piece, c.bytes)
			j.Push(&Entry{Source: []byte("stdout"), Line: text[pos:end], Partial: true, PartialID: []byte("x"), Last: end == c.bytes}, int64(pos), t0)
		}
		j.Flush()
		if !slices.Equal(got, c.want) {
			t.Errorf("a line of %d bytes comes as %d, want %d", c.bytes, got, c.want)
		}
	}
}
