package spool

import (
	"os"
	"slices"
)

// Append moves the log of o, which comes after that of s, behind it, and reports whether it has done so; if not, nothing has changed. Both
// have ended. It does nothing unless all of o is one file of which nothing has been read, and s has lines that wait and room. The file
// is renamed, so that a process that is killed leaves each line once. o is then empty, and there is nothing to do with it but Remove.
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
	if g == nil || s.segs.disk.Load()+g.size > s.opt.MaxBytes || !o.ledger.lend(&o.segs) {
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
