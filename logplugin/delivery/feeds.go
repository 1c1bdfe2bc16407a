package delivery

import (
	"context"
	"slices"
	"time"
)

// feeds are the sessions of a Delivery, and which of them wait for room in a batch.
type feeds struct {
	places map[Feed]*place
	queue  []Feed    // with lines, and in no batch
	oldest time.Time // since when the first of them waits
}

// place is where a feed is.
type place struct {
	queued    bool      // in queue
	busy      bool      // in a batch
	again     bool      // said that it has lines while it was busy
	due       bool      // with Config.Gather: its lines need not wait any longer
	since     time.Time // with Config.Gather: when the first of its lines came that wait
	removed   bool
	discarded bool          // removed, and what it has in a batch is not sent again
	left      chan struct{} // closed when a removed feed is in no batch any more
}

// Add makes f known. Ready then says when it has lines.
func (d *Delivery) Add(f Feed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.feeds.places[f] = &place{left: make(chan struct{})}
}

// Remove forgets f, and waits until it is in no batch or ctx ends.
func (d *Delivery) Remove(ctx context.Context, f Feed) {
	d.mu.Lock()
	p := d.feeds.places[f]
	if p == nil {
		d.mu.Unlock()
		return
	}
	p.removed = true
	if !p.busy {
		d.feeds.forget(f, p)
	}
	d.mu.Unlock()
	select {
	case <-p.left:
	case <-ctx.Done():
	}
}

// Discard forgets f without waiting: what it has in a request under way may still arrive, and what the receiver does not
// take of it is not sent again. Commit may be called once more.
func (d *Delivery) Discard(f Feed) {
	d.mu.Lock()
	if p := d.feeds.places[f]; p != nil {
		p.discarded = true
	}
	d.mu.Unlock()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	d.Remove(ended, f)
}

func (q *feeds) forget(f Feed, p *place) {
	delete(q.places, f)
	close(p.left)
}

// Ready says that f has lines. It never waits.
func (d *Delivery) Ready(f Feed) {
	due := d.isDue(f)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch p := d.feeds.places[f]; {
	case p == nil || p.removed:
	case p.queued && due && !p.due:
		p.due = true
		d.arrive()
	case p.queued:
	case p.busy:
		p.again = true
	default:
		p.due, p.since = due, time.Now()
		d.enqueue(f, p)
	}
}

func (d *Delivery) enqueue(f Feed, p *place) {
	if len(d.feeds.queue) == 0 {
		d.feeds.oldest = time.Now()
	}
	p.queued = true
	d.feeds.queue = append(d.feeds.queue, f)
	d.arrive()
}

// arrive wakes who waits for the queue.
func (d *Delivery) arrive() {
	select {
	case d.arrived <- struct{}{}:
	default:
	}
}

// fill takes from the waiting feeds in turn until the batch is full.
func (d *Delivery) fill(b *batch) {
	b.reset()
	d.fillTo(b, d.window.batch())
}

func (d *Delivery) fillTo(b *batch, limit int) {
	for len(b.Body) < limit {
		f := d.take()
		if f == nil {
			return
		}
		if b.add(f, -1, f.Fill(&b.Batch, limit)); d.config.Gather {
			return
		}
	}
}

// refillBytes is how much more than others a batch may hold that is kept because all of it was refused: what follows may
// show that the receiver accepts others.
const refillBytes = 64 << 10

// refill adds lines to a batch that is kept, first those of its own feeds.
func (d *Delivery) refill(b *batch) {
	b.kept = false
	limit := d.config.BatchBytes + refillBytes
	for i := range b.parts {
		if len(b.Body) >= limit {
			return
		}
		if p := b.parts[i]; p.feed != nil && !p.followed && d.hasMore(p) {
			before := b.Len()
			b.parts[i].more = p.feed.Fill(&b.Batch, limit)
			if b.Len() > before {
				b.add(p.feed, i, b.parts[i].more)
			}
		}
	}
	d.fillTo(b, limit)
}

// hasMore reports whether the feed of p has lines behind those of p.
func (d *Delivery) hasMore(p part) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	place := d.feeds.places[p.feed]
	again := place.again
	place.again = false
	return (p.more || again) && !place.removed
}

func (d *Delivery) take() Feed {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := &d.feeds
	for len(q.queue) > 0 {
		i := 0
		if d.config.Gather {
			if i = q.next(d.config.Linger); i < 0 {
				return nil
			}
		}
		f := q.queue[i]
		if i == 0 {
			q.queue = q.queue[1:]
		} else {
			q.queue = slices.Delete(q.queue, i, i+1)
		}
		p := q.places[f]
		if p == nil {
			continue
		}
		p.queued, p.busy = false, true
		return f
	}
	q.queue = nil // lets go of the array
	return nil
}

// leaveOut takes out of b, which is to be sent again, the records of feeds that were discarded.
func (d *Delivery) leaveOut(b *batch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := map[Feed]bool{}
	for i := range b.parts {
		p := &b.parts[i]
		if p.feed == nil || !d.feeds.places[p.feed].discarded {
			continue
		}
		left[p.feed] = true
		p.feed, p.next = nil, p.end
	}
	for f := range left {
		d.feeds.forget(f, d.feeds.places[f])
	}
}

// settle tells the feeds all of whose records are settled, and queues those that have more.
func (d *Delivery) settle(b *batch) {
	for i := range b.parts {
		p := &b.parts[i]
		if p.feed == nil || p.next < p.end {
			continue
		}
		if b.waitsBefore(i) { // they are settled one by one, and its own were first
			continue
		}
		if p.followed { // the part with the last records of the feed commits them all
			p.feed = nil
			continue
		}
		rejected := p.rejected
		for at := p.before; at >= 0; at = b.parts[at].before {
			rejected += b.parts[at].rejected
		}
		p.feed.Commit(rejected)
		d.release(p.feed, p.more)
		p.feed = nil
	}
}

// abandon lets go of the feeds whose records are not settled: the Delivery is being closed.
func (d *Delivery) abandon(b *batch) {
	for _, p := range b.parts {
		if p.feed != nil && !p.followed {
			d.release(p.feed, p.more)
		}
	}
}

// release notes that f is in no batch any more.
func (d *Delivery) release(f Feed, more bool) {
	due := d.isDue(f)
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.feeds.places[f]
	p.busy = false
	switch {
	case p.removed:
		d.feeds.forget(f, p)
	case more || p.again:
		if p.again, p.due = false, due; !more {
			p.since = time.Now() // else lines wait that have waited as long as those before them
		}
		d.enqueue(f, p)
		if more {
			d.feeds.oldest = time.Time{} // under load no line waits for others
		}
	}
}
