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
	entries, err := os.ReadDir(s.dir(container))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pieces := make([]Piece, 0, len(entries))
	for _, e := range entries {
		if p, ok := parse(e.Name()); ok {
			pieces = append(pieces, p)
		}
	}
	slices.SortFunc(pieces, Piece.compare)
	return pieces, nil
}

// Open opens a piece. It stays readable when it is deleted.
func (s *Store) Open(container string, p Piece) (*os.File, error) {
	return os.Open(filepath.Join(s.dir(container), p.name()))
}

// Reading says that somebody reads a container, until the returned function is called: its pieces are not joined meanwhile.
func (s *Store) Reading(container string) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[container]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.readers[container]--; s.readers[container] == 0 {
			delete(s.readers, container)
		}
	}
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
	pieces, err := s.list(container)
	if err != nil || len(pieces) <= maxPieces {
		return
	}
	into := pieces[0]
	for _, p := range pieces[1:] {
		if !into.last || !p.last || into.size()+p.size() > joinedBytes {
			into = p
			continue
		}
		joined := into
		joined.End += p.size()
		if err := s.join(s.dir(container), into, p, joined); err != nil {
			s.cfg.Log.Warn("files of docker logs cannot be joined", "dir", s.dir(container), "error", err)
			return
		}
		into = joined
	}
}

// join puts the bytes of p behind those of into, whose name says how many of its bytes count. A process that is killed here
// leaves the two as they were, or shows the lines of p twice.
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
