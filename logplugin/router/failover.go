package router

import (
	"sync"
	"time"
)

// When a router with several addresses leaves one, and when it looks at the first again.
const (
	leaveAfter    = 3 // failures in a row, or
	leaveWithin   = 10 * time.Second
	returnToFirst = time.Minute
)

// Failover chooses among the addresses of one router: the first while it works, and the next one after it has failed
// for a while. One batch a minute tries the first again. Whoever uses it sends one batch at a time, so that the lines of
// a container stay in order. The zero value is ready for use, and safe for concurrent use.
type Failover struct {
	mu       sync.Mutex
	current  int
	failures int       // of current, in a row
	since    time.Time // of the first of them
	tried    time.Time // the first address, for the last time; zero while it is the current one
}

// Choose returns the index of the address for the next batch, of n. With probe it is the first one, which has failed
// before: another may be used at once when it fails again.
func (f *Failover) Choose(n int) (index int, probe bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current >= n {
		f.current, f.failures = 0, 0
	}
	if f.current != 0 && time.Since(f.tried) >= returnToFirst {
		f.tried = time.Now()
		return 0, true
	}
	return f.current, false
}

// Report says how the use of an address of n has ended.
func (f *Failover) Report(index, n int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	switch {
	case ok && index == 0 && f.current != 0, ok && index == f.current:
		f.current, f.failures = index, 0
		return
	case ok || index != f.current:
		return // of a probe, or of an address that was left meanwhile
	}
	if f.failures++; f.failures == 1 {
		f.since = now
	}
	if n > 1 && (f.failures >= leaveAfter || now.Sub(f.since) >= leaveWithin) {
		if f.current == 0 {
			f.tried = now
		}
		f.current, f.failures = (f.current+1)%n, 0
	}
}
