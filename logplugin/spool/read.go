package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// readAt fills buf with the bytes from pos on, up to the end, a hole, or an error. A hole gives no error. After an error
// that isDamage, the byte at pos+n is gone.
func (s *segments) readAt(pos int64, buf []byte) (n int, err error) {
	for n < len(buf) {
		at := pos + int64(n)
		s.mu.Lock()
		g := s.find(at)
		if g == nil || g.base > at {
			s.mu.Unlock()
			break
		}
		off, mem, f := at-g.base, g.mem, g.f
		want := min(int64(len(buf)-n), g.size-off)
		if mem == nil && f != nil {
			g.pins++
			g.used = true
		}
		s.mu.Unlock()
		if mem != nil {
			n += copy(buf[n:], mem[off:off+want])
			continue
		}
		if f == nil {
			if err = s.reopen(g); err != nil && !errors.Is(err, errGone) {
				return n, fmt.Errorf("read spool: %w", err)
			}
			continue
		}
		k, err := f.ReadAt(buf[n:n+int(want)], off)
		s.mu.Lock()
		g.pins--
		s.mu.Unlock()
		n += k
		if err == nil || errors.Is(err, os.ErrClosed) { // closed: it was removed, or is open for writing now; look again
			continue
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // somebody has cut the file
		}
		return n, fmt.Errorf("read spool segment %s at %d: %w", s.path(g.base), off, err)
	}
	return n, nil
}

// reopen opens the file of g for reading.
func (s *segments) reopen(g *segment) error {
	f, err := s.store.openFile(s.path(g.base), os.O_RDONLY)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case g.gone, g.f != nil, g.mem != nil:
		s.store.closeFile(f)
		if g.gone {
			return errGone
		}
		return nil
	case err != nil:
		return err
	}
	g.f, g.used = f, true
	return nil
}

// reopenForWrite opens the file of the current segment again. Call it under out.
func (s *segments) reopenForWrite(g *segment) error {
	f, err := s.store.openFile(s.path(g.base), os.O_RDWR)
	if err != nil {
		return err
	}
	s.mu.Lock()
	old := g.f
	g.f, g.writable, g.used = f, true, true
	s.mu.Unlock()
	s.store.closeFile(old)
	return nil
}

// closeUnused closes the files that have not been used since it was called last; with now, all that are not in use.
func (s *segments) closeUnused(now bool) {
	writes := !s.out.TryLock() // bytes are being written into cur
	if !writes {
		defer s.out.Unlock()
	}
	s.mu.Lock()
	var idle []File
	for _, g := range s.list {
		if g.f == nil || g.pins > 0 || writes && g == s.cur {
			continue
		}
		if g.used && !now {
			g.used = false
			continue
		}
		idle = append(idle, g.f)
		g.f, g.writable = nil, false
	}
	s.mu.Unlock()
	for _, f := range idle {
		s.store.closeFile(f)
	}
}

// closeOthers closes the files that are neither written nor about to be read at pos.
func (s *segments) closeOthers(pos int64) {
	s.mu.Lock()
	reads := s.find(pos)
	var idle []File
	for _, g := range s.list {
		if g.f != nil && g != s.cur && g != reads && g.pins == 0 {
			idle = append(idle, g.f)
			g.f, g.writable = nil, false
		}
	}
	s.mu.Unlock()
	for _, f := range idle {
		s.store.closeFile(f)
	}
}
