package history

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// List returns what there is of a container, in order. There may be none.
func (s *Store) List(container string) ([]Piece, error) {
	if s.dir(container) == "" {
		return nil, nil
	}
	return s.list(container)
}

func (s *Store) list(container string) ([]Piece, error) {
	pieces, _, err := s.scan(container)
	return pieces, err
}

// scan returns what there is of a container, in order, and the pieces whose lines are in another one, too.
func (s *Store) scan(container string) (pieces, doubles []Piece, err error) {
	entries, err := os.ReadDir(s.dir(container))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	pieces = make([]Piece, 0, len(entries))
	joined := map[Key]bool{}
	for _, e := range entries {
		if p, ok := parse(e.Name()); ok {
			pieces = append(pieces, p)
			if p.joined != (Key{}) {
				joined[p.joined] = true
			}
		}
	}
	pieces = slices.DeleteFunc(pieces, func(p Piece) bool {
		if joined[p.Key] {
			doubles = append(doubles, p)
		}
		return joined[p.Key]
	})
	slices.SortFunc(pieces, Piece.compare)
	return pieces, doubles, nil
}

// remove deletes the files of pieces that are in another one.
func (s *Store) remove(container string, doubles []Piece) error {
	for _, p := range doubles {
		if err := os.Remove(filepath.Join(s.dir(container), p.name())); err != nil {
			return err
		}
	}
	return nil
}

// Open opens a piece. It stays readable when it is deleted.
func (s *Store) Open(container string, p Piece) (*os.File, error) {
	return os.Open(filepath.Join(s.dir(container), p.name()))
}

// Reading says that somebody reads a container, until the returned function is called: its pieces are not joined meanwhile. It waits for a
// call of Unread.
func (s *Store) Reading(container string) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.moving[container] != nil {
		moved := s.moving[container]
		s.mu.Unlock()
		<-moved
		s.mu.Lock()
	}
	s.readers[container]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.readers[container]--; s.readers[container] == 0 {
			delete(s.readers, container)
		}
	}
}

// Unread calls move unless somebody reads the container, and lets nobody begin meanwhile. Only one call for a container may run at a time.
func (s *Store) Unread(container string, move func()) {
	s.mu.Lock()
	if s.readers[container] > 0 {
		s.mu.Unlock()
		return
	}
	moved := make(chan struct{})
	s.moving[container] = moved
	s.mu.Unlock()
	move()
	s.mu.Lock()
	delete(s.moving, container)
	s.mu.Unlock()
	close(moved)
}

// A container that is restarted again and again has a small piece for each session. They are joined when there are more than
// maxPieces, as long as a piece does not become larger than joinedBytes.
const (
	maxPieces   = 64
	joinedBytes = 1 << 20
)

// merge joins small pieces of sessions that have ended. Call it under mu.
func (s *Store) merge(container string) {
	if s.readers[container] > 0 {
		return
	}
	pieces, doubles, err := s.scan(container)
	if err != nil || len(pieces) <= maxPieces {
		return
	}
	if err := s.remove(container, doubles); err != nil { // another join would show them again
		s.warn(container, err)
		return
	}
	into := pieces[0]
	for _, p := range pieces[1:] {
		if !into.last || !p.last || p.Key == into.Key || into.size()+p.size() > joinedBytes {
			into = p
			continue
		}
		joined := into
		joined.End += p.size()
		joined.joined = p.Key
		if err := s.join(s.dir(container), into, p, joined); err != nil {
			s.warn(container, err)
			return
		}
		into = joined
	}
}

func (s *Store) warn(container string, err error) {
	s.cfg.Log.Warn("files of docker logs cannot be joined", "dir", s.dir(container), "error", err)
}

// join puts the bytes of p behind those of into, whose name says how many of its bytes count, and becomes that of joined. A process
// that is killed here leaves the two as they were, or joined and p, which scan then passes over.
func (s *Store) join(dir string, into, p, joined Piece) error {
	from, err := os.Open(filepath.Join(dir, p.name()))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, into.name()), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(io.NewOffsetWriter(to, into.size()), io.NewSectionReader(from, 0, p.size())); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, into.name()), filepath.Join(dir, joined.name())); err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, p.name()))
}
