package spool

import (
	"fmt"
	"slices"
	"sync"
)

// gap is a Gap of a ledger.
type gap struct {
	Gap
	told bool // the delivery has seen it: it must not change any more
}

// ledger is what is known of the bytes of a spool: what has been accepted, what is missing, and how much that was. It
// allows for any number of readers, of which one, the delivery, commits.
//
// Invariant, whenever mu is free: gaps are in order, without overlap, at most maxGaps, and end after commit; commit is not
// after the position that the delivery has taken, and only grows; persisted is not after commit; a gap that is told, and all
// before it, stays as it is until it is committed; lines and bytes are the sums of all gaps that there ever were.
// The cursor file says the same as some moment of the ledger, or is written again: dirty. File operations are never done
// under mu. mu is taken before segments.mu.
type ledger struct {
	mu        sync.Mutex
	commit    int64 // everything before it has been accepted
	persisted int64 // what of that is on disk
	dirty     bool  // the cursor file does not say what the ledger says, for the last write has failed
	gaps      []gap // after commit, in order
	lines     int64 // dropped so far
	bytes     int64
	taken     int64 // the delivery's position: the start of a frame
	seen      int64 // up to there the delivery has been shown bytes, and may be using them
	age       age
	tail

	marks sync.Mutex // the cursor file; taken before mu
	file  cursorFile
	buf   []Gap // for file
}

// tail is what Append and the delivery must agree on.
type tail struct {
	over  bool // the delivery has been told that no byte follows
	grows bool // bytes are being added behind the end, and it must not be told so
	lent  bool // the bytes are being moved to another spool, and it must not read them
}

// age is about when the oldest byte that waits came in.
type age struct {
	since   instant // about when the byte at commit came in; never = before Open
	stamp   int64   // a position, moved on when commit has reached it
	stamped instant // when the byte there came in
}

// arrived notes that the byte at end came in, if one needs to know. One such time on its way to commit is enough: what
// since says is then too early by as long as a byte waits, at most. Call it before the end of the segments moves.
func (l *ledger) arrived(end int64, now instant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if end <= l.commit {
		l.age.since = now
	}
	if l.age.stamp <= l.commit {
		l.age.stamp, l.age.stamped = end, now
	}
}

// advance moves commit to pos. news says that the delivery waits for it, to be shown more gaps.
func (l *ledger) advance(pos int64) (changed, news bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pos > l.taken {
		return false, false, fmt.Errorf("commit position %d: only %d have been taken", pos, l.taken)
	}
	if pos <= l.commit && !l.dirty {
		return false, false, nil
	}
	l.commit = max(l.commit, pos)
	if l.commit >= l.age.stamp && l.age.stamped > l.age.since {
		l.age.since = l.age.stamped
	}
	news = l.told() >= maxTold
	l.gaps = slices.DeleteFunc(l.gaps, func(g gap) bool { return g.To <= l.commit })
	return true, news, nil
}

// position returns up to where has been accepted, and what of that is on disk.
func (l *ledger) position() (commit, persisted int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commit, l.persisted
}

// write writes the ledger of s into its cursor file as it is now, and notes the result in s before another write can begin:
// what is noted last is what the last write gave.
func (l *ledger) write(s *Spool) error {
	l.marks.Lock()
	defer l.marks.Unlock()
	if s.isReleased() {
		return nil
	}
	l.mu.Lock()
	m := mark{cursor: l.commit, end: s.segs.last(), lines: l.lines, bytes: l.bytes}
	l.buf = l.buf[:0]
	for _, g := range l.gaps {
		l.buf = append(l.buf, g.Gap)
	}
	m.gaps = l.buf
	l.mu.Unlock()
	err := l.file.write(s.store, &m)
	if err != nil {
		err = fmt.Errorf("write cursor of spool %s: %w", s.segs.dir, err)
	}
	l.mu.Lock()
	l.dirty = err != nil
	if err == nil {
		l.persisted = m.cursor
	}
	l.mu.Unlock()
	s.failed(writeCursor, err)
	return err
}

// closeUnused closes the cursor file if it has not been used since this was called last, or at once with now.
func (l *ledger) closeUnused(st *Store, now bool) {
	if !l.marks.TryLock() {
		return
	}
	defer l.marks.Unlock()
	if l.file.used && !now {
		l.file.used = false
		return
	}
	l.file.close(st)
}

// forgetFile closes a cursor file that may have been removed.
func (l *ledger) forgetFile(st *Store) {
	l.marks.Lock()
	defer l.marks.Unlock()
	l.file.close(st)
}

// load puts what a cursor file and the segments of earlier processes say before what the ledger has: positions were
// counted from 0, and count from end now. there is the end of the last segment, first the base of the first.
func (l *ledger) load(m mark, known bool, first, there, end int64) (missing int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.gaps
	l.gaps = nil
	for _, g := range m.gaps {
		l.gaps = append(l.gaps, gap{Gap: g})
	}
	l.commit = m.cursor
	if !known {
		l.commit = first // rather twice than not at all
	}
	l.persisted, l.taken, l.seen = l.commit, l.commit, l.commit
	l.lines, l.bytes = l.lines+m.lines, l.bytes+m.bytes
	l.age = age{since: never}
	missing = l.cutOff(max(there, l.commit), end)
	for _, g := range own {
		lines, bytes := l.lines, l.bytes
		// It is counted already. Without room for it the reader comes upon the hole.
		l.addGap(Gap{From: g.From + end, To: g.To + end, Lines: g.Lines})
		l.lines, l.bytes = lines, bytes
	}
	return missing
}

// cutOff makes gaps of what the log had from pos on, behind its last segment, as far as it is in none: it was only in
// memory, or the host has crashed. Nothing else will ever fill that place, or say that lines are missing. If there is no
// room for another gap, the reader comes upon the hole. It returns how many bytes that were. Call it under mu.
func (l *ledger) cutOff(pos, end int64) (missing int64) {
	before := l.bytes
	for _, g := range slices.Clone(l.gaps) {
		if g.From > pos && pos < end {
			l.addGap(Gap{From: pos, To: g.From})
		}
		pos = max(pos, g.To)
	}
	if pos < end {
		l.addGap(Gap{From: pos, To: end})
	}
	return l.bytes - before
}

// addGap adds g to the gaps, and joins it with those it touches if the delivery has not been told of them. A gap with an
// exact number and one without stay apart while there is room. It returns false if there is no room for it. Call it under mu.
func (l *ledger) addGap(g Gap) bool {
	before, full := l.inGaps(), len(l.gaps) >= maxGaps
	alike := func(a, b Gap) bool { return (a.Lines == 0) == (b.Lines == 0) }
	i := 0
	for i < len(l.gaps) && l.gaps[i].From < g.From {
		i++
	}
	if i > 0 {
		g.From = max(g.From, min(l.gaps[i-1].To, g.To))
	}
	if g.From >= g.To {
		return true // it is in a gap already
	}
	switch {
	case i > 0 && !l.gaps[i-1].told && l.gaps[i-1].To == g.From && (full || alike(l.gaps[i-1].Gap, g)):
		i--
		l.gaps[i].To = g.To
		l.gaps[i].Lines += g.Lines
	case !full:
		l.gaps = slices.Insert(l.gaps, i, gap{Gap: g})
	case i < len(l.gaps) && l.gaps[i].From <= g.To && !l.gaps[i].told:
		l.gaps[i].From = g.From
		l.gaps[i].To = max(l.gaps[i].To, g.To)
		l.gaps[i].Lines += g.Lines
	default:
		return false
	}
	l.lines += g.Lines
	for i+1 < len(l.gaps) && l.gaps[i+1].From <= l.gaps[i].To {
		next := l.gaps[i+1]
		if next.From == l.gaps[i].To && !alike(next.Gap, l.gaps[i].Gap) {
			break
		}
		l.gaps[i].To = max(l.gaps[i].To, next.To)
		l.gaps[i].Lines += next.Lines
		l.gaps = slices.Delete(l.gaps, i+1, i+2)
	}
	l.bytes += l.inGaps() - before
	return true
}

// inGaps counts the bytes in gaps. Call it under mu.
func (l *ledger) inGaps() (n int64) {
	for _, g := range l.gaps {
		n += g.To - g.From
	}
	return n
}

// told counts the gaps that the delivery has been shown. Call it under mu.
func (l *ledger) told() (n int) {
	for _, g := range l.gaps {
		if g.told {
			n++
		}
	}
	return n
}

// gapAfter returns the first gap that ends after pos. Call it under mu.
func (l *ledger) gapAfter(pos int64) *gap {
	for i := range l.gaps {
		if l.gaps[i].To > pos {
			return &l.gaps[i]
		}
	}
	return nil
}

// mayGo reports whether the segment that begins at base may be dropped. Call it under mu.
//
// What may not go is every segment that holds a byte between what is committed and what the delivery has been shown: those
// lines are being delivered, and if they do not arrive they are needed again.
func (l *ledger) mayGo(base int64) bool { return l.commit >= l.seen || base >= l.seen }
