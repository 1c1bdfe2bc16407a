package hostcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How the time of a call is shared out. The one that holds the lock stops a good deal before those who wait for it give
// up, though they may have begun at the same moment; and who gives up, because the holder is stopped or stuck, has
// time left for a call of its own.
const (
	fetchShare  = 0.8
	waitShare   = 0.9
	longestWait = 10 * time.Second // for a context without a deadline

	firstPause = 2 * time.Millisecond
	lastPause  = 50 * time.Millisecond
)

// ticket is an open lock file, whether or not it is locked: it also reports whether the entry was erased since.
type ticket struct {
	dir    *dir
	name   string
	fd     int
	locked bool
}

func (d *dir) ticket(name string) (*ticket, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, d.wrap(fmt.Errorf("lock file: %w", err))
	}
	return &ticket{dir: d, name: name, fd: fd}, nil
}

// try takes the lock if it is free. The kernel frees it when its holder dies.
func (t *ticket) try() error {
	err := unix.Flock(t.fd, unix.LOCK_EX|unix.LOCK_NB)
	t.locked = err == nil
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

func (t *ticket) held() bool { return t != nil && t.locked }

// linked reports whether the lock file is still the one that others find under its name.
func (t *ticket) linked() bool {
	var mine, there unix.Stat_t
	return unix.Fstat(t.fd, &mine) == nil &&
		unix.Fstatat(t.dir.fd, t.name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		mine.Ino == there.Ino && mine.Dev == there.Dev
}

// close gives the lock back.
func (t *ticket) close() {
	if t != nil {
		_ = unix.Close(t.fd)
	}
}

// await takes the lock of k, or finds that it need not: done is true when e is fresh, or the outcome of a call that
// another process ended after we came, also when that is a transient failure. Otherwise the caller has to fetch, with
// a ticket that is held; or not held, when the time was up; or nil, when there is no lock to be had here at all.
//
// It polls. A blocking flock(2) cannot be given a deadline without a signal or a thread left behind, and a poll sees
// the outcome as soon as it is there, without going through the queue for the lock.
func (c *Cache) await(ctx context.Context, k Key) (t *ticket, e entry, done bool) {
	began := c.boot()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longestWait)
		defer cancel()
	}
	ctx, cancel := withShare(ctx, waitShare)
	defer cancel()
	for pause := firstPause; ; pause = min(pause*3/2, lastPause) {
		if t != nil && !t.linked() { // erased or swept: its holder's outcome will not be kept, so do not wait for it
			t.close()
			t = nil
		}
		var err error
		if t == nil {
			if t, err = c.dir.ticket(k.name() + lockSuffix); err != nil {
				c.note(err)
				return nil, entry{}, false
			}
		}
		if err = t.try(); err != nil {
			c.note(c.dir.wrap(fmt.Errorf("flock: %w", err)))
			return t, entry{}, false
		}
		if e, ok := c.read(k); ok && (e.window.IsFresh(c.now()) || e.boot > began) {
			t.close()
			return nil, e, true
		}
		if t.locked && t.linked() {
			return t, entry{}, false
		}
		select {
		case <-ctx.Done():
			return t, entry{}, false
		case <-time.After(rand.N(pause) + pause/2): // not all in step
		}
	}
}

// withShare returns a context for a share of the time that ctx has left, if ctx has an end at all.
func withShare(ctx context.Context, share float64) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(share*float64(time.Until(end))))
}

// sweep removes what has long been worthless: keys name the environment of their caller, so a build host sees new ones
// every day. It looks at a bounded number of files, from a random one on; as it removes some every time that one is
// added, the directory does not grow for ever. A file goes only under its lock, so that no fresh entry is removed by mistake.
func (c *Cache) sweep() {
	names, err := c.dir.names()
	if err != nil || len(names) == 0 {
		return
	}
	now := c.now()
	removed := 0
	first := rand.N(len(names))
	for i := range min(len(names), sweepLooks) {
		if removed == sweepMost {
			return
		}
		name := names[(first+i)%len(names)]
		if age, ok := c.dir.age(name, now); !ok || age < sweepAge {
			continue
		}
		switch entry := strings.TrimSuffix(name, lockSuffix); {
		case strings.HasPrefix(name, tempPrefix):
			c.dir.unlink(name) // of a process that was killed while it wrote
			removed++
		case idOf(entry) != "" && c.sweepEntry(entry, now):
			removed++
		}
	}
}

// sweepEntry removes an entry and its lock file when the entry is old or not there, its key is gone, and no process works on it.
func (c *Cache) sweepEntry(name string, now time.Time) bool {
	if hasKey(idOf(name)) {
		return false
	}
	t, err := c.dir.ticket(name + lockSuffix)
	if err != nil {
		return false
	}
	defer t.close()
	if t.try() != nil || !t.locked || !t.linked() {
		return false
	}
	if age, ok := c.dir.age(name, now); ok && age < sweepAge {
		return false
	}
	return c.dir.remove(name) == nil
}
