package spool

import (
	"errors"
	"io/fs"
	"os"
	"slices"
)

// newFile makes a file for the bytes from the end on the current segment. Call it under out.
func (s *segments) newFile() error {
	s.setCurrent(nil) // an empty one has the same name
	base := s.last()
	g := &segment{base: base, limit: s.limit, born: s.store.clock.Mono(), writable: true, used: true}
	path := s.path(base)
	err := s.inDir(func() (err error) {
		// Not O_APPEND: splice refuses such files.
		g.f, err = s.store.openFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		// An empty one that could not be removed: no byte has this position yet.
		g.f, err = s.store.openFile(path, os.O_RDWR|os.O_TRUNC)
	}
	if err != nil {
		return err
	}
	s.replaced(base)
	s.setCurrent(g)
	return nil
}

// inDir makes a file by f, and if the directory is missing makes that first.
func (s *segments) inDir(f func() error) error {
	err := f()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.store.fs.MkdirAll(s.dir); err != nil {
		return err
	}
	s.made()
	return f()
}

// flush writes the segments in memory to files, oldest first, until one fails. Call it under out; a current segment
// that is no longer in memory takes no more bytes.
func (s *segments) flush() error {
	for {
		run := s.run()
		if len(run) == 0 {
			return nil
		}
		if err := s.writeOut(run); err != nil {
			return err
		}
	}
}

// run returns the oldest segments in memory that follow each other without a hole and fit into one file.
func (s *segments) run() (run []*segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(0)
	for _, g := range s.list {
		switch {
		case g.mem != nil && g.size > 0 && (len(run) == 0 || run[len(run)-1].end() == g.base && size+g.size <= s.limit):
			run = append(run, g)
			size += g.size
		case len(run) > 0:
			return run
		}
	}
	return run
}

// writeOut moves a run of segments from memory into one file, which has its name only when it is whole.
func (s *segments) writeOut(run []*segment) error {
	path := s.path(run[0].base)
	err := s.inDir(func() error { return s.writeFile(path+unfinished, run) })
	if err == nil {
		err = s.store.fs.Rename(path+unfinished, path)
	}
	if err != nil {
		_ = s.store.fs.Remove(path + unfinished) // a load removes it, too
		return err
	}
	whole := run[0]
	s.replaced(whole.base)
	s.mu.Lock()
	for _, g := range run {
		if !slices.Contains(s.list, g) { // it was dropped or accepted meanwhile: the others are written again
			s.mu.Unlock()
			return s.store.fs.Remove(path)
		}
	}
	size := run[len(run)-1].end() - whole.base
	list := make([]*segment, 0, len(s.list))
	file := &segment{base: whole.base, size: size, limit: size, born: whole.born}
	held := int64(0)
	for _, g := range s.list {
		switch i := g.base; {
		case i == whole.base:
			list = append(list, file)
		case i > whole.base && i < file.end():
		default:
			list = append(list, g)
		}
	}
	for _, g := range run {
		held += g.held
		g.gone = true
		if g == s.cur {
			s.cur = nil
		}
	}
	s.list = list
	s.count(size, -held)
	s.mu.Unlock()
	return nil
}

func (s *segments) writeFile(path string, run []*segment) error {
	f, err := s.store.openFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer s.store.closeFile(f)
	off := int64(0)
	for _, g := range run {
		if _, err := f.WriteAt(g.mem[:g.size], off); err != nil {
			return err
		}
		off += g.size
	}
	return nil
}
