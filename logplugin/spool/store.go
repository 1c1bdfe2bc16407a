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
// Only bytes that are not there, or that were read and are not a log, count as damaged. After every other error of the file
// system the same is tried again, and Stats has the error meanwhile: no line is given up because there are too few
// files or too little memory at the moment.
//
// What it refuses: to sync. The promise holds for a driver that is killed, not for a host that loses power; there a
// segment may end early or in zeros, which cost the frames at that place and no more.
//
// Order is the position of a byte, and intervals are measured on a clock that never steps. Wall time is only for people.
package spool

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/fifo"
)

// idleFile is how long a file is kept open without being used.
const idleFile = 5 * time.Second

// Config is what the spools of one state directory share. Dir, Total, Memory and Retry must be set.
type Config struct {
	Dir         string        // the state directory; its file system is what is measured
	Total       int64         // bytes on disk of all spools; never more than a tenth of the file system
	MinFree     int64         // bytes to leave free for others than root; 0 = none
	MinFreePart int64         // MinFree is at most one part in so many of the file system; 0 = no bound
	Memory      int64         // bytes in memory of all spools, while the disk takes none
	Retry       time.Duration // pause before what the file system has refused is tried again
	Spare       func() bool   // frees space on the file system that is worth less than a line, and reports whether there was any; nil means none
	Log         *slog.Logger  // nil means no log

	FS   FileSystem       // nil means the host's
	Wall func() time.Time // the time that people are shown; nil means time.Now
}

// Store is the spools of one state directory, and the limits that hold for all of them (many fields, reason: each is a
// limit or a count that all spools share, with a lock of its own or none).
type Store struct {
	cfg      Config
	fs       FileSystem
	clock    clock
	copies   atomic.Bool  // the file system cannot splice
	disk     atomic.Int64 // bytes in files
	failures atomic.Int64 // see StoreStats
	space    *space
	memory   memory
	io       threads
	files    openFiles
	pipes    *fifo.Pipes
	poller   fifo.Poller

	closeWait time.Duration // how long Close and Remove wait for a drain

	room sync.Mutex // makes room one at a time; taken before any lock of a Spool

	mu     sync.Mutex
	spools map[*Spool]struct{}
}

// NewStore returns the Store of cfg.Dir. The directory should exist; if not, or if it cannot be used, the spools start
// in memory and move to it when they can.
func NewStore(cfg Config) *Store {
	var fs FileSystem = System{}
	if cfg.FS != nil {
		fs = cfg.FS
	}
	var clk clock = systemClock{time.Now()}
	if cfg.Wall != nil {
		clk = wallClock{clk, cfg.Wall}
	}
	return newStoreOn(cfg, fs, clk)
}

func newStoreOn(cfg Config, fs FileSystem, clock clock) *Store {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	st := &Store{
		cfg: cfg, fs: fs, clock: clock, memory: memory{limit: cfg.Memory}, io: make(threads, maxIO),
		pipes: fifo.NewPipes(), closeWait: closeWait, spools: make(map[*Spool]struct{}),
	}
	st.space = newSpace(fs, clock, &st.cfg)
	st.files.idle = idleFile
	st.poller.Log = cfg.Log
	st.copies.Store(errors.Is(probe(fs, cfg.Dir), unix.EINVAL))
	return st
}

// CanSplice reports whether the file system can take bytes from a pipe directly. If not, bytes that are being moved when
// the process is killed are lost.
func (st *Store) CanSplice() bool { return !st.copies.Load() }

// StoreStats is the state of all spools together.
type StoreStats struct {
	Spools    int
	DiskBytes int64
	MaxBytes  int64 // of DiskBytes
	RAMBytes  int64
	MaxRAM    int64 // of RAMBytes
	PipeBytes int64 // size of all pipes that have been enlarged
	OpenFiles int   // segments, cursor files and what waits for FIFOs; the FIFOs themselves belong to their sessions
	LowSpace  bool  // less free space than there should be
	Failures  int64 // calls that the file system has refused, of all spools that there were; each is made again
}

// Stats returns the present numbers.
func (st *Store) Stats() StoreStats {
	st.mu.Lock()
	defer st.mu.Unlock()
	return StoreStats{
		Spools: len(st.spools), DiskBytes: st.disk.Load(), MaxBytes: st.space.total.Load(),
		RAMBytes: st.memory.used.Load(), MaxRAM: st.memory.limit,
		PipeBytes: st.pipes.Bytes(), OpenFiles: int(st.files.open.Load()) + st.poller.Files(), LowSpace: st.space.isLow.Load(), Failures: st.failures.Load(),
	}
}

// all returns the spools at this moment.
func (st *Store) all() []*Spool {
	st.mu.Lock()
	defer st.mu.Unlock()
	all := make([]*Spool, 0, len(st.spools))
	for s := range st.spools {
		all = append(all, s)
	}
	return all
}

// makeRoom drops the oldest segment of the spool that has most on disk, until all limits are kept or nothing is left
// that may go.
func (st *Store) makeRoom() {
	st.room.Lock()
	defer st.room.Unlock()
	for st.disk.Load() > st.space.total.Load() || st.space.low(true) {
		if st.space.isLow.Load() && st.cfg.Spare != nil && st.cfg.Spare() {
			continue
		}
		far := st.disk.Load() > st.space.total.Load()/slack*(slack+1)
		if !st.dropLargest(func(s *Spool) int64 { return s.segs.disk.Load() }, func(s *Spool) bool { return s.drop(onDisk, far) }) {
			return
		}
	}
}

// makeMemory drops the oldest bytes in memory of the spool that has most there, until so many can be taken or nothing
// is left that may go. It returns what memory.take has returned in the end.
func (st *Store) makeMemory(n int64) bool {
	for !st.memory.take(n) {
		if !st.dropLargest(func(s *Spool) int64 { return s.segs.ram.Load() }, (*Spool).giveMemory) {
			return false
		}
	}
	return true
}

// dropLargest calls drop for the spools by falling size, until it is true for one.
func (st *Store) dropLargest(size func(*Spool) int64, drop func(*Spool) bool) bool {
	all := st.all()
	sizes := make([]int64, len(all)) // what a spool has changes meanwhile: compare by one look at it
	for i, s := range all {
		sizes[i] = size(s)
	}
	for len(all) > 0 {
		most := 0
		for i := range sizes {
			if sizes[i] > sizes[most] {
				most = i
			}
		}
		if sizes[most] == 0 {
			return false
		}
		if drop(all[most]) {
			return true
		}
		last := len(all) - 1
		all[most], sizes[most] = all[last], sizes[last]
		all, sizes = all[:last], sizes[:last]
	}
	return false
}
