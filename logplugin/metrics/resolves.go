package metrics

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/secretref/secretref/shared/fault"
)

// Resolves counts the answers of AWS, and knows whether it answers at present. Its zero value is ready.
type Resolves struct {
	mu     sync.Mutex
	count  map[fault.Kind]float64
	failed fault.Kind // of the last call, if AWS itself has failed; "" means that it has answered
	since  time.Time  // of the first failure in a row
	last   time.Time  // of the last one
}

// A failure that is older says nothing of now: nobody has asked since.
const troubleFor = 10 * time.Minute

// Observe is for resolve.Options.
func (r *Resolves) Observe(k fault.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil {
		r.count = map[fault.Kind]float64{}
	}
	r.count[k]++
	if k == "" || !k.Transient() { // a refusal is an answer
		r.failed = ""
		return
	}
	now := time.Now()
	if r.failed == "" || now.Sub(r.last) > troubleFor {
		r.since = now
	}
	r.failed, r.last = k, now
}

// Trouble says what is wrong with AWS at present; "" means that nothing is known to be.
func (r *Resolves) Trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == "" || time.Since(r.last) > troubleFor {
		return ""
	}
	return fmt.Sprintf("AWS does not answer (%s) since %s; secrets that are known are used meanwhile", r.failed, r.since.UTC().Format(time.RFC3339))
}

func (r *Resolves) counts() map[fault.Kind]float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.count)
}
