package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The piece in which space on disk is given and taken: an eighth of what the spool may have, within these bounds.
const (
	minSegmentBytes = 64 << 10
	maxSegmentBytes = 4 << 20
)

// memoryBytes is what one spool may have in memory, while the disk takes none.
const memoryBytes = 1 << 20

// A limit on disk may be passed by one part in so many while frames cannot be counted because their file cannot be read.
const slack = 4

// A current segment of which everything has been accepted is given up once it has this size.
const (
	retireBytes = 64 << 10
	keptBytes   = 1 << 20 // with a History
)

// A drain that is stopped ends at once, unless the file system hangs.
const closeWait = 5 * time.Second

// Options of one Spool.
type Options struct {
	MaxBytes int64     // on disk; must be set. What the delivery holds may come on top
	Notify   func()    // called when there may be more to read; only passes that on, and returns at once; may be nil
	History  History   // takes what has been accepted, after Tidy; nil means that it is removed
	About    slog.Attr // whose log it is, for log messages

	segmentBytes int64 // 0 = an eighth of MaxBytes, within bounds
	memoryBytes  int64 // 0 = memoryBytes
}

// Mode is how bytes come from the FIFO to where they are kept.
type Mode string

// The modes, in falling order of what they promise.
const (
	Splice Mode = "splice" // in the pipe or in a file at every moment
	Copy   Mode = "copy"   // the file system cannot splice: bytes on their way are lost if the process is killed
	Memory Mode = "memory" // the disk takes none: what has not been sent is lost if the process is killed
)

// Spool is the log of one FIFO. One goroutine drains into it, and one reads from it as the delivery, whose methods (those of
// Reader, and Commit) it has itself. NewReader is for others who read.
//
// A position counts the bytes since the spool was made. It outlives the process.
type Spool struct {
	*Reader // the delivery

	store   *Store
	opt     Options
	segs    segments
	ledger  ledger
	trouble troubles
	again   timer
	last    atomic.Int64 // when the last byte came in, an instant; never = none since Open
	inRAM   atomic.Bool  // the drain goes on in memory
	tidy    atomic.Bool  // see Tidy
	drops   sync.Mutex   // one drop at a time, and no load; taken before all other locks of the spool
	ending  ending       // see endsWhole; under segs.out

	life
}

// life is how far a spool is.
type life struct {
	mu       sync.Mutex // nothing else is locked under it
	finished bool       // no more bytes will come
	closed   bool
	released bool               // nothing of it is used any more
	orphan   bool               // the drain has not ended in time: it releases the spool when it does
	stop     context.CancelFunc // ends the drain; nil = there is none
	stopped  chan struct{}      // closed after its end
}

func (l *life) isFinished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.finished
}

func (l *life) isReleased() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.released
}

// Open returns the spool in dir, an own directory, with what an earlier process has left there. It never fails: while the
// directory cannot be read the spool drains into memory, Stats says why, and what is in the directory comes first
// once it can.
func (st *Store) Open(dir string, o Options) *Spool {
	if o.segmentBytes <= 0 {
		o.segmentBytes = min(max(o.MaxBytes/8, minSegmentBytes), maxSegmentBytes)
	}
	if o.memoryBytes <= 0 {
		o.memoryBytes = memoryBytes
	}
	s := &Spool{store: st, opt: o}
	s.Reader = &Reader{s: s, delivers: true}
	s.segs.store, s.segs.dir, s.segs.limit, s.segs.history = st, dir, o.segmentBytes, o.History
	s.segs.made = func() { s.ledger.forgetFile(st) } // somebody has removed it with the directory
	s.ledger.file.path = filepath.Join(dir, cursorName)
	s.ledger.age.since = never
	s.trouble.base, s.trouble.about, s.trouble.dir = st.cfg.Log, o.About, dir
	s.last.Store(int64(never))
	s.load()
	st.mu.Lock()
	st.spools[s] = struct{}{}
	st.mu.Unlock()
	s.trim()
	return s
}

// Tidy lets the spool give to its History what was accepted, which nothing does before: else the files of many spools would be moved
// before the last FIFO is open. Call it once, after Open. A spool without a History does not wait for it.
func (s *Spool) Tidy() {
	s.drops.Lock() // the spool is not removed meanwhile
	defer s.drops.Unlock()
	if s.tidy.Store(true); !s.isReleased() && s.segs.isLoaded() {
		s.trim()
	}
}

// retry does once more what the file system has refused. It is called a while after a failure, as long as there are any.
func (s *Spool) retry() {
	if s.isReleased() {
		return
	}
	if !s.store.io.tryEnter() { // the file system hangs
		s.again.start(s.store.cfg.Retry, s.retry)
		return
	}
	defer s.store.io.leave()
	if s.load() {
		s.ledger.mu.Lock()
		dirty := s.ledger.dirty
		s.ledger.mu.Unlock()
		if dirty {
			_ = s.persist()
		}
		s.trim()
	}
	s.trouble.set(countFrames, nil) // the next drop says whether it still is
	s.blocked.Store(false)
	s.wake() // the delivery reads again
}

// failed notes what the file system has refused, and sees to it that it is tried again. nil says that it works.
func (s *Spool) failed(what task, err error) {
	if s.trouble.set(what, err); err != nil {
		s.store.failures.Add(1)
		s.again.start(s.store.cfg.Retry, s.retry)
	}
}

// Stats is the state of a spool.
type Stats struct {
	Mode         Mode
	Committed    int64 // position up to which the router has accepted
	End          int64 // position after the last byte; End less Committed is what waits
	Loaded       bool  // what earlier processes have left is known; if not, the positions are those of this process alone
	DiskBytes    int64
	RAMBytes     int64
	DroppedLines int64 // frames, over the whole life of the spool
	DroppedBytes int64
	Failures     int64     // calls that the file system has refused, since Open; each is made again
	Since        time.Time // about when the oldest byte that waits came in; zero = nothing waits
	Last         time.Time // about when the last byte came in; zero = none since Open
	Err          error     // why the mode is Memory, or what last went wrong; nil = all is well
}

// Stats returns the present state. It never waits for a file system.
func (s *Spool) Stats() Stats {
	wall, now := s.store.clock.Wall(), s.store.clock.Mono()
	l := &s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	end := s.segs.last()
	st := Stats{
		Mode: Splice, Committed: l.commit, End: max(end, l.commit), Loaded: s.segs.isLoaded(),
		DiskBytes: s.segs.disk.Load(), RAMBytes: s.segs.ram.Load(), DroppedLines: l.lines, DroppedBytes: l.bytes,
	}
	st.Failures, st.Err = s.trouble.now()
	if last := instant(s.last.Load()); last != never {
		st.Last = wall.Add(-now.sub(last))
	}
	switch {
	case s.inRAM.Load() || !st.Loaded:
		st.Mode = Memory
	case !s.store.CanSplice():
		st.Mode = Copy
	}
	if end > l.commit {
		if since := max(s.segs.bornAt(l.commit), l.age.since); since != never {
			st.Since = wall.Add(-max(0, now.sub(since)))
		}
	}
	return st
}

// Age returns how long the oldest byte that waits has been here, 0 if none does.
func (st Stats) Age(now time.Time) time.Duration {
	if st.Since.IsZero() {
		return 0
	}
	return max(0, now.Sub(st.Since))
}

// IsDone reports whether nothing waits to be read: all has been accepted, and what earlier processes have left is known.
func (s *Spool) IsDone() bool {
	st := s.Stats()
	return st.Loaded && st.End <= st.Committed
}

// Finish says that no more bytes will come: the reader gets io.EOF at the end.
func (s *Spool) Finish() {
	s.life.mu.Lock()
	s.finished = true
	s.life.mu.Unlock()
	s.wake()
}

// wake tells the delivery that something has changed.
func (s *Spool) wake() {
	if s.opt.Notify != nil {
		s.opt.Notify()
	}
}

// Close ends a running Drain, writes what is in memory to disk if that takes it, and keeps the files for the next Open.
// The readers must be done. Bytes that are neither committed nor on disk are lost, counted, and named in the error.
func (s *Spool) Close() error {
	first, err := s.shut()
	if !first || err != nil {
		return err
	}
	loaded := s.load()
	s.segs.out.Lock()
	s.segs.setCurrent(nil)
	if loaded {
		err = s.segs.flush()
	} else {
		_, err = s.trouble.now()
	}
	s.segs.out.Unlock()
	s.trim()
	left := s.segs.ram.Load()
	if left > 0 && loaded {
		s.loseMemory()
	}
	s.release()
	if left > 0 {
		return fmt.Errorf("close spool %s: up to %d bytes of log were only in memory and are lost: %w", s.segs.dir, left, err)
	}
	return nil
}

// loseMemory counts what is in memory as lost, and writes that down, so that the next Open says what is missing.
func (s *Spool) loseMemory() {
	s.ledger.mu.Lock()
	s.ledger.taken, s.ledger.seen = s.ledger.commit, s.ledger.commit
	s.ledger.mu.Unlock()
	for s.drop(inRAM, true) {
	}
	_ = s.persist()
}

// Remove is Close without a further use: the files of the spool go to its History, and its directory if nothing else is in it.
// After an error it may be called again.
func (s *Spool) Remove() error {
	first, err := s.shut()
	if err != nil {
		return err
	}
	if first {
		s.segs.keepAll(s.release())
	}
	if err := removeFiles(s.store.fs, s.segs.dir); err != nil {
		return err
	}
	if err := s.store.fs.Remove(s.segs.dir); !isAbsent(err) && !errors.Is(err, unix.ENOTEMPTY) { // others may keep files there
		return err
	}
	return nil
}

// shut ends the drain and returns whether this was the first call. A drain that hangs may hold any lock but life.mu: with an
// error, it is the drain that releases the spool, when it ends.
func (s *Spool) shut() (first bool, err error) {
	s.life.mu.Lock()
	stop, stopped := s.stop, s.stopped
	first = !s.closed
	s.closed, s.finished = true, true
	s.life.mu.Unlock()
	s.wake()
	if stop == nil {
		return first, nil
	}
	stop()
	late := time.NewTimer(s.store.closeWait)
	defer late.Stop()
	select {
	case <-stopped:
		return first, nil
	case <-late.C:
	}
	s.life.mu.Lock()
	hangs := s.stop != nil
	s.orphan = hangs
	s.life.mu.Unlock()
	if hangs {
		s.leaveStore()
		return first, fmt.Errorf("close spool %s: the file system has not answered for %v", s.segs.dir, s.store.closeWait)
	}
	return first, nil
}

// leaveStore takes the spool from those that make room for each other. What it has still counts.
func (s *Spool) leaveStore() {
	s.store.mu.Lock()
	delete(s.store.spools, s)
	s.store.mu.Unlock()
}

// release forgets the segments, which it returns, and closes what is open.
func (s *Spool) release() []*segment {
	s.leaveStore()
	s.again.stop()
	// A drop that has begun comes to its end first.
	s.drops.Lock()
	defer s.drops.Unlock()
	s.segs.out.Lock()
	defer s.segs.out.Unlock()
	s.ledger.marks.Lock()
	defer s.ledger.marks.Unlock()
	s.life.mu.Lock()
	s.released = true
	s.life.mu.Unlock()
	s.ledger.file.close(s.store)
	all := s.segs.takeAll()
	for _, g := range all {
		s.segs.forget(g)
	}
	return all
}

// Commit says that everything before pos has been accepted, and writes that down. It must not pass what Skip has taken, nor
// the oldest frame of which a piece is still held. After an error it holds for this process, and is written later.
func (s *Spool) Commit(pos int64) error {
	changed, news, err := s.ledger.advance(pos)
	if err != nil {
		return fmt.Errorf("spool %s: %w", s.segs.dir, err)
	}
	if !changed {
		return nil
	}
	err = s.persist()
	commit, _ := s.ledger.position()
	s.segs.retire(commit)
	s.trim()
	if news {
		s.wake()
	}
	return err
}

// persist writes cursor and gaps as they are now. Before the load they are not known.
func (s *Spool) persist() error {
	if !s.segs.isLoaded() {
		return nil
	}
	return s.ledger.write(s)
}

// trim removes the segments of which everything has been accepted.
func (s *Spool) trim() {
	if s.segs.history != nil && !s.tidy.Load() {
		return
	}
	commit, persisted := s.ledger.position()
	s.segs.trim(commit, persisted)
	s.removeLeft()
}

// removeLeft removes what could not be removed before.
func (s *Spool) removeLeft() {
	busy, err := s.segs.removeLeft()
	if s.failed(removeSegment, err); busy {
		s.again.start(s.store.cfg.Retry, s.retry)
	}
}

// load makes known what earlier processes have left, if it is not, and reports whether it is. What cannot be read at the
// moment is not taken for missing: nothing is changed then, and it is tried again.
func (s *Spool) load() bool {
	if s.segs.isLoaded() {
		return true
	}
	s.drops.Lock()
	defer s.drops.Unlock()
	if s.segs.isLoaded() || s.isReleased() {
		return s.segs.isLoaded()
	}
	if err := s.store.fs.MkdirAll(s.segs.dir); err != nil {
		s.trouble.set(useDisk, err) // next tries again
	}
	m, known, err := readMark(s.store.fs, s.ledger.file.path)
	if errors.Is(err, errNoSlot) {
		s.trouble.damaged(err)
		err = nil
	}
	var segs []*segment
	var trash []string
	if err == nil {
		segs, trash, err = scan(s.store.fs, s.segs.dir)
	}
	if err != nil {
		s.failed(loadSpool, fmt.Errorf("load spool: %w", err))
		return false
	}
	s.failed(loadSpool, nil)
	s.settle(m, known, segs)
	for _, name := range trash {
		_ = s.store.fs.Remove(filepath.Join(s.segs.dir, name))
	}
	return true
}

// settle puts what was loaded in front of what has come since Open. Call it under drops.
func (s *Spool) settle(m mark, known bool, segs []*segment) {
	wall, now := s.store.clock.Wall(), s.store.clock.Mono()
	var keep, old []*segment
	there := int64(0) // the end of the last segment
	end := m.end      // a crash of the host may have cut the last segment short of that
	for _, g := range segs {
		g.born = now.add(-sinceChange(wall, time.Unix(0, int64(g.born))))
		inGap := slices.ContainsFunc(m.gaps, func(p Gap) bool { return p.From <= g.base && g.end() <= p.To })
		if g.size == 0 || g.end() <= m.cursor || inGap {
			// Its removal was under way. An empty one may be removed while its end still counts.
			end = max(end, g.end())
			if inGap || g.size == 0 || s.segs.history == nil {
				old = append(old, g)
				continue
			}
		}
		keep = append(keep, g)
		there = g.end()
		end = max(end, there)
	}
	for i := len(keep) - 2; i >= 0; i-- {
		keep[i].born = min(keep[i].born, keep[i+1].born) // the clock may have stepped between them
	}
	first := end // nothing is left, or an empty segment
	if len(keep) > 0 {
		first = keep[0].base
	}
	s.segs.out.Lock()
	s.ledger.marks.Lock()
	missing := s.ledger.load(m, known, first, there, end)
	s.ledger.file.seq = m.seq
	s.segs.load(keep, old, end)
	s.ledger.marks.Unlock()
	s.segs.out.Unlock()
	if missing > 0 {
		s.trouble.log().Error("the end of the log is missing: it was only in memory, or the host has crashed", "bytes", missing)
	}
	s.removeLeft()
}

// sinceChange returns how long ago a file was changed, as far as the clock can say: it may have stepped since, or not been
// set when the file was written.
func sinceChange(now, changed time.Time) time.Duration {
	if changed.Year() < 2000 {
		return 0
	}
	return max(0, now.Sub(changed))
}
