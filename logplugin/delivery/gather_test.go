package delivery

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// gatheredFeed is due when so many of its bytes wait, or when it has ended.
type gatheredFeed struct {
	*feed
	ended bool
}

func (f *gatheredFeed) IsDue(bytes int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, l := range f.lines {
		n += len(l) + 1
	}
	return n >= bytes || f.ended
}

func (f *gatheredFeed) put(n int) {
	f.mu.Lock()
	for range n {
		f.lines = append(f.lines, fmt.Sprintf("%s-%d", f.name, f.count))
		f.count++
	}
	f.mu.Unlock()
	f.d.Ready(f)
}

// gathered is a delivery with batches of a hundred bytes, for each of which lines wait for a minute.
func gathered(t *testing.T, r *receiver, names ...string) (*Delivery, []*gatheredFeed) {
	t.Helper()
	d := New(r, Config{Gather: true, BatchBytes: 100, Linger: time.Minute})
	t.Cleanup(func() { _ = d.Close() })
	var feeds []*gatheredFeed
	for _, name := range names {
		f := &gatheredFeed{feed: &feed{name: name, d: d}}
		d.Add(f)
		feeds = append(feeds, f)
	}
	return d, feeds
}

// batches makes r note how many lines each request has, by feed, and answer with what answer returns; nil takes all. It returns what was noted.
func (r *receiver) batches(answer func(call int) error) (sizes func() []string) {
	var noted []string
	r.answer = func(call int, lines []string) error { // Send holds the lock
		noted = append(noted, fmt.Sprintf("%s %d", lines[0][:1], len(lines)))
		if answer == nil {
			return nil
		}
		return answer(call)
	}
	return func() []string {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Clone(noted)
	}
}

// Lines of a feed wait for its linger, however early those of others are sent, and each batch has those of one feed.
func TestGatherWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		sizes := r.batches(nil)
		d, feeds := gathered(t, r, "a", "b")
		began := time.Now()
		feeds[0].put(2)
		time.Sleep(30 * time.Second)
		feeds[1].put(3)
		feeds[0].put(1)
		synctest.Wait()
		if got := sizes(); len(got) > 0 {
			t.Errorf("%q are sent before a minute has gone by", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if want := []string{"a 3", "b 3"}; !slices.Equal(sizes(), want) || r.times[0].Sub(began) != time.Minute || r.times[1].Sub(began) != 90*time.Second {
			t.Errorf("%q at %v, want %q after 60 and 90 seconds", sizes(), r.times, want)
		}
		_ = d.Close()
	})
}

// A feed with enough lines is sent at once, and one that has ended; others wait on.
func TestGatherIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		sizes := r.batches(nil)
		d, feeds := gathered(t, r, "a", "b", "c")
		feeds[0].put(1)
		feeds[1].put(30) // lines of four and five bytes
		feeds[2].put(2)
		synctest.Wait()
		if want := []string{"b 22"}; !slices.Equal(sizes(), want) {
			t.Errorf("%q are sent, want %q", sizes(), want)
		}
		feeds[1].put(20)
		synctest.Wait()
		if want := []string{"b 22", "b 20"}; !slices.Equal(sizes(), want) {
			t.Errorf("%q are sent, want %q", sizes(), want)
		}
		feeds[2].mu.Lock()
		feeds[2].ended = true
		feeds[2].mu.Unlock()
		d.Ready(feeds[2])
		synctest.Wait()
		if want := []string{"b 22", "b 20", "c 2"}; !slices.Equal(sizes(), want) {
			t.Errorf("%q are sent, want %q", sizes(), want)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, f := range feeds {
			if f.left() > 0 {
				t.Errorf("%d lines of %s are left", f.left(), f.name)
			}
		}
		_ = d.Close()
	})
}

// What is refused for now is sent again as it was, with no line of another feed; a feed that is removed leaves the queue.
func TestGatherAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		sizes := r.batches(func(call int) error {
			if call == 1 {
				return &router.Error{Class: router.ClassRetry, Op: "test", Bad: router.NoRecord}
			}
			return nil
		})
		d, feeds := gathered(t, r, "a", "b", "c")
		feeds[0].put(2)
		feeds[1].put(2)
		feeds[2].put(1)
		d.Remove(t.Context(), feeds[1])
		time.Sleep(time.Hour)
		synctest.Wait()
		got := sizes()
		slices.Sort(got)
		if want := []string{"a 2", "a 2", "c 1"}; !slices.Equal(got, want) && !slices.Equal(got, []string{"a 2", "c 1", "c 1"}) {
			t.Errorf("%q are sent, want %q", got, want)
		}
		_ = d.Close()
	})
}
