package ttl

import (
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fault"
)

var t0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func TestValue(t *testing.T) {
	p := Policy{TTL: 5 * time.Minute, Stale: time.Hour}
	different := false
	for range 200 {
		w := p.Value(t0)
		if age := w.Fresh.Sub(t0); age <= 270*time.Second || age > 300*time.Second {
			t.Fatalf("fresh for %v, want over 4m30s and at most 5m", age)
		}
		if got := w.End.Sub(t0); got != 65*time.Minute {
			t.Fatalf("usable for %v, want 1h5m", got)
		}
		different = different || w.Fresh != p.Value(t0).Fresh
	}
	if !different {
		t.Error("no jitter in 200 values")
	}
	for _, p := range []Policy{{}, {Stale: time.Hour}} {
		if w := p.Value(t0); w.IsFresh(t0) || w.IsUsable(t0) {
			t.Errorf("%+v keeps a value", p)
		}
	}
	w := Policy{TTL: time.Minute}.Value(t0)
	if w.IsUsable(t0.Add(time.Minute)) {
		t.Error("without a stale window the value outlives its TTL")
	}
}

// ECS drops a token between 30 and 60 minutes before its end; tokens live for 12 hours.
func TestUntil(t *testing.T) {
	expiry := t0.Add(12 * time.Hour)
	for range 200 {
		w := Until(t0, expiry)
		left := expiry.Sub(w.Fresh)
		if left <= 30*time.Minute || left > 60*time.Minute {
			t.Fatalf("renewed %v before the end, want 30 to 60 minutes", left)
		}
		if !w.IsUsable(expiry.Add(-2*time.Minute)) || w.IsUsable(expiry.Add(-30*time.Second)) {
			t.Fatalf("stands in until %v, want a minute before %v", w.End, expiry)
		}
	}
	if w := Until(t0, t0); w.IsFresh(t0) || w.IsUsable(t0) {
		t.Error("an expired token is kept")
	}
}

func TestFailure(t *testing.T) {
	for _, k := range fault.Kinds() {
		w := Failure(k, t0)
		if got := w.IsFresh(t0.Add(time.Second)); got == k.Transient() {
			t.Errorf("%s is remembered: %v", k, got)
		}
		if w.IsFresh(t0.Add(11 * time.Second)) {
			t.Errorf("%s is remembered for too long", k)
		}
	}
	if Failure("", t0).IsFresh(t0) {
		t.Error("a failure without kind is remembered")
	}
}

func TestStaleServed(t *testing.T) {
	w := Window{t0, t0.Add(time.Minute)}.StaleServed(t0.Add(time.Second))
	if !w.IsFresh(t0.Add(15*time.Second)) || w.IsFresh(t0.Add(16*time.Second)) {
		t.Errorf("fresh until %v, want 16 s", w.Fresh.Sub(t0))
	}
	if w.End != t0.Add(time.Minute) {
		t.Error("serving it has moved its end")
	}
	if w = w.StaleServed(t0.Add(59 * time.Second)); w.Fresh.After(w.End) {
		t.Error("fresh beyond its end")
	}
}
