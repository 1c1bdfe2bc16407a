package session

import (
	"errors"
	"time"
)

// later is what the file system has refused, and what one goroutine for all tries again. It is guarded by Sessions.mu.
type later struct {
	marking bool       // a goroutine writes the marks of accepted containers
	ended   []*session // their files are to be removed; not empty = a goroutine does that
}

// acceptLater writes the marks of accepted containers as soon as the disk takes them.
func (s *Sessions) acceptLater() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.later.marking || s.ctx.Err() != nil {
		return
	}
	s.later.marking = true
	s.wait.Go(s.acceptMissing)
}

func (s *Sessions) acceptMissing() {
	s.untilDone(func() bool { return s.dir.AcceptMissing() == nil })
	s.mu.Lock()
	s.later.marking = false
	s.mu.Unlock()
	if s.ctx.Err() == nil && s.dir.AcceptMissing() != nil { // of a container that began meanwhile
		s.acceptLater()
	}
}

// removeFiles removes what there is of a session on the disk. The state goes first: what is left of a spool must not be sent again.
func (s *Sessions) removeFiles(x *session) error {
	err := s.dir.Remove(x.meta.File)
	if err != nil {
		s.attaching.failed()
	}
	return errors.Join(err, x.spool.Remove())
}

// removeLater removes the files of a session that has ended as soon as that is possible. The next process finds those that are left.
func (s *Sessions) removeLater(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later.ended = append(s.later.ended, x)
	if len(s.later.ended) == 1 && s.ctx.Err() == nil {
		s.wait.Go(func() { s.untilDone(s.removeEnded) })
	}
}

// removeEnded tries for all sessions, and reports whether nothing is left to do.
func (s *Sessions) removeEnded() (all bool) {
	s.mu.Lock()
	ended := s.later.ended
	s.mu.Unlock()
	gone := map[*session]bool{}
	for _, x := range ended {
		// A FIFO of the same name has taken over the files.
		gone[x] = s.knows(x.meta.File) || s.removeFiles(x) == nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.later.ended[:0:0]
	for _, x := range s.later.ended {
		if !gone[x] {
			left = append(left, x)
		}
	}
	s.later.ended = left
	return len(left) == 0
}

// untilDone calls try after each pause until it reports true, or until Close.
func (s *Sessions) untilDone(try func() bool) {
	again := time.NewTicker(s.pauses.again)
	defer again.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-again.C:
			if try() {
				return
			}
		}
	}
}
