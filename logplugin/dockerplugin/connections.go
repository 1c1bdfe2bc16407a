package dockerplugin

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections are those on which a call has begun to arrive and has no answer yet.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// note is a http.Server's ConnState.
func (a *connections) note(c net.Conn, state http.ConnState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open = map[net.Conn]struct{}{}
	}
	switch state {
	case http.StateActive:
		a.open[c] = struct{}{}
	case http.StateClosed, http.StateHijacked, http.StateIdle:
		delete(a.open, c)
	}
}

func (a *connections) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}

// wait waits until there are none, or ctx ends, and returns how many there are.
func (a *connections) wait(ctx context.Context) int {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for a.count() > 0 {
		select {
		case <-t.C:
		case <-ctx.Done():
			return a.count()
		}
	}
	return 0
}
