package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// gate is the circuit breaker of a Delivery: while the router fails, one worker at a time tries, after a pause.
type gate struct {
	probe chan struct{} // holds one element while somebody tries

	mu       sync.Mutex
	failures int // in a row
	next     time.Time
}

// pass calls send when it is its turn, and tells after how many failures that was.
func (g *gate) pass(ctx context.Context, send func() error) (failures int, err error) {
	if failures, _ = g.state(); failures == 0 {
		return 0, send()
	}
	select {
	case g.probe <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-g.probe }()
	failures, next := g.state()
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

func (g *gate) state() (failures int, next time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures, g.next
}

// open tells whether it was closed.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.failures > 0
	g.failures, g.next = 0, time.Time{}
	return was
}

// close tells whether it was open. A request that began after fewer failures than there are now says nothing new: it was
// under way together with another that has failed, with the same token, say.
func (g *gate) close(e *router.Error, failures int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if failures < g.failures {
		return false
	}
	g.failures++
	g.next = time.Now().Add(nextPause(g.failures, e))
	return g.failures == 1
}
