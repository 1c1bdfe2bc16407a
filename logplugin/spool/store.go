// Package spool keeps the bytes of a container's log between the FIFO of the Docker daemon and the log router.
//
// Use one Store for a state directory and one Spool for each FIFO. Drain moves what is in the FIFO into segment files
// with splice(2), so that at every moment a byte is in the pipe or in a file: a driver that is killed loses nothing,
// and the next one goes on where it was. Peek and Skip read the bytes back, Commit says up to where the router has
// accepted them.
//
// What it promises: the FIFO is drained whatever happens. Past a limit (bytes of one spool, of all of them, free
// space on the file system) the oldest segments are dropped, with the exact number of frames in them, and the reader
// is told where they were. Where the file system takes no more, bytes are kept in memory, within a limit, until it
// does. A reader in the middle of a batch never loses what it has been shown.
//
// What it refuses: to sync. The promise holds for a driver that is killed, not for a host that loses power; there a
// segment may end early or in zeros, which cost the frames at that place and no more.
package spool

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/fifo"
)

// Defaults of Config.
const (
	DefaultTotal   = 2 << 30
	DefaultMinFree = 1 << 30
	DefaultMemory  = 64 << 20
	DefaultRetry   = time.Second
)

// So many calls into the file system at once. If it hangs, each takes a thread with it; the other sessions wait without.
const maxIO = 32

// Free space is asked for at most this often.
const freeInterval = 250 * time.Millisecond

// Config is what the spools of one state directory share.
type Config struct {
	Dir     string        // the state directory; its file system is what is measured
	Total   int64         // bytes on disk of all spools; 0 = DefaultTotal, and never more than a tenth of the file system
	MinFree int64         // bytes to leave free for others than root; 0 = DefaultMinFree or 5 %, the smaller; < 0 = none
	Memory  int64         // bytes in memory of all spools, while the disk takes none; 0 = DefaultMemory
	Retry   time.Duration // pause between tries to return to the disk; 0 = DefaultRetry
	Log     *slog.Logger  // nil = nobody listens
}

// Store is the spools of one state directory, and the limits that hold for all of them.
type Store struct {
	cfg    Config
	copies atomic.Bool  // the file system cannot splice
	disk   atomic.Int64 // bytes in files
	ram    atomic.Int64 // bytes of memory instead of files
	pipes  *fifo.Pipes
	poller fifo.Poller
	io     chan struct{}

	closeWait time.Duration // how long Close and Remove wait for a drain

	room sync.Mutex // makes room one at a time; taken before any lock of a Spool

	asks   sync.Mutex   // for free space, one at a time
	freeAt atomic.Int64 // when that was, in ns
	isLow  atomic.Bool  // what came of it

	mu     sync.Mutex
	spools map[*Spool]struct{}
}

// NewStore returns the Store of cfg.Dir. The directory should exist; if not, or if it cannot be used, the spools start
// in memory and move to it when they can.
func NewStore(cfg Config) *Store {
	if cfg.Total <= 0 {
		cfg.Total = DefaultTotal
	}
	if cfg.Memory <= 0 {
		cfg.Memory = DefaultMemory
	}
	if cfg.Retry <= 0 {
		cfg.Retry = DefaultRetry
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(cfg.Dir, &fs); err == nil {
		size := int64(fs.Blocks) * fs.Bsize
		cfg.Total = min(cfg.Total, size/10)
		if cfg.MinFree == 0 {
			cfg.MinFree = min(DefaultMinFree, size/20)
		}
	} else if cfg.MinFree == 0 {
		cfg.MinFree = DefaultMinFree
	}
	st := &Store{cfg: cfg, io: make(chan struct{}, maxIO), spools: make(map[*Spool]struct{})}
	st.pipes, st.poller.Log = fifo.NewPipes(), cfg.Log
	st.closeWait = closeWait
	st.copies.Store(errors.Is(probe(cfg.Dir), unix.EINVAL))
	return st
}

// CanSplice tells whether the file system can take bytes from a pipe directly. If not, bytes that are on their way when the
// process is killed are lost.
func (st *Store) CanSplice() bool { return !st.copies.Load() }

// StoreStats is the state of all spools together.
type StoreStats struct {
	Spools    int
	DiskBytes int64
	MaxBytes  int64 // of DiskBytes
	RAMBytes  int64
	PipeBytes int64 // size of all pipes that have been enlarged
	LowSpace  bool  // less free space than there should be
}

// Stats returns the present numbers.
func (st *Store) Stats() StoreStats {
	st.mu.Lock()
	defer st.mu.Unlock()
	return StoreStats{
		Spools: len(st.spools), DiskBytes: st.disk.Load(), MaxBytes: st.cfg.Total, RAMBytes: st.ram.Load(),
		PipeBytes: st.pipes.Bytes(), LowSpace: st.isLow.Load(),
	}
}

// low tells whether the file system has less free space than it should. A file system that does not say has enough:
// writing to it will show.
func (st *Store) low(afresh bool) bool {
	if st.cfg.MinFree < 0 {
		return false
	}
	now := time.Now().UnixNano()
	if !afresh && now-st.freeAt.Load() < int64(freeInterval) || !st.asks.TryLock() {
		return st.isLow.Load()
	}
	defer st.asks.Unlock()
	var fs unix.Statfs_t
	err := unix.Statfs(st.cfg.Dir, &fs)
	st.isLow.Store(err == nil && int64(fs.Bavail)*fs.Bsize < st.cfg.MinFree)
	st.freeAt.Store(now)
	return st.isLow.Load()
}

// enter waits for a place among those who use the file system; false = ctx has ended first.
func (st *Store) enter(ctx context.Context) bool {
	select {
	case st.io <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (st *Store) leave() { <-st.io }

// makeRoom drops the oldest segment of the spool that has most on disk, until all limits are kept or nothing is left
// that may go.
func (st *Store) makeRoom() {
	st.room.Lock()
	defer st.room.Unlock()
	for st.disk.Load() > st.cfg.Total || st.low(true) {
		if !st.dropLargest() {
			return
		}
	}
}

func (st *Store) dropLargest() bool {
	st.mu.Lock()
	all := make([]*Spool, 0, len(st.spools))
	for s := range st.spools {
		all = append(all, s)
	}
	st.mu.Unlock()
	// What a spool has changes meanwhile: sort by one look at it.
	size := make(map[*Spool]int64, len(all))
	for _, s := range all {
		size[s] = s.disk.Load()
	}
	slices.SortFunc(all, func(a, b *Spool) int { return cmp.Compare(size[b], size[a]) })
	for _, s := range all {
		if s.drop(onDisk) {
			return true
		}
	}
	return false
}

// probe splices a byte into a file in dir, and says what came of it.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, "probe-*"+unfinished)
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(f.Name()) //nolint:errcheck // a leftover is empty and harmless
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.Write([]byte{0}); err != nil {
		return err
	}
	conn, err := r.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = conn.Read(func(fd uintptr) bool {
		_, serr = unix.Splice(int(fd), nil, int(f.Fd()), nil, 1, unix.SPLICE_F_NONBLOCK)
		return true
	})
	return errors.Join(err, serr)
}

// isFull tells whether err means that there is no space, as against a file system that takes nothing at all.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, errLowSpace)
}
