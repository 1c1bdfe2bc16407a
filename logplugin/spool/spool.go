package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Options.
const (
	DefaultMaxBytes     = 256 << 20
	DefaultMemoryBytes  = 1 << 20
	DefaultSegmentBytes = 4 << 20
	minSegmentBytes     = 64 << 10
)

// A current segment of which everything has been accepted is given up once it has this size, so that an idle spool does
// not sit on a file that nobody needs.
const retireBytes = 64 << 10

// A drain that is stopped ends at once, unless the file system hangs.
const closeWait = 5 * time.Second

// Options of one Spool.
type Options struct {
	MaxBytes     int64  // on disk; 0 = DefaultMaxBytes. What the reader holds may come on top
	SegmentBytes int64  // the piece in which space is given and taken; 0 = an eighth of MaxBytes, 64 KiB to 4 MiB
	MemoryBytes  int64  // in memory, while the disk takes none; 0 = DefaultMemoryBytes
	Notify       func() // called when there may be more to read; only passes that on, and returns at once; may be nil
}

// Mode is how bytes come from the FIFO to where they are kept.
type Mode string

// The modes, in falling order of what they promise.
const (
	Splice Mode = "splice" // in the pipe or in a file at every moment
	Copy   Mode = "copy"   // the file system cannot splice: bytes on their way are lost if the process is killed
	Memory Mode = "memory" // the disk takes none: what has not been sent is lost if the process is killed
)

// Spool is the log of one FIFO: one goroutine drains into it, one reads from it, and any may commit.
//
// A position counts the bytes since the spool was made. It outlives the process.
type Spool struct {
	store *Store
	dir   string
	opt   Options
	disk  atomic.Int64
	ram   atomic.Int64
	last  atomic.Int64  // when the last byte came in, in ns since 1970
	ready chan struct{} // has one element after a change that a reader may wait for

	// Locks are taken in this order. File operations are never done under mu.
	drops sync.Mutex // one drop at a time
	out   sync.Mutex // while bytes move into cur
	marks sync.Mutex // the cursor file
	file  cursorFile
	buf   []Gap // for marks

	mu        sync.Mutex
	segs      []*segment // oldest first; there may be holes between them
	cur       *segment   // the last of segs, if it takes more; changed under out and mu
	end       int64      // position after the last byte
	commit    int64      // everything before it has been accepted
	persisted int64      // what of that is on disk
	dirty     bool       // the last write of the cursor has failed
	taken     int64      // the reader's position: the start of a frame
	seen      int64      // up to there the reader has been shown bytes, and may be using them
	version   uint64     // counts what a reader may wait for
	shown     uint64     // version at the end of what the last Peek has shown
	gaps      []gap      // after commit, in order
	lines     int64      // dropped so far
	bytes     int64
	moves     int64
	since     time.Time // about when the byte at commit came in; zero = not since Open
	stamp     int64     // a position, moved on when commit has reached it
	stamped   time.Time // when the byte there came in
	finished  bool
	closed    bool
	inMemory  bool
	lastErr   error
	stop      context.CancelFunc // ends the drain
	stopped   chan struct{}      // closed after its end
	orphan    bool               // the drain has not ended in time: it releases the spool when it does
}

// Open returns the spool in dir, an own directory, with what an earlier process has left there. It never fails: a
// directory that cannot be used makes a spool in memory, and Stats says why.
func (st *Store) Open(dir string, o Options) *Spool {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = min(max(o.MaxBytes/8, minSegmentBytes), DefaultSegmentBytes)
	}
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = DefaultMemoryBytes
	}
	s := &Spool{store: st, dir: dir, opt: o, ready: make(chan struct{}, 1)}
	s.file.path = filepath.Join(dir, cursorName)
	if err := s.load(); err != nil {
		s.lastErr = err
		st.cfg.Log.Warn("spool opens with a fault", "dir", dir, "error", err)
	}
	st.mu.Lock()
	st.spools[s] = struct{}{}
	st.mu.Unlock()
	s.trim()
	return s
}

// load reads the directory. What it can read counts, whatever else fails.
func (s *Spool) load() error {
	errDir := os.MkdirAll(s.dir, 0o700)
	m, known, errMark := readMark(s.file.path)
	segs, errList := listSegments(s.dir)
	s.file.seq = m.seq
	s.commit, s.persisted, s.lines, s.bytes = m.cursor, m.cursor, m.lines, m.bytes
	for _, g := range m.gaps {
		s.gaps = append(s.gaps, gap{Gap: g})
	}
	// A crash of the host may have cut the last segment short of that.
	s.end = m.end
	there := int64(0) // the end of the last segment
	for _, seg := range segs {
		inGap := slices.ContainsFunc(m.gaps, func(g Gap) bool { return g.From <= seg.base && seg.end() <= g.To })
		if seg.size == 0 || seg.end() <= s.commit || inGap {
			// Its removal was under way. An empty one may be removed while its end still counts.
			s.end = max(s.end, seg.end())
			_ = os.Remove(s.path(seg))
			continue
		}
		s.segs = append(s.segs, seg)
		there = seg.end()
		s.end = max(s.end, there)
		s.count(seg.size, 0)
	}
	if !known {
		s.commit = s.end // nothing is left, or an empty segment
		if len(s.segs) > 0 {
			s.commit = s.segs[0].base // rather twice than not at all
		}
		s.persisted = s.commit
	}
	s.taken, s.seen = s.commit, s.commit
	s.cutOff(max(there, s.commit))
	s.version = 1
	return errors.Join(errDir, errMark, errList)
}

// cutOff makes gaps of what the log had from pos on, behind its last segment, as far as it is in none: it was only in memory,
// or the host has crashed. Nothing else will ever fill that place, or say that lines are missing. If there is no room
// for another gap, the reader comes upon the hole.
func (s *Spool) cutOff(pos int64) {
	if pos >= s.end {
		return
	}
	before := s.bytes
	for _, g := range slices.Clone(s.gaps) {
		if g.From > pos {
			s.addGap(Gap{From: pos, To: g.From})
		}
		pos = max(pos, g.To)
	}
	if pos < s.end {
		s.addGap(Gap{From: pos, To: s.end})
	}
	if n := s.bytes - before; n > 0 {
		s.store.cfg.Log.Error("the end of the log is missing: it was only in memory, or the host has crashed", "dir", s.dir, "bytes", n)
	}
}

// count adds to the bytes of the spool and of the store.
func (s *Spool) count(disk, ram int64) {
	s.disk.Add(disk)
	s.store.disk.Add(disk)
	s.ram.Add(ram)
	s.store.ram.Add(ram)
}

// Stats is the state of a spool.
type Stats struct {
	Mode         Mode
	Committed    int64 // position up to which the router has accepted
	End          int64 // position after the last byte; End less Committed is what waits
	DiskBytes    int64
	RAMBytes     int64
	DroppedLines int64 // frames, over the whole life of the spool
	DroppedBytes int64
	Moves        int64     // calls that have brought bytes, since Open
	Since        time.Time // about when the oldest byte that waits came in; zero = nothing waits
	Last         time.Time // about when the last byte came in; zero = none since Open
	Err          error     // why the mode is Memory, or what last went wrong; nil = all is well
}

// Stats returns the present state. It never waits for a file system.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Mode: Splice, Committed: s.commit, End: max(s.end, s.commit), DiskBytes: s.disk.Load(), RAMBytes: s.ram.Load(),
		DroppedLines: s.lines, DroppedBytes: s.bytes, Moves: s.moves, Err: s.lastErr,
	}
	if last := s.last.Load(); last != 0 {
		st.Last = time.Unix(0, last)
	}
	switch {
	case s.inMemory:
		st.Mode = Memory
	case !s.store.CanSplice():
		st.Mode = Copy
	}
	st.Since = s.oldest()
	return st
}

// oldest returns about when the oldest byte that waits came in. Call it under mu.
func (s *Spool) oldest() time.Time {
	if s.end <= s.commit {
		return time.Time{}
	}
	if g := s.find(s.commit); g != nil && g.born.After(s.since) {
		return g.born
	}
	return s.since
}

// arrived notes when the byte at end came in, if one needs to know. One such time on its way to commit is enough: what
// oldest says is then too early by as long as a byte waits, at most. Call it under mu, before end moves.
func (s *Spool) arrived(now time.Time) {
	if s.end <= s.commit {
		s.since = now
	}
	if s.stamp <= s.commit {
		s.stamp, s.stamped = s.end, now
	}
}

// Finish says that no more bytes will come: the reader gets io.EOF at the end.
func (s *Spool) Finish() {
	s.mu.Lock()
	s.finished = true
	s.version++
	s.mu.Unlock()
	s.wake()
}

// wake tells the reader that something has changed.
func (s *Spool) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
	if s.opt.Notify != nil {
		s.opt.Notify()
	}
}

// Close ends a running Drain, writes what is in memory to disk if that takes it, and keeps the files for the next Open.
// The reader must be done. Bytes that are neither committed nor on disk are lost, and named in the error.
func (s *Spool) Close() error {
	first, err := s.shut()
	if !first || err != nil {
		return err
	}
	s.out.Lock()
	s.setCurrent(nil)
	err = s.flushMemory()
	s.out.Unlock()
	s.trim()
	left := s.ram.Load()
	if left > 0 {
		_ = s.persist() // so that the next Open says what is missing
	}
	s.release()
	if left > 0 {
		return fmt.Errorf("close spool %s: up to %d bytes of log were only in memory and are lost: %w", s.dir, left, err)
	}
	return nil
}

// Remove is Close without a further use: the files of the spool go, and its directory if nothing else is in it.
func (s *Spool) Remove() error {
	first, err := s.shut()
	if err != nil {
		return err
	}
	if first {
		s.release()
	}
	errs := removeFiles(s.dir)
	_ = os.Remove(s.dir) // others may keep files there
	return errs
}

// shut ends the drain and says whether this was the first call. A drain that hangs may hold any lock but mu: with an error,
// it is the drain that releases the spool, when it ends.
func (s *Spool) shut() (first bool, err error) {
	s.mu.Lock()
	stop, stopped := s.stop, s.stopped
	first = !s.closed
	s.closed, s.finished = true, true
	s.version++
	s.mu.Unlock()
	s.wake()
	if stop != nil {
		stop()
		select {
		case <-stopped:
		case <-time.After(s.store.closeWait):
			s.mu.Lock()
			late := s.stop != nil
			s.orphan = late
			s.mu.Unlock()
			if late {
				s.leaveStore()
				return first, fmt.Errorf("close spool %s: the file system has not answered for %v", s.dir, s.store.closeWait)
			}
		}
	}
	return first, nil
}

// leaveStore takes the spool from those that make room for each other. What it has still counts.
func (s *Spool) leaveStore() {
	s.store.mu.Lock()
	delete(s.store.spools, s)
	s.store.mu.Unlock()
}

// release forgets the segments and closes what is open.
func (s *Spool) release() {
	s.leaveStore()
	// A drop that has begun comes to its end first.
	s.drops.Lock()
	defer s.drops.Unlock()
	s.out.Lock()
	defer s.out.Unlock()
	s.marks.Lock()
	defer s.marks.Unlock()
	s.file.close()
	s.mu.Lock()
	segs := s.segs
	s.segs, s.cur = nil, nil
	s.mu.Unlock()
	for _, seg := range segs {
		s.forget(seg)
	}
}

// Commit says that everything before pos has been accepted, and writes that down. It must not pass what Skip has taken, nor
// the oldest frame of which a piece is still held. On an error it holds for this process, and is written with
// the next Commit.
func (s *Spool) Commit(pos int64) error {
	s.mu.Lock()
	if pos > s.taken {
		s.mu.Unlock()
		return fmt.Errorf("commit position %d of spool %s: only %d have been taken", pos, s.dir, s.taken)
	}
	if pos <= s.commit && !s.dirty {
		s.mu.Unlock()
		return nil
	}
	s.commit = max(s.commit, pos)
	if s.commit >= s.stamp && s.stamped.After(s.since) {
		s.since = s.stamped
	}
	waiting := s.told() >= maxTold
	s.gaps = slices.DeleteFunc(s.gaps, func(g gap) bool { return g.To <= s.commit })
	if waiting {
		s.version++
	}
	s.mu.Unlock()

	err := s.persist()
	s.retire()
	s.trim()
	if waiting {
		s.wake()
	}
	return err
}

// persist writes cursor and gaps as they are now.
func (s *Spool) persist() error {
	s.marks.Lock()
	defer s.marks.Unlock()
	s.mu.Lock()
	if s.closed && s.segs == nil {
		s.mu.Unlock()
		return nil
	}
	m := mark{cursor: s.commit, end: s.end, lines: s.lines, bytes: s.bytes}
	s.buf = s.buf[:0]
	for _, g := range s.gaps {
		s.buf = append(s.buf, g.Gap)
	}
	m.gaps = s.buf
	s.mu.Unlock()
	err := s.file.write(&m)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirty && err == nil && !s.inMemory {
		s.lastErr = nil
	}
	s.dirty = err != nil
	if err != nil {
		s.lastErr = fmt.Errorf("write cursor of spool %s: %w", s.dir, err)
		return s.lastErr
	}
	s.persisted = m.cursor
	return nil
}

// retire gives up the current segment if everything in it has been accepted and no bytes are on their way into it.
func (s *Spool) retire() {
	if !s.out.TryLock() {
		return
	}
	defer s.out.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cur; c != nil && c.end() <= s.commit && c.size >= min(retireBytes, c.limit/2) {
		s.cur = nil
	}
}

// trim removes the segments of which everything has been accepted.
func (s *Spool) trim() {
	s.mu.Lock()
	var old []*segment
	for len(s.segs) > 0 {
		seg := s.segs[0]
		// A file stays until the cursor behind it is on disk: a segment that is missing after a restart looks like a loss.
		if seg == s.cur || seg.end() > s.commit || seg.mem == nil && seg.end() > s.persisted {
			break
		}
		old = append(old, seg)
		s.segs = slices.Delete(s.segs, 0, 1)
	}
	s.mu.Unlock()
	for _, seg := range old {
		s.discard(seg)
	}
}
