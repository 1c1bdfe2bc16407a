package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// slowLink is a router that has no answer in time when a request has more than fits bytes.
type slowLink struct {
	receiver
	refuses router.Class // what it says of a time-out

	state sync.Mutex
	fits  int
	sizes []int // of requests
}

// allow makes it answer requests of up to fits bytes in time, and forgets those that it has had.
func (s *slowLink) allow(fits int) {
	s.state.Lock()
	defer s.state.Unlock()
	s.fits, s.sizes = fits, nil
}

func (s *slowLink) requests() []int {
	s.state.Lock()
	defer s.state.Unlock()
	return slices.Clone(s.sizes)
}

func (s *slowLink) Send(ctx context.Context, b *router.Batch) error {
	s.state.Lock()
	s.sizes = append(s.sizes, len(b.Body))
	late := len(b.Body) > s.fits
	s.state.Unlock()
	if late {
		time.Sleep(30 * time.Second)
		e := failure(s.refuses)
		e.TimedOut = true
		return e
	}
	return s.receiver.Send(ctx, b)
}

// After a time-out less is sent at once, down to a bound, and more again when that succeeds. No record is given up for it,
// whatever the router calls it.
func TestHalvesAfterATimeOut(t *testing.T) {
	for _, class := range []router.Class{router.ClassRetry, router.ClassTooLarge, router.ClassBadRecords} {
		synctest.Test(t, func(t *testing.T) {
			r := &slowLink{fits: 100_000, refuses: class}
			d := New(r, Config{Workers: 1})
			name := strings.Repeat("a", 95)
			f := newFeed(d, name)
			const lines = 5000 // of 100 bytes or so: nearly a batch
			f.write(lines)
			time.Sleep(3 * time.Minute)
			checkOrder(t, r.lines(), map[string]int{name: lines})
			if _, rejected, _ := f.counts(); rejected != 0 {
				t.Errorf("%d records were given up", rejected)
			}
			sizes := r.requests()
			got := fmt.Sprint(sizes[0] > 450_000, sizes[1] <= sizes[0]/2, sizes[2] <= sizes[0]/4, sizes[3] <= smallestRequest)
			if got != "true true true true" || sizes[3] < 50_000 {
				t.Errorf("requests of %d bytes, want each half of the one before until they fit", sizes[:4])
			}
			// The link is fast again.
			r.allow(1 << 30)
			for range 200 {
				f.write(lines)
				time.Sleep(time.Second)
			}
			largest := 100_000
			sizes = r.requests()
			for i, n := range sizes {
				if n > largest+60_000 {
					t.Errorf("request %d has %d bytes after one of %d, want them to grow slowly", i, n, largest)
				}
				largest = max(largest, n)
			}
			if largest < 500_000 || sizes[0] > 100_000 {
				t.Errorf("requests grow from %d to %d bytes, want from less than 100,000 to a batch", sizes[0], largest)
			}
			_ = d.Close()
		})
	}
}

// A receiver that has no answer for anything gets requests of the smallest size, and nothing is lost.
func TestNeverAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &slowLink{refuses: router.ClassRetry}
		d := New(r, Config{Workers: 1})
		name := strings.Repeat("a", 95)
		newFeed(d, name).write(5000)
		time.Sleep(time.Hour)
		sizes := r.requests()
		last := sizes[len(sizes)-1]
		if last > smallestRequest || last < smallestRequest-110 {
			t.Errorf("after an hour requests have %d bytes, want %d", last, smallestRequest)
		}
		if s := d.Status(); s.LastError == "" {
			t.Error("the status has no error")
		}
		r.allow(1 << 30)
		time.Sleep(10 * time.Minute)
		checkOrder(t, r.lines(), map[string]int{name: 5000})
		_ = d.Close()
	})
}

// One record that is longer than a request may be is sent alone, and kept however often that has no answer in time.
func TestLongRecordAfterATimeOut(t *testing.T) {
	for _, class := range []router.Class{router.ClassRetry, router.ClassTooLarge, router.ClassBadRecords} {
		synctest.Test(t, func(t *testing.T) {
			r := &slowLink{fits: 1000, refuses: class}
			d := New(r, Config{Workers: 1})
			short, long := newFeed(d, "a"), newFeed(d, strings.Repeat("x", 200_000))
			short.write(1) // the receiver accepts others
			time.Sleep(time.Second)
			long.write(2)
			time.Sleep(time.Hour)
			sizes := r.requests()
			if n := sizes[len(sizes)-1]; n < 200_000 || n > 200_010 {
				t.Errorf("a request of %d bytes, want one record", n)
			}
			r.allow(1 << 30)
			time.Sleep(10 * time.Minute)
			_ = d.Close()
			if long.sent != 2 || long.rejected != 0 {
				t.Errorf("class %s: %d sent, %d rejected, want 2 and 0", class, long.sent, long.rejected)
			}
		})
	}
}

// A router that does not keep its own deadlines is cut after the longest time that they may take.
func TestRequestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &slow{needs: 24 * time.Hour, began: make(chan struct{}, 9)}
		d := New(r, Config{Workers: 1})
		f := newFeed(d, "a")
		f.write(1)
		<-r.began
		if s := d.Status(); !s.InFlightSince.Equal(time.Now()) || s.LastError != "" {
			t.Errorf("status %+v, want a request since now", s)
		}
		began := time.Now()
		time.Sleep(sendTimeout - time.Second)
		if s := d.Status(); !s.InFlightSince.Equal(began) {
			t.Errorf("a request since %v, want %v", s.InFlightSince, began)
		}
		<-r.began
		if took := time.Since(began); took < sendTimeout || took > sendTimeout+firstPause {
			t.Errorf("the next request began after %v, want %v and a pause", took, sendTimeout)
		}
		if err := d.Close(); err != nil || f.left() != 1 {
			t.Errorf("Close: %v, %d lines left, want 1", err, f.left())
		}
		if s := d.Status(); !s.InFlightSince.IsZero() {
			t.Errorf("after Close a request since %v", s.InFlightSince)
		}
	})
}

// A step of the clock changes no interval: all times that are compared have a monotonic reading.
func TestTimesAreMonotonic(t *testing.T) {
	r := &receiver{answer: func(call int, lines []string) error {
		if call == 2 {
			return failure(router.ClassRetry)
		}
		return nil
	}}
	d := New(r, Config{Workers: 1, Linger: time.Hour})
	defer d.Close() //nolint:errcheck // of a test that is over
	newFeed(d, "a").write(1)
	d.succeeded()
	d.acceptance.accepted()
	d.failed(failure(router.ClassConfig), 0, false)
	d.drops.next()
	began := d.health.begin(&router.Batch{})
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, at := range map[string]time.Time{
		"oldest": d.feeds.oldest, "FailingSince": d.Status().FailingSince, "next": d.breaker.next, "last": d.acceptance.last,
		"since": d.drops.since, "began": began,
	} {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("%s is %v, want it with a monotonic reading", name, at)
		}
	}
}
