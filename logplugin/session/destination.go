package session

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/delivery"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/state"
)

// A router is asked whether it is there some time after its first session has begun: `docker logs` of a stopped
// container begins one, too, and must not cost a connection. It is asked again while it is not, ever more rarely: at the
// start of a host the network may come later.
const (
	verifyRare = time.Minute
	verifyWait = 15 * time.Second
)

// destination is a router that sessions share, and their way to it.
type destination struct {
	key      options.Connection
	router   router.Router
	delivery *delivery.Delivery
	tally    *tally
	log      *slog.Logger // names the router
	users    int          // guarded by destinations.mu
	stop     context.CancelFunc

	mu      sync.Mutex
	problem string // what a look at the router has found, before there was anything to send; "" = nothing
}

// destinations are those that have sessions, and the tallies of all that had any.
type destinations struct {
	log    *slog.Logger
	ctx    context.Context // ends with Close of the Sessions
	wait   *sync.WaitGroup // for what looks at routers
	pauses pauses

	mu           sync.Mutex
	byConnection map[options.Connection]*destination
	tallies      map[target]*tally
}

// join returns the destination for the session of meta, which is made for its first session, and the router's configuration with
// the options of the session's encoder. c is that configuration, or nil when it is not known yet.
func (s *Sessions) join(meta state.Session, c router.Config) (*destination, router.Config, error) {
	o := meta.Options
	kind, err := s.admission.sendable(o)
	if err != nil {
		return nil, nil, err
	}
	key, err := s.admission.rules.Connection(o)
	if err != nil {
		return nil, nil, err
	}
	if c == nil {
		if c, err = kind.New(s.admission.routerOptions(audited(meta.ContainerID), o)); err != nil {
			return nil, nil, err
		}
	}
	d, err := s.destinations.join(key, target{o.Router, o.Address}, c)
	return d, c, err
}

func (ds *destinations) join(key options.Connection, w target, c router.Config) (*destination, error) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.ctx.Err() != nil {
		return nil, errEnding
	}
	d := ds.byConnection[key]
	if d == nil {
		r := c.Router()
		t := ds.tallyOf(w)
		log := ds.log.With("router", w.router, "address", w.address)
		config := delivery.Config{Workers: c.Batches(), Linger: ds.pauses.linger, Log: log, Observe: t.observe}
		if g, ok := c.(router.Gatherer); ok {
			if bytes, wait := g.Gather(); bytes > 0 {
				config.Gather, config.BatchBytes, config.Linger = true, bytes, wait
			}
		}
		d = &destination{key: key, router: r, tally: t, log: log, delivery: delivery.New(counted{r, t}, config)}
		var ctx context.Context
		ctx, d.stop = context.WithCancel(ds.ctx)
		ds.byConnection[key] = d
		if v, ok := r.(router.Verifier); ok {
			ds.wait.Go(func() { d.verify(ctx, v, ds.pauses.verify) })
		}
	}
	d.users++
	return d, nil
}

// release gives a destination back; the last session closes it.
func (ds *destinations) release(d *destination) {
	ds.mu.Lock()
	d.users--
	last := d.users == 0
	if last {
		delete(ds.byConnection, d.key)
	}
	ds.mu.Unlock()
	if last {
		d.stop()
		if err := d.delivery.Close(); err != nil {
			d.log.Warn("a router cannot be closed", "error", err)
		}
	}
}

// closers returns what closes each destination, whoever uses it.
func (ds *destinations) closers() []func() error {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	var all []func() error
	for _, d := range ds.byConnection {
		all = append(all, d.delivery.Close)
	}
	return all
}

// verify looks at the router until it is well, or lines have gone there.
func (d *destination) verify(ctx context.Context, v router.Verifier, pause time.Duration) {
	for ; ; pause = min(2*pause, verifyRare) {
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return
		}
		if st := d.delivery.Status(); st.Requests > 0 || st.LastError != "" {
			return
		}
		try, cancel := context.WithTimeout(ctx, verifyWait)
		err := v.Verify(try)
		cancel()
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		first := d.problem == ""
		d.problem = ""
		if err != nil {
			d.problem = "before the first line: " + err.Error()
		}
		d.mu.Unlock()
		switch {
		case err == nil:
			return
		case first:
			d.log.Warn("the router does not answer as it should; lines are sent all the same", "error", err)
		}
	}
}

// note returns what the router has to say though lines are delivered; "" = nothing.
func (d *destination) note() string {
	if n, ok := d.router.(router.Noter); ok {
		return n.Note()
	}
	return ""
}

// failure returns why the last request to the router has failed; "" = it has not.
func (d *destination) failure() string { return d.delivery.Status().LastError }

// inFlight returns for how long a request has had no answer; 0 = there is none.
func (d *destination) inFlight() time.Duration {
	since := d.delivery.Status().InFlightSince
	if since.IsZero() {
		return 0
	}
	return time.Since(since)
}

// problemBefore returns what a look at the router has found, as long as nothing was sent; "" = nothing.
func (d *destination) problemBefore() string {
	if d.delivery.Status().Requests > 0 {
		return ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.problem
}

// slowRequest is longer than a request takes when all is well.
const slowRequest = 5 * time.Second
