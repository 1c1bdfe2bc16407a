package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// breaker is the circuit breaker of a Delivery: while the router fails, one worker at a time tries, after a pause.
type breaker struct {
	probe chan struct{} // holds one element while a worker tries

	mu       sync.Mutex
	failures int // in a row
	next     time.Time
}

// pass calls send when it is its turn, and returns after how many failures that was.
func (b *breaker) pass(ctx context.Context, send func() error) (failures int, err error) {
	if failures, _ = b.state(); failures == 0 {
		return 0, send()
	}
	select {
	case b.probe <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-b.probe }()
	failures, next := b.state()
	pause := time.NewTimer(time.Until(next))
	defer pause.Stop()
	select {
	case <-pause.C:
		if ctx.Err() != nil { // both may be due
			return failures, ctx.Err()
		}
		return failures, send()
	case <-ctx.Done():
		return failures, ctx.Err()
	}
}

func (b *breaker) state() (failures int, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures, b.next
}

// succeeded closes the breaker and reports whether it was open.
func (b *breaker) succeeded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.failures > 0
	b.failures, b.next = 0, time.Time{}
	return was
}

// failed opens the breaker and reports whether it was closed. A request that began after fewer failures than there are
// now says nothing new: it was under way together with another that has failed, with the same token, say. A receiver that has taken
// most of a request, and puts off the rest for its load, is well: the pauses begin anew.
func (b *breaker) failed(e *router.Error, failures int, mostTaken bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if failures < b.failures {
		// But a pause that the receiver asks for is one, whichever request it was told to.
		if until := time.Now().Add(e.RetryAfter); e.RetryAfter > 0 && until.After(b.next) {
			b.next = until
		}
		return false
	}
	wasClosed := b.failures == 0
	if b.failures++; mostTaken && e.Class == router.ClassRetry {
		b.failures = 1
	}
	b.next = time.Now().Add(nextPause(b.failures, e))
	return wasClosed
}
