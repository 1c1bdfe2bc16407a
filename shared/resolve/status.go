package resolve

import (
	"context"
	"time"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/ttl"
)

// idle is how long a unit that AWS did not answer counts as waiting when it is not asked for again.
const idle = time.Minute

// Status says how the calls to AWS stand.
type Status struct {
	InFlight   int           // secrets and parameters that are being asked for
	Unanswered time.Duration // for how long the oldest question has had no answer, over all its attempts; 0 = there is none
}

// Status returns what is now. A call that hangs is shown while it hangs: its error comes only with its deadline.
func (r *Resolver) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	var s Status
	for _, e := range r.units {
		if e.done != nil {
			s.InFlight++
		}
		if e.waits(now) {
			s.Unanswered = max(s.Unanswered, now.Sub(e.asked))
		}
	}
	return s
}

// waits reports whether the entry has been asked for without an answer, and is still wanted.
func (e *entry) waits(now time.Time) bool {
	return !e.asked.IsZero() && (e.done != nil || now.Sub(e.tried) < idle)
}

// begin notes that a flight starts.
func (e *entry) begin(now time.Time) {
	e.done = make(chan struct{})
	if e.tried = now; e.asked.IsZero() {
		e.asked = now
	}
}

// end notes how a flight ended. What AWS refuses it has answered.
func (e *entry) end(now time.Time, kind fault.Kind) {
	e.tried = now
	if kind != fault.Unreachable {
		e.asked = time.Time{}
	}
	clear(e.told)
	close(e.done)
	e.done = nil
}

// Forget makes the next Resolve of q ask AWS. A failure that is remembered is dropped; a value may still stand in while AWS
// does not answer.
func (r *Resolver) Forget(q Request) {
	r.change(q, func(e *entry) {
		if e.answer.err != nil {
			e.window = ttl.Window{}
		} else {
			e.window.Fresh = time.Time{}
		}
	})
}

// Renew makes the next Resolve of q ask AWS although a value is kept. The value may stand in while AWS does not answer, and what says that
// AWS does not, or has refused a moment ago, stays.
func (r *Resolver) Renew(q Request) {
	r.change(q, func(e *entry) {
		if e.answer.err == nil && e.stale == nil {
			e.window.Fresh = time.Time{}
		}
	})
}

// change applies f to what is known of q's unit, if anything is.
func (r *Resolver) change(q Request, f func(*entry)) {
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	u, err := r.unit(ctx, q)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.units[u]; e != nil {
		f(e)
	}
}
