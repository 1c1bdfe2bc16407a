package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// plain encodes a line and a newline.
type plain struct{}

func (plain) AppendRecord(dst []byte, r *router.Record) []byte {
	return append(append(dst, r.Line...), '\n')
}

// feed is a session in memory.
type feed struct {
	name string
	d    *Delivery

	mu       sync.Mutex
	lines    []string
	count    int // of lines that were ever written
	filled   int // of lines, in a batch
	rejected int
	sent     int
	twice    bool // Fill was called before Commit
}

func newFeed(d *Delivery, name string) *feed {
	f := &feed{name: name, d: d}
	d.Add(f)
	return f
}

func (f *feed) write(n int) {
	f.mu.Lock()
	for range n {
		f.lines = append(f.lines, fmt.Sprintf("%s-%d", f.name, f.count))
		f.count++
	}
	f.mu.Unlock()
	f.d.Ready(f)
}

func (f *feed) Fill(b *router.Batch, limit int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.twice = f.twice || f.filled > 0
	for f.filled < len(f.lines) && len(b.Body) < limit {
		b.Append(plain{}, &router.Record{Line: []byte(f.lines[f.filled])})
		f.filled++
	}
	return f.filled < len(f.lines)
}

func (f *feed) Commit(rejected int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines, f.sent, f.filled = f.lines[f.filled:], f.sent+f.filled-rejected, 0
	f.rejected += rejected
}

func (f *feed) Attrs() []slog.Attr { return []slog.Attr{slog.String("session", f.name)} }

// written is how many lines were ever written.
func (f *feed) written() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

func (f *feed) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.lines)
}

func (f *feed) overlapped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.twice
}

// receiver is a router that does what its function says, and remembers the lines that it took.
type receiver struct {
	mu     sync.Mutex
	answer func(call int, lines []string) error
	calls  int
	times  []time.Time
	took   []string
	closed bool
}

func (r *receiver) Send(ctx context.Context, b *router.Batch) error {
	lines := strings.Split(strings.TrimSuffix(string(b.Body), "\n"), "\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	r.times = append(r.times, time.Now())
	if r.answer != nil {
		if err := r.answer(r.calls, lines); err != nil {
			return err
		}
	}
	r.took = append(r.took, lines...)
	return ctx.Err()
}

func (r *receiver) Close() error { r.closed = true; return nil }

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// gap is the time between two calls.
func (r *receiver) gap(from, to int) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times[to].Sub(r.times[from])
}

func (r *receiver) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.took)
}

func failure(c router.Class) *router.Error {
	return &router.Error{Class: c, Op: "send", Cause: "test", Bad: router.NoRecord}
}

// checkOrder fails unless every line of each feed is there once, in order.
func checkOrder(t *testing.T, got []string, feeds map[string]int) {
	t.Helper()
	next := map[string]int{}
	for _, l := range got {
		name, n, _ := strings.Cut(l, "-")
		if n != fmt.Sprint(next[name]) {
			t.Fatalf("line %s comes where %s-%d is due", l, name, next[name])
		}
		next[name]++
	}
	for name, n := range feeds {
		if next[name] != n {
			t.Errorf("%d lines of %s arrived, want %d", next[name], name, n)
		}
	}
}

func TestBatchesAcrossFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		d := New(r, Config{})
		want := map[string]int{}
		for i := range 1000 {
			name := fmt.Sprintf("c%d", i)
			newFeed(d, name).write(1)
			want[name] = 1
		}
		time.Sleep(time.Second)
		synctest.Wait()
		checkOrder(t, r.lines(), want)
		if r.count() != 1 {
			t.Errorf("%d requests for 1,000 quiet containers, want 1", r.count())
		}
		if err := d.Close(); err != nil || !r.closed {
			t.Errorf("Close: %v, router closed: %v", err, r.closed)
		}
	})
}

// 1,000 containers of one line a second cost a handful of requests a second.
func TestRequestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		d := New(r, Config{})
		feeds := make([]*feed, 1000)
		for i := range feeds {
			feeds[i] = newFeed(d, fmt.Sprintf("c%d", i))
		}
		for range 10 {
			for i, f := range feeds {
				f.write(1)
				if i%10 == 9 {
					time.Sleep(10 * time.Millisecond)
				}
			}
		}
		time.Sleep(time.Second)
		if r.count() > 50 {
			t.Errorf("%d requests in 10 s, want at most 50", r.count())
		}
		if n := len(r.lines()); n != 10000 {
			t.Errorf("%d lines arrived, want 10000", n)
		}
		_ = d.Close()
	})
}

func TestLargeFeedsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		d := New(r, Config{BatchBytes: 1000, Workers: 3})
		a, b := newFeed(d, "a"), newFeed(d, "b")
		a.write(5000)
		b.write(10)
		time.Sleep(5 * time.Second)
		checkOrder(t, r.lines(), map[string]int{"a": 5000, "b": 10})
		if at := slices.Index(r.lines(), "b-9"); at > 1000 {
			t.Errorf("the quiet feed's lines come after %d of the busy one's", at)
		}
		if a.overlapped() || b.overlapped() {
			t.Error("a feed was in two batches at once")
		}
		if a.sent != 5000 || b.sent != 10 {
			t.Errorf("%d and %d lines are committed, want 5000 and 10", a.sent, b.sent)
		}
		_ = d.Close()
	})
}

// Two requests are under way when a token is rotated. Both are refused, and that is one failure, not two: what comes of
// the new token is tried at once.
func TestRefusedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := breaker{probe: make(chan struct{}, 1)}
		if first, second := g.failed(failure(router.ClassCredentials), 0, false), g.failed(failure(router.ClassCredentials), 0, false); !first || second {
			t.Errorf("the first is news: %v, the second: %v; want true, false", first, second)
		}
		began := time.Now()
		failures, err := g.pass(t.Context(), func() error { return nil })
		if took := time.Since(began); failures != 1 || err != nil || took > 0 {
			t.Errorf("the next request begins after %v and %d failures (%v), want at once and 1", took, failures, err)
		}
		// The new token is refused too: that is worth a pause.
		g.failed(failure(router.ClassCredentials), failures, false)
		_, _ = g.pass(t.Context(), func() error { return nil })
		if took := time.Since(began); took < personPause/2 {
			t.Errorf("the one after that begins after %v, want at least %v", took, personPause/2)
		}
	})
}

func TestRetryKeepsEverything(t *testing.T) {
	for _, class := range []router.Class{router.ClassRetry, router.ClassCredentials, router.ClassConfig} {
		t.Run(string(class), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{answer: func(call int, _ []string) error {
					if call <= 6 {
						return failure(class)
					}
					return nil
				}}
				d := New(r, Config{})
				newFeed(d, "a").write(3)
				newFeed(d, "b").write(3)
				time.Sleep(2 * time.Second)
				if s := d.Status(); s.Class != class || s.LastError == "" || s.FailingSince.IsZero() {
					t.Errorf("status while it fails: %+v", s)
				}
				time.Sleep(10 * time.Minute)
				checkOrder(t, r.lines(), map[string]int{"a": 3, "b": 3})
				if s := d.Status(); s.LastError != "" || !s.FailingSince.IsZero() {
					t.Errorf("status after it: %+v", s)
				}
				_ = d.Close()
			})
		})
	}
}

// While a router fails only one worker tries, ever more slowly, and not earlier than it was told.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(call int, _ []string) error {
			e := failure(router.ClassRetry)
			if call == 3 {
				e.RetryAfter = 2 * time.Minute
			}
			return e
		}}
		d := New(r, Config{Workers: 4, BatchBytes: 10})
		for i := range 20 {
			newFeed(d, fmt.Sprintf("c%d", i)).write(5)
		}
		time.Sleep(30 * time.Minute)
		_ = d.Close()
		if r.count() > 100 {
			t.Errorf("%d tries in 30 minutes", r.count())
		}
		if gap := r.gap(2, 5); gap < 2*time.Minute {
			t.Errorf("a try %v after Retry-After of two minutes", gap)
		}
		if len(r.lines()) != 0 {
			t.Error("lines were taken")
		}
	})
}

func TestCredentialsAreTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(call int, _ []string) error {
			if call == 1 {
				return failure(router.ClassCredentials)
			}
			return nil
		}}
		d := New(r, Config{})
		newFeed(d, "a").write(1)
		time.Sleep(time.Second)
		if r.count() != 2 || len(r.lines()) != 1 {
			t.Errorf("%d calls, %d lines after a second", r.count(), len(r.lines()))
		}
		_ = d.Close()
	})
}

// A record that the router will never take costs itself alone, whether or not the router says which one it is.
func TestBadRecord(t *testing.T) {
	for _, tells := range []bool{true, false} {
		for _, class := range []router.Class{router.ClassBadRecords, router.ClassTooLarge} {
			t.Run(fmt.Sprint(class, tells), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					bad := []string{"a-3", "b-0", "b-9"}
					r := &receiver{answer: func(_ int, lines []string) error {
						for i, l := range lines {
							if slices.Contains(bad, l) {
								e := failure(class)
								if tells {
									e.Bad = i
								}
								return e
							}
						}
						return nil
					}}
					d := New(r, Config{})
					a, b := newFeed(d, "a"), newFeed(d, "b")
					a.write(10)
					b.write(10)
					time.Sleep(time.Minute)
					_ = d.Close() // the feeds are this goroutine's again
					if a.rejected != 1 || b.rejected != 2 {
						t.Errorf("rejected %d and %d, want 1 and 2", a.rejected, b.rejected)
					}
					var want []string
					for _, n := range []string{"a", "b"} {
						for i := range 10 {
							if l := fmt.Sprintf("%s-%d", n, i); !slices.Contains(bad, l) {
								want = append(want, l)
							}
						}
					}
					if got := r.lines(); !slices.Equal(got, want) {
						t.Errorf("took %v, want %v", got, want)
					}
					if a.sent != 9 || b.sent != 8 {
						t.Errorf("%d and %d lines are committed, want 9 and 8", a.sent, b.sent)
					}
				})
			})
		}
	}
}

func TestDeliveredPartIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *receiver
		r = &receiver{answer: func(call int, lines []string) error {
			if call == 1 {
				r.took = append(r.took, lines[:4]...)
				e := failure(router.ClassRetry)
				e.Delivered = 4
				return e
			}
			return nil
		}}
		d := New(r, Config{})
		newFeed(d, "a").write(10)
		time.Sleep(time.Minute)
		checkOrder(t, r.lines(), map[string]int{"a": 10})
		_ = d.Close()
	})
}

// Close lets what is under way be taken, for a while; what was not is with the feeds again.
func TestCloseWhileSending(t *testing.T) {
	for _, c := range []struct {
		name         string
		needs, grace time.Duration
		err          error
		took         time.Duration // of Close
		sent, left   int
	}{
		{"taken in the grace", time.Second, 0, nil, time.Second, 3, 0},
		{"cut after the grace", time.Hour, 0, nil, 1500 * time.Millisecond, 0, 3},
		{"another grace", time.Hour, 5 * time.Second, nil, 5 * time.Second, 0, 3},
		{"refused in the grace", time.Second, 0, failure(router.ClassRetry), time.Second, 0, 3},
		{"to be divided", time.Second, 0, failure(router.ClassTooLarge), time.Second, 0, 3},
		{"all of it taken before an error", time.Second, 0, &router.Error{Class: router.ClassRetry, Delivered: 3}, time.Second, 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &slow{needs: c.needs, err: c.err, began: make(chan struct{}, 9)}
				d := New(r, Config{Workers: 1, Grace: c.grace})
				f := newFeed(d, "a")
				f.write(3)
				<-r.began
				newFeed(d, "b").write(1) // waits, and is not begun
				began := time.Now()
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("Close took %v, want %v", took, c.took)
				}
				if len(f.lines) != c.left {
					t.Errorf("after Close the feed has %d lines, want %d", len(f.lines), c.left)
				}
				if s := d.Status(); f.sent != c.sent || r.calls != 1 || s.LastError != "" {
					t.Errorf("%d lines are sent in %d requests, error %q; want %d in 1, none", f.sent, r.calls, s.LastError, c.sent)
				}
			})
		})
	}
}

// slow is a router that needs its time, and then answers err.
type slow struct {
	needs time.Duration
	err   error
	began chan struct{}
	calls int
}

func (s *slow) Send(ctx context.Context, _ *router.Batch) error {
	s.calls++
	s.began <- struct{}{}
	select {
	case <-time.After(s.needs):
		return s.err
	case <-ctx.Done():
		return failure(router.ClassRetry)
	}
}

func (s *slow) Close() error { return nil }

// counting is a router that answers err, and keeps nothing.
type counting struct {
	err   *router.Error
	calls int
}

func (c *counting) Send(context.Context, *router.Batch) error { c.calls++; return c.err }

func (c *counting) Close() error { return nil }
