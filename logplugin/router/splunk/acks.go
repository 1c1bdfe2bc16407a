package splunk

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// acks awaits the indexers' acknowledgements for all calls of Send: one request at a time asks for all of them. It runs
// only while somebody waits.
type acks struct {
	router *Router
	done   sync.WaitGroup

	mu      sync.Mutex
	waiting map[ackKey]*waiter
	stop    context.CancelFunc // of the poll that runs; nil = none does
	last    *router.Error      // of its last request; nil = it was answered
	added   chan struct{}      // holds one element when somebody has begun to wait
}

// ackKey names a batch: a receiver counts by itself, and knows of no other.
type ackKey struct {
	at int   // the number of the address that has taken it
	id int64 // its ackId
}

// waiter is one batch that the receiver has taken and the indexers perhaps not.
type waiter struct {
	done chan struct{} // closed when err is known
	err  *router.Error // nil = acknowledged
}

func newAcks(r *Router) *acks {
	return &acks{router: r, waiting: map[ackKey]*waiter{}, added: make(chan struct{}, 1)}
}

// close ends the poll and waits for it.
func (a *acks) close() {
	a.mu.Lock()
	if a.stop != nil {
		a.stop()
	}
	a.mu.Unlock()
	a.done.Wait()
}

// await returns when the batch with this ackId is acknowledged, or will not be.
func (a *acks) await(ctx context.Context, op string, id ackKey) *router.Error {
	ctx, cancel := context.WithTimeout(ctx, a.router.timing.ack)
	defer cancel()
	w := a.add(op, id)
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting[id] == w {
		delete(a.waiting, id)
	}
	e := &router.Error{Class: router.ClassRetry, Op: op, Cause: "the indexers have not acknowledged the batch in time", Bad: router.NoRecord, Err: ctx.Err()}
	if a.last != nil {
		e.Cause += ", and the last answer did not help: " + a.last.Cause
	}
	return e
}

// add makes a waiter, and starts the poll if it does not run.
func (a *acks) add(op string, id ackKey) *waiter {
	w := &waiter{done: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.waiting[id]; old != nil {
		// A receiver counts up; another one behind the same address has begun to count. Whose acknowledgement will come
		// cannot be known: the older batch is sent again.
		old.finish(&router.Error{Class: router.ClassRetry, Op: op, Cause: "the receiver has given the same ackId twice", Bad: router.NoRecord,
			Hint: "a load balancer before it must keep a client at one receiver"})
	}
	a.waiting[id] = w
	if a.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		a.stop, a.last = stop, nil
		a.done.Go(func() { a.poll(ctx, op) })
	}
	select {
	case a.added <- struct{}{}:
	default:
	}
	return w
}

func (w *waiter) finish(err *router.Error) {
	w.err = err
	close(w.done)
}

// poll asks until there are no waiters. The pauses grow, and are short again after a new batch.
func (a *acks) poll(ctx context.Context, op string) {
	first, longest := a.router.timing.firstPoll, a.router.timing.lastPoll
	pause, held := first, false // held: the receiver has asked for the pause
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			a.asked(true)
			return
		case <-a.added:
			if !held && pause > first {
				pause = first
				timer.Reset(pause)
			}
			continue
		case <-timer.C:
		}
		asked := a.asked(false)
		if len(asked) == 0 {
			return
		}
		e := a.askAll(ctx, op, asked)
		pause, held = min(2*pause, longest), false
		if e != nil && e.RetryAfter > pause {
			pause, held = e.RetryAfter, true
		}
		timer.Reset(pause)
	}
}

// asked returns the waiters. When there are none, or end is true, the poll must return: the next waiter starts another.
func (a *acks) asked(end bool) map[ackKey]*waiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	if end || len(a.waiting) == 0 {
		a.stop()
		a.stop = nil
	}
	return maps.Clone(a.waiting)
}

// askAll asks each address for the batches that it has taken. Its error is the last one.
func (a *acks) askAll(ctx context.Context, op string, asked map[ackKey]*waiter) (last *router.Error) {
	byAddress := map[int]map[int64]*waiter{}
	for key, w := range asked {
		if byAddress[key.at] == nil {
			byAddress[key.at] = map[int64]*waiter{}
		}
		byAddress[key.at][key.id] = w
	}
	for _, at := range slices.Sorted(maps.Keys(byAddress)) {
		if e := a.ask(ctx, op, at, byAddress[at]); e != nil {
			last = e
		}
	}
	return last
}

// ask makes one request to an address, and wakes the waiters that it decides about.
func (a *acks) ask(ctx context.Context, op string, at int, asked map[int64]*waiter) *router.Error {
	body := []byte(`{"acks":[`)
	for i, id := range slices.Sorted(maps.Keys(asked)) {
		if i > 0 {
			body = append(body, ',')
		}
		body = strconv.AppendInt(body, id, 10)
	}
	answer, e := a.request(ctx, op, at, append(body, `]}`...))
	a.mu.Lock()
	defer a.mu.Unlock()
	// A token may have been rotated meanwhile: its source was invalidated, and the next request has what it then gives.
	final := e != nil && e.Class != router.ClassRetry && (e.Class != router.ClassCredentials || a.last != nil && a.last.Class == router.ClassCredentials)
	for id, w := range asked {
		key := ackKey{at, id}
		if a.waiting[key] != w || !final && !answer.acks[fmt.Sprint(id)] {
			continue // it was removed meanwhile, or it still waits
		}
		delete(a.waiting, key)
		if final {
			own := *e
			w.finish(&own)
		} else {
			w.finish(nil)
		}
	}
	a.last = e
	return e
}

func (a *acks) request(ctx context.Context, op string, at int, body []byte) (answer, *router.Error) {
	u, e := a.router.begin(ctx)
	if e != nil {
		return answer{}, e
	}
	got, e := u.do(ctx, router.Request{
		Op: op, Method: http.MethodPost, Path: ackPath + "?channel=" + a.router.channel, Body: body, Pinned: true, At: at,
	})
	if e == nil && !got.isAcks {
		e = u.judge(got, op, nil)
	}
	if e != nil {
		e.Bad = router.NoRecord // it is not about records
		if e.Class == router.ClassBadRecords || e.Class == router.ClassTooLarge {
			e.Class = router.ClassConfig
		}
	}
	return got, e
}
