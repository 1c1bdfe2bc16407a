package spool

import (
	"os"
	"slices"

	"github.com/secretref/secretref/logplugin/frame"
)

// Append moves the log of o, which comes after that of s, behind it, and reports whether it has done so; if not, nothing has changed. Both
// have ended. It does nothing unless all of o is one file of which nothing has been read, s has lines that wait and room, and both end with
// a whole line. The file is renamed, so that a process that is killed leaves each line once. o is then empty, and there is nothing to do
// with it but Remove.
//
// Nobody but the deliveries may read s and o meanwhile. Call it for spools of the same Store, with s always the older one.
func (s *Spool) Append(o *Spool) bool {
	s.drops.Lock()
	defer s.drops.Unlock()
	o.drops.Lock()
	defer o.drops.Unlock()
	s.segs.out.Lock()
	defer s.segs.out.Unlock()
	o.segs.out.Lock()
	defer o.segs.out.Unlock()
	if !s.isAtRest() || !o.isAtRest() {
		return false
	}
	s.segs.setCurrent(nil)
	o.segs.setCurrent(nil)
	g := o.segs.only()
	if g == nil || s.segs.disk.Load()+g.size > s.opt.MaxBytes || !s.endsWhole() || !o.endsWhole() || !o.ledger.lend(&o.segs) {
		return false
	}
	moved := false
	if s.ledger.extend(&s.segs) {
		moved = s.segs.adopt(o.segs.path(g.base), g)
		s.ledger.extended()
	}
	if !moved {
		o.ledger.giveBack()
		o.wake()
		return false
	}
	o.segs.take(g)
	o.segs.forget(g)
	s.wake()
	return true
}

// isAtRest reports whether nothing changes the spool any more but its delivery, and all of it is on disk.
func (s *Spool) isAtRest() bool {
	s.life.mu.Lock()
	ended := s.finished && !s.closed && !s.released && s.stop == nil
	s.life.mu.Unlock()
	return ended && s.segs.isLoaded() && s.segs.ram.Load() == 0
}

// ending is what is known of the last frame of a spool to which nobody writes any more.
type ending byte

const (
	unknown ending = iota
	whole
	broken // or not to be found out
)

// endsWhole reports whether the last frame is whole, and no piece that would go on with the next frame. Behind the beginning of a
// frame, which a daemon that is killed leaves, the next would not be found. It is found out once, of a log that is one file; after that
// only whole ends are appended. Call it under out.
func (s *Spool) endsWhole() bool {
	if s.ending == unknown {
		s.ending = broken
		if g := s.segs.only(); g != nil && s.isWhole(g) {
			s.ending = whole
		}
	}
	return s.ending == whole
}

// isWhole is endsWhole for one segment, which begins with a frame.
func (s *Spool) isWhole(g *segment) bool {
	w := s.window(g.base)
	defer w.release()
	p, last := g.base, 0
	for ; p < g.end(); p += int64(last) {
		var isFrame bool
		var err error
		if last, isFrame, err = w.step(p); err != nil || !isFrame {
			return false
		}
	}
	if p > g.end() {
		return false
	}
	buf := make([]byte, last)
	if _, err := s.segs.readAt(p-int64(last), buf); err != nil {
		return false
	}
	var e frame.Entry
	_, err := frame.Decode(buf, &e)
	return err == nil && (!e.Partial || e.Last || len(e.PartialID) > 0) // with an id a piece goes with no other line's
}

// only returns the segment of a spool that has one, in a file.
func (s *segments) only() *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) != 1 || len(s.left) > 0 || s.list[0].mem != nil || s.list[0].base != 0 || s.list[0].size == 0 || s.list[0].end() != s.end {
		return nil
	}
	return s.list[0]
}

// lend keeps the delivery from reading, until giveBack, and reports whether it has read nothing and nothing is missing.
func (l *ledger) lend(segs *segments) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lent = l.commit == 0 && l.taken == 0 && l.seen == 0 && len(l.gaps) == 0 && l.lines == 0 && segs.last() > 0
	return l.lent
}

func (l *ledger) giveBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lent = false
}

// extend keeps the delivery from coming to the end, until extended, and reports whether it has not yet.
func (l *ledger) extend(segs *segments) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grows = !l.over && l.commit < segs.last()
	return l.grows
}

func (l *ledger) extended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grows = false
}

// adopt moves the file of g, which belongs to another spool, behind the last segment, and reports whether it could. Call it under out.
func (s *segments) adopt(path string, g *segment) bool {
	base := s.last()
	if err := s.store.fs.Rename(path, s.path(base)); err != nil {
		return false
	}
	s.replaced(base)
	if !s.join(base, g.size) {
		s.add(&segment{base: base, size: g.size, limit: g.size, born: g.born}, false)
	}
	s.count(g.size, 0)
	return true
}

// join copies the file at base, which no segment has yet, behind the last one, if that leaves a segment of usual size, and removes it. A process
// that is killed before it is removed leaves what scan cuts off.
func (s *segments) join(base, size int64) bool {
	s.mu.Lock()
	var last *segment
	if n := len(s.list); n > 0 {
		last = s.list[n-1]
	}
	fits := last != nil && last.mem == nil && last.end() == base && last.size+size <= s.limit
	s.mu.Unlock()
	if !fits {
		return false
	}
	if err := s.copyBehind(last, base, size); err != nil {
		return false
	}
	s.mu.Lock()
	there := slices.Contains(s.list, last) // else it was accepted meanwhile
	if there {
		last.size += size
		last.limit = last.size
		s.end = last.end()
	}
	s.mu.Unlock()
	if there {
		if err := s.store.fs.Remove(s.path(base)); err != nil && !isAbsent(err) {
			s.keepLeft(&segment{base: base})
		}
	}
	return there
}

func (s *segments) copyBehind(last *segment, base, size int64) error {
	from, err := s.store.openFile(s.path(base), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer s.store.closeFile(from)
	to, err := s.store.openFile(s.path(last.base), os.O_RDWR)
	if err != nil {
		return err
	}
	defer s.store.closeFile(to)
	buf := walkBuffers.Get().(*[walkBytes]byte)
	defer walkBuffers.Put(buf)
	for off := int64(0); off < size; {
		n, err := from.ReadAt(buf[:min(size-off, walkBytes)], off)
		if n == 0 {
			return err
		}
		if _, err := to.WriteAt(buf[:n], last.size+off); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
