package splunk

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

func TestAcknowledgement(t *testing.T) {
	options := map[string]string{"splunk-index-acknowledgment": "true"}
	t.Run("one channel for life", func(t *testing.T) {
		s := start(t, hectest.Options{Ack: true}, options)
		for range 3 {
			if e := s.send(t, s.batch(2)); e != nil {
				t.Fatal(e)
			}
		}
		polls := 0
		for _, r := range s.hec.Requests() {
			if r.Header.Get("X-Splunk-Request-Channel") != s.router.channel {
				t.Errorf("%s %s on channel %q, want %q", r.Method, r.Path, r.Header.Get("X-Splunk-Request-Channel"), s.router.channel)
			}
			if r.Path == ackPath+"?channel="+s.router.channel {
				polls++
			}
		}
		if polls < 3 || s.hec.Connections() != 1 {
			t.Errorf("%d polls over %d connections, want 3 over 1", polls, s.hec.Connections())
		}
		if s.config.Router().(*Router).channel == s.router.channel {
			t.Error("two routers share a channel")
		}
	})
	t.Run("never", func(t *testing.T) {
		s := start(t, hectest.Options{Ack: true, NeverAck: true}, options)
		s.router.timing.ack = 50 * time.Millisecond
		if e := s.send(t, s.batch(2)); e == nil || e.Class != router.ClassRetry || !strings.Contains(e.Error(), "not acknowledged") {
			t.Errorf("%v, want class retry and why", e)
		}
	})
	t.Run("late, over busy polls", func(t *testing.T) {
		s := start(t, hectest.Options{Ack: true, NeverAck: true}, options)
		s.router.timing.ack = 20 * time.Second
		s.hec.Fail(hectest.Fault{}, hectest.Fault{Code: 9}, hectest.Fault{Cut: true}, hectest.Fault{Code: 19})
		done := make(chan error, 1)
		go func() { done <- s.router.Send(t.Context(), s.batch(2)) }()
		routertest.Await(t, "some polls are asked", func() bool { return len(s.hec.Requests()) > 6 })
		s.hec.SetNeverAck(false)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("refused while polling", func(t *testing.T) {
		s := start(t, hectest.Options{Ack: true}, options)
		s.hec.Fail(hectest.Fault{}, hectest.Fault{Code: 14})
		if e := s.send(t, s.batch(2)); e == nil || e.Class != router.ClassConfig || e.Bad != router.NoRecord {
			t.Errorf("%v, want class config", e)
		}
	})
	t.Run("one question for all batches", func(t *testing.T) {
		const n = 8
		s := start(t, hectest.Options{Ack: true, NeverAck: true}, options)
		s.router.timing.ack = 20 * time.Second
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if err := s.router.Send(t.Context(), s.batch(1)); err != nil {
					t.Error(err)
				}
			})
		}
		all := `{"acks":[0,1,2,3,4,5,6,7]}`
		asked := func() (times int) {
			for _, r := range s.hec.Requests() {
				if string(r.Body) == all {
					times++
				}
			}
			return times
		}
		routertest.Await(t, "all ids are asked for at once, again and again", func() bool { return asked() > 2 })
		s.hec.SetNeverAck(false)
		wg.Wait()
		requests := s.hec.Requests()
		if last := requests[len(requests)-1]; string(last.Body) != all {
			t.Errorf("the last question is %s, want %s", last.Body, all)
		}
		routertest.Await(t, "nobody asks any more", func() bool {
			s.router.acks.mu.Lock()
			defer s.router.acks.mu.Unlock()
			return s.router.acks.stop == nil
		})
	})
	t.Run("token rotated while polling", func(t *testing.T) {
		s := start(t, hectest.Options{Ack: true, NeverAck: true, Tokens: []string{token}}, options)
		s.router.timing.ack = 20 * time.Second
		done := make(chan error, 1)
		go func() { done <- s.router.Send(t.Context(), s.batch(2)) }()
		routertest.Await(t, "it is asked", func() bool { return len(s.hec.Requests()) > 1 })
		s.token.Rotate(newToken)
		s.hec.SetTokens(newToken)
		s.hec.SetNeverAck(false)
		if err := <-done; err != nil || s.hec.Count() != 2 || s.token.Invalidated() != 1 {
			t.Errorf("%v, %d events, invalidated %d times; want 2 and 1: the batch is not sent again", err, s.hec.Count(), s.token.Invalidated())
		}
		s.token.Rotate("none-that-is-good")
		s.hec.SetNeverAck(true)
		go func() { done <- s.router.Send(t.Context(), s.batch(2)) }()
		n := len(s.hec.Requests())
		routertest.Await(t, "it is asked", func() bool { return len(s.hec.Requests()) > n+1 })
		s.hec.SetTokens(token)
		if err := <-done; router.ClassOf(err) != router.ClassCredentials {
			t.Errorf("no token is good: %v, want class credentials", err)
		}
	})
	t.Run("the receiver asks for a pause", func(t *testing.T) {
		s := start(t, hectest.Options{Ack: true}, options)
		s.hec.Fail(hectest.Fault{}, hectest.Fault{Code: 9, RetryAfter: "1"})
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- s.router.Send(t.Context(), s.batch(1)) }()
		routertest.Await(t, "it is asked", func() bool { return len(s.hec.Requests()) > 1 })
		if e := s.send(t, s.batch(1)); e != nil { // a new batch does not end the pause
			t.Error(e)
		}
		if err := <-done; err != nil || time.Since(began) < time.Second {
			t.Errorf("%v, after %v, want 1s", err, time.Since(began))
		}
	})
	t.Run("a load balancer that keeps clients by cookie", func(t *testing.T) {
		one, two := start(t, hectest.Options{Ack: true}, options), start(t, hectest.Options{Ack: true}, options)
		var clients atomic.Int32
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := r.Cookie("client")
			if err != nil {
				c = &http.Cookie{Name: "client", Value: fmt.Sprint(clients.Add(1) % 2), Path: "/"}
				http.SetCookie(w, c)
			}
			map[string]*setup{"0": one, "1": two}[c.Value].hec.ServeHTTP(w, r)
		}))
		t.Cleanup(front.Close)
		s := start(t, hectest.Options{}, map[string]string{"splunk-index-acknowledgment": "true", "splunk-url": front.URL})
		for range 3 {
			if e := s.send(t, s.batch(2)); e != nil {
				t.Fatal(e)
			}
		}
		if one.hec.Count()+two.hec.Count() != 6 || one.hec.Count()*two.hec.Count() != 0 {
			t.Errorf("%d and %d events, want all at one receiver", one.hec.Count(), two.hec.Count())
		}
	})
	t.Run("the same id twice", func(t *testing.T) {
		s := start(t, hectest.Options{Ack: true, NeverAck: true}, options)
		first := s.router.acks.add("op", ackKey{id: 7})
		second := s.router.acks.add("op", ackKey{id: 7})
		select {
		case <-first.done:
			if first.err == nil || first.err.Class != router.ClassRetry {
				t.Errorf("the first batch: %v, want class retry", first.err)
			}
		default:
			t.Error("the first batch waits for an acknowledgement that may be the second's")
		}
		select {
		case <-second.done:
			t.Errorf("the second batch: %v, want it to wait", second.err)
		default:
		}
	})
	t.Run("a token without acknowledgement", func(t *testing.T) {
		s := start(t, hectest.Options{}, options)
		if e := s.send(t, s.batch(2)); e == nil || e.Class != router.ClassConfig || !strings.Contains(e.Error(), "no usable ackId") {
			t.Errorf("%v, want class config: nothing says that the indexers have it", e)
		}
	})
	t.Run("a token that wants a channel", func(t *testing.T) {
		s := start(t, hectest.Options{Ack: true}, nil)
		if e := s.send(t, s.batch(2)); e == nil || e.Class != router.ClassConfig || !strings.Contains(e.Hint, "splunk-index-acknowledgment") {
			t.Errorf("%v, want class config and the option", e)
		}
	})
}
