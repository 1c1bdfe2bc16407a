package resolve

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/ttl"
)

func TestForget(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: "one"})
	r := newResolver(t, Options{Policy: ttl.Policy{TTL: time.Hour, Stale: time.Hour}})
	q := requests(t, arn)[0]
	r.Forget(q) // of what is not known
	get := func(what, want string, kind fault.Kind, calls int) {
		t.Helper()
		s.ResetCalls()
		got := r.Resolve(t.Context(), q)[0]
		if n := s.CountCalls("GetSecretValue"); got.Value.Reveal() != want || fault.KindOf(got.Err) != kind || n != calls {
			t.Errorf("%s: %q, %v with %d calls, want %q, %s with %d", what, got.Value.Reveal(), got.Err, n, want, kind, calls)
		}
	}
	get("first", "one", "", 1)
	s.RotateSecret("a", "two")
	get("kept", "one", "", 0)
	r.Forget(q)
	get("forgotten", "two", "", 1)
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Custom, Code: "InternalServiceError", Status: 500, Times: 3})
	r.Forget(q)
	get("forgotten, while AWS does not answer", "two", "", 3)
	s.Deny("*", "secretsmanager:GetSecretValue", "*")
	r.Forget(q)
	get("denied", "", fault.Denied, 1)
	s.Allow("*", "secretsmanager:GetSecretValue", "*")
	get("denied from memory", "", fault.Denied, 0)
	r.Forget(q)
	get("allowed", "two", "", 1)
}

// Renew asks AWS for what is kept, but not again for what it has just refused or left unanswered; who has no time to wait for the answer
// gets what is kept.
func TestRenew(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: "one"})
	r := newResolver(t, Options{Policy: ttl.Policy{TTL: time.Hour, Stale: time.Hour}, Timeout: 10 * time.Second})
	q := requests(t, arn)[0]
	get := func(what, want string, kind fault.Kind, calls int) Result {
		t.Helper()
		s.ResetCalls()
		r.Renew(q)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		got := r.Resolve(ctx, q)[0]
		if n := s.CountCalls("GetSecretValue"); got.Value.Reveal() != want || fault.KindOf(got.Err) != kind || n != calls {
			t.Errorf("%s: %q, %v with %d calls, want %q, %s with %d", what, got.Value.Reveal(), got.Err, n, want, kind, calls)
		}
		return got
	}
	get("first", "one", "", 1)
	s.RotateSecret("a", "two")
	get("rotated", "two", "", 1)
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Custom, Code: "InternalServiceError", Status: 500, Times: 3})
	if got := get("unanswered", "two", "", 3); got.Stale == nil {
		t.Error("a value that stands in does not say why")
	}
	get("unanswered a moment ago", "two", "", 0)
	r.Forget(q)
	s.Deny("*", "secretsmanager:GetSecretValue", "*")
	get("denied", "", fault.Denied, 1)
	get("denied a moment ago", "", fault.Denied, 0)
	s.Allow("*", "secretsmanager:GetSecretValue", "*")
	r.Forget(q)
	get("allowed", "two", "", 1)
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	began := time.Now()
	if got := get("hangs", "two", "", 1); got.Stale == nil || time.Since(began) > 8*time.Second {
		t.Errorf("a value that stands in after %v: %v", time.Since(began), got.Stale)
	}
	if err := s.ClearFaults(); err != nil {
		t.Fatal(err)
	}
}

// A call that hangs is shown while it hangs, over its attempts, and not once AWS has answered.
func TestStatus(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: "one"})
	c := &clock{t: time.Now()}
	r := newResolver(t, Options{Policy: ttl.Policy{TTL: time.Hour}, Timeout: 300 * time.Millisecond, Now: c.now})
	if got := r.Status(); got != (Status{}) {
		t.Errorf("before: %+v", got)
	}
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Resolve(t.Context(), requests(t, arn)...)
	}()
	for r.Status().InFlight == 0 {
		select {
		case <-done:
			t.Fatal("the call does not hang")
		default:
		}
	}
	c.pass(12 * time.Second)
	if got := r.Status(); got != (Status{1, 12 * time.Second}) {
		t.Errorf("while it hangs: %+v, want one call without an answer for 12s", got)
	}
	<-done
	c.pass(3 * time.Second)
	if got := r.Status(); got != (Status{0, 15 * time.Second}) {
		t.Errorf("between the attempts: %+v, want no answer for 15s", got)
	}
	if err := s.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	if got := r.Resolve(t.Context(), requests(t, arn)...)[0]; got.Err != nil || r.Status() != (Status{}) {
		t.Errorf("after the answer: %v, %+v", got.Err, r.Status())
	}
	// One that nobody asks for again is not waited for.
	r.Resolve(canceled(t), requests(t, s.PutSecret(fakeaws.Secret{Name: "b", String: "x"}))...)
	r.calls.Wait()
	c.pass(2 * idle)
	if got := r.Status(); got != (Status{}) {
		t.Errorf("given up: %+v", got)
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// Each caller of each reference is reported once for each answer of AWS, and never with a value.
func TestAudit(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: `{"k":"` + canary + `"}`})
	c := &clock{t: time.Now()}
	var mu sync.Mutex
	var got []string
	r := newResolver(t, Options{Policy: ttl.Policy{TTL: time.Minute, Stale: time.Hour}, Now: c.now, Audit: func(a Access) {
		mu.Lock()
		defer mu.Unlock()
		if a.Failure == "" && a.Version == "" || strings.Contains(fmt.Sprintf("%+v %s", a, a), canary) {
			t.Errorf("access %+v", a)
		}
		got = append(got, strings.Join([]string{a.For, a.Reference[strings.LastIndex(a.Reference, ":secret:")+8:], a.result()}, " "))
	}})
	ask := func(who, ref string) {
		q := requests(t, ref)
		q[0].For = who
		r.Resolve(t.Context(), q...)
	}
	want := func(what string, lines ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got, lines) {
			t.Errorf("%s: %q, want %q", what, got, lines)
		}
		got = nil
	}
	id := arn[strings.LastIndex(arn, ":")+1:]
	ask("c1", arn+":k::")
	ask("c1", arn+":k::")
	ask("c2", arn+":k::")
	ask("c2", arn)
	ask("c2", arn+":none::")
	want("first", "c1 "+id+":k:: ok", "c2 "+id+":k:: ok", "c2 "+id+" ok", "c2 "+id+":none:: bad_value")
	c.pass(2 * time.Minute)
	ask("c1", arn+":k::")
	want("past the ttl", "c1 "+id+":k:: ok")
	c.pass(2 * time.Minute)
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Custom, Code: "InternalServiceError", Status: 500, Times: 3})
	ask("c1", arn+":k::")
	want("AWS fails", "c1 "+id+":k:: stale")
}

func TestAccessText(t *testing.T) {
	a := Access{For: "container 4f2d1c", Reference: "arn:aws:ssm:eu-west-1:111122223333:parameter/a", Version: "3",
		Role: "arn:aws:iam::111122223333:role/r"}
	const want = `for="container 4f2d1c" reference=arn:aws:ssm:eu-west-1:111122223333:parameter/a result=ok version=3 role=arn:aws:iam::111122223333:role/r`
	if got := a.String(); got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
	var text strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Info("reference resolved", "access", Access{Reference: "a\nb", Failure: fault.Denied})
	if !strings.Contains(text.String(), `access.reference="a\nb" access.result=denied`) || strings.Contains(text.String(), "version") {
		t.Errorf("log line %q", text.String())
	}
	if got := (Access{Reference: "a\nb"}).String(); got != `for="" reference="a\nb" result=ok` {
		t.Errorf("String() = %q", got)
	}
}

// A step of the clock by an hour, in either direction, neither keeps a value past its time for ever nor breaks anything.
func TestClockSteps(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		s := newFake(t)
		arn := s.PutSecret(fakeaws.Secret{Name: "a", String: "one"})
		c := &clock{t: time.Now()}
		r := newResolver(t, Options{Policy: ttl.Policy{TTL: 5 * time.Minute, Stale: 10 * time.Minute}, Now: c.now})
		q := requests(t, arn)[0]
		r.Resolve(t.Context(), q)
		s.RotateSecret("a", "two")
		c.pass(step)
		for range 12 {
			c.pass(6 * time.Minute)
			r.Resolve(t.Context(), q)
		}
		if got := r.Resolve(t.Context(), q)[0]; got.Err != nil || got.Value.Reveal() != "two" {
			t.Errorf("after a step of %v and 72 minutes: %q, %v, want the new value", step, got.Value.Reveal(), got.Err)
		}
	}
	// Without Options.Now intervals are monotonic: a step is not seen at all.
	r := New(nil, Options{})
	if now := r.now(); now == now.Round(0) {
		t.Error("the clock of a Resolver has no monotonic reading")
	}
	if w := (ttl.Policy{TTL: time.Hour}).Value(r.now()); w.Fresh == w.Fresh.Round(0) {
		t.Error("a window has no monotonic reading")
	}
}
