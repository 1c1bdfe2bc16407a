package delivery

import (
	"math"
	"sync"
)

const (
	smallestRequest = 64 << 10
	growEvery       = 10 // accepted requests
	growSteps       = 16 // from nothing to the largest
)

// window is how many bytes go into one request. A request that had no answer in its time halves it: a slow link or a
// slow receiver may take less in the same time. It grows back slowly, because each time-out costs a wait, and lines that
// the receiver may have taken all the same are sent twice.
type window struct {
	largest int

	mu       sync.Mutex
	bytes    int
	accepted int // requests of about this size, in a row
}

// request returns how many bytes a request may have. Before the first time-out that is what there is in a batch: Fill ends
// a little behind the limit that it is given.
func (w *window) request() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bytes >= w.largest {
		return math.MaxInt
	}
	return w.bytes
}

// batch returns the limit for Fill: so much that a batch is one request, if its records are not very long.
func (w *window) batch() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bytes >= w.largest {
		return w.largest
	}
	return w.bytes - w.bytes/16
}

// timedOut halves the size after a request of sent bytes. A small one says nothing about it.
func (w *window) timedOut(sent int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accepted = 0
	if half := max(sent/2, smallestRequest); half < w.bytes {
		w.bytes = half
	}
}

func (w *window) succeeded(sent int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bytes >= w.largest || sent < w.bytes/2 {
		return
	}
	if w.accepted++; w.accepted >= growEvery {
		w.accepted = 0
		w.bytes = min(w.largest, w.bytes+w.largest/growSteps)
	}
}
