package delivery

import (
	"context"
	"slices"
	"time"
)

// Gathered is a Feed that says, with Config.Gather, when its lines need not wait for more.
type Gathered interface {
	// IsDue reports whether lines of so many bytes wait, or no more will come.
	IsDue(bytes int) bool
}

// isDue asks f. The lock is not held: f may look at its files.
func (d *Delivery) isDue(f Feed) bool {
	g, ok := f.(Gathered)
	return ok && d.config.Gather && g.IsDue(d.config.BatchBytes)
}

// awaitDue returns when a feed is due: its oldest lines have waited for the linger, or it says so itself.
func (d *Delivery) awaitDue(ctx context.Context) bool {
	for {
		d.mu.Lock()
		at, some := d.feeds.earliest(d.config.Linger)
		d.mu.Unlock()
		pause := time.NewTimer(time.Until(at))
		if !some {
			pause.Stop()
		}
		select {
		case <-pause.C:
			return ctx.Err() == nil // both may be due
		case <-d.arrived:
		case <-ctx.Done():
		}
		if pause.Stop(); ctx.Err() != nil {
			return false
		}
	}
}

// earliest returns when the first feed in the queue is due.
func (q *feeds) earliest(linger time.Duration) (at time.Time, some bool) {
	for _, f := range q.queue {
		if due := q.due(f, linger); !some || due.Before(at) {
			at, some = due, true
		}
	}
	return at, some
}

// due returns when f is due. One that was forgotten is at once, so that it leaves the queue.
func (q *feeds) due(f Feed, linger time.Duration) time.Time {
	p := q.places[f]
	if p == nil || p.due {
		return time.Time{}
	}
	return p.since.Add(linger)
}

// next returns the index in the queue of the first feed that is due; -1 means that none is.
func (q *feeds) next(linger time.Duration) int {
	now := time.Now()
	return slices.IndexFunc(q.queue, func(f Feed) bool { return !q.due(f, linger).After(now) })
}
