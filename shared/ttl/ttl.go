// Package ttl decides how old an answer from AWS may be. The cache inside a process and the one across processes ask
// the same three questions of it: may this be used as it is, may it stand in while AWS does not answer, and for how
// long is a failure remembered.
package ttl

import (
	"math/rand/v2"
	"time"

	"github.com/secretref/secretref/shared/fault"
)

// Failures of a permanent kind are remembered this long, so that a container in a restart loop does not hammer AWS.
// It is short, because a person may be changing the policy at this moment.
const negative = 10 * time.Second

// While AWS does not answer, a stale value is served this long before AWS is tried again: otherwise every single use
// inside the stale window would wait for a deadline.
const retryPause = 15 * time.Second

// Policy is how long a value is used. The zero Policy keeps nothing.
type Policy struct {
	TTL   time.Duration // a value younger than this is used without asking; 0 = always ask
	Stale time.Duration // past TTL, how long it may stand in for a transient failure; 0 = never
}

// Window is the life of one answer.
type Window struct {
	Fresh time.Time // until then it is used without asking
	End   time.Time // until then it may stand in for a transient failure
}

// Value returns the window of a value that was read at now. The fresh part is TTL less up to a tenth of it, so that a
// fleet which started together does not ask together.
func (p Policy) Value(now time.Time) Window {
	if p.TTL <= 0 {
		return Window{now, now}
	}
	return Window{now.Add(p.TTL - jitter(p.TTL/10)), now.Add(p.TTL + max(p.Stale, 0))}
}

// Until returns the window of a token that its issuer ends at expiry: it is renewed in the last twelfth of its life, at
// a random moment of the first half of that (an ECR token of 12 h between 30 and 60 minutes before its end), and may
// stand in up to a minute before the end.
func Until(now, expiry time.Time) Window {
	life := expiry.Sub(now)
	if life <= 0 {
		return Window{now, now}
	}
	last := life / 12
	return Window{expiry.Add(-last + jitter(last/2)), expiry.Add(-min(time.Minute, last))}
}

// Failure returns the window in which a failure of kind k is answered from memory. A transient failure is never.
func Failure(k fault.Kind, now time.Time) Window {
	if k == "" || k.Transient() {
		return Window{now, now}
	}
	end := now.Add(negative)
	return Window{end, end}
}

// StaleServed returns w after its value has stood in at now: it is fresh again for a short while, but its end stays.
func (w Window) StaleServed(now time.Time) Window {
	next := now.Add(retryPause)
	if next.After(w.End) {
		next = w.End
	}
	return Window{next, w.End}
}

// IsFresh reports whether the answer may be used without asking.
func (w Window) IsFresh(now time.Time) bool { return now.Before(w.Fresh) }

// IsUsable reports whether the answer may stand in for a transient failure.
func (w Window) IsUsable(now time.Time) bool { return now.Before(w.End) }

func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}
