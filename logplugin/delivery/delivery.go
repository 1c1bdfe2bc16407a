// Package delivery sends the lines of many sessions to one log router: one Delivery for each connection.
//
// It pulls: a session says that it has lines, and is asked for them when there is room in a batch. A batch takes from
// the sessions in turn, and is sent again until it is taken; only then do the sessions move their cursors. A session is
// part of at most one batch at a time, so its lines stay in order, and what a crash sends twice is bounded by the batches
// under way. Memory is bounded by these too, not by the number of sessions: an idle session costs nothing here.
//
// It refuses to drop: what a router will never take is given up record by record, and counted. Everything else waits.
package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Feed is a session, as its Delivery sees it. It must be comparable.
type Feed interface {
	// Fill appends records to b until b.Body has grown to limit bytes or there are none left, and tells whether some
	// are. It is not called again before Commit or Rollback.
	Fill(b *router.Batch, limit int) (more bool)
	// Commit says that of the records of the last Fill all are with the router, but for rejected ones, which it will
	// never take.
	Commit(rejected int)
	// Rollback says that they are not, and that nobody will try again: the Delivery was closed.
	Rollback()
}

// Config of a Delivery. The zero value of each field has a default.
type Config struct {
	BatchBytes int           // a batch is sent when it has this many; 0 = 512 KiB
	Linger     time.Duration // how long a line waits for company; 0 = 250 ms
	Workers    int           // batches under way at once; 0 = 2
	Grace      time.Duration // how long Close lets a batch go on that is under way; 0 = 1500 ms
	Log        *slog.Logger  // first failure and recovery; nil = nowhere
	// Observe is told of each request: "" = taken, else the class of the failure, and how long it took. nil = nobody is.
	Observe func(class router.Class, took time.Duration)
}

func (c *Config) defaults() {
	if c.BatchBytes <= 0 {
		c.BatchBytes = 512 << 10
	}
	if c.Linger <= 0 {
		c.Linger = 250 * time.Millisecond
	}
	if c.Workers <= 0 {
		c.Workers = 2
	}
	if c.Grace <= 0 {
		c.Grace = 1500 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = func(router.Class, time.Duration) {}
	}
}

// Delivery is one router with its queue. It is safe for concurrent use.
type Delivery struct {
	router  router.Router
	config  Config
	breaker breaker
	stop    context.CancelFunc
	done    sync.WaitGroup
	close   func() error // of the router, once

	filling chan struct{} // holds one element while a worker fills its batch

	mu      sync.Mutex
	feeds   map[Feed]*place
	queue   []Feed        // with lines, and in no batch
	oldest  time.Time     // since when the first of them waits
	arrived chan struct{} // holds one element when queue has grown
	status  Status
}

// place is where a feed is.
type place struct {
	queued  bool // in queue
	busy    bool // in a batch
	again   bool // said that it has lines while it was busy
	removed bool
	left    chan struct{} // closed when a removed feed is in no batch any more
}

// Status is what an operator wants to know.
type Status struct {
	Sent, Rejected uint64 // records
	Requests       uint64 // batches that were taken
	Waiting        int    // sessions with lines
	LastError      string // of the failure that lasts; "" = none
	Class          router.Class
	FailingSince   time.Time
}

// New starts the delivery to r, which it closes in the end.
func New(r router.Router, c Config) *Delivery {
	c.defaults()
	ctx, stop := context.WithCancel(context.Background())
	d := &Delivery{router: r, config: c, stop: stop, feeds: map[Feed]*place{}, arrived: make(chan struct{}, 1), filling: make(chan struct{}, 1)}
	d.close = sync.OnceValue(r.Close)
	d.breaker.probe = make(chan struct{}, 1)
	for range c.Workers {
		d.done.Go(func() { d.work(ctx) })
	}
	return d
}

// Add makes f known. Ready then says when it has lines.
func (d *Delivery) Add(f Feed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.feeds[f] = &place{left: make(chan struct{})}
}

// Remove forgets f, and waits until it is in no batch or ctx ends.
func (d *Delivery) Remove(ctx context.Context, f Feed) {
	d.mu.Lock()
	p := d.feeds[f]
	if p == nil {
		d.mu.Unlock()
		return
	}
	p.removed = true
	if !p.busy {
		d.forget(f, p)
	}
	d.mu.Unlock()
	select {
	case <-p.left:
	case <-ctx.Done():
	}
}

// Discard forgets f without waiting: what it has in a batch under way may still arrive. Commit may be called once more.
func (d *Delivery) Discard(f Feed) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	d.Remove(ended, f)
}

func (d *Delivery) forget(f Feed, p *place) {
	delete(d.feeds, f)
	close(p.left)
}

// Ready says that f has lines. It never waits.
func (d *Delivery) Ready(f Feed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch p := d.feeds[f]; {
	case p == nil || p.removed || p.queued:
	case p.busy:
		p.again = true
	default:
		d.enqueue(f, p)
	}
}

func (d *Delivery) enqueue(f Feed, p *place) {
	if len(d.queue) == 0 {
		d.oldest = time.Now()
	}
	p.queued = true
	d.queue = append(d.queue, f)
	d.wake()
}

func (d *Delivery) wake() {
	select {
	case d.arrived <- struct{}{}:
	default:
	}
}

// Status returns the numbers as they are.
func (d *Delivery) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.status
	s.Waiting = len(d.queue)
	return s
}

// Close begins nothing more, gives what is under way the grace to be taken, and closes the router. What was not taken
// stays with the sessions. A second Close does nothing.
func (d *Delivery) Close() error {
	d.stop()
	d.done.Wait()
	return d.close()
}

// batch is one batch under way.
type batch struct {
	router.Batch
	parts []part
}

// part is the records of one feed: from the end of the part before to end-1.
type part struct {
	feed     Feed
	end      int
	more     bool
	rejected int
}

func (d *Delivery) work(ctx context.Context) {
	var b batch
	for d.next(ctx, &b) {
		if b.Len() > 0 && !d.deliver(ctx, &b.Batch, 0, &b) {
			d.settle(&b, Feed.Rollback)
			return
		}
		d.settle(&b, nil)
	}
}

// next fills b when there is something to send. One worker at a time does that, so that what arrives together goes
// together; the others are sending, or wait for their turn.
func (d *Delivery) next(ctx context.Context, b *batch) bool {
	select {
	case d.filling <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-d.filling }()
	if !d.await(ctx) {
		return false
	}
	d.fill(b)
	return true
}

// await returns when a batch is to be filled: at once under load, else when the first line has waited for company.
func (d *Delivery) await(ctx context.Context) bool {
	for {
		d.mu.Lock()
		n, due := len(d.queue), d.oldest.Add(d.config.Linger)
		d.mu.Unlock()
		if n == 0 {
			select {
			case <-d.arrived:
				continue
			case <-ctx.Done():
				return false
			}
		}
		pause := time.NewTimer(time.Until(due))
		select {
		case <-pause.C:
			return ctx.Err() == nil // both may be due
		case <-ctx.Done():
			pause.Stop()
			return false
		}
	}
}

// fill takes from the waiting feeds in turn until the batch is full.
func (d *Delivery) fill(b *batch) {
	b.Reset()
	b.parts = b.parts[:0]
	for len(b.Body) < d.config.BatchBytes {
		f := d.take()
		if f == nil {
			return
		}
		more := f.Fill(&b.Batch, d.config.BatchBytes)
		b.parts = append(b.parts, part{feed: f, end: b.Len(), more: more})
	}
}

func (d *Delivery) take() Feed {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) > 0 {
		f := d.queue[0]
		d.queue = d.queue[1:]
		p := d.feeds[f]
		if p == nil {
			continue
		}
		p.queued, p.busy = false, true
		return f
	}
	d.queue = nil // lets go of the array
	return nil
}

// settle tells the feeds what came of the batch, and queues those that have more.
func (d *Delivery) settle(b *batch, rollback func(Feed)) {
	for _, part := range b.parts {
		if rollback != nil {
			rollback(part.feed)
		} else {
			part.feed.Commit(part.rejected)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	from := 0
	for _, part := range b.parts {
		if rollback == nil {
			d.status.Sent += uint64(part.end - from - part.rejected) //nolint:gosec // not negative
			d.status.Rejected += uint64(part.rejected)               //nolint:gosec // not negative
			from = part.end
		}
		p := d.feeds[part.feed]
		p.busy = false
		switch {
		case p.removed:
			d.forget(part.feed, p)
		case part.more || p.again:
			p.again = false
			d.enqueue(part.feed, p)
			if part.more {
				d.oldest = time.Time{} // under load nobody waits for company
			}
		}
	}
	b.parts = b.parts[:0]
}
