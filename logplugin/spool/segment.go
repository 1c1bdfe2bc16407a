package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Names in the directory of a spool. A segment is named by the position of its first byte.
const (
	cursorName = "cursor"
	segSuffix  = ".seg"
	unfinished = ".tmp"
)

var errGone = errors.New("segment has been removed")

// segment is a run of bytes, in a file or in memory. All but limit is guarded by segments.mu; bytes of mem before size
// never change.
type segment struct {
	base     int64
	limit    int64 // the size at which the next one begins
	size     int64
	mem      []byte // nil = in a file
	held     int64  // bytes of memory that are taken for it
	f        File   // of a file, while it is open
	writable bool   // f is
	used     bool   // f has been used since closeUnused has looked
	pins     int    // reads of f that are under way
	gone     bool
	born     instant // about when its first byte came in
}

func (g *segment) end() int64 { return g.base + g.size }

// segments is the bytes of a spool.
//
// Invariant, whenever mu is free: list is in the order of bases and without overlap, but with holes where segments were
// removed; each byte of a segment is in its file or in mem; cur is nil or the last of list; end is not before the end of
// the last segment, and only grows; disk and ram are what the segments of list, and the files of left, use.
// Who changes cur, or the size of cur, holds out as well. File operations are never done under mu.
type segments struct {
	store   *Store
	dir     string
	limit   int64        // of the size of a file
	history History      // takes what has been accepted; nil means that it is removed
	made    func()       // called after dir was missing and has been made; under out
	disk    atomic.Int64 // bytes in files
	ram     atomic.Int64 // bytes of memory instead of files

	out sync.Mutex // while bytes move into cur; taken before mu

	mu     sync.Mutex
	list   []*segment // oldest first
	cur    *segment   // takes more bytes
	end    int64      // position after the last byte
	left   []*segment // not in list any more, and their files could not be removed
	closed bool       // the spool is not used any more
	loaded bool       // list holds what earlier processes have left; if not, positions are counted from 0 until it does
}

func (s *segments) path(base int64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%016x%s", base, segSuffix))
}

// scan returns the segments in dir, oldest first, and the names of files that were not finished. An error means that it
// has not seen all.
func scan(fsys FileSystem, dir string) (segs []*segment, trash []string, err error) {
	entries, err := fsys.ReadDir(dir)
	if isAbsent(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segSuffix+unfinished) {
			trash = append(trash, e.Name())
			continue
		}
		name, ok := strings.CutSuffix(e.Name(), segSuffix)
		base, err := strconv.ParseInt(name, 16, 64)
		if !ok || len(name) != 16 || err != nil {
			continue
		}
		fi, err := fsys.Lstat(filepath.Join(dir, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		if err == nil && fi.Mode().IsRegular() {
			// born is a wall time here: load makes an instant of it.
			segs = append(segs, &segment{base: base, limit: fi.Size(), size: fi.Size(), born: instant(fi.ModTime().UnixNano())})
		}
	}
	slices.SortFunc(segs, func(a, b *segment) int { return int(min(max(a.base-b.base, -1), 1)) })
	for i, g := range segs {
		if i+1 < len(segs) {
			g.size = min(g.size, segs[i+1].base-g.base)
		}
	}
	return segs, trash, nil
}

// removeFiles removes every file of a spool from dir.
func removeFiles(fsys FileSystem, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		name := e.Name()
		if name == cursorName || strings.HasSuffix(name, segSuffix) || strings.HasSuffix(name, segSuffix+unfinished) {
			if err := fsys.Remove(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// count adds to the bytes of the spool and of the store. Bytes of memory have been taken from the store before.
func (s *segments) count(disk, ram int64) {
	s.disk.Add(disk)
	s.store.disk.Add(disk)
	s.ram.Add(ram)
	if ram < 0 {
		s.store.memory.used.Add(ram)
	}
}

// last returns the position after the last byte.
func (s *segments) last() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// bornAt returns about when the byte at pos came in, as far as its segment says.
func (s *segments) bornAt(pos int64) instant {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.find(pos); g != nil {
		return g.born
	}
	return never
}

// isLoaded reports whether what earlier processes have left is known.
func (s *segments) isLoaded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded
}

// load puts segments of earlier processes, which end at end, before those of this one. The files of old are not needed any
// more. Call it under out.
func (s *segments) load(keep, old []*segment, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.list {
		g.base += end
	}
	s.list = append(keep, s.list...)
	s.end += end
	s.left = append(s.left, old...)
	s.loaded = true
	for _, g := range keep {
		s.count(g.size, 0)
	}
	for _, g := range old {
		s.count(g.size, 0)
	}
}

// find returns the first segment that ends after pos. Call it under mu.
func (s *segments) find(pos int64) *segment {
	i, _ := slices.BinarySearchFunc(s.list, pos, func(g *segment, pos int64) int {
		if g.end() <= pos {
			return -1
		}
		return 1
	})
	if i == len(s.list) {
		return nil
	}
	return s.list[i]
}

// at returns where the first segment that ends after pos lies.
func (s *segments) at(pos int64) (base, end int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.find(pos); g != nil {
		return g.base, g.end(), true
	}
	return 0, 0, false
}

// differ reports whether two positions lie in different segments.
func (s *segments) differ(a, b int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(a) != s.find(b)
}

// has reports whether g is in the list, and not the current one.
func (s *segments) has(g *segment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g != s.cur && slices.Contains(s.list, g)
}

// add puts a segment at the end; if current, it takes more bytes. Call it under out.
func (s *segments) add(g *segment, current bool) {
	s.setCurrent(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, g)
	s.end = max(s.end, g.end())
	if current {
		s.cur = g
	}
}

// grow counts n bytes that have been written behind the current segment's last. Call it under out.
func (s *segments) grow(n int, now instant) {
	s.mu.Lock()
	g := s.cur
	if g.size == 0 {
		g.born = now
	}
	g.size += int64(n)
	g.used = true
	s.end = g.end()
	inFile := g.mem == nil
	s.mu.Unlock()
	if inFile {
		s.count(int64(n), 0)
	}
}

// setCurrent makes g the current segment, nil = none. One that has got no bytes is removed. Call it under out.
func (s *segments) setCurrent(g *segment) {
	s.mu.Lock()
	old := s.cur
	empty := old != nil && old.size == 0
	if empty {
		s.list = s.list[:len(s.list)-1]
	}
	if g != nil {
		s.list = append(s.list, g)
	}
	s.cur = g
	s.mu.Unlock()
	if empty {
		s.discard(old)
	}
}

// take takes g out of the list, if it is there.
func (s *segments) take(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(x *segment) bool { return x == g })
}

// takeAll takes all out of the list for good, and counts what could not be removed no longer.
func (s *segments) takeAll() []*segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.list
	for _, g := range s.left {
		s.count(-g.size, 0)
	}
	s.list, s.cur, s.left, s.closed = nil, nil, nil, true
	return all
}

// keepLeft remembers segments whose files could not be removed. Their bytes are counted.
func (s *segments) keepLeft(left ...*segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.left = append(s.left, left...)
		return
	}
	for _, g := range left {
		s.count(-g.size, 0)
	}
}

// forget closes a segment that is no longer in list and stops counting it. If it has a file, that stays.
func (s *segments) forget(g *segment) (inFile bool) {
	s.mu.Lock()
	f := g.f
	inFile = g.mem == nil
	g.f, g.gone = nil, true
	if inFile {
		s.count(-g.size, 0)
	} else {
		s.count(0, -g.held)
	}
	s.mu.Unlock()
	s.store.closeFile(f)
	return inFile
}

// discard forgets a segment and removes its file.
func (s *segments) discard(g *segment) {
	s.dispose(g, func() error { return s.store.fs.Remove(s.path(g.base)) })
}

// dispose forgets a segment and takes its file away with remove. If that fails it still counts, and removeLeft tries again.
func (s *segments) dispose(g *segment, remove func() error) {
	if !s.forget(g) {
		return
	}
	err := remove()
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return
	}
	s.count(g.size, 0)
	s.keepLeft(g)
}

// removeLeft removes the files that could not be removed before. busy says that it has to be called again, for a new file
// may be on its way.
func (s *segments) removeLeft() (busy bool, err error) {
	s.mu.Lock()
	none := len(s.left) == 0
	s.mu.Unlock()
	if none {
		return false, nil
	}
	if !s.out.TryLock() {
		return true, nil
	}
	defer s.out.Unlock()
	s.mu.Lock()
	left := s.left
	s.left = nil
	s.mu.Unlock()
	for i, g := range left {
		err := s.store.fs.Remove(s.path(g.base))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.keepLeft(left[i:]...)
			return false, err
		}
		s.count(-g.size, 0)
	}
	return false, nil
}

// replaced forgets files of left that a new one has replaced: an empty one has the position of what comes next. Call it
// under out.
func (s *segments) replaced(base int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = slices.DeleteFunc(s.left, func(g *segment) bool {
		if g.base == base {
			s.count(-g.size, 0)
		}
		return g.base == base
	})
}

// trim removes the segments before commit. A file stays until a cursor behind it is on disk, persisted: a segment that is
// missing after a restart looks like a loss.
func (s *segments) trim(commit, persisted int64) {
	s.mu.Lock()
	var old []*segment
	for len(s.list) > 0 {
		g := s.list[0]
		if g == s.cur || g.end() > commit || g.mem == nil && g.end() > persisted {
			break
		}
		old = append(old, g)
		s.list = slices.Delete(s.list, 0, 1)
	}
	s.mu.Unlock()
	for _, g := range old {
		s.dispose(g, func() error { return s.keep(g, false) })
	}
}

// retire gives up the current segment if everything in it has been accepted and no bytes are being written into it, so that
// an idle spool does not sit on a file that nobody needs.
func (s *segments) retire(commit int64) {
	if !s.out.TryLock() {
		return
	}
	defer s.out.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	least := int64(retireBytes)
	if s.history != nil {
		least = keptBytes // else there would be many small files
	}
	if c := s.cur; c != nil && c.end() <= commit && c.size >= min(least, c.limit/2) {
		s.cur = nil
	}
}
