package session

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/spool"
)

const envelope = 50 // bytes of a record

// rereads is a router that looks, at each request, at what would be sent if the driver were killed at this moment.
type rereads struct {
	memory
	spool string // its directory
	dir   string // for copies of it

	mu       sync.Mutex
	requests int
	longest  int // bytes of a request
	faults   []string
}

func (r *rereads) Router() router.Router { return r }

func (r *rereads) Encoder(context.Context, router.Session) (router.Encoder, error) { return r, nil }

// AppendRecord writes the position of the record, and as much more as an envelope.
func (r *rereads) AppendRecord(dst []byte, x *router.Record) []byte {
	return fmt.Appendf(dst, "%*d\n", envelope-1, x.Position)
}

// Send takes b, but before that reads the cursor as the next process would.
func (r *rereads) Send(_ context.Context, b *router.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	r.longest = max(r.longest, len(b.Body))
	first, err := strconv.ParseInt(strings.TrimSpace(string(b.Body[:b.Ends[0]])), 10, 64)
	if err != nil {
		return err
	}
	later := filepath.Join(r.dir, strconv.Itoa(r.requests))
	if err := os.CopyFS(later, os.DirFS(r.spool)); err != nil {
		return err
	}
	s := spool.NewStore(spool.Config{Dir: r.dir, Total: 1 << 30}).Open(later, spool.Options{MaxBytes: 64 << 20})
	if got := s.Stats().Committed; got != first {
		r.faults = append(r.faults, "request "+strconv.Itoa(r.requests)+" begins at "+strconv.FormatInt(first, 10)+", the next process would begin at "+strconv.FormatInt(got, 10))
	}
	return s.Close()
}

// What a kill has sent again is at most the batch under way: when a batch begins, the cursor on disk is behind the last line of the
// batch before it. Lines are short: a batch ends at its limit, however many lines the spool shows at once.
func TestKillRepeatsOneBatch(t *testing.T) {
	t.Parallel()
	const lines, limit = 60_000, 768 << 10
	dir := inMemory(t)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	r := &rereads{dir: filepath.Join(dir, "copies")}
	s := startRouter(t, dir, r)
	r.spool = s.spoolDir(file)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	var frames []byte
	for range lines {
		frames = frame.AppendFrame(frames, &frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: []byte("x")})
	}
	if _, err := f.Write(frames); err != nil {
		t.Fatal(err)
	}
	f.Close()
	gone(t, s, file)
	r.mu.Lock()
	defer r.mu.Unlock()
	if least := lines * envelope / limit; r.requests < least || r.longest > limit+envelope || len(r.faults) > 0 {
		t.Errorf("%d requests of up to %d bytes, want %d at least, of %d and a line; %s", r.requests, r.longest, least, limit, strings.Join(r.faults, "; "))
	}
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
