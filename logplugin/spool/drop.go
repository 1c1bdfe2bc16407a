package spool

import (
	"errors"
	"sync"
)

// place says of which segments drop may take one.
type place int

const (
	onDisk place = iota
	inRAM
)

// errNotYet says that the frame which reaches over the end of a segment has not even its length yet.
var errNotYet = errors.New("frame has only begun")

var errMissing = errors.New("its segment has been removed")

func isNotYet(err error) bool { return errors.Is(err, errNotYet) }

// orMissing returns the cause of a loss.
func orMissing(cause error) error {
	if cause == nil {
		return errMissing
	}
	return cause
}

// The walk over headers reads in pieces of this size; the buffers are few and short-lived, but the need comes in storms.
const walkBytes = 64 << 10

var walkBuffers = sync.Pool{New: func() any { return new([walkBytes]byte) }}

// drop gives up the oldest segment that may go, and makes a gap of it. It returns false if there is none. With force it
// does so also if the frames cannot be counted the usual way; if they cannot be counted at all, the gap has no number.
//
// The current segment does not go, nor what the delivery may need again. So a line is either delivered or counted, never
// both.
func (s *Spool) drop(where place, force bool) bool {
	s.drops.Lock()
	dropped := s.dropNow(where, force)
	s.drops.Unlock()
	if dropped {
		_ = s.persist() // if it fails, a restart before the next try finds the segment missing and says so without a number
		s.wake()
	}
	return dropped
}

func (s *Spool) dropNow(where place, force bool) bool {
	l := &s.ledger
	for range 8 { // a reader that moves on meanwhile, or damage that is found, makes it begin anew
		l.mu.Lock()
		g, b, e := s.victim(where)
		if g == nil {
			l.mu.Unlock()
			return false
		}
		v := l.view(b, e)
		l.mu.Unlock()

		lost, again, ok := s.measure(v, b, e, force)
		if again {
			continue
		}
		if !ok {
			return false
		}
		l.mu.Lock()
		if !s.segs.has(g) || !l.mayGo(b) || l.taken > max(lost.From, v.taken) {
			l.mu.Unlock()
			continue
		}
		if !l.addGap(lost) {
			l.mu.Unlock()
			return false
		}
		s.segs.take(g)
		l.mu.Unlock()
		s.segs.discard(g)
		return true
	}
	return false
}

// measure returns the gap that the segment from b to e is to become. again says that another gap has been made meanwhile.
func (s *Spool) measure(v view, b, e int64, force bool) (lost Gap, again, ok bool) {
	if !s.segs.isLoaded() { // then the delivery's position is not known
		return s.surveyAlone(v, b, e), false, true
	}
	lost, err := s.survey(v, b, e)
	s.segs.closeOthers(v.taken)
	var damage *damageError
	switch {
	case err == nil:
		return lost, false, true
	case errors.As(err, &damage):
		again, err = s.loseNow(damage.pos, damage.cause)
		if again {
			return Gap{}, true, true
		}
	}
	if !isNotYet(err) {
		s.failed(countFrames, err)
	}
	if !force {
		return Gap{}, false, false
	}
	return s.surveyAlone(v, b, e), false, true
}

// victim returns the segment to drop next. Call it under the lock of the ledger.
func (s *Spool) victim(where place) (g *segment, base, end int64) {
	l := &s.ledger
	full := len(l.gaps) >= maxGaps
	s.segs.mu.Lock()
	defer s.segs.mu.Unlock()
	for _, g := range s.segs.list {
		if g.gone || g == s.segs.cur || !l.mayGo(g.base) || g.end() <= l.commit {
			continue
		}
		if full {
			// There is no room for another gap: make the last one longer.
			if end := g.end(); end > l.gaps[len(l.gaps)-1].To {
				return g, g.base, end
			}
			continue
		}
		if (where == inRAM) == (g.mem != nil) {
			end := g.end()
			return g, g.base, end
		}
	}
	return nil, 0, 0
}

// giveMemory drops the oldest bytes in memory, of the current segment if there are no others. It returns false if there
// are none, or none that may go.
func (s *Spool) giveMemory() bool {
	if s.drop(inRAM, false) {
		return true
	}
	if s.segs.out.TryLock() {
		s.segs.mu.Lock()
		if c := s.segs.cur; c != nil && c.mem != nil && c.size > 0 {
			s.segs.cur = nil
		}
		s.segs.mu.Unlock()
		s.segs.out.Unlock()
	}
	return s.drop(inRAM, true)
}

// view is what a survey needs to know of the ledger, at one moment.
type view struct {
	start int64 // where a frame begins, before the segment or in it
	taken int64
	gaps  []Gap
}

// view returns the view for the segment from b to e. Call it under mu.
func (l *ledger) view(b, e int64) view {
	v := view{start: l.taken, taken: l.taken}
	for _, g := range l.gaps {
		if g.To > l.taken {
			v.gaps = append(v.gaps, g.Gap)
		}
		if g.From <= b && g.To <= e {
			v.start = max(v.start, g.To)
		}
	}
	return v
}

// damageError is damage at which a survey has stopped.
type damageError struct {
	pos   int64
	cause error
}

func (e *damageError) Error() string { return e.cause.Error() }
func (e *damageError) Unwrap() error { return e.cause }
