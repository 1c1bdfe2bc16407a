package session

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secretref/secretref/logplugin/state"
)

// Attach goes on with the sessions that an earlier process has left, also those whose FIFO is gone: their spool may hold
// lines. What cannot be read at the moment is tried again until Close. Call it once, before the first Start.
func (s *Sessions) Attach() {
	if !s.attach() {
		s.wait.Go(s.attachLater)
	}
	s.wait.Go(s.expire)
}

// attaching is how far the sessions of an earlier process are read.
type attaching struct {
	held     atomic.Bool  // see holds
	failures atomic.Int64 // calls for the state of sessions that the file system has refused
	opened   func()       // see Config

	mu     sync.Mutex
	unread error // why sessions of an earlier process are not read yet; nil = all are
}

// holds reports whether the lines of x wait, because a session of its container that is older may be among those whose state cannot
// be read at the moment. They do not wait for ever, and those of a new container do not wait at all.
func (a *attaching) holds(x *session) bool { return !x.first && a.held.Load() }

func (a *attaching) failed() { a.failures.Add(1) }

func (a *attaching) err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unread
}

func (s *Sessions) attachLater() {
	again := time.NewTicker(s.pauses.again)
	defer again.Stop()
	enough := time.NewTimer(s.pauses.hold)
	defer enough.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-enough.C:
			s.release()
			continue
		case <-again.C:
		}
		if s.attach() {
			s.log.Info("the state of all sessions has been read")
			s.release()
			return
		}
	}
}

// release lets the lines go that wait for older ones.
func (s *Sessions) release() {
	if !s.attaching.held.Swap(false) {
		return
	}
	for _, x := range s.sessions() {
		x.wake()
	}
}

// attach goes on with the sessions whose state can be read, and reports whether that is all of them.
func (s *Sessions) attach() (all bool) {
	loaded, err := s.dir.Load()
	first := s.noteUnread(len(loaded.Unread), err)
	for _, d := range loaded.Damaged {
		s.log.Error("the state of a session is damaged and was set aside", "session", short(d.ID), "error", d)
	}
	if first { // and not at every try
		for _, u := range loaded.Unread {
			s.log.Error("the state of a session cannot be read, will retry", "session", short(u.ID), "error", u)
		}
	}
	for _, meta := range loaded.Sessions {
		if err := s.begin(meta, beginning{again: true, save: func(state.Session) error { return nil }}); err != nil {
			s.log.Error("a session cannot go on", named(&meta), "error", err)
		}
	}
	s.wait.Go(s.tidy)
	if len(loaded.Sessions) > 0 {
		s.log.Info("sessions of an earlier process go on", "sessions", len(loaded.Sessions))
	}
	if err != nil || len(loaded.Unread) > 0 {
		return false
	}
	s.sweep()
	return true
}

// tidy moves what an earlier process has delivered into the history, once every FIFO was opened: a container whose pipe is full waits
// for that. One that cannot be opened does not hold the others for ever.
func (s *Sessions) tidy() {
	all := s.sessions()
	enough := time.NewTimer(s.pauses.hold)
	defer enough.Stop()
	for _, x := range all {
		select {
		case <-x.input.tried:
		case <-s.ctx.Done():
			return
		case <-enough.C:
			enough.Reset(0)
		}
	}
	s.attaching.opened()
	for _, x := range all {
		x.spool.Tidy()
	}
}

// noteUnread keeps how many state files cannot be read, for status, and reports whether all could be read before.
func (s *Sessions) noteUnread(files int, err error) (first bool) {
	a := &s.attaching
	a.mu.Lock()
	defer a.mu.Unlock()
	first = a.unread == nil
	if err != nil && first {
		s.log.Error("the state directory cannot be read, will retry", "error", err)
	}
	switch {
	case err != nil:
		a.unread = fmt.Errorf("the logs of earlier containers are not read: %w", err)
	case files > 0:
		a.unread = fmt.Errorf("the logs of %d earlier containers are not read: their state files cannot be read at the moment", files)
	default:
		a.unread = nil
		return first
	}
	a.failed()
	if first {
		a.held.Store(true)
	}
	return first
}

// Unread returns why sessions of an earlier process are not read yet; nil means that all are.
func (s *Sessions) Unread() error { return s.attaching.err() }

// Damaged returns what is not read because the state of its session is damaged, one line each.
func (s *Sessions) Damaged() (all []string) {
	for _, a := range s.dir.SetAside() {
		text := fmt.Sprintf("the log of session %s is not read: its state is damaged and was set aside as %s; restart the container that is missing in status, then delete that file", short(a.ID), a.Name)
		if dir := filepath.Join(s.dir.Path(), "spool", a.ID); exists(dir) {
			text += "; the next start of the driver then deletes its undelivered lines, in " + dir
		}
		all = append(all, text)
	}
	return all
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// StateFailures counts the calls for the state of sessions that the file system has refused. Each was made again, or will be.
func (s *Sessions) StateFailures() int64 { return s.attaching.failures.Load() }

// sweep removes spools that belong to no session: nobody knows any more where their lines were to go. Those of a state
// that was set aside, or may be there, stay.
func (s *Sessions) sweep() {
	known := map[string]bool{}
	s.mu.Lock()
	for file := range s.byFile {
		known[state.ID(file)] = true
	}
	for file := range s.starting {
		known[state.ID(file)] = true
	}
	s.mu.Unlock()
	root := filepath.Join(s.dir.Path(), "spool")
	entries, _ := os.ReadDir(root) // there is none before the first session
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		switch {
		case known[e.Name()]:
		case s.dir.MayKnow(e.Name()):
			s.log.Error("a spool waits for the state of its session, which cannot be read", "session", short(e.Name()), "dir", dir)
		default:
			s.log.Warn("a spool that belongs to no session is removed", "session", short(e.Name()), "dir", dir)
			if err := os.RemoveAll(dir); err != nil {
				s.log.Warn("cannot remove a spool", "session", short(e.Name()), "dir", dir, "error", err)
			}
		}
	}
}
