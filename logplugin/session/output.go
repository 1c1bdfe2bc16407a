package session

import (
	"context"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// One try to make an encoder, which may need a secret, takes no longer than encoderWait, and the next comes after
// encoderPause; after parkedPause, where a person has to do something first.
const (
	encoderWait  = 5 * time.Second
	encoderPause = 5 * time.Second
	parkedPause  = 30 * time.Second
)

// output is how a session reaches its destination. While it has none, the session is parked: its lines are kept.
type output struct {
	parked error // why there can be none, for all that Start knew; nil = it did not know
	wrong  error // why it is not known which lines to send, so that none is; nil = it is known

	mu      sync.Mutex
	config  router.Config // of the session's own options; nil = not made yet
	to      *destination  // nil = none
	removed bool          // it will not get one any more
	encoder router.Encoder
	last    string // what went wrong last on the way to the router; "" = nothing
}

// destination returns where the session's lines go; nil = it is parked.
func (o *output) destination() *destination {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to
}

// end is destination for the last time.
func (o *output) end() *destination {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.removed = true
	return o.to
}

// ready returns the encoder; nil = it is not made yet.
func (o *output) ready() router.Encoder {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.encoder
}

// note keeps what went wrong last, for the operator.
func (o *output) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last = ""; err != nil {
		o.last = err.Error()
	}
}

// problem returns what went wrong last; "" = nothing.
func (o *output) problem() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// join gives the session its destination, or notes why that is not possible.
func (s *session) join() bool {
	o := &s.output
	if o.destination() != nil {
		return true
	}
	d, config, err := s.table.join(s.meta, o.config)
	if err != nil {
		if _, known := s.table.admission.kinds[s.meta.Options.Router]; !known && o.parked != nil {
			err = o.parked // says more
		}
		o.note(err)
		return false
	}
	o.mu.Lock()
	removed := o.removed
	if !removed {
		o.to, o.config, o.last = d, config, ""
		d.delivery.Add(&s.feed)
	}
	o.mu.Unlock()
	if removed {
		s.table.destinations.release(d)
	}
	return !removed
}

// arrive gives the session its destination and its encoder, a dormant one with its first line.
func (s *session) arrive() {
	for s.dormant.Load() {
		changed := s.changes.next()
		if s.spool.Stats().End > 0 {
			s.join()
			s.dormant.Store(false)
			s.table.wakeOthers(s) // they have waited for what becomes of it
			if s.drained.Load() {
				s.table.fold(s.meta.ContainerID)
			}
			break
		}
		select {
		case <-changed:
		case <-s.done:
			return
		case <-s.table.ctx.Done():
			return
		}
	}
	s.connect()
}

// connect makes the encoder, once there is a destination. The delivery does not wait for it: it has other sessions.
func (s *session) connect() {
	for {
		pause := parkedPause
		if s.join() {
			if s.encode() {
				s.wake()
				return
			}
			pause = encoderPause
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-s.done:
		case <-s.table.ctx.Done():
		}
		again.Stop()
		if s.finishing.Load() || s.table.ctx.Err() != nil {
			return
		}
	}
}

func (s *session) encode() bool {
	o := &s.output
	if err := o.wrong; err != nil {
		o.note(err)
		return false
	}
	ctx, cancel := context.WithTimeout(s.table.ctx, encoderWait)
	defer cancel()
	o.mu.Lock()
	config := o.config
	o.mu.Unlock()
	e, err := config.Encoder(ctx, s.describe(ctx))
	o.note(err)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.encoder = e
	return err == nil
}

func (s *session) describe(ctx context.Context) router.Session {
	var on router.Instance
	if ask := s.table.admission.instance; ask != nil {
		on = ask(ctx)
	}
	return router.Session{
		ID:          s.id(),
		ContainerID: s.meta.ContainerID, ContainerName: s.meta.ContainerName, Host: s.table.admission.hostname, Instance: on,
		Tag: s.meta.Options.Tag, About: s.meta.Options.About, Attrs: s.meta.Options.Attributes,
	}
}
