package session

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/history"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/readlogs"
	"github.com/secretref/secretref/logplugin/spool"
)

var (
	_ dockerplugin.Logs = (*Sessions)(nil)
	_ readlogs.Session  = (*session)(nil)
)

// expirePause is the time between two looks for history that is to be deleted.
const expirePause = time.Hour

// newHistory returns what is kept of delivered lines.
func (s *Sessions) newHistory(c Config) *history.Store {
	logs := c.Config.Logs
	return history.New(history.Config{
		Dir: filepath.Join(c.State.Path(), "history"), Total: logs.HistoryTotal, KeepEnded: logs.KeepEnded, Live: s.containers, Log: c.Log,
	})
}

// containers returns the containers that have sessions.
func (s *Sessions) containers() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	live := map[string]bool{}
	for _, x := range s.byFile {
		live[x.meta.ContainerID] = true
	}
	return live
}

// expire deletes history in time, until Close.
func (s *Sessions) expire() {
	s.history.Load()
	again := time.NewTicker(expirePause)
	defer again.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-again.C:
			s.history.Expire()
		}
	}
}

// History returns how much is kept of delivered lines.
func (s *Sessions) History() history.Stats { return s.history.Stats() }

// ForgetEnded deletes what is kept of a container that has no session, or of all of them for "". container is the beginning of its id, at
// least four digits.
func (s *Sessions) ForgetEnded(container string) (history.Stats, error) {
	if container == "" {
		return s.history.Forget(""), nil
	}
	var found []string
	if len(container) >= 4 {
		found = s.history.Containers(container)
	}
	switch {
	case len(found) == 0:
		return history.Stats{}, fmt.Errorf("nothing is kept of a container %q; give its id, of which docker shows the first 12 digits", container)
	case len(found) > 1:
		return history.Stats{}, fmt.Errorf("%d containers of which something is kept begin with %s; give more digits", len(found), container)
	case s.containers()[found[0]]:
		return history.Stats{}, fmt.Errorf("container %s has a session: its log is read, or is still being delivered", short(found[0]))
	}
	s.log.Warn("what is kept of the log of a container is deleted", "container", short(found[0]))
	return s.history.Forget(found[0]), nil
}

// ReadLogs implements dockerplugin.Logs.
func (s *Sessions) ReadLogs(ctx context.Context, info dockerplugin.Info, q readlogs.Query) (dockerplugin.Answer, error) {
	c := readlogs.Container{
		ID: info.ContainerID, Created: info.ContainerCreated, History: s.history,
		Sessions: func() []readlogs.Session { return s.of(info.ContainerID) },
	}
	if kept, err := options.History(info.Config); (err != nil || kept != options.NoHistory) && !s.dir.IsWhole(info.ContainerID) {
		c.First = fmt.Sprintf("secretref: output from before the log driver answered docker logs is not shown; it is in containers/%s/container-cached.log below the data-root of the Docker daemon (/var/lib/docker)", info.ContainerID)
	}
	stream, err := readlogs.Open(ctx, c, q)
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// of returns the sessions of a container, oldest first.
func (s *Sessions) of(containerID string) []readlogs.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []readlogs.Session
	for _, x := range s.byFile {
		if x.meta.ContainerID == containerID {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b readlogs.Session) int { return a.Key().Compare(b.Key()) })
	return all
}

// keeper is the history of one session. It implements spool.History.
type keeper struct {
	store     *history.Store
	container string
	key       history.Key
	limit     int64 // bytes of the container
}

// Keep implements spool.History.
func (k keeper) Keep(path string, base, end int64, last bool) error {
	return k.store.Keep(k.container, history.Piece{Key: k.key, Base: base, End: end}, path, last, k.limit)
}

// keeper returns the history of x, nil if there is none. A session that the daemon has begun with the answer that docker logs asks the
// log driver keeps its history when read_logs changes: the daemon goes on asking. One that was begun without has history from the
// change on, for the time after it.
func (s *Sessions) keeper(x *session) spool.History {
	if !s.readLogs && !x.meta.ReadLogs || x.meta.History == options.NoHistory {
		return nil
	}
	limit := x.meta.History
	if limit == 0 {
		limit = options.DefaultHistory
	}
	return keeper{s.history, x.meta.ContainerID, x.Key(), limit}
}

// Key implements readlogs.Session.
func (s *session) Key() history.Key { return history.Key{Number: s.meta.Number, Session: s.id()} }

// Spool implements readlogs.Session.
func (s *session) Spool() *spool.Spool { return s.spool }

// Ended implements readlogs.Session.
func (s *session) Ended() bool { return s.drained.Load() }

// Changed implements readlogs.Session.
func (s *session) Changed() <-chan struct{} { return s.changes.next() }

// A FIFO that the daemon is about to close should end soon. If it is empty for so long, the daemon has leaked it.
const (
	endsWithin = time.Second
	lookPause  = 5 * time.Millisecond
)

// Settle implements readlogs.Session.
func (s *session) Settle(ctx context.Context) {
	target := int64(-1)
	var empty time.Time // since when
	look := time.NewTicker(lookPause)
	defer look.Stop()
	for !s.drained.Load() {
		unread, open := s.input.unreadBytes()
		end, still := s.spool.End()
		switch {
		case !open && !s.stopping.Load(), !s.spool.Stats().Loaded:
			return
		case still && target < 0:
			target = end + int64(unread)
		}
		if unread > 0 {
			empty = time.Time{}
		} else if empty.IsZero() {
			empty = time.Now()
		}
		switch reached := still && (unread == 0 || end >= target); {
		case reached && !s.stopping.Load():
			return
		case reached && unread == 0 && time.Since(empty) > endsWithin:
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.changes.next():
		case <-look.C:
		}
	}
}

// broadcast wakes all who wait for a change.
type broadcast struct {
	mu sync.Mutex
	c  chan struct{} // nil means that nobody waits
}

// next returns a channel that is closed with the next change.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}
