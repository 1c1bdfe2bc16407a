package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// A receiver may refuse a record for what the record is, or refuse everything: a gateway that answers 413 to each
// request, a collector that takes no event. Only the first is a reason to drop it. So a record is dropped when the
// receiver has refused it alone after it accepted another of the same batch, or one in the last acceptedLately. After
// refusedInARow different records without one that was accepted, it refuses everything, and a person must look.
const (
	acceptedLately = 10 * time.Minute
	refusedInARow  = 20
	triedAlone     = 5 // records at each try, while the receiver refuses everything
)

// acceptance is what is known of whether a receiver accepts records.
type acceptance struct {
	mu      sync.Mutex
	last    time.Time // when it accepted one; zero = never
	refused int       // different records since then
}

func (a *acceptance) accepted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last, a.refused = time.Now(), 0
}

func (a *acceptance) rejected() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = min(a.refused+1, refusedInARow)
}

func (a *acceptance) isRecent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.last.IsZero() && time.Since(a.last) < acceptedLately && a.refused < refusedInARow
}

func (a *acceptance) refusesAll() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused >= refusedInARow
}

// refused notes that the receiver will not take the records from to to-1 of b together. It returns an error when b is to
// be tried again from its start, after a pause, and nil when there is something to try at once.
func (d *Delivery) refused(b *batch, from, to int, e *router.Error) *router.Error {
	switch {
	case to-from == 1:
		d.refusedAlone(b, from, e)
	case d.acceptance.refusesAll():
		b.alone = true
	default:
		b.narrow(from, to-from, e)
	}
	switch {
	case b.isSettled(), b.waits() && !(b.tried >= triedAlone && d.acceptance.refusesAll()):
		return nil
	case d.acceptance.refusesAll():
		return refusesAll(e)
	}
	return e
}

func refusesAll(e *router.Error) *router.Error {
	return &router.Error{
		Class: router.ClassConfig, Op: e.Op, Bad: router.NoRecord, Err: e,
		Cause: fmt.Sprintf("the receiver has refused the last %d records and accepted none, so they are kept: %s", refusedInARow, e.Cause),
		Hint:  "check that the address is the receiver's, and what it accepts",
	}
}

// refusedAlone drops the record, or keeps it until the receiver has accepted another.
func (d *Delivery) refusedAlone(b *batch, record int, e *router.Error) {
	i := b.partOf(record)
	p := &b.parts[i]
	if record >= p.counted {
		p.counted = record + 1
		d.acceptance.rejected()
	}
	b.suspect = -1
	if b.accepted || d.acceptance.isRecent() {
		d.drop(b, p, e)
		return
	}
	if !b.alone && !d.acceptance.refusesAll() { // else each try goes on where the last one ended
		b.turn = i + 1
	}
	b.alone = true
	b.tried++
	p.refused++
}

// retryRefused makes the records that were refused before the receiver accepted another wait again: it may have begun to
// accept them in between. One that it refuses again is dropped.
func (b *batch) retryRefused() {
	for i := range b.parts {
		b.parts[i].refused = 0
	}
}

// settleEach settles the records from at to to-1, as far as the receiver has said of each of them what became of it, and takes
// them out of b. A record that is refused waits when nothing shows that the receiver accepts others. It returns how many
// are settled, and whether any of them was taken.
func (d *Delivery) settleEach(b *batch, at, to int, e *router.Error) (gone int, taken bool) {
	outcomes := e.Outcomes[:min(len(e.Outcomes), to-at)]
	if len(outcomes) == 0 {
		return 0, false
	}
	d.window.succeeded(b.size(at, at+len(outcomes)))
	if taken = slices.ContainsFunc(outcomes, func(o router.Outcome) bool { return o == router.Taken || o == router.Discarded }); taken {
		b.retryRefused()
		d.acceptance.accepted()
		b.accepted, b.alone = true, false
		b.widen(len(outcomes))
	}
	settled := make([]bool, len(outcomes))
	for i, o := range outcomes {
		settled[i] = o == router.Taken || o == router.Discarded || o == router.Refused && d.gives(b, at+i, e)
		if o == router.Discarded {
			d.reject(b, &b.parts[b.partOf(at+i)], at+i, e)
		}
		if settled[i] {
			gone++
		}
	}
	if e.Bad >= 0 {
		e.Bad -= gone // it is behind them
	}
	b.remove(at, settled)
	return gone, taken
}

// gives reports whether the record, which the receiver has refused beside others, is given up. Then it has counted it.
func (d *Delivery) gives(b *batch, record int, e *router.Error) bool {
	p := &b.parts[b.partOf(record)]
	if !b.accepted && record >= p.counted {
		p.counted = record + 1
		d.acceptance.rejected()
	}
	if !b.accepted && !d.acceptance.isRecent() {
		return false
	}
	d.reject(b, p, record, e)
	return true
}

// drop gives up the first record of p that is not settled.
func (d *Delivery) drop(b *batch, p *part, e *router.Error) {
	d.reject(b, p, p.next, e)
	p.next++
}

// reject counts a record of p that is given up.
func (d *Delivery) reject(b *batch, p *part, record int, e *router.Error) {
	if unnamed, ok := d.drops.next(); ok {
		attrs := append(slices.Clone(p.feed.Attrs()), slog.Int("bytes", b.size(record, record+1)),
			slog.String("class", string(e.Class)), slog.Any("error", e))
		if unnamed > 0 {
			attrs = append(attrs, slog.Int("unnamed", unnamed)) // dropped since the last message
		}
		d.config.Log.LogAttrs(context.Background(), slog.LevelWarn, "record dropped: the receiver refuses it, and accepts others", attrs...)
	}
	p.rejected++
}

// refusedUnnamed counts records that the receiver has refused of the n from from on, which are settled all the same: it has
// not said which. They count for the first sessions of the request, so that the sum is right.
func (d *Delivery) refusedUnnamed(b *batch, from, n int, e *router.Error) {
	left := min(e.Refused, n)
	if unnamed, ok := d.drops.next(); ok {
		d.config.Log.LogAttrs(context.Background(), slog.LevelWarn, "records dropped: the receiver refuses them, and accepts others",
			slog.Int("records", left), slog.Int("of", n), slog.String("class", string(e.Class)), slog.Any("error", e), slog.Int("unnamed", unnamed))
	}
	for i := b.partOf(from); left > 0; i++ {
		p := &b.parts[i]
		here := min(left, min(p.end, from+n)-p.next)
		p.rejected += here
		left -= here
	}
}

// At most dropBurst messages about dropped records at once, and then one each dropPause.
const (
	dropBurst = 20
	dropPause = 10 * time.Second
)

// limiter says which of many dropped records are named in the log.
type limiter struct {
	mu      sync.Mutex
	spent   int
	since   time.Time // when spent was counted last
	unnamed int
}

// next reports whether the next record is named, and how many were not since the last that was.
func (l *limiter) next() (unnamed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if n := int(now.Sub(l.since) / dropPause); l.since.IsZero() || n >= l.spent {
		l.spent, l.since = 0, now
	} else {
		l.spent -= n
		l.since = l.since.Add(time.Duration(n) * dropPause)
	}
	if l.spent >= dropBurst {
		l.unnamed++
		return 0, false
	}
	l.spent++
	unnamed, l.unnamed = l.unnamed, 0
	return unnamed, true
}
