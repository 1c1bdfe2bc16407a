package frame

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// pushed is a frame as the daemon writes it, with the position of the next one.
type pushed struct {
	Entry
	pos, next int64
}

// record is what leaves a Joiner, as a receiver sees it that takes no record twice.
type record struct {
	pos  int64
	line string
}

// twoStreams makes frames of lines of up to pieces pieces, of both streams as they come.
func twoStreams(random *rand.Rand, frames, pieces int, ids bool) []pushed {
	var left [2]int // pieces of the line that is open
	var ordinal [2]int32
	var lines [2]int
	out := make([]pushed, frames)
	for i := range out {
		s := random.IntN(2)
		if left[s] == 0 {
			left[s], ordinal[s] = 1+random.IntN(pieces), 0
			lines[s]++
		}
		long := left[s] > 1 || ordinal[s] > 0
		left[s]--
		ordinal[s]++
		f := &out[i]
		f.Entry = Entry{Source: []byte([]string{"stdout", "stderr"}[s]), Line: fmt.Appendf(nil, "%c%d.%d ", "oe"[s], lines[s], ordinal[s])}
		if long {
			f.Partial = left[s] > 0 || ids // with ids the last piece is partial too
			if ids {
				f.PartialID, f.Ordinal, f.Last = fmt.Appendf(nil, "%c%d", "oe"[s], lines[s]), ordinal[s], left[s] == 0
			}
		}
		f.pos, f.next = int64(10*i), int64(10*(i+1))
	}
	return out
}

// joined pushes frames from a position on, and calls each after every frame with what has left since the last call.
func joined(frames []pushed, from int64, o JoinerOptions, each func(f pushed, j *Joiner, left []record)) (rest []record) {
	var left []record
	j := NewJoiner(o, func(e *Entry) { left = append(left, record{e.Pos, string(e.Line)}) })
	for i := range frames {
		f := frames[i]
		if f.pos < from {
			continue
		}
		j.Push(&f.Entry, f.pos, t0)
		each(f, j, left)
		left = nil
	}
	j.Flush()
	return left
}

// A kill after every frame, with lines of both streams that interleave: what the next process sends from the cursor on are lines and pieces
// that were sent before, or would have been, and none is missing.
func TestJoinerAfterKills(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces int
		ids    bool
		o      JoinerOptions
	}{
		{"long lines", 4, true, JoinerOptions{}},
		{"long lines of an old daemon", 4, false, JoinerOptions{}},
		{"lines that leave in pieces", 12, true, JoinerOptions{MaxBytes: 20}},
		{"such lines of an old daemon", 12, false, JoinerOptions{MaxBytes: 20}},
		{"lines that are open for long", 12, true, JoinerOptions{MaxBytes: 40, MaxSpan: 10_000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(60) {
				frames := twoStreams(rand.New(rand.NewPCG(seed, 0)), 40, c.pieces, c.ids)
				var all []record
				all = append(all, joined(frames, 0, c.o, func(_ pushed, _ *Joiner, left []record) { all = append(all, left...) })...)
				slices.SortFunc(all, compareRecords)
				var sent []record
				joined(frames, 0, c.o, func(f pushed, j *Joiner, left []record) {
					sent = append(sent, left...)
					cursor := f.next
					if held, ok := j.Held(); ok {
						cursor = min(cursor, held)
					}
					got := slices.Clone(sent)
					got = append(got, joined(frames, cursor, c.o, func(_ pushed, _ *Joiner, left []record) { got = append(got, left...) })...)
					slices.SortFunc(got, compareRecords)
					if got = slices.Compact(got); !slices.Equal(got, all) {
						t.Fatalf("seed %d, killed at %d with the cursor at %d: the receiver has\n%v, want\n%v", seed, f.pos, cursor, got, all)
					}
				})
			}
		})
	}
}

func compareRecords(a, b record) int {
	if a.pos != b.pos {
		return int(a.pos - b.pos)
	}
	return slices.Compare([]byte(a.line), []byte(b.line))
}

// However long the lines of both streams interleave, the cursor stays at most the span behind, and no line is split for that.
func TestJoinerFloorIsBounded(t *testing.T) {
	const span = 100
	var lines int
	j := NewJoiner(JoinerOptions{MaxSpan: span}, func(e *Entry) {
		if lines++; e.Partial {
			t.Fatalf("a line of two pieces is split: %q", e.Line)
		}
	})
	for i := range int64(200) { // each line begins before the last one of the other stream ends
		e := Entry{Source: []byte([]string{"stdout", "stderr"}[i%2]), Line: []byte("x"), Partial: true, PartialID: fmt.Append(nil, i/4*2+i%2), Last: i/2%2 == 1}
		j.Push(&e, 10*i, time.Time{})
		if held, ok := j.Held(); ok && 10*i-held > span {
			t.Fatalf("at %d the cursor is held at %d, more than %d before", 10*i, held, span)
		}
	}
	if lines != 100 {
		t.Errorf("%d lines, want 100", lines)
	}
}
