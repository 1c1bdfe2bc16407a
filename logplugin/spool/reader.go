package spool

import (
	"context"
	"io"
	"time"
)

// So many gaps are shown to a reader before it must commit: the file has room for a few more, which come while it waits.
const maxTold = maxGaps / 2

// Peek copies the bytes that follow what has been taken into buf, as many as are there: none is possible. A segment that
// holds bytes which were shown is not dropped until they are taken and committed, or another Peek or Skip lets go of them;
// so call Skip once for all that was used of buf.
//
// With n > 0, a gap (its To is not 0) comes right after these bytes; with n = 0 it comes now, what it says is final, and
// SkipGap goes on behind it. err is io.EOF if no bytes follow those in buf and none ever will. So in front of
// a gap or an io.EOF, a frame that is not complete never will be, and is skipped as garbage.
// Peek does not wait. A frame that does not fit into buf needs a larger one: frame.HeaderBytes + frame.MaxBytes at most.
func (s *Spool) Peek(buf []byte) (n int, g Gap, err error) {
	for {
		s.mu.Lock()
		s.seen, s.shown = s.taken, s.version
		next := s.nextGap()
		if next != nil && next.From <= s.taken {
			if !next.told && s.told() >= maxTold {
				s.mu.Unlock()
				return 0, Gap{}, nil // until the next Commit
			}
			next.told = true
			s.seen = next.To
			s.shown--
			g = next.Gap
			s.mu.Unlock()
			return 0, g, nil
		}
		limit := s.end
		var ahead Gap
		if next != nil {
			limit, ahead = min(limit, next.From), next.Gap
		}
		if s.taken >= limit {
			if s.finished {
				err = io.EOF
			}
			s.mu.Unlock()
			return 0, Gap{}, err
		}
		pos, last := s.taken, next == nil && s.finished
		want := min(int64(len(buf)), limit-pos)
		s.seen = pos + want
		s.mu.Unlock()

		n, rerr := s.readAt(pos, buf[:want])
		if int64(n) < want && s.lose(pos+int64(n), rerr) {
			continue
		}
		s.mu.Lock()
		switch at := pos + int64(n); {
		case ahead.To > 0 && at == ahead.From && n > 0:
			g = ahead
			s.shown--
		case at < s.end && n > 0:
			s.shown-- // there is more already
		case at >= s.end && last:
			err = io.EOF
		}
		s.mu.Unlock()
		return n, g, err
	}
}

// Skip takes the first n bytes that the last Peek has shown: whole frames, or what is none.
func (s *Spool) Skip(n int) {
	s.mu.Lock()
	before := s.find(s.taken)
	s.taken = min(s.taken+int64(n), max(s.seen, s.taken))
	s.seen = s.taken
	after := s.find(s.taken)
	s.mu.Unlock()
	if before != after {
		s.closeIdle()
	}
}

// SkipGap takes the gap that Peek has shown.
func (s *Spool) SkipGap() {
	s.mu.Lock()
	if g := s.nextGap(); g != nil && g.told && g.From <= s.taken {
		s.taken = g.To
		s.seen = s.taken
	}
	s.mu.Unlock()
	s.closeIdle()
}

// Taken returns the position up to which Skip has taken, the one to Commit once all of that is accepted.
func (s *Spool) Taken() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// Pending tells whether Peek would show something that the last one did not.
func (s *Spool) Pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown != s.version
}

// Wait returns when there is something Pending, or with the error of ctx.
func (s *Spool) Wait(ctx context.Context) error {
	for !s.Pending() {
		select {
		case <-s.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// nextGap returns the first gap that is not behind the reader. Call it under mu.
func (s *Spool) nextGap() *gap {
	for i := range s.gaps {
		if s.gaps[i].To > s.taken {
			return &s.gaps[i]
		}
	}
	return nil
}

// told counts the gaps that the reader has been shown. Call it under mu.
func (s *Spool) told() (n int) {
	for _, g := range s.gaps {
		if g.told {
			n++
		}
	}
	return n
}

// lose makes a gap of the place at which reading has stopped: of the hole there, or of the rest of a segment that cannot
// be read. It returns false if there is neither: the bytes are there now.
func (s *Spool) lose(pos int64, cause error) bool {
	s.drops.Lock()
	defer s.drops.Unlock()
	s.mu.Lock()
	g := s.find(pos)
	if g == nil && (pos >= s.end || s.closed) || g != nil && g.base <= pos && cause == nil || pos < s.taken {
		// Behind the last byte, or no hole any more: it has been dropped with a gap of its own.
		s.mu.Unlock()
		return g != nil
	}
	b, e := pos, s.end // with no segment behind it: see cutOff
	if g != nil {
		e = g.base
		if e <= pos {
			e = g.end()
		}
	}
	if next := s.nextGap(); next != nil {
		e = max(min(e, next.From), b)
	}
	v := s.view(b, e)
	s.mu.Unlock()

	// The frame that reaches into it is lost, too. How many there were is not known.
	lost, _ := s.survey(v, b, b)
	s.store.cfg.Log.Error("a part of the log cannot be read", "dir", s.dir, "from", b, "bytes", e-b, "error", cause)
	s.mu.Lock()
	s.lastErr = cause
	from := max(min(lost.From, b), s.taken)
	added := s.addGap(Gap{From: from, To: max(e, from)})
	s.version++
	s.mu.Unlock()
	if !added {
		return false
	}
	_ = s.persist() // keeps the error itself
	return true
}

// Age returns how long the oldest byte that waits has been here, 0 if none does.
func (st Stats) Age(now time.Time) time.Duration {
	if st.Since.IsZero() {
		return 0
	}
	return now.Sub(st.Since)
}
