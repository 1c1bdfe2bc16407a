package spool

// History takes the files of segments of which everything has been accepted.
type History interface {
	// Keep takes the file at path, which holds the bytes from base to end of the spool's log; last says that no more follow.
	// After an error the file is still there. It may be called for several spools at once.
	Keep(path string, base, end int64, last bool) error
}

// keep gives the file of g, which is no longer in list, to the history, or removes it if there is none.
func (s *segments) keep(g *segment, last bool) error {
	if s.history == nil || g.size == 0 {
		return s.store.fs.Remove(s.path(g.base))
	}
	return s.history.Keep(s.path(g.base), g.base, g.end(), last)
}

// keepAll gives all files to the history. The last of them says that no more follow. Call it when nobody uses the spool.
func (s *segments) keepAll(list []*segment) {
	if s.history == nil {
		return
	}
	var files []*segment
	for _, g := range list {
		if g.mem == nil && g.size > 0 {
			files = append(files, g)
		}
	}
	for i, g := range files {
		_ = s.keep(g, i == len(files)-1) // what is left is removed with the directory
	}
}

// IsReleased reports whether the spool has been closed or removed: what it had on disk is for the next Open, or in its History.
func (s *Spool) IsReleased() bool { return s.isReleased() }

// End returns the position after the last byte. Bytes that a Drain has taken from the FIFO count, also while it is still
// moving them; ok is false when the file system does not let that be found out.
func (s *Spool) End() (end int64, ok bool) {
	if !s.segs.out.TryLock() {
		return 0, false
	}
	defer s.segs.out.Unlock()
	return s.segs.last(), s.segs.isLoaded()
}
