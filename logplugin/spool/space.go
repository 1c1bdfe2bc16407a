package spool

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Free space is asked for at most this often.
const freeInterval = 250 * time.Millisecond

// space is how much there is on the file system.
type space struct {
	fs    FileSystem
	clock clock
	cfg   *Config
	part  int64 // all spools take at most one part in so many of the file system

	asks  sync.Mutex   // one at a time
	at    atomic.Int64 // when it was last asked for, an instant
	isLow atomic.Bool  // the answer
	total atomic.Int64 // the limit of all spools
}

func newSpace(fs FileSystem, clock clock, cfg *Config) *space {
	sp := &space{fs: fs, clock: clock, cfg: cfg, part: 10}
	sp.at.Store(int64(never))
	sp.total.Store(cfg.Total)
	sp.low(true)
	return sp
}

// low reports whether the file system has less free space than it should. A file system that does not say has enough:
// writing to it will show.
func (sp *space) low(afresh bool) bool {
	now := sp.clock.Mono()
	if !afresh && now.sub(instant(sp.at.Load())) < freeInterval || !sp.asks.TryLock() {
		return sp.isLow.Load()
	}
	defer sp.asks.Unlock()
	free, size, err := sp.fs.Statfs(sp.cfg.Dir)
	sp.at.Store(int64(now))
	if err != nil {
		sp.isLow.Store(false)
		return false
	}
	sp.total.Store(min(sp.cfg.Total, size/sp.part))
	least := sp.cfg.MinFree
	if sp.cfg.MinFreePart > 0 {
		least = min(least, size/sp.cfg.MinFreePart)
	}
	sp.isLow.Store(free < least)
	return sp.isLow.Load()
}

// memory counts the bytes that all spools have in memory, and never lets them become more than its limit, but for those
// that have nowhere else to be.
type memory struct {
	limit int64
	used  atomic.Int64
}

// take returns false if there are not so many bytes left.
func (m *memory) take(n int64) bool {
	for {
		used := m.used.Load()
		if used+n > m.limit {
			return false
		}
		if m.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// threads bounds the calls into the file system that are under way. If it hangs, each takes a thread with it; the other
// sessions wait without.
type threads chan struct{}

const maxIO = 32

// enter waits for a place among those who use the file system; false means that ctx has ended first.
func (t threads) enter(ctx context.Context) bool {
	select {
	case t <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// tryEnter is enter without waiting.
func (t threads) tryEnter() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t threads) leave() { <-t }

// probe splices a byte into a file in dir, and returns the error.
func probe(fsys FileSystem, dir string) error {
	path := dir + "/probe" + unfinished
	f, err := fsys.Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer f.Close()
	defer fsys.Remove(path) //nolint:errcheck // a leftover is harmless
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return err
	}
	defer unix.Close(p[0]) //nolint:errcheck // nothing is lost
	defer unix.Close(p[1]) //nolint:errcheck // nor here
	if _, err := unix.Write(p[1], []byte{0}); err != nil {
		return err
	}
	_, err = f.Splice(p[0], 0, 1)
	return err
}
