package hostcache

import (
	"fmt"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fault"
)

// Wherever the wall clock is set to, and in between as well, a value is used for its time and no longer.
func TestClockSteps(t *testing.T) {
	const hour = time.Hour
	for name, steps := range map[string][]time.Duration{
		"forward":          {hour},
		"back":             {-hour},
		"forward and back": {hour, -hour},
		"back and forward": {-hour, hour},
		"back three times": {-hour, -hour, -hour},
	} {
		clk := newClock()
		c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t, name), newSource(clk)
		get := func(what, want string, calls int) {
			t.Helper()
			a, err := c.Do(t.Context(), k, s.fetch)
			got := a.Payload.Reveal()
			if a.Stale {
				got += " stale"
			}
			if err != nil {
				got = "error"
			}
			if got != want || s.calls != calls {
				t.Errorf("%s: %s: %q after %d calls, want %q after %d", name, what, got, s.calls, want, calls)
			}
		}
		s.value = "one"
		get("first", "one", 1)
		s.value = "two"
		for i, d := range steps {
			clk.step(d)
			clk.forward(time.Minute)
			get(fmt.Sprint("inside the ttl, after step ", i), "one", 1)
		}
		s.err = failure(fault.Unreachable)
		clk.forward(5 * time.Minute)
		get("past the ttl, AWS does not answer", "one stale", 2)
		for _, d := range steps {
			clk.step(d)
		}
		get("and is left alone", "one stale", 2)
		clk.forward(16 * time.Second)
		get("asked again", "one stale", 3)
		clk.step(-hour)
		clk.forward(time.Hour)
		get("past the stale window", "error", 4)
		clk.step(hour)
		s.err = nil
		get("AWS is back", "two", 5)
		clk.step(-hour)
		get("kept", "two", 5)
	}
}

// An entry of an earlier start of the host has no age.
func TestBootInBetween(t *testing.T) {
	clk := newClock()
	c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
	if _, err := c.Do(t.Context(), k, s.fetch); err != nil {
		t.Fatal(err)
	}
	booted := open(t, Options{Dirs: c.dirs, Now: clk.Now, Boot: func() time.Duration { return time.Minute }})
	if a, ok := booted.Lookup(k); ok {
		t.Errorf("it gives %+v", a)
	}
}
