package lines

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// entry returns a line of stdout, or of stderr if its text begins with "err:".
func entry(text string, pos int64) *frame.Entry {
	e := &frame.Entry{Source: []byte("stdout"), Line: []byte(text), Pos: pos, Floor: pos, TimeNano: pos}
	if strings.HasPrefix(text, "err:") {
		e.Source, e.Line = []byte("stderr"), e.Line[len("err:"):]
	}
	return e
}

func TestEvents(t *testing.T) {
	many := func(n int, line string) []string { return slices.Repeat([]string{line}, n) }
	joined := func(n int, line string) string { return strings.Join(many(n, line), "\n") }
	long := strings.Repeat("x", maxEventBytes/4)
	for name, c := range map[string]struct {
		lines, want []string // "!" flushes
	}{
		"each line begins one":          {[]string{"[1", "[2", "[3", "!"}, []string{"[1", "[2", "[3"}},
		"lines that do not":             {[]string{"[1", "at a", "", "at b", "[2", "!"}, []string{"[1\nat a\n\nat b", "[2"}},
		"before the first":              {[]string{"at a", "at b", "[1", "!"}, []string{"at a\nat b", "[1"}},
		"streams are apart":             {[]string{"[1", "err:[2", "at a", "err:at b", "at c", "err:[3", "[4", "!"}, []string{"[2\nat b", "[1\nat a\nat c", "[3", "[4"}},
		"the oldest first at the end":   {[]string{"err:[1", "[2", "!"}, []string{"[1", "[2"}},
		"behind a gap":                  {[]string{"[1", "!", "at a", "!"}, []string{"[1", "at a"}},
		"as many lines as there may be": {append(many(maxEventLines+1, "at a"), "!"), []string{joined(maxEventLines, "at a"), "at a"}},
		"as many bytes as there may be": {append(many(5, long[1:]), "!"), []string{joined(4, long[1:]), long[1:]}},
		"more bytes":                    {append(many(4, long), "!"), []string{joined(3, long), long}},
		"a longer line is alone":        {[]string{"[1", long + long + long + long + "x", "at a", "!"}, []string{"[1", long + long + long + long + "x", "at a"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, got := flow(t, Options{MultilinePattern: `^\[`})
			for i, l := range c.lines {
				if l == "!" {
					f.Flush()
					continue
				}
				f.Push(entry(l, int64(i)))
			}
			if !slices.Equal(*got, c.want) {
				t.Errorf("events %.200q, want %.200q", *got, c.want)
			}
			if pos, ok := f.Held(); ok {
				t.Errorf("after Flush it holds %d", pos)
			}
		})
	}
}

// Patterns choose among events.
func TestFilterEvents(t *testing.T) {
	f, got := flow(t, Options{MultilinePattern: `^\[`, IncludePattern: `timeout`, ExcludePattern: `(?m)^at test`})
	for i, l := range []string{"[1", "at a", "timeout", "[2", "at b", "[3 timeout", "at test", "[4 timeout"} {
		f.Push(entry(l, int64(i)))
	}
	f.Flush()
	if want := []string{"[1\nat a\ntimeout", "[4 timeout"}; !slices.Equal(*got, want) || f.Take().Filtered != 2 {
		t.Errorf("events %q, want %q and two left out", *got, want)
	}
}

// An event is emitted 5 s after its first line, and no line that came later than that belongs to it.
func TestEventAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, got := flow(t, Options{MultilinePattern: `^\[`})
		if _, ok := f.Deadline(); ok {
			t.Error("a deadline without an event")
		}
		began := time.Now()
		f.Push(entry("[1", 0))
		time.Sleep(time.Second)
		f.Push(entry("err:[2", 1))
		f.Push(entry("at a", 2))
		if at, ok := f.Deadline(); !ok || at.Sub(began) != maxEventAge {
			t.Errorf("the deadline is %v, %v; want %v", at.Sub(began), ok, maxEventAge)
		}
		f.Expire(began.Add(maxEventAge - 1))
		if len(*got) != 0 {
			t.Errorf("too early: %q", *got)
		}
		f.Expire(began.Add(maxEventAge))
		if want := []string{"[1\nat a"}; !slices.Equal(*got, want) {
			t.Errorf("after %v: %q, want %q", maxEventAge, *got, want)
		}
		late := entry("at b", 3) // of a backlog: its time is what the daemon says
		late.TimeNano = int64(maxEventAge) + 1
		f.Push(late)
		f.Flush()
		if want := []string{"[1\nat a", "[2", "at b"}; !slices.Equal(*got, want) {
			t.Errorf("in the end: %q, want %q", *got, want)
		}
	})
}

// TestEventsAfterKills delivers random lines of two streams, and is killed now and then: what is read again from the cursor on is
// every event that was not delivered, and nothing but whole events.
func TestEventsAfterKills(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 0))
		lines := make([]string, 30)
		for i := range lines {
			lines[i] = fmt.Sprintf("%s%s%d", []string{"", "err:"}[random.IntN(2)], []string{"[", "at ", "at "}[random.IntN(3)], i)
		}
		whole, all := flow(t, Options{MultilinePattern: `^\[`})
		for i, l := range lines {
			whole.Push(entry(l, int64(i)))
		}
		whole.Flush()
		var got []string
		var cursor int64
		for kills := range 4 {
			f, emitted := flow(t, Options{MultilinePattern: `^\[`})
			end := len(lines)
			if kills < 3 {
				end = int(cursor) + random.IntN(len(lines)+1-int(cursor))
			}
			for pos := cursor; pos < int64(end); pos++ {
				f.Push(entry(lines[pos], pos))
				if random.IntN(3) > 0 {
					continue
				}
				got, *emitted = append(got, *emitted...), nil // and now they are accepted
				next := pos + 1
				if held, ok := f.Held(); ok {
					next = min(next, held)
				}
				if next < cursor {
					t.Fatalf("seed %d: the cursor goes back from %d to %d", seed, cursor, next)
				}
				cursor = next
			}
			if end == len(lines) && kills == 3 {
				f.Flush()
				got = append(got, *emitted...)
			}
		}
		slices.Sort(got)
		slices.Sort(*all)
		if got = slices.Compact(got); !slices.Equal(got, *all) {
			t.Fatalf("seed %d: %q gives\n%q, want\n%q", seed, lines, got, *all)
		}
	}
}

// A buffer that a large event has made does not stay for ever.
func TestEventsGiveBuffersBack(t *testing.T) {
	f, _ := flow(t, Options{MultilinePattern: `^\[`})
	f.Push(entry("["+strings.Repeat("x", 10*keepBytes), 0))
	f.Push(entry("[", 1))
	f.Flush()
	f.Expire(time.Now())
	for _, o := range f.events.open {
		if cap(o.text) > keepBytes {
			t.Errorf("an idle session keeps %d bytes", cap(o.text))
		}
	}
}
