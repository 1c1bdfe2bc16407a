package delivery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Close does not wait for the end of a pause: neither of the back-off, nor for more lines, nor for another worker's try.
func TestCloseInAPause(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		calls bool
	}{
		"for more lines":  {0, false},
		"of the back-off": {5 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{answer: func(int, []string) error { return failure(router.ClassConfig) }}
				d := New(r, Config{Workers: 3, BatchBytes: 1})
				feeds := []*feed{newFeed(d, "a"), newFeed(d, "b"), newFeed(d, "c")}
				for _, f := range feeds {
					f.write(1)
				}
				time.Sleep(c.after)
				synctest.Wait()
				before, began := r.count(), time.Now()
				if (before > 0) != c.calls {
					t.Fatalf("%d requests before Close", before)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != 0 || r.count() != before {
					t.Errorf("Close took %v and %d requests, want none of both", took, r.count()-before)
				}
				for _, f := range feeds {
					if len(f.lines) != 1 {
						t.Errorf("feed %s has %d lines, want 1", f.name, len(f.lines))
					}
				}
			})
		})
	}
}

// What is due when Close is called does not begin, whichever of the two a select sees first.
func TestNothingBeginsAfterClose(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r := &receiver{}
	d := New(r, Config{})
	_ = d.Close() // no worker is in the way
	f := newFeed(d, "a")
	f.write(1)
	d.feeds.oldest = time.Time{}
	for range 100 {
		if d.await(ended) {
			t.Fatal("a batch is to be filled")
		}
		g := breaker{probe: make(chan struct{}, 1), failures: 1}
		if _, err := g.pass(ended, func() error { return nil }); err == nil {
			t.Fatal("the breaker lets a request pass")
		}
	}
	b := &batch{}
	d.fill(b)
	if d.deliver(ended, b) || r.count() != 0 {
		t.Errorf("a batch is delivered in %d requests", r.count())
	}
}

func TestRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := &receiver{answer: func(int, []string) error { <-release; return nil }}
		d := New(r, Config{Workers: 1})
		f := newFeed(d, "a")
		f.write(1)
		time.Sleep(time.Second) // it is in a batch
		gone := make(chan struct{})
		go func() { d.Remove(t.Context(), f); close(gone) }()
		synctest.Wait()
		select {
		case <-gone:
			t.Fatal("Remove returned while the feed was in a batch")
		default:
		}
		close(release)
		<-gone
		if f.left() != 0 {
			t.Error("the batch was not committed")
		}
		f.write(1)
		time.Sleep(time.Second)
		if r.count() != 1 {
			t.Error("a removed feed was asked")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.Remove(ctx, f) // unknown: nothing to wait for
		_ = d.Close()
	})
}

// A session that is discarded does not stand in the way of others: what the receiver does not take of it is not sent again.
func TestDiscardWhileFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(int, []string) error { return failure(router.ClassRetry) }}
		d := New(r, Config{Workers: 1})
		a, b := newFeed(d, "a"), newFeed(d, "b")
		a.write(3)
		b.write(3)
		time.Sleep(time.Minute)
		d.Discard(a)
		time.Sleep(time.Minute)
		r.set(nil)
		time.Sleep(time.Minute)
		checkOrder(t, r.lines(), map[string]int{"a": 0, "b": 3})
		d.Discard(a) // unknown
		_ = d.Close()
		if a.sent != 0 || a.rejected != 0 || b.sent != 3 {
			t.Errorf("the discarded session has %d sent and %d rejected, the other %d sent; want 0, 0 and 3", a.sent, a.rejected, b.sent)
		}
	})
}
