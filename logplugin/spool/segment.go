package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names in the directory of a spool. A segment is named by the position of its first byte.
const (
	cursorName = "cursor"
	segSuffix  = ".seg"
	unfinished = ".tmp"
)

// A segment in memory has this size.
const chunkBytes = 32 << 10

var errGone = errors.New("segment has been removed")

// segment is a run of bytes, in a file or in memory. All but base and limit is guarded by Spool.mu; bytes of mem before
// size never change.
type segment struct {
	base  int64
	limit int64 // the size at which the next one begins
	size  int64
	mem   []byte   // nil = in a file
	f     *os.File // of a file, while it is open
	gone  bool
	born  time.Time
}

func (g *segment) end() int64 { return g.base + g.size }

func (s *Spool) path(g *segment) string {
	return filepath.Join(s.dir, fmt.Sprintf("%016x%s", g.base, segSuffix))
}

// listSegments returns the segments in dir, oldest first, and removes what was not finished.
func listSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segs []*segment
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segSuffix+unfinished) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
			continue
		}
		name, ok := strings.CutSuffix(e.Name(), segSuffix)
		base, err := strconv.ParseInt(name, 16, 64)
		fi, ierr := e.Info()
		if !ok || len(name) != 16 || err != nil || ierr != nil || !fi.Mode().IsRegular() {
			continue
		}
		segs = append(segs, &segment{base: base, limit: fi.Size(), size: fi.Size(), born: fi.ModTime()})
	}
	slices.SortFunc(segs, func(a, b *segment) int { return int(min(max(a.base-b.base, -1), 1)) })
	for i, g := range segs {
		if i+1 < len(segs) {
			g.size = min(g.size, segs[i+1].base-g.base)
		}
	}
	return segs, nil
}

// removeFiles removes every file of a spool from dir.
func removeFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		name := e.Name()
		if name == cursorName || strings.HasSuffix(name, segSuffix) || strings.HasSuffix(name, segSuffix+unfinished) {
			errs = append(errs, os.Remove(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}

// newFile makes the file of the segment that begins at base.
func (s *Spool) newFile(base int64) (*segment, error) {
	g := &segment{base: base, limit: s.opt.SegmentBytes, born: time.Now()}
	err := s.inDir(func() (err error) {
		// Not O_APPEND: splice refuses such files.
		g.f, err = os.OpenFile(s.path(g), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// inDir makes a file by f, and if the directory is missing makes that first.
func (s *Spool) inDir(f func() error) error {
	err := f()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	// Somebody has removed it, and with it the cursor file that is open.
	s.marks.Lock()
	s.file.close()
	s.marks.Unlock()
	return f()
}

// flushMemory writes the segments in memory to files, oldest first, until one fails. Call it under out; a current segment
// that is no longer in memory takes no more bytes.
func (s *Spool) flushMemory() error {
	s.mu.Lock()
	var mem []*segment
	for _, g := range s.segs {
		if g.mem != nil && g.size > 0 {
			mem = append(mem, g)
		}
	}
	s.mu.Unlock()
	for _, g := range mem {
		if err := s.writeOut(g); err != nil {
			return err
		}
	}
	return nil
}

// writeOut moves a segment from memory to its file. The file has its name only when it is whole.
func (s *Spool) writeOut(g *segment) error {
	path := s.path(g)
	err := s.inDir(func() error { return os.WriteFile(path+unfinished, g.mem[:g.size], 0o600) })
	if err == nil {
		err = os.Rename(path+unfinished, path)
	}
	if err != nil {
		_ = os.Remove(path + unfinished)
		return err
	}
	s.mu.Lock()
	gone, held := g.gone, int64(len(g.mem))
	if !gone {
		g.mem = nil
		s.count(g.size, -held)
	}
	s.mu.Unlock()
	if gone { // it was dropped or accepted meanwhile
		_ = os.Remove(path)
	}
	return nil
}

// forget closes a segment that is no longer in segs and stops counting it. If it has a file, that stays.
func (s *Spool) forget(g *segment) (inFile bool) {
	s.mu.Lock()
	f := g.f
	inFile = g.mem == nil
	g.f, g.gone = nil, true
	if inFile {
		s.count(-g.size, 0)
	} else {
		s.count(0, -int64(len(g.mem)))
	}
	s.mu.Unlock()
	if f != nil {
		f.Close()
	}
	return inFile
}

// discard forgets a segment and removes its file.
func (s *Spool) discard(g *segment) {
	if s.forget(g) {
		_ = os.Remove(s.path(g)) // if it stays, the next Open sees that it is not needed
	}
}

// find returns the first segment that ends after pos. Call it under mu.
func (s *Spool) find(pos int64) *segment {
	i, _ := slices.BinarySearchFunc(s.segs, pos, func(g *segment, pos int64) int {
		if g.end() <= pos {
			return -1
		}
		return 1
	})
	if i == len(s.segs) {
		return nil
	}
	return s.segs[i]
}

// readAt fills buf with the bytes from pos on, up to the end, a hole, or an error. A hole gives 0, nil.
func (s *Spool) readAt(pos int64, buf []byte) (n int, err error) {
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
		s.mu.Unlock()
		if mem != nil {
			n += copy(buf[n:], mem[off:off+want])
			continue
		}
		if f == nil {
			if f, err = s.reopen(g); err != nil {
				if errors.Is(err, errGone) {
					continue
				}
				return n, err
			}
		}
		k, err := f.ReadAt(buf[n:n+int(want)], off)
		n += k
		if err == nil || errors.Is(err, os.ErrClosed) { // closed: it was removed or is not in use; look again
			continue
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // somebody has cut the file
		}
		return n, fmt.Errorf("read spool segment %s at %d: %w", s.path(g), off, err)
	}
	return n, nil
}

// reopen opens the file of g for reading.
func (s *Spool) reopen(g *segment) (*os.File, error) {
	f, err := os.Open(s.path(g))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case g.gone || g.f != nil:
		if err == nil {
			f.Close()
		}
		if g.gone {
			return nil, errGone
		}
		return g.f, nil
	case err != nil:
		return nil, err
	}
	g.f = f
	return f, nil
}

// closeIdle closes the files that are neither written nor about to be read.
func (s *Spool) closeIdle() {
	s.mu.Lock()
	reads := s.find(s.taken)
	var idle []*os.File
	for _, g := range s.segs {
		if g.f != nil && g != s.cur && g != reads {
			idle = append(idle, g.f)
			g.f = nil
		}
	}
	s.mu.Unlock()
	for _, f := range idle {
		f.Close()
	}
}
