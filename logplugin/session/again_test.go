package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/lines"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/spool"
)

// rereads is a router that looks, at each request, at where the next process would go on if the driver were killed at this moment.
type rereads struct {
	memory
	spool    string // its directory
	dir      string // for copies of it
	envelope int    // bytes of a record

	mu       sync.Mutex
	requests []reread
}

// reread is a request, and what the cursor on disk was before it was accepted.
type reread struct {
	body   string // a record in each line: the position and the line
	cursor int64
}

func (r *rereads) Router() router.Router { return r }

func (r *rereads) Encoder(context.Context, router.Session) (router.Encoder, error) { return r, nil }

// AppendRecord writes the position of the record and its line, and as much more as an envelope.
func (r *rereads) AppendRecord(dst []byte, x *router.Record) []byte {
	return fmt.Appendf(dst, "%-*s\n", r.envelope-1, fmt.Sprint(x.Position, " ", string(x.Line)))
}

// Send takes b, but before that reads the cursor as the next process would.
func (r *rereads) Send(_ context.Context, b *router.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	later := filepath.Join(r.dir, strconv.Itoa(len(r.requests)))
	if err := os.CopyFS(later, os.DirFS(r.spool)); err != nil {
		return err
	}
	s := spool.NewStore(spool.Config{Dir: r.dir, Total: 1 << 30}).Open(later, spool.Options{MaxBytes: 64 << 20})
	r.requests = append(r.requests, reread{string(b.Body), s.Stats().Committed})
	return s.Close()
}

// deliver writes frames to a session of r, and returns its requests when it has ended.
func (r *rereads) deliver(t *testing.T, frames []byte) []reread {
	t.Helper()
	dir := inMemory(t)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	r.dir = filepath.Join(dir, "copies")
	s := startRouter(t, dir, r)
	r.spool = s.spoolDir(file)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(frames); err != nil {
		t.Fatal(err)
	}
	f.Close()
	gone(t, s, file)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

const batchLimit = 768 << 10

// What a kill has sent again is at most the batch under way: when a batch begins, the cursor on disk is behind the last line of the
// batch before it. Lines are short: a batch ends at its limit, however many lines the spool shows at once.
func TestKillRepeatsOneBatch(t *testing.T) {
	t.Parallel()
	const count, envelope = 60_000, 50
	var frames []byte
	for range count {
		frames = frame.AppendFrame(frames, &frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: []byte("x")})
	}
	requests := (&rereads{envelope: envelope}).deliver(t, frames)
	if least := count * envelope / batchLimit; len(requests) < least {
		t.Errorf("%d requests, want %d at least", len(requests), least)
	}
	for i, r := range requests {
		if first := strings.Fields(r.body)[0]; first != strconv.FormatInt(r.cursor, 10) || len(r.body) > batchLimit+envelope {
			t.Errorf("request %d has %d bytes and begins at %s, the next process would begin at %d; want %d and a line, and the same", i+1, len(r.body), first, r.cursor, batchLimit)
		}
	}
}

// interleaved makes the frames of n lines of up to four pieces, of both streams as they come, and the records of whole lines that they give.
func interleaved(random *rand.Rand, n int) (frames []byte, records []string) {
	type line struct {
		source, text, id string
		pos              int
		pieces, ordinal  int
	}
	open := []line{{source: "stdout"}, {source: "stderr"}}
	for begun := 0; begun < n || open[0].pieces+open[1].pieces > 0; {
		l := &open[random.IntN(2)]
		if l.pieces == 0 {
			if begun == n {
				continue
			}
			begun++
			l.text, l.id, l.pos, l.pieces, l.ordinal = "", strconv.Itoa(begun), len(frames), 1+random.IntN(4), 0
		}
		l.pieces--
		l.ordinal++
		e := frame.Entry{Source: []byte(l.source), TimeNano: 1, Line: fmt.Appendf(nil, "%s.%d;", l.id, l.ordinal)}
		if l.pieces > 0 || l.ordinal > 1 {
			e.Partial, e.PartialID, e.Ordinal, e.Last = true, []byte(l.id), int32(l.ordinal), l.pieces == 0 //nolint:gosec // up to four
		}
		l.text += string(e.Line)
		frames = frame.AppendFrame(frames, &e)
		if l.pieces == 0 {
			records = append(records, fmt.Sprint(l.pos, " ", l.text))
		}
	}
	return frames, records
}

// A kill within any batch, while long lines of both streams interleave: from the cursor on disk the next process reads whole lines, those that
// were not accepted among them.
func TestKillRepeatsWholeLines(t *testing.T) {
	t.Parallel()
	const count, envelope = 600, 16 << 10
	frames, want := interleaved(rand.New(rand.NewPCG(1, 2)), count)
	slices.Sort(want)
	requests := (&rereads{envelope: envelope}).deliver(t, frames)
	if least := count * envelope / batchLimit / 2; len(requests) < least {
		t.Errorf("%d requests, want %d at least", len(requests), least)
	}
	var accepted []string
	for i, r := range requests {
		got := slices.Concat(accepted, rejoined(t, frames, r.cursor))
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("killed within request %d with the cursor at %d: the receiver has %d different lines, want the %d that were written: %.2000q", i+1, r.cursor, len(got), len(want), got)
		}
		for record := range strings.Lines(r.body) {
			accepted = append(accepted, strings.TrimSpace(record))
		}
	}
	if slices.Sort(accepted); !slices.Equal(accepted, want) {
		t.Errorf("%d lines were accepted, want the %d that were written", len(accepted), len(want))
	}
}

// A long line that is open holds the cursor in front of an event of the other stream that has lines on each side of its first piece, also when
// that event was sent.
func TestLongLineHoldsEvent(t *testing.T) {
	t.Parallel()
	rules, err := lines.Options{MultilinePattern: `^\[`}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	var sent []string
	f := &feed{flow: rules.Flow(func(e *frame.Entry) { sent = append(sent, string(e.Line)) })}
	f.joiner = frame.NewJoiner(frame.JoinerOptions{}, f.emit)
	for pos, e := range []frame.Entry{
		{Source: []byte("stderr"), Line: []byte("[1")},
		{Source: []byte("stdout"), Line: []byte("long"), Partial: true, PartialID: []byte("a"), Ordinal: 1},
		{Source: []byte("stderr"), Line: []byte("at a")},
		{Source: []byte("stderr"), Line: []byte("[2")},
	} {
		f.push(&e, int64(pos), time.Time{})
	}
	if pos, ok := f.joiner.Held(); !ok || pos != 0 || !slices.Equal(sent, []string{"[1\nat a"}) {
		t.Errorf("the joiner holds %d, %v after %q; want 0 after the event that begins there", pos, ok, sent)
	}
}

// rejoined returns the records that a process makes of frames from pos on.
func rejoined(t *testing.T, frames []byte, pos int64) (records []string) {
	t.Helper()
	j := frame.NewJoiner(frame.JoinerOptions{}, func(e *frame.Entry) { records = append(records, fmt.Sprint(e.Pos, " ", string(e.Line))) })
	for pos < int64(len(frames)) {
		var e frame.Entry
		n, err := frame.Decode(frames[pos:], &e)
		if err != nil {
			t.Fatalf("the cursor is at %d: %v", pos, err)
		}
		j.Push(&e, pos, time.Time{})
		pos += int64(n)
	}
	j.Flush()
	return records
}

// Frames that are longer than what is left of a batch, or than any that a daemon writes, are sent whole, and so is what follows.
func TestLongFrames(t *testing.T) {
	t.Parallel()
	dir, m := inMemory(t), &memory{}
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	s := start(t, dir, m)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, n := range []int{750, 16, 40, 1, 300, 740, 30, 1000, 1} { // KiB
		want = append(want, strings.Repeat("x", n<<10))
	}
	write(t, f, want...)
	f.Close()
	gone(t, s, file)
	if !slices.Equal(m.lines, want) {
		var got []int
		for _, l := range m.lines {
			got = append(got, len(l))
		}
		t.Errorf("%d lines of %v bytes arrived, of %d", len(got), got, len(want))
	}
}
