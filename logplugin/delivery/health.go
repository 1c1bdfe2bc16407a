package delivery

import (
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Status is what an operator wants to know.
type Status struct {
	Requests     uint64 // that were taken
	LastError    string // of the failure that lasts; "" = none
	Class        router.Class
	FailingSince time.Time
	// InFlightSince is when the oldest request began that has no answer yet; zero = there is none.
	InFlightSince time.Time
}

// health is how requests go at present.
type health struct {
	mu       sync.Mutex
	status   Status
	logged   map[router.Class]bool       // the failures that the log has named since the last success
	requests map[*router.Batch]time.Time // without an answer yet, and when they began
}

// Status returns how the delivery is at present.
func (d *Delivery) Status() Status {
	h := &d.health
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.status
	for _, began := range h.requests {
		if s.InFlightSince.IsZero() || began.Before(s.InFlightSince) {
			s.InFlightSince = began
		}
	}
	return s
}

// begin notes that the request with b waits for its answer from now on, and end that it has one.
func (h *health) begin(b *router.Batch) time.Time {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests[b] = now
	return now
}

func (h *health) end(b *router.Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.requests, b)
}

// succeeded notes a success, and returns since when there was none.
func (h *health) succeeded() (since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since = h.status.FailingSince
	h.status = Status{Requests: h.status.Requests + 1}
	clear(h.logged)
	return since
}

// failed notes a failure, and reports whether it is the first of its class since the last success. first says that it is
// the first of all.
func (h *health) failed(e *router.Error, first bool) (news bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.LastError, h.status.Class = e.Error(), e.Class
	if first {
		h.status.FailingSince = time.Now()
	}
	news = !h.logged[e.Class]
	h.logged[e.Class] = true
	return news
}

func (d *Delivery) succeeded() {
	recovered := d.breaker.succeeded()
	if since := d.health.succeeded(); recovered {
		d.config.Log.Info("delivery works again", "after", time.Since(since).Round(time.Second))
	}
}

// failed notes a failure after so many others. mostTaken says that it is about less than half of the records of its request.
func (d *Delivery) failed(e *router.Error, failures int, mostTaken bool) {
	if d.health.failed(e, d.breaker.failed(e, failures, mostTaken)) {
		d.config.Log.Error("lines cannot be delivered; they are kept, and tried again", "class", string(e.Class), "error", e)
	}
}
