package hostcache

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/ttl"
)

const canary = "c4n4ry-v4lue-in-the-cache"

var policy = ttl.Policy{TTL: 5 * time.Minute, Stale: time.Hour}

// clock is a clock that stands still until it is set forward. Time may pass, or somebody may step the wall clock.
type clock struct {
	mu      sync.Mutex
	now     time.Time
	stepped time.Duration
}

// boot counts from a fixed moment on, and no step changes it.
func (c *clock) boot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.Sub(t0) - c.stepped
}

func (c *clock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.stepped = c.now.Add(d), c.stepped+d
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// open returns a cache in a directory of the test's own.
func open(t testing.TB, o Options) *Cache {
	t.Helper()
	if o.Dirs == nil {
		o.Dirs = []string{filepath.Join(t.TempDir(), "secretref")}
	}
	c := Open(o)
	if d := c.Disabled(); d != "" {
		t.Fatalf("no cache: %s", d)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// newKey returns a key that no other test has. Its kernel key is gone after the test.
func newKey(t testing.TB, rest ...string) Key {
	t.Helper()
	k := NewKey([]string{t.Name(), time.Now().String()}, rest)
	t.Cleanup(func() {
		dropKey(k.ID)
		if hasKey(k.ID) {
			t.Errorf("the key of %v is still in the keyring", k)
		}
	})
	return k
}

// source is an AWS that counts.
type source struct {
	calls  int
	value  string
	err    error
	window func() ttl.Window
}

func (s *source) fetch(context.Context) (Fetched, error) {
	s.calls++
	if s.err != nil {
		return Fetched{}, s.err
	}
	return Fetched{Payload: secret.New(s.value), VersionID: fmt.Sprint("v", s.calls), Window: s.window()}, nil
}

func newSource(c *clock) *source {
	return &source{value: canary, window: func() ttl.Window { return policy.Value(c.Now()) }}
}

func failure(k fault.Kind) error {
	return fmt.Errorf("registry ghcr.io: %w", &fault.Error{Kind: k, Op: "get secret prod/ghcr", Region: "eu-west-1", Cause: "no", Hint: "fix it"})
}

func TestRoundTrip(t *testing.T) {
	clk := newClock()
	c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
	if a, ok := c.Lookup(k); ok {
		t.Fatalf("an empty cache gives %+v", a)
	}
	for i := range 3 {
		a, err := c.Do(t.Context(), k, s.fetch)
		if err != nil || a.Payload.Reveal() != canary || a.VersionID != "v1" || a.Stale || a.Err != nil {
			t.Fatalf("Do %d = %+v, %v", i, a, err)
		}
	}
	if s.calls != 1 {
		t.Errorf("%d calls for three answers, want 1", s.calls)
	}
	other := open(t, Options{Now: clk.Now, Boot: clk.boot, Dirs: c.dirs})
	a, ok := other.Lookup(k)
	if !ok || a.Payload.Reveal() != canary || !a.Read.Equal(clk.Now()) {
		t.Errorf("another Cache on the directory gives %+v, %v", a, ok)
	}
	if p, ok := c.Peek(k); !ok || !p.Payload.IsEmpty() || p.VersionID != "v1" || !p.Window.End.Equal(a.Window.End) {
		t.Errorf("Peek = %+v, %v; want the window and no value", p, ok)
	}
	if _, ok := c.Lookup(NewKey([]string{"another"}, nil)); ok {
		t.Error("another key is found too")
	}
}

func TestWindows(t *testing.T) {
	down, denied := failure(fault.Unreachable), failure(fault.Denied)
	type step struct {
		forward time.Duration
		err     error // what AWS says, were it asked
		value   string
		calls   int // so far
		want    string
	}
	for name, steps := range map[string][]step{
		"fresh, then asked again": {
			{0, nil, "one", 1, "one"},
			{4 * time.Minute, nil, "two", 1, "one"},
			{2 * time.Minute, nil, "two", 2, "two"},
		},
		"stands in while AWS is down, which is asked every 15 s": {
			{0, nil, "one", 1, "one"},
			{6 * time.Minute, down, "", 2, "one stale Unreachable"},
			{14 * time.Second, down, "", 2, "one stale Unreachable"},
			{2 * time.Second, down, "", 3, "one stale Unreachable"},
			{16 * time.Second, nil, "two", 4, "two"},
		},
		"not past the end of the window": {
			{0, nil, "one", 1, "one"},
			{64*time.Minute + 59*time.Second, down, "", 2, "one stale Unreachable"},
			{2 * time.Second, down, "", 3, "error Unreachable"},
		},
		"throttled and without credentials are transient too": {
			{0, nil, "one", 1, "one"},
			{6 * time.Minute, failure(fault.Throttled), "", 2, "one stale Throttled"},
			{16 * time.Second, failure(fault.NoCredentials), "", 3, "one stale NoCredentials"},
		},
		"denied drops the value at once, and is remembered": {
			{0, nil, "one", 1, "one"},
			{6 * time.Minute, denied, "", 2, "error Denied"},
			{9 * time.Second, nil, "two", 2, "error Denied"},
			{2 * time.Second, down, "", 3, "error Unreachable"},
		},
		"denied while it stands in": {
			{0, nil, "one", 1, "one"},
			{6 * time.Minute, down, "", 2, "one stale Unreachable"},
			{16 * time.Second, denied, "", 3, "error Denied"},
			{11 * time.Second, down, "", 4, "error Unreachable"},
		},
		"a failure without value": {
			{0, failure(fault.NotFound), "", 1, "error NotFound"},
			{time.Second, nil, "one", 1, "error NotFound"},
			{10 * time.Second, nil, "one", 2, "one"},
		},
		"a transient failure is not remembered": {
			{0, down, "", 1, "error Unreachable"},
			{0, down, "", 2, "error Unreachable"},
			{time.Second, nil, "one", 3, "one"},
		},
		"an error without kind is nobody's": {
			{0, errors.New("bug"), "", 1, "error "},
			{0, nil, "one", 2, "one"},
			{6 * time.Minute, errors.New("bug"), "", 3, "error "},
			{0, down, "", 4, "one stale Unreachable"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			clk := newClock()
			c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
			for i, st := range steps {
				clk.forward(st.forward)
				s.value, s.err = st.value, st.err
				a, err := c.Do(t.Context(), k, s.fetch)
				got := a.Payload.Reveal()
				if a.Stale {
					got += " stale " + string(a.StaleErr.Kind)
				}
				if err != nil {
					got = "error " + string(fault.KindOf(err))
				}
				if got != st.want || s.calls != st.calls {
					t.Fatalf("step %d: %q after %d calls, want %q after %d", i, got, s.calls, st.want, st.calls)
				}
				if d := c.Disabled(); d != "" {
					t.Errorf("step %d: trouble: %s", i, d)
				}
			}
		})
	}
}

// What comes from memory must read like what came from AWS.
func TestRememberedFailure(t *testing.T) {
	clk := newClock()
	c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
	s.err = failure(fault.Denied)
	if _, err := c.Do(t.Context(), k, s.fetch); !errors.Is(err, s.err) {
		t.Fatalf("Do = %v, want fetch's own error", err)
	}
	a, ok := c.Lookup(k)
	want := "get secret prod/ghcr in eu-west-1: no; fix it"
	if !ok || a.Err == nil || a.Err.Error() != want || !errors.Is(a.Err, fault.Denied) || !a.Payload.IsEmpty() {
		t.Errorf("Lookup = %+v, %v; want the failure %q", a, ok, want)
	}
	if _, err := c.Do(t.Context(), k, s.fetch); err == nil || err.Error() != want || s.calls != 1 {
		t.Errorf("Do = %v after %d calls, want %q from memory", err, s.calls, want)
	}
}

func TestNotKept(t *testing.T) {
	clk := newClock()
	for name, f := range map[string]Fetched{
		"window that has ended": {Payload: secret.New(canary), Window: ttl.Policy{}.Value(clk.Now())},
		"zero window":           {Payload: secret.New(canary)},
		"too large":             {Payload: secret.New(strings.Repeat("x", maxPlain)), Window: policy.Value(clk.Now())},
	} {
		t.Run(name, func(t *testing.T) {
			c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
			s.window = func() ttl.Window { return ttl.Window{Fresh: clk.Now(), End: clk.Now().Add(time.Hour)} }
			if _, err := c.Do(t.Context(), k, s.fetch); err != nil {
				t.Fatal(err)
			}
			a, err := c.Do(t.Context(), k, func(context.Context) (Fetched, error) { return f, nil })
			if err != nil || !a.Payload.Equal(f.Payload) {
				t.Fatalf("Do = %+v, %v; want the answer all the same", a, err)
			}
			if p, ok := c.Peek(k); ok {
				t.Errorf("%+v is kept; neither this answer nor the older one may be", p)
			}
		})
	}
}

func TestNil(t *testing.T) {
	var c *Cache
	k, s := newKey(t), newSource(newClock())
	if _, ok := c.Lookup(k); ok {
		t.Error("a nil cache has something")
	}
	for range 2 {
		if a, err := c.Do(t.Context(), k, s.fetch); err != nil || a.Payload.Reveal() != canary {
			t.Errorf("Do = %+v, %v", a, err)
		}
	}
	s.err = failure(fault.Denied)
	if _, err := c.Do(t.Context(), k, s.fetch); !errors.Is(err, fault.Denied) {
		t.Errorf("Do = %v, want Denied", err)
	}
	if c.Erase(k) != nil || c.EraseGroup(k.Group) != nil || c.Close() != nil || c.Disabled() == "" || s.calls != 3 {
		t.Errorf("a nil cache is not simply off (%q, %d calls)", c.Disabled(), s.calls)
	}
	bad := Key{Group: "../../..", ID: k.ID}
	if a, err := open(t, Options{}).Do(t.Context(), bad, newSource(newClock()).fetch); err != nil || a.Payload.Reveal() != canary {
		t.Errorf("with a key not of NewKey: %+v, %v; want an uncached answer", a, err)
	}
}

func TestErase(t *testing.T) {
	clk := newClock()
	base := t.TempDir()
	dirs := []string{filepath.Join(base, "a"), filepath.Join(base, "b")}
	first, second := open(t, Options{Now: clk.Now, Boot: clk.boot, Dirs: dirs[:1]}), open(t, Options{Now: clk.Now, Boot: clk.boot, Dirs: dirs[1:]})
	group := []string{t.Name()}
	one, two, other := NewKey(group, []string{"1"}), NewKey(group, []string{"2"}), newKey(t)
	for _, fill := range []struct {
		c *Cache
		k Key
	}{{first, one}, {second, two}, {first, other}} {
		t.Cleanup(func() { dropKey(fill.k.ID) })
		if _, err := fill.c.Do(t.Context(), fill.k, newSource(clk).fetch); err != nil {
			t.Fatal(err)
		}
	}
	both := open(t, Options{Now: clk.Now, Boot: clk.boot, Dirs: dirs})
	if err := both.EraseGroup(one.Group); err != nil {
		t.Fatal(err)
	}
	if _, ok := first.Lookup(one); ok || hasKey(one.ID) || hasKey(two.ID) {
		t.Errorf("after EraseGroup: found %v, keys %v %v", ok, hasKey(one.ID), hasKey(two.ID))
	}
	if _, ok := first.Lookup(other); !ok {
		t.Error("another group was erased as well")
	}
	if left, _ := filepath.Glob(base + "/*/" + one.Group + "*"); len(left) != 0 {
		t.Errorf("files are left: %v", left)
	}
	if err := both.Erase(other); err != nil || hasKey(other.ID) {
		t.Errorf("Erase = %v, key there: %v", err, hasKey(other.ID))
	}
	if left, _ := filepath.Glob(base + "/*/*"); len(left) != 0 {
		t.Errorf("files are left: %v", left)
	}
	if both.Erase(other) != nil || both.EraseGroup("../..") != nil {
		t.Error("erasing nothing is an error")
	}
}

// The call that was under way at docker logout read the old secret: its answer must not come back.
func TestEraseDuringFetch(t *testing.T) {
	clk := newClock()
	c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
	for name, erase := range map[string]func() error{
		"Erase":      func() error { return c.Erase(k) },
		"EraseGroup": func() error { return c.EraseGroup(k.Group) },
	} {
		a, err := c.Do(t.Context(), k, func(ctx context.Context) (Fetched, error) {
			if err := erase(); err != nil {
				t.Error(err)
			}
			return s.fetch(ctx)
		})
		if err != nil || a.Payload.Reveal() != canary {
			t.Fatalf("%s: Do = %+v, %v", name, a, err)
		}
		if p, ok := c.Peek(k); ok {
			t.Errorf("%s: %+v was kept", name, p)
		}
	}
}

// One that waits takes over a failure too, else everybody behind a hung call would hang in turn.
func TestWaiterTakesTransientFailure(t *testing.T) {
	c, k := open(t, Options{}), newKey(t)
	waiting := make(chan struct{})
	var once sync.Once
	waiter := open(t, Options{Dirs: c.dirs, Boot: func() time.Duration {
		now := sinceBoot()
		once.Do(func() { close(waiting) }) // the first look at the clock is when it begins to wait
		return now
	}})
	fetching := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Do(t.Context(), k, func(context.Context) (Fetched, error) {
			close(fetching)
			<-waiting
			return Fetched{}, failure(fault.Unreachable)
		})
		if !errors.Is(err, fault.Unreachable) {
			t.Errorf("holder: %v", err)
		}
	})
	<-fetching
	_, err := waiter.Do(t.Context(), k, func(context.Context) (Fetched, error) {
		t.Error("the waiter asked as well")
		return Fetched{}, failure(fault.Denied)
	})
	wg.Wait()
	if !errors.Is(err, fault.Unreachable) {
		t.Errorf("waiter: %v, want the holder's failure", err)
	}
	s := newSource(newClock())
	if _, err := c.Do(t.Context(), k, s.fetch); err != nil || s.calls != 1 {
		t.Errorf("one that came later: %v after %d calls, want a call of its own", err, s.calls)
	}
}

// Somebody's Ctrl-C is not an outcome for others.
func TestCancelledFetchIsNotRecorded(t *testing.T) {
	c, k := open(t, Options{}), newKey(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Do(ctx, k, func(context.Context) (Fetched, error) {
		cancel()
		return Fetched{}, failure(fault.Unreachable)
	})
	if p, ok := c.Peek(k); ok || !errors.Is(err, fault.Unreachable) {
		t.Errorf("recorded %+v, %v; want nothing", p, err)
	}
}

func TestFetchGetsLessTimeThanWaiters(t *testing.T) {
	c, k := open(t, Options{}), newKey(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := c.Do(ctx, k, func(ctx context.Context) (Fetched, error) {
		end, ok := ctx.Deadline()
		if left := time.Until(end); !ok || left > 8*time.Second || left < 7*time.Second {
			t.Errorf("fetch has %v of 10 s, want 8 s", left)
		}
		return Fetched{}, failure(fault.NotFound)
	})
	if !errors.Is(err, fault.NotFound) {
		t.Errorf("Do = %v", err)
	}
}

func BenchmarkLookup(b *testing.B) {
	for name, size := range map[string]int{"token": 200, "64KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			c, k := open(b, Options{}), newKey(b)
			value := secret.New(strings.Repeat("x", size))
			if _, err := c.Do(b.Context(), k, func(context.Context) (Fetched, error) {
				return Fetched{Payload: value, Window: policy.Value(time.Now())}, nil
			}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := c.Lookup(k); !ok {
					b.Fatal("gone")
				}
			}
		})
	}
}
