package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/delivery"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
)

// A router is asked whether it is there some time after its first session has begun: `docker logs` of a stopped
// container begins one, too, and must not cost a connection. It is asked again while it is not, ever more rarely: at the
// start of a host the network may come later.
const (
	verifyDelay = 2 * time.Second
	verifyRare  = time.Minute
	verifyWait  = 15 * time.Second
)

// shared is a router and those who use it.
type shared struct {
	key      options.Connection
	router   router.Router
	delivery *delivery.Delivery
	tally    *tally
	users    int // guarded by Sessions.mu
	stop     context.CancelFunc

	mu      sync.Mutex
	problem string // what a look at the router has found, before there was anything to send; "" = nothing
}

// link is a session's way to its router.
type link struct {
	*shared
	config router.Config // the session's own, with the options of its encoder; the first session's makes the router
}

// link returns the router for o, which is made for the first session; who is asked for, in the audit. c is what the router made of o, or nil when that is
// not known yet.
func (s *Sessions) link(who string, o options.Options, c router.Config) (*link, error) {
	kind := s.kinds[o.Router]
	switch {
	case s.broken != nil:
		return nil, s.broken
	case kind == nil:
		return nil, errors.New("this version of the log driver cannot read the container's log options; start the container again with options that it knows, or give its lines up with forget --discard")
	}
	if err := s.rules.Allowed(o); err != nil {
		return nil, err
	}
	key, err := s.rules.Connection(o)
	if err != nil {
		return nil, err
	}
	if c == nil {
		if c, err = kind.New(s.routerOptions(who, o)); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, errEnding
	}
	sh := s.routers[key]
	if sh == nil {
		r := c.Router()
		t := s.tallyOf(target{o.Router, o.Address})
		log := s.log.With("router", o.Router, "address", o.Address)
		sh = &shared{key: key, router: r, tally: t, delivery: delivery.New(counted{r, t}, delivery.Config{Workers: c.Batches(), Log: log, Observe: t.observe})}
		var ctx context.Context
		ctx, sh.stop = context.WithCancel(s.ctx)
		s.routers[key] = sh
		if v, ok := r.(router.Verifier); ok {
			s.wait.Go(func() { sh.verify(ctx, v, log) })
		}
	}
	sh.users++
	return &link{sh, c}, nil
}

// release gives the router back; the last one closes it.
func (s *Sessions) release(l *link) {
	s.mu.Lock()
	l.users--
	last := l.users == 0
	if last {
		delete(s.routers, l.key)
	}
	s.mu.Unlock()
	if last {
		l.stop()
		if err := l.delivery.Close(); err != nil {
			s.log.Warn("a router cannot be closed", "error", err)
		}
	}
}

// verify looks at the router until it is well, or lines have gone there.
func (sh *shared) verify(ctx context.Context, v router.Verifier, log *slog.Logger) {
	for pause := verifyDelay; ; pause = min(2*pause, verifyRare) {
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return
		}
		if d := sh.delivery.Status(); d.Requests > 0 || d.LastError != "" {
			return
		}
		try, cancel := context.WithTimeout(ctx, verifyWait)
		err := v.Verify(try)
		cancel()
		if ctx.Err() != nil {
			return
		}
		sh.mu.Lock()
		first := sh.problem == ""
		sh.problem = ""
		if err != nil {
			sh.problem = "before the first line: " + err.Error()
		}
		sh.mu.Unlock()
		switch {
		case err == nil:
			return
		case first:
			log.Warn("the router does not answer as it should; lines are sent all the same", "error", err)
		}
	}
}

// note returns what the router has to say though lines are delivered; "" = nothing.
func (sh *shared) note() string {
	if n, ok := sh.router.(router.Noter); ok {
		return n.Note()
	}
	return ""
}

// failure returns why the last request to the router has failed; "" = it has not.
func (sh *shared) failure() string { return sh.delivery.Status().LastError }

// inFlight returns for how long a request has had no answer; 0 = there is none.
func (sh *shared) inFlight() time.Duration {
	since := sh.delivery.Status().InFlightSince
	if since.IsZero() {
		return 0
	}
	return time.Since(since)
}

// problemBefore returns what a look at the router has found, as long as nothing was sent; "" = nothing.
func (sh *shared) problemBefore() string {
	if sh.delivery.Status().Requests > 0 {
		return ""
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.problem
}

// slowRequest is longer than a request takes when all is well.
const slowRequest = 5 * time.Second
