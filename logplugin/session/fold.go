package session

import (
	"reflect"
	"slices"
)

// keptApart is how many sessions of a container that have ended, and whose lines wait, have spools of their own.
const keptApart = 8

// fold appends the lines of sessions of a container to those of the ones before them, where many have ended: a container that is restarted
// again and again while its router takes nothing would have a directory and a state for each start. Their lines are
// one log then, that of the older session, in the same order. Call it when a session has ended.
func (s *Sessions) fold(container string) {
	s.folding.Lock()
	defer s.folding.Unlock()
	all, ended := s.inOrder(container)
	for i := len(all) - 1; i > 0 && ended > keptApart; i-- {
		newer, older := all[i], all[i-1]
		if !newer.folds(older) {
			continue
		}
		moved := false
		s.history.Unread(container, func() { moved = older.spool.Append(newer.spool) })
		if moved {
			s.giveUp(newer)
			ended--
		}
	}
}

// inOrder returns the sessions of a container, oldest first, and how many of them have ended.
func (s *Sessions) inOrder(container string) (all []*session, ended int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.byFile {
		if x.meta.ContainerID != container {
			continue
		}
		all = append(all, x)
		if x.drained.Load() {
			ended++
		}
	}
	slices.SortFunc(all, func(a, b *session) int {
		if a.meta.Before(b.meta) {
			return -1
		}
		return 1
	})
	return all, ended
}

// folds reports whether the lines of s may be appended to those of older: the same becomes of them.
func (s *session) folds(older *session) bool {
	for _, x := range []*session{s, older} {
		if !x.drained.Load() || x.finishing.Load() || x.dormant.Load() {
			return false
		}
	}
	a, b := &s.meta, &older.meta
	return s.output.destination() == older.output.destination() &&
		a.History == b.History && a.ReadLogs == b.ReadLogs && reflect.DeepEqual(a.Options, b.Options) &&
		a.Options.Lines.MultilinePattern == "" // an event does not go on over the end of a session
}

// isDone reports whether nothing of the session is left.
func (s *session) isDone() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}
