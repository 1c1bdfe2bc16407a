package lines

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// chain is a joiner and a flow, connected as a session does it.
type chain struct {
	joiner *frame.Joiner
	flow   *Flow
	left   []string
}

func newChain(t *testing.T) *chain {
	t.Helper()
	r, err := Options{MultilinePattern: `^\[`}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	c := &chain{}
	c.flow = r.Flow(func(e *frame.Entry) { c.left = append(c.left, fmt.Sprint(e.Pos, " ", string(e.Line))) })
	c.joiner = frame.NewJoiner(frame.JoinerOptions{}, func(e *frame.Entry) { c.joiner.Lower(c.flow.Push(e)) })
	return c
}

// push takes the frames of which the first is at position from, and calls each with the position behind every frame.
func (c *chain) push(frames []frame.Entry, from int64, each func(next int64)) []string {
	for i, e := range frames[from:] {
		c.joiner.Push(&e, from+int64(i), time.Time{})
		each(from + int64(i) + 1)
	}
	c.joiner.Flush()
	c.flow.Flush()
	return c.left
}

// cursor is where the next process begins after a kill.
func (c *chain) cursor(next int64) int64 {
	if held, ok := c.joiner.Held(); ok {
		next = min(next, held)
	}
	if held, ok := c.flow.Held(); ok {
		next = min(next, held)
	}
	return next
}

// longLines makes frames of lines of up to four pieces, of both streams as they come. A third of the lines begins an event. Each piece
// ends in so many bytes.
func longLines(random *rand.Rand, frames, bytes int, ids bool) []frame.Entry {
	padding := strings.Repeat("x", bytes)
	var left, pieces, lines [2]int // by stream: pieces of the open line that are to come, and that came
	all := make([]frame.Entry, frames)
	for i := range all {
		s := random.IntN(2)
		text := ""
		if left[s] == 0 {
			left[s], pieces[s] = 1+random.IntN(4), 0
			lines[s]++
			text = []string{"[", "at ", "at "}[random.IntN(3)]
		}
		long := left[s] > 1 || pieces[s] > 0
		left[s]--
		pieces[s]++
		e := &all[i]
		e.Source, e.Line = []byte([]string{"stdout", "stderr"}[s]), fmt.Appendf(nil, "%s%c%d.%d %s", text, "oe"[s], lines[s], pieces[s], padding)
		if !long {
			continue
		}
		e.Partial = left[s] > 0 || ids // with ids the last piece is partial too
		if ids {
			e.PartialID, e.Ordinal, e.Last = fmt.Appendf(nil, "%c%d", "oe"[s], lines[s]), int32(pieces[s]), left[s] == 0 //nolint:gosec // up to four
		}
	}
	return all
}

// A kill after every frame, with long lines of both streams that interleave and are parts of events: what the next process sends from the
// cursor on are whole events, none is missing, and the cursor never goes back.
func TestEventsOfLongLinesAfterKills(t *testing.T) {
	for _, c := range []struct {
		name                 string
		seeds, frames, bytes int
		ids                  bool
	}{
		{"long lines", 200, 40, 0, true},
		{"long lines of an old daemon", 200, 40, 0, false},
		{"lines that are too long for an event", 8, 16, maxEventBytes / 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range c.seeds {
				killEverywhere(t, seed, longLines(rand.New(rand.NewPCG(uint64(seed), 0)), c.frames, c.bytes, c.ids))
			}
		})
	}
}

func killEverywhere(t *testing.T, seed int, frames []frame.Entry) {
	t.Helper()
	want := newChain(t).push(frames, 0, func(int64) {})
	slices.Sort(want)
	running, before := newChain(t), int64(0)
	running.push(frames, 0, func(next int64) {
		cursor := running.cursor(next)
		if cursor < before {
			t.Fatalf("seed %d: the cursor goes back from %d to %d", seed, before, cursor)
		}
		before = cursor
		got := slices.Concat(running.left, newChain(t).push(frames, cursor, func(int64) {}))
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Fatalf("seed %d, killed at %d with the cursor at %d: the receiver has\n%.300q, want\n%.300q", seed, next, cursor, got, want)
		}
	})
}

// Where dropped events wait for their record, a cursor is not inside an event of the other stream either.
func TestDropHoldsEvents(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string // an event is emitted, the others are dropped
		want  int64    // where the event begins that has lines on each side of the first that is dropped
	}{
		{"its later line came before that was dropped", []string{"[1", "err:[2", "[3", "err:at a", "[4", "err:[5"}, 1},
		{"and afterwards", []string{"err:[1", "[2", "[3", "[4", "err:at a", "err:[5", "[6"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, got := flow(t, Options{MultilinePattern: `^\[`, MaxRate: "1", MaxRateMode: "drop"})
			for pos, l := range c.lines {
				f.Push(at(0, l, int64(pos)))
			}
			if pos, ok := f.Held(); !ok || pos != c.want || len(*got) != 1 {
				t.Errorf("holds %d, %v after %q; want %d after one event", pos, ok, *got, c.want)
			}
		})
	}
}
