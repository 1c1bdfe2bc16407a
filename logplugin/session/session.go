package session

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/state"
)

// pauses are how long Sessions wait. The zero value stands for those of a host.
type pauses struct {
	again   time.Duration // before what the file system has refused is tried again: reading a FIFO, reading and writing state
	silence time.Duration // see session.supersede
	hold    time.Duration // see attaching.holds
	verify  time.Duration // before a router is asked for the first time whether it is there
	linger  time.Duration // see delivery.Config; 0 = its default
	resolve time.Duration // that StartLogging waits for references: the daemon holds the container's lock meanwhile
	denied  time.Duration // see references.Asker.Again; 0 = its default
}

var usual = pauses{again: time.Second, silence: 2 * time.Second, hold: 30 * time.Second, verify: 2 * time.Second, resolve: time.Second}

// session is the life of one FIFO: one goroutine drains it into the spool, from which the feed takes the lines.
type session struct {
	table  *Sessions
	meta   state.Session
	first  bool // no session of the container was accepted before
	input  input
	spool  *spool.Spool
	feed   feed
	output output

	stop      context.CancelFunc
	done      chan struct{} // closed when all is delivered and nothing of the session is left
	left      atomic.Bool   // it is not to be read to its end
	drained   atomic.Bool   // no more bytes will come
	stopping  atomic.Bool   // the daemon has called StopLogging
	finishing atomic.Bool   // somebody takes it away
	dormant   atomic.Bool   // it has no destination before its first line: the daemon may have begun it for `docker logs`
	changes   broadcast     // for those who read the log besides the feed
}

// run drains the FIFO until its end, and sees to it that the rest is delivered.
func (s *session) run(ctx context.Context) {
	for s.read(ctx) {
		again := time.NewTimer(s.table.pauses.again)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
	if ctx.Err() != nil && !s.left.Load() {
		return // the driver ends: the next one goes on from here
	}
	s.drained.Store(true)
	s.changes.wake()
	s.stop() // nothing uses its context any more, and the parent keeps it until then
	s.spool.Finish()
	if s.spool.IsDone() {
		s.table.finish(s) // there is nothing to deliver
		return
	}
	s.table.fold(s.meta.ContainerID)
	s.wake()
}

// read drains the FIFO, and reports whether to try again: it has not ended, and could not be read.
func (s *session) read(ctx context.Context) (again bool) {
	f, err := s.input.open()
	if err == nil {
		defer f.Close()
		if s.dormant.Load() {
			s.table.wakeOthers(s) // now they see whether it has lines
		}
		err = s.spool.Drain(ctx, f)
	}
	ended := err == nil || ctx.Err() != nil || isGone(err) // gone: the daemon has removed it, and what is left is in the spool
	if ended {
		err = nil
	}
	if s.input.closed(err) {
		s.table.log.Error("the log of a container cannot be read, will retry", s.attrs(), "error", err)
	}
	return !ended
}

// hasBytes reports whether the session has had lines, or may have: some lie in its FIFO, or that is not open yet.
func (s *session) hasBytes() bool { return !s.input.isEmpty() || s.spool.Stats().End > 0 }

// leave ends the session without waiting for the end of its FIFO.
func (s *session) leave() {
	s.left.Store(true)
	s.stop()
}

// supersede ends the session when its FIFO has been silent for a while: the daemon has made another for the container, newer. It
// may have leaked this one, whose end never comes then.
// One without a line may be for `docker logs`, and says nothing of this one; nor does one whose FIFO is gone.
func (s *session) supersede(newer *session) {
	quiet := time.NewTimer(s.table.pauses.silence)
	defer quiet.Stop()
	end := s.spool.Stats().End
	for {
		select {
		case <-s.done:
			return
		case <-s.table.ctx.Done():
			return
		case <-quiet.C:
			silent := newer.spool.Stats().End == 0
			if (newer.stopping.Load() || newer.drained.Load()) && silent || newer.input.gone.Load() {
				return
			}
			if silent && newer.dormant.Load() {
				quiet.Reset(s.table.pauses.silence)
				continue
			}
			now := s.spool.Stats().End
			if now == end && s.input.isEmpty() {
				s.leave()
				return
			}
			end = now
			quiet.Reset(s.table.pauses.silence)
		}
	}
}

// wake tells the delivery, and others who read, that there may be lines.
func (s *session) wake() {
	s.changes.wake()
	if d := s.output.destination(); d != nil {
		d.delivery.Ready(&s.feed)
	}
}

// close ends what is left when the driver ends.
func (s *session) close() error {
	s.feed.close()
	return s.spool.Close()
}

// attrs names the session in a log message.
func (s *session) attrs() slog.Attr { return named(&s.meta) }

// named has the keys that name a session in a log message: container, name and session.
func named(m *state.Session) slog.Attr {
	return slog.Attr{Value: slog.GroupValue( // a group without a key is its attributes
		slog.String("container", short(m.ContainerID)), slog.String("name", strings.TrimPrefix(m.ContainerName, "/")),
		slog.String("session", sessionID(m.File)),
	)}
}

// sessionID is the name of a session for people: the beginning of that of its spool.
func sessionID(file string) string { return short(state.ID(file)) }
