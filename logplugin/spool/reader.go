package spool

import (
	"fmt"
	"io"
	"sync/atomic"
)

// So many gaps are shown to the delivery before it must commit: the file has room for a few more, which come while it waits.
const maxTold = maxGaps / 2

// Reader reads a spool from a position of its own. It is used by one goroutine at a time. What a Reader that is not the
// delivery has not read yet may be removed before it comes there: it is shown a gap then.
type Reader struct {
	s        *Spool
	delivers bool
	blocked  atomic.Bool // the file system has refused to be read; the timer of the spool clears it

	// Of the delivery both are in the ledger.
	pos   int64
	shown Gap // the last one
}

// NewReader returns a Reader that begins at pos, which must be the start of a frame, or 0 for what is left of the log.
func (s *Spool) NewReader(pos int64) *Reader { return &Reader{s: s, pos: pos} }

// Peek copies the bytes that follow what has been taken into buf, as many as are there: none is possible. A segment that
// holds bytes which were shown to the delivery is not dropped until they are taken and committed, or another Peek or Skip lets
// go of them; so call Skip once for all that was used of buf.
//
// With n > 0, a gap (its To is not 0) comes right after these bytes; with n = 0 it comes now, what it says is final, and
// SkipGap goes on behind it. err is io.EOF if no bytes follow those in buf and none ever will. So in front of
// a gap or an io.EOF, a frame that is not complete never will be, and is skipped as garbage.
// Peek does not wait. While the bytes cannot be read there are none, and Notify is called when it is worth another try.
// A frame that does not fit into buf needs a larger one: frame.HeaderBytes + frame.MaxBytes at most.
func (r *Reader) Peek(buf []byte) (n int, g Gap, err error) {
	s := r.s
	if r.blocked.Load() || !s.segs.isLoaded() {
		return 0, Gap{}, nil
	}
	for {
		v, ahead, now := r.look(len(buf))
		switch {
		case now:
			return 0, ahead, nil
		case v.want == 0:
			return 0, Gap{}, v.err
		}
		n, rerr := s.segs.readAt(v.pos, buf[:v.want])
		if n < v.want {
			again, err := r.explain(v.pos+int64(n), rerr)
			if again {
				continue
			}
			r.failed(err)
		} else {
			r.failed(nil)
		}
		switch at := v.pos + int64(n); {
		case n == 0:
			return 0, Gap{}, nil
		case ahead.To > 0 && at == ahead.From:
			return n, ahead, nil
		case v.last && r.isOver(at):
			return n, Gap{}, io.EOF
		}
		return n, Gap{}, nil
	}
}

// isOver reports whether no byte follows at a position, and notes that the delivery knows.
func (r *Reader) isOver(at int64) bool {
	l := &r.s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	over := at >= r.s.segs.last() && !l.grows
	l.over = l.over || over && r.delivers
	return over
}

// sight is what Peek may read.
type sight struct {
	pos  int64
	want int   // bytes
	last bool  // no byte comes after the end of the segments
	err  error // of want = 0
}

// look finds out what comes next: a gap now, or at most limit bytes and perhaps a gap after them.
func (r *Reader) look(limit int) (v sight, ahead Gap, now bool) {
	l := &r.s.ledger
	finished := r.s.isFinished() // before the end is looked at
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.delivers && l.lent {
		return v, Gap{}, false
	}
	if r.delivers {
		l.seen = l.taken
		r.pos = l.taken
	} else if g, trimmed := r.trimmed(); trimmed {
		r.shown = g
		return v, g, true
	}
	v.pos = r.pos
	next := l.gapAfter(r.pos)
	if next != nil && next.From <= r.pos {
		if r.delivers && !next.told && l.told() >= maxTold {
			return v, Gap{}, false // until the next Commit
		}
		if r.delivers {
			next.told = true
			l.seen = next.To
		}
		r.shown = next.Gap
		return v, next.Gap, true
	}
	end := r.s.segs.last()
	v.last = next == nil && finished && !l.grows
	if next != nil {
		end, ahead = min(end, next.From), next.Gap
	}
	if v.pos >= end {
		if v.last {
			v.err = io.EOF
			l.over = l.over || r.delivers
		}
		return v, Gap{}, false
	}
	v.want = int(min(int64(limit), end-v.pos))
	if r.delivers {
		l.seen = v.pos + int64(v.want)
	}
	return v, ahead, false
}

// trimmed returns the place before the reader from which segments were removed because they had been accepted. Call it
// under the lock of the ledger.
func (r *Reader) trimmed() (Gap, bool) {
	commit := r.s.ledger.commit
	if r.pos >= commit {
		return Gap{}, false
	}
	base, _, ok := r.s.segs.at(r.pos)
	if !ok || base > commit {
		base = commit
	}
	return Gap{From: r.pos, To: base}, base > r.pos
}

// explain finds out why there were no bytes at pos: they are there now, or damage has become a gap (again), or the file
// system refuses to say.
func (r *Reader) explain(pos int64, cause error) (again bool, err error) {
	if cause != nil && !isDamage(cause) {
		return false, cause
	}
	if !r.delivers {
		return false, nil // the delivery makes the gap
	}
	return r.s.lose(pos, cause)
}

// failed notes the result of reading.
func (r *Reader) failed(err error) {
	if !r.delivers {
		return
	}
	if err != nil {
		r.blocked.Store(true)
	}
	r.s.failed(readSegment, err)
}

// Skip takes the first n bytes that the last Peek has shown: whole frames, or what is none.
func (r *Reader) Skip(n int) {
	if !r.delivers {
		before := r.pos
		r.pos += int64(n)
		if r.s.segs.differ(before, r.pos) {
			r.s.segs.closeOthers(r.s.Taken())
		}
		return
	}
	l := &r.s.ledger
	l.mu.Lock()
	before := l.taken
	l.taken = min(l.taken+int64(n), max(l.seen, l.taken))
	l.seen = l.taken
	after := l.taken
	l.mu.Unlock()
	if r.s.segs.differ(before, after) {
		r.s.segs.closeOthers(after)
	}
}

// SkipGap takes the gap that Peek has shown.
func (r *Reader) SkipGap() {
	if !r.delivers {
		r.pos = max(r.pos, r.shown.To)
		return
	}
	l := &r.s.ledger
	l.mu.Lock()
	if g := l.gapAfter(l.taken); g != nil && g.told && g.From <= l.taken {
		l.taken = g.To
		l.seen = l.taken
	}
	after := l.taken
	l.mu.Unlock()
	r.s.segs.closeOthers(after)
}

// Taken returns the position up to which Skip has taken, for the delivery the one to Commit once all of that is accepted.
func (r *Reader) Taken() int64 {
	if !r.delivers {
		return r.pos
	}
	l := &r.s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}

// lose makes a gap of the damage at which reading has stopped: of the hole there, or of what its file has lost. again says
// that reading may go on: with the gap, or with bytes that are there now. An error says that it cannot be found out
// at the moment.
func (s *Spool) lose(pos int64, cause error) (again bool, err error) {
	s.drops.Lock()
	again, err = s.loseNow(pos, cause)
	s.drops.Unlock()
	if again {
		_ = s.persist() // which notes its error itself
	}
	return again, err
}

// loseNow is lose under drops, and leaves the cursor file.
func (s *Spool) loseNow(pos int64, cause error) (again bool, err error) {
	l := &s.ledger
	l.mu.Lock()
	base, end, ok := s.segs.at(pos)
	if !ok && (pos >= s.segs.last() || s.isReleased()) || ok && base <= pos && cause == nil || pos < l.taken {
		// Behind the last byte, or no hole any more: it has been dropped with a gap of its own.
		l.mu.Unlock()
		return ok, nil
	}
	to := s.segs.last() // with no segment behind it: see cutOff
	if ok {
		if to = base; to <= pos {
			to = end
		}
	}
	if next := l.gapAfter(pos); next != nil {
		to = max(min(to, next.From), pos)
	}
	v := l.view(pos, to)
	l.mu.Unlock()

	// The frame that reaches into it is lost, too. How many there were is not known.
	lost, err := s.survey(v, pos, pos)
	if err != nil && !isDamage(err) && !isNotYet(err) {
		return false, err
	}
	l.mu.Lock()
	from := max(min(lost.From, pos), l.taken)
	added := l.addGap(Gap{From: from, To: max(to, from)})
	l.mu.Unlock()
	if !added {
		return false, nil // until the next Commit
	}
	s.trouble.damaged(fmt.Errorf("a part of the log is missing from position %d on, %d bytes: %w", pos, to-pos, orMissing(cause)))
	return true, nil
}
