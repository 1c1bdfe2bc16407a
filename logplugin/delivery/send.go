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
	sendTimeout  = 3 * time.Minute  // a router has deadlines of its own for each step, together less than this
)

// deliver sends b, whose first record is record from of the whole batch, until all of it is taken or given up. It
// returns false when ctx has ended before that.
func (d *Delivery) deliver(ctx context.Context, b *router.Batch, from int, whole *batch) bool {
	for b.Len() > 0 {
		if ctx.Err() != nil {
			return false
		}
		failures, err := d.breaker.pass(ctx, func() error { return d.send(ctx, b) })
		if err == nil {
			d.succeeded()
			return true
		}
		e := asError(err)
		if n := min(max(e.Delivered, 0), b.Len()); n > 0 {
			b, from = b.Slice(n, b.Len()), from+n
			e.Bad -= n
		}
		switch {
		case e.Class == router.ClassBadRecords || e.Class == router.ClassTooLarge:
			// The receiver is well, it is these records.
			d.succeeded()
			return d.divide(ctx, b, from, whole, e)
		case ctx.Err() == nil: // else it is we who stopped it
			d.failed(e, failures)
		}
	}
	return true
}

// send makes one request. When ctx ends it may go on for the grace: what is cut is sent twice.
func (d *Delivery) send(ctx context.Context, b *router.Batch) error {
	under, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d.config.Grace, cancel) })
	defer stop()
	began := time.Now()
	err := d.router.Send(under, b)
	d.config.Observe(router.ClassOf(err), time.Since(began))
	return err
}

// divide sends what was refused in smaller parts, until the record at fault is alone, and gives that up.
func (d *Delivery) divide(ctx context.Context, b *router.Batch, from int, whole *batch, e *router.Error) bool {
	n := b.Len()
	if n == 0 {
		return true
	}
	if n == 1 {
		whole.reject(from)
		d.config.Log.Warn("the router refuses a record", "error", e)
		return true
	}
	cuts := []int{0, n / 2, n}
	if e.Class == router.ClassBadRecords && e.Bad >= 0 && e.Bad < n {
		cuts = []int{0, e.Bad, e.Bad + 1, n}
	}
	for i := range cuts[1:] {
		if !d.deliver(ctx, b.Slice(cuts[i], cuts[i+1]), from+cuts[i], whole) {
			return false
		}
	}
	return true
}

func (b *batch) reject(record int) {
	for i := range b.parts {
		if record < b.parts[i].end {
			b.parts[i].rejected++
			return
		}
	}
}

func asError(err error) *router.Error {
	var e *router.Error
	if errors.As(err, &e) {
		c := *e
		return &c
	}
	return &router.Error{Class: router.ClassRetry, Op: "send", Cause: "unknown failure", Bad: router.NoRecord, Err: err}
}

func (d *Delivery) succeeded() {
	recovered := d.breaker.succeeded()
	d.mu.Lock()
	since := d.status.FailingSince
	d.status.Requests++
	d.status.LastError, d.status.Class, d.status.FailingSince = "", "", time.Time{}
	d.mu.Unlock()
	if recovered {
		d.config.Log.Info("the router takes lines again", "after", time.Since(since).Round(time.Second))
	}
}

func (d *Delivery) failed(e *router.Error, failures int) {
	first := d.breaker.failed(e, failures)
	d.mu.Lock()
	d.status.LastError, d.status.Class = e.Error(), e.Class
	if first {
		d.status.FailingSince = time.Now()
	}
	d.mu.Unlock()
	if first {
		d.config.Log.Error("the router does not take lines; they wait", "class", string(e.Class), "error", e)
	}
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
