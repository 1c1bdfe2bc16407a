// Package delivery sends the lines of many sessions to one log router: one Delivery for each connection.
//
// It pulls: a session says that it has lines, and is asked for them when there is room in a batch. A batch takes from
// the sessions in turn, and is sent until the receiver has all of it; a session moves its cursor when its own lines are
// there. A session is part of at most one batch at a time, so its lines stay in order, and what a crash sends twice is
// bounded by the batches under way. Memory is bounded by these too, not by the number of sessions: an idle session costs nothing here.
//
// It drops nothing but a record that the receiver has refused alone while it accepts others, and counts that. Everything
// else is kept, and sent again.
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
	// Fill appends records to b until b.Body has grown to limit bytes or there are none left, and reports whether some
	// are. It may be called again before Commit, and then goes on behind the records of the last Fill.
	Fill(b *router.Batch, limit int) (more bool)
	// Commit says that all records since the last Commit are settled: the router has them, but for the rejected ones,
	// which it will never take. It is not called for records that were still under way when the Delivery was closed.
	Commit(rejected int)
	// Attrs names the session in a log message.
	Attrs() []slog.Attr
}

// Config of a Delivery. The zero value of each field has a default.
type Config struct {
	BatchBytes int           // a batch is sent when it has this many; 0 = 768 KiB
	Linger     time.Duration // how long a line waits for others; 0 = 250 ms
	Workers    int           // batches under way at once; 0 = 2
	// Gather says that the lines of each feed wait by themselves, for the linger or until there are BatchBytes of them, and go in
	// batches of their own. Without it all that wait go together.
	Gather bool
	Grace  time.Duration // how long Close lets a batch go on that is under way; 0 = 1500 ms
	Log    *slog.Logger  // failures, recovery and dropped records; nil means no log
	// Observe is called after each request with the class of its failure, "" for none, and how long it took. nil means no
	// callback.
	Observe func(class router.Class, took time.Duration)
}

func (c *Config) defaults() {
	if c.BatchBytes <= 0 {
		c.BatchBytes = 768 << 10
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
	router     router.Router
	config     Config
	breaker    breaker
	acceptance acceptance
	window     window
	drops      limiter
	stop       context.CancelFunc
	done       sync.WaitGroup
	close      func() error // of the router, once

	filling chan struct{} // holds one element while a worker fills its batch
	arrived chan struct{} // holds one element when feeds.queue has grown

	mu    sync.Mutex
	feeds feeds // guarded by mu

	health health
}

// New starts the delivery to r, which it closes in the end.
func New(r router.Router, c Config) *Delivery {
	c.defaults()
	ctx, stop := context.WithCancel(context.Background())
	d := &Delivery{
		router: r, config: c, stop: stop,
		window:  window{largest: c.BatchBytes, bytes: c.BatchBytes},
		feeds:   feeds{places: map[Feed]*place{}},
		health:  health{logged: map[router.Class]bool{}, requests: map[*router.Batch]time.Time{}},
		arrived: make(chan struct{}, 1), filling: make(chan struct{}, 1),
	}
	d.close = sync.OnceValue(r.Close)
	d.breaker.probe = make(chan struct{}, 1)
	for range c.Workers {
		d.done.Go(func() { d.work(ctx) })
	}
	return d
}

// Close begins nothing more, gives what is under way the grace to be taken, and closes the router. What was not taken
// stays with the sessions. A second Close does nothing.
func (d *Delivery) Close() error {
	d.stop()
	d.done.Wait()
	return d.close()
}

func (d *Delivery) work(ctx context.Context) {
	var b batch
	for d.next(ctx, &b) {
		if !d.deliver(ctx, &b) {
			d.abandon(&b)
			return
		}
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
	await := d.await
	if d.config.Gather {
		await = d.awaitDue
	}
	if !await(ctx) {
		return false
	}
	d.fill(b)
	return true
}

// await returns when a batch is to be filled: at once under load, else when the first line has waited long enough for others.
func (d *Delivery) await(ctx context.Context) bool {
	for {
		d.mu.Lock()
		n, due := len(d.feeds.queue), d.feeds.oldest.Add(d.config.Linger)
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
