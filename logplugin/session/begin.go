package session

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/state"
)

// beginning is how a session begins.
type beginning struct {
	fifo   *os.File // nil = to be opened, if it is still there
	save   func(state.Session) error
	config router.Config // of the router; nil = to be made of the session's options
	parked error         // why it cannot be sent, as far as Start knows; nil = it knows of no reason
	first  bool          // no session of the container was accepted before
	again  bool          // an earlier process had it
}

// begin makes the session of meta and starts it, and then has the fifo. A session that cannot have its router is read all
// the same.
func (s *Sessions) begin(meta state.Session, b beginning) error {
	if !s.claim(meta.File) { // the daemon repeats itself
		if b.fifo != nil {
			_ = b.fifo.Close()
		}
		return nil
	}
	defer s.unclaim(meta.File)
	if s.ctx.Err() != nil {
		return errEnding
	}
	saved := b.save(meta)
	if saved != nil {
		s.attaching.failed()
		// It is read all the same; only a restart of the driver would not know it.
		s.log.Error("the state of a session cannot be kept: if the driver is restarted now its log is not read", named(&meta), "error", saved)
	}
	if full, err := s.admission.rules.Expand(meta.Options, options.Info{ContainerID: meta.ContainerID, ContainerName: meta.ContainerName}); err == nil {
		meta.Options = full
	} else if b.parked == nil {
		b.parked = err
	}
	x := s.newSession(meta, b)
	ctx, stop := context.WithCancel(s.ctx)
	x.stop = stop
	x.dormant.Store(!b.again && s.mayBePhantom(x))
	older, newer, err := s.enter(x)
	if err != nil {
		stop()
		return errors.Join(err, x.spool.Close())
	}
	if !x.dormant.Load() {
		x.join()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil // Close has it
	}
	s.wait.Go(func() { x.run(ctx) })
	s.wait.Go(x.arrive)
	if saved != nil {
		s.wait.Go(func() { s.saveLater(x, b.save) })
	}
	for _, o := range older {
		s.wait.Go(func() { o.supersede(x) })
	}
	for _, n := range newer {
		s.wait.Go(func() { x.supersede(n) })
	}
	return nil
}

// newSession returns a session with its spool, which does not run yet.
func (s *Sessions) newSession(meta state.Session, b beginning) *session {
	x := &session{table: s, meta: meta, first: b.first, done: make(chan struct{})}
	x.input.path, x.input.file, x.input.tried = meta.File, b.fifo, make(chan struct{})
	x.output.config, x.output.parked = b.config, b.parked
	x.spool = s.store.Open(s.spoolDir(meta.File), spool.Options{
		MaxBytes: cmp.Or(meta.Options.SpoolMaxBytes, s.admission.spoolMaxBytes), Notify: x.wake, History: s.keeper(x), About: x.attrs(),
	})
	if !b.again { // for the others attach waits
		x.spool.Tidy()
	}
	k := s.admission.kinds[meta.Options.Router] // nil = none that is known here, and the session is parked
	x.output.wrong = x.feed.begin(x, k != nil && k.Pieces)
	return x
}

// mayBePhantom reports whether x may be one that the daemon begins for `docker logs` of a container that does not run. It cannot be
// told from one of a container that starts again, until a line comes.
func (s *Sessions) mayBePhantom(x *session) bool {
	if x.first || x.output.parked != nil {
		return false
	}
	if _, err := s.admission.sendable(x.meta.Options); err != nil {
		return false // that it is parked should be seen
	}
	st := x.spool.Stats()
	return st.Loaded && st.End == 0
}

// enter makes the session known in its place in the order of its container, and returns the others of the container that
// are still read. A session whose state could be read only later may be older than they are.
func (s *Sessions) enter(x *session) (older, newer []*session, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, nil, errEnding
	}
	var before, behind *session // next to x
	for _, o := range s.byFile {
		if o.meta.ContainerID != x.meta.ContainerID {
			continue
		}
		isOlder := o.meta.Before(x.meta)
		switch {
		case isOlder && (before == nil || before.meta.Before(o.meta)):
			before = o
		case !isOlder && (behind == nil || o.meta.Before(behind.meta)):
			behind = o
		}
		switch {
		case o.drained.Load():
		case isOlder:
			older = append(older, o)
		default:
			newer = append(newer, o)
		}
	}
	x.feed.follow(before)
	if behind != nil {
		behind.feed.follow(x)
	}
	s.byFile[x.meta.File] = x
	return older, newer, nil
}

// saveLater keeps the state of a session as soon as the disk takes it, and tries once more when the driver ends.
func (s *Sessions) saveLater(x *session, save func(state.Session) error) {
	again := time.NewTicker(s.pauses.again)
	defer again.Stop()
	for s.ctx.Err() == nil {
		select {
		case <-s.ctx.Done():
		case <-x.done:
			return
		case <-again.C:
		}
		if save(x.meta) != nil {
			s.attaching.failed()
			continue
		}
		if x.finishing.Load() {
			_ = s.dir.Remove(x.meta.File) // it ended meanwhile
			return
		}
		s.log.Info("the state of a session is kept now", x.attrs())
		return
	}
}
