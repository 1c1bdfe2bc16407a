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

// pass calls send when it is its turn.
func (g *gate) pass(ctx context.Context, send func(context.Context) error) error {
	if g.isOpen() {
		return send(ctx)
	}
	select {
	case g.probe <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.probe }()
	g.mu.Lock()
	next := g.next
	g.mu.Unlock()
	pause := time.NewTimer(time.Until(next))
	defer pause.Stop()
	select {
	case <-pause.C:
		return send(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures == 0
}

// open tells whether it was closed.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.failures > 0
	g.failures, g.next = 0, time.Time{}
	return was
}

// close tells whether it was open.
func (g *gate) close(e *router.Error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures++
	g.next = time.Now().Add(nextPause(g.failures, e))
	return g.failures == 1
}
