// Package routertest is the suite that every log router must pass, and what the tests of routers share: captures of what
// Docker's own drivers send, and a secret that can be rotated.
//
// A router's test starts its receiver, says which failures it can have and what class each must be told as, and calls
// Run. What the records look like on the wire is the router's own test.
package routertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/secret"
)

// Subject is a router with its receiver.
type Subject struct {
	Router   router.Router
	Encoders []router.Encoder // of two sessions at least
	Received func() []string  // the lines that the receiver has accepted so far, in order
	Faults   []Fault
	Hang     func()   // from now on the receiver answers nothing
	Heal     func()   // ends Hang and all faults
	Rotate   func()   // from now on the receiver wants another credential; the sources know it once they are invalidated; nil means that there is none
	Secrets  []string // what must be in no error
	Cut      func()   // ends all connections, after which the receiver is well; nil means that there are none to speak of
	Fill     int      // records for which Send must wait while the receiver hangs; 0 = 2,000
}

func (s *Subject) fill() int {
	if s.Fill == 0 {
		return 2000
	}
	return s.Fill
}

// Fault is one way to fail.
type Fault struct {
	Name  string
	Break func()       // the next Send fails
	Lines int          // of the batch; 0 = 4. A stream without answers fails for sure only with more than the receiver's buffer holds
	Want  router.Class // and is told so
}

// Each step of the suite ends within this time, or has failed.
const limit = 20 * time.Second

// Run runs the suite; start is called for each part of it and registers its own clean-up.
func Run(t *testing.T, start func(t *testing.T) *Subject) {
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(t, start(t)) })
	}
	t.Run("leak", func(t *testing.T) { leaks(t, start) })
}

// RunSideBySide is Run for a router whose tests mostly wait: all parts run at the same time, but for the one that counts goroutines.
func RunSideBySide(t *testing.T, start func(t *testing.T) *Subject) {
	t.Run("parts", func(t *testing.T) {
		for _, p := range parts {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.run(t, start(t))
			})
		}
	})
	t.Run("leak", func(t *testing.T) { leaks(t, start) })
}

// The parts of the suite that need not be alone.
var parts = []struct {
	name string
	run  func(*testing.T, *Subject)
}{
	{"delivers", delivers}, {"faults", faults}, {"cancel", cancels}, {"deadline", ends}, {"rotation", rotates}, {"parallel", parallel},
}

// canary is in every line, and must be in no error.
const canary = "l1ne-c4n4ry"

// Batch returns n records, spread over the encoders, and their lines.
func Batch(encoders []router.Encoder, n int) (*router.Batch, []string) {
	b, lines := &router.Batch{}, []string{}
	for i := range n {
		line := fmt.Sprintf("%s %06d", canary, i)
		source := []byte("stdout")
		if i%3 == 0 {
			source = []byte("stderr")
		}
		b.Append(encoders[i*len(encoders)/n], &router.Record{TimeNano: 1795463301547679123 + int64(i), Position: int64(100 * i), Source: source, Line: []byte(line)})
		lines = append(lines, line)
	}
	return b, lines
}

func send(t *testing.T, s *Subject, b *router.Batch) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := s.Router.Send(ctx, b)
	var e *router.Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("Send gives %T, want *router.Error: %v", err, err)
	}
	if ctx.Err() != nil {
		t.Errorf("Send took until its deadline: %v", err)
	}
	return err
}

func delivers(t *testing.T, s *Subject) {
	if err := s.Router.Send(t.Context(), &router.Batch{}); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
	var want []string
	for _, n := range []int{1, 10, 1000} {
		b, lines := Batch(s.Encoders, n)
		body := string(b.Body)
		if err := send(t, s, b); err != nil {
			t.Fatalf("batch of %d: %v", n, err)
		}
		if string(b.Body) != body || b.Len() != n {
			t.Errorf("Send has changed the batch of %d", n)
		}
		want = append(want, lines...)
	}
	b, lines := Batch(s.Encoders, 10)
	if err := send(t, s, b.Slice(3, 7)); err != nil {
		t.Fatalf("a slice of a batch: %v", err)
	}
	want = append(want, lines[3:7]...)
	received(t, s, want)
	for range 5 { // a receiver that ends each connection after a batch costs a new one, and nothing is lost or doubled
		if s.Cut == nil {
			break
		}
		s.Cut()
		b, lines := Batch(s.Encoders, 10)
		if err := send(t, s, b); err != nil {
			t.Fatalf("after the end of a connection: %v", err)
		}
		want = append(want, lines...)
		received(t, s, want)
	}
}

// received waits until the receiver has all lines: without acknowledgement Send does not.
func received(t *testing.T, s *Subject, want []string) {
	t.Helper()
	var got []string
	Await(t, "the receiver has all lines", func() bool { got = s.Received(); return len(got) >= len(want) })
	if !slices.Equal(got, want) {
		t.Errorf("the receiver has %d lines, want %d: %.300q, want %.300q", len(got), len(want), got, want)
	}
}

// Await waits until what is true, at most limit.
func Await(t testing.TB, what string, true func() bool) {
	t.Helper()
	polltest.Until(t, limit, what, true)
}

func faults(t *testing.T, s *Subject) {
	for _, f := range s.Faults {
		t.Run(f.Name, func(t *testing.T) {
			defer s.Heal()
			f.Break()
			b, lines := Batch(s.Encoders, cmp.Or(f.Lines, 4))
			err := send(t, s, b)
			if got := router.ClassOf(err); got != f.Want {
				t.Fatalf("class %q, want %q: %v", got, f.Want, err)
			}
			Quiet(t, err, s.Secrets...)
			s.Heal()
			before := len(s.Received())
			if err := send(t, s, b); err != nil {
				t.Fatalf("the same batch afterwards: %v", err)
			}
			Await(t, "the batch arrives", func() bool { return len(s.Received()) >= before+len(lines) })
			if got := s.Received(); !slices.Equal(got[len(got)-len(lines):], lines) {
				t.Errorf("the receiver has %q at the end, want %q", got[before:], lines)
			}
		})
	}
}

// Quiet checks that an error is one line, and that neither it nor what it wraps shows a secret or a container's line.
func Quiet(t *testing.T, err error, secrets ...string) {
	t.Helper()
	if err == nil {
		return
	}
	texts := []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)}
	for e := err; e != nil; e = errors.Unwrap(e) {
		texts = append(texts, e.Error())
	}
	for _, text := range texts {
		for _, s := range append(secrets, canary) {
			if strings.Contains(text, s) {
				t.Errorf("the error shows %q: %s", s, text)
			}
		}
	}
	if strings.ContainsAny(err.Error(), "\n\r") {
		t.Errorf("the error has more than one line: %q", err)
	}
}

// cancels checks that Send ends with its context, and that the batch is the caller's again: with -race, a late reader is
// found by the writes to it.
func cancels(t *testing.T, s *Subject) {
	s.Hang()
	for range 3 {
		b, _ := Batch(s.Encoders, s.fill())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Router.Send(ctx, b) }()
		select {
		case err := <-done:
			t.Fatalf("the receiver hangs, and Send returns %v", err)
		case <-time.After(50 * time.Millisecond): // it waits, for the answer or for the connection
		}
		cancel()
		at := time.Now()
		select {
		case err := <-done:
			if router.ClassOf(err) != router.ClassRetry {
				t.Errorf("a stopped Send gives %v, want class retry", err)
			}
			Quiet(t, err, s.Secrets...)
			if d := time.Since(at); d > 2*time.Second {
				t.Errorf("Send returned %v after its context had ended", d)
			}
		case <-time.After(limit):
			t.Fatal("Send does not return")
		}
		for i := range b.Body {
			b.Body[i] = 'x'
		}
	}
	s.Heal()
	before := len(s.Received())
	b, lines := Batch(s.Encoders, 5)
	if err := send(t, s, b); err != nil {
		t.Fatalf("after the receiver is well again: %v", err)
	}
	Await(t, "the batch arrives", func() bool { return len(s.Received()) >= before+len(lines) })
}

func ends(t *testing.T, s *Subject) {
	s.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b, _ := Batch(s.Encoders, s.fill())
	at := time.Now()
	if err := s.Router.Send(ctx, b); router.ClassOf(err) != router.ClassRetry {
		t.Errorf("a hanging receiver gives %v, want class retry", err)
	}
	if d := time.Since(at); d > 2*time.Second {
		t.Errorf("Send took %v, want 50ms", d)
	}
}

func rotates(t *testing.T, s *Subject) {
	b, lines := Batch(s.Encoders, 3)
	if err := send(t, s, b); err != nil {
		t.Fatal(err)
	}
	received(t, s, lines)
	if s.Rotate == nil {
		return
	}
	s.Rotate()
	err := send(t, s, b)
	if router.ClassOf(err) != router.ClassCredentials {
		t.Fatalf("with the old credential: %v, want class credentials", err)
	}
	Quiet(t, err, s.Secrets...)
	if err := send(t, s, b); err != nil {
		t.Fatalf("with the new credential: %v", err)
	}
	received(t, s, append(lines, lines...))
}

func parallel(t *testing.T, s *Subject) {
	var wg sync.WaitGroup
	var batches []*router.Batch
	for range 8 { // an encoder is used by one goroutine at a time
		b, _ := Batch(s.Encoders, 50)
		batches = append(batches, b)
	}
	for _, b := range batches {
		wg.Go(func() {
			for range 5 {
				if err := send(t, s, b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	Await(t, "all lines arrive", func() bool { return len(s.Received()) >= 8*5*50 })
	if got := len(s.Received()); got != 8*5*50 {
		t.Errorf("%d lines, want %d", got, 8*5*50)
	}
}

func leaks(t *testing.T, start func(t *testing.T) *Subject) {
	before := goroutines()
	t.Run("use", func(t *testing.T) {
		s := start(t)
		b, _ := Batch(s.Encoders, 3)
		if err := send(t, s, b); err != nil {
			t.Fatal(err)
		}
		s.Hang()
		b, _ = Batch(s.Encoders, s.fill())
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := s.Router.Send(ctx, b); err == nil {
			t.Error("the receiver hangs, and Send returns nil")
		}
		if err := s.Router.Close(); err != nil {
			t.Error(err)
		}
	})
	Await(t, "no goroutine is left", func() bool { return goroutines() <= before })
}

// goroutines counts those that run code of routers, of net/http or of crypto/tls.
func goroutines() int {
	buf := make([]byte, 1<<20)
	n := 0
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "logplugin/router/") && !strings.Contains(g, "testing.tRunner") || strings.Contains(g, "net/http.") {
			n++
		}
	}
	return n
}

// Source is a secret that can be rotated. Like the real one it gives the old value until that is invalidated.
type Source struct {
	mu          sync.Mutex
	now, next   secret.Value
	invalidated int
	err         error
}

// NewSource returns a source of value.
func NewSource(value string) *Source { return &Source{now: secret.New(value), next: secret.New(value)} }

// Get implements secret.Source.
func (s *Source) Get(context.Context) (secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now, s.err
}

// Invalidate implements secret.Source.
func (s *Source) Invalidate(v secret.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalidated++
	if s.now.Equal(v) {
		s.now = s.next
	}
}

// Rotate sets the value that is given after the next Invalidate.
func (s *Source) Rotate(value string) {
	s.mu.Lock()
	s.next = secret.New(value)
	s.mu.Unlock()
}

// Fail makes Get return err from now on, nil for none.
func (s *Source) Fail(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
}

// Invalidated is how often a value was said to be refused.
func (s *Source) Invalidated() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.invalidated
}
