package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Pauses after a failure. They grow by half as much again from first to longest, with jitter, so that a fleet does not
// come back as one.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
	personPause  = 30 * time.Second // where a person must do something first
	// A router has deadlines of its own for each step. This is for one that does not keep them: more than the longest
	// that options allow.
	sendTimeout = 25 * time.Minute
)

// deliver sends b until all of it is taken or dropped. It returns false when ctx has ended before that.
func (d *Delivery) deliver(ctx context.Context, b *batch) bool {
	for {
		d.settle(b)
		if b.isSettled() {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		var from, to int
		failures, err := d.breaker.pass(ctx, func() error {
			if b.kept {
				d.refill(b)
			}
			from, to = b.choose(d.window.request())
			return d.send(ctx, b.records(from, to))
		})
		asked := to - from
		to, e := d.took(b, from, to, err)
		switch {
		case e == nil:
		case ctx.Err() != nil: // it may be we who stopped it
			return false
		case isRefusal(e):
			if e = d.refused(b, from+e.Delivered, to, e); e == nil {
				continue
			}
			b.kept = true
			fallthrough
		default:
			b.restart(b.kept)
			d.leaveOut(b)
			d.failed(e, failures, to-from-e.Delivered < asked/2)
		}
	}
}

// took settles what a request for the records from to to-1 has delivered. It returns what is wrong with the others, which are
// those from number e.Delivered of the request on, to rest-1; nil when there are none.
func (d *Delivery) took(b *batch, from, to int, err error) (rest int, e *router.Error) {
	delivered := to - from
	if err != nil {
		e = asError(err)
		e.Delivered = min(max(e.Delivered, 0), delivered)
		delivered = e.Delivered
		e.Bad -= delivered
		if e.TimedOut {
			d.window.timedOut(b.size(from, to))
		}
	}
	if delivered > 0 {
		if e != nil && e.Refused > 0 {
			d.refusedUnnamed(b, from, delivered, e)
		}
		d.window.succeeded(b.size(from, from+delivered))
		b.take(from, from+delivered)
		b.retryRefused()
		b.widen(delivered)
		d.acceptance.accepted()
	}
	gone, taken := 0, delivered > 0
	if e != nil && len(e.Outcomes) > 0 {
		var some bool
		gone, some = d.settleEach(b, from+delivered, to, e)
		taken, to = taken || some, to-gone
	}
	if from+delivered == to && (to > from || gone > 0) {
		e = nil
	}
	if taken && (e == nil || isRefusal(e)) {
		d.succeeded()
	}
	return to, e
}

// isRefusal reports whether the receiver is well and will not take some record.
func isRefusal(e *router.Error) bool {
	return !e.TimedOut && (e.Class == router.ClassBadRecords || e.Class == router.ClassTooLarge)
}

// send makes one request. When ctx ends it may go on for the grace: what is cut is sent twice.
func (d *Delivery) send(ctx context.Context, b *router.Batch) error {
	under, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d.config.Grace, cancel) })
	defer stop()
	began := d.health.begin(b)
	err := d.router.Send(under, b)
	d.health.end(b)
	if err != nil && errors.Is(under.Err(), context.DeadlineExceeded) {
		e := asError(err)
		e.TimedOut, err = true, e
	}
	d.config.Observe(router.ClassOf(err), time.Since(began))
	return err
}

func asError(err error) *router.Error {
	var e *router.Error
	if errors.As(err, &e) {
		c := *e
		return &c
	}
	return &router.Error{Class: router.ClassRetry, Op: "send", Cause: "unknown failure", Bad: router.NoRecord, Err: err}
}

// nextPause returns the pause after n failures in a row, the last of which was e.
func nextPause(n int, e *router.Error) time.Duration {
	pause := firstPause
	for range n - 1 {
		pause = min(pause*3/2, longestPause)
	}
	switch {
	case e.Class == router.ClassCredentials && n == 1:
		// The source has been told: what it gives now may be right.
		return 0
	case e.Class == router.ClassCredentials || e.Class == router.ClassConfig:
		pause = personPause
	}
	pause = pause/2 + rand.N(pause/2+1)
	return max(pause, e.RetryAfter)
}
