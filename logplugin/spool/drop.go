package spool

import (
	"errors"
	"slices"
	"sync"

	"github.com/secretref/secretref/logplugin/frame"
)

// place says of which segments drop may take one.
type place int

const (
	onDisk place = iota
	inRAM
)

// errNotYet says that the frame which reaches over the end of a segment has not even its length yet.
var errNotYet = errors.New("frame has only begun")

// The walk over headers reads in pieces of this size; the buffers are few and short-lived, but the need comes in storms.
const walkBytes = 64 << 10

var walkBuffers = sync.Pool{New: func() any { return new([walkBytes]byte) }}

// drop gives up the oldest segment that may go, and makes a gap of it. It returns false if there is none.
//
// What may not go is the current segment, and every segment that holds a byte between what is committed and what the
// reader has been shown: those lines are on their way, and if they do not arrive they are needed again. So a
// line is either delivered or counted, never both.
func (s *Spool) drop(where place) bool {
	s.drops.Lock()
	defer s.drops.Unlock()
	for range 8 { // a reader that moves on meanwhile makes it begin anew
		s.mu.Lock()
		g := s.victim(where)
		if g == nil {
			s.mu.Unlock()
			return false
		}
		b, e := g.base, g.end()
		v := s.view(b, e)
		s.mu.Unlock()

		lost, err := s.survey(v, b, e)
		s.closeIdle()
		if errors.Is(err, errNotYet) {
			return false
		}
		s.mu.Lock()
		if !s.mayGo(g) || s.taken > max(lost.From, v.taken) {
			s.mu.Unlock()
			continue
		}
		if !s.addGap(lost) {
			s.mu.Unlock()
			return false
		}
		s.segs = slices.DeleteFunc(s.segs, func(x *segment) bool { return x == g })
		s.version++
		s.mu.Unlock()
		_ = s.persist() // if it fails, a restart finds the segment missing and says so without a number
		s.discard(g)
		s.wake()
		return true
	}
	return false
}

// victim returns the segment to drop next. Call it under mu.
func (s *Spool) victim(where place) *segment {
	full := len(s.gaps) >= maxGaps
	for _, g := range s.segs {
		if !s.mayGo(g) || g.end() <= s.commit {
			continue
		}
		if full {
			// There is no room for another gap: make the last one longer.
			if g.end() > s.gaps[len(s.gaps)-1].To {
				return g
			}
			continue
		}
		if (where == inRAM) == (g.mem != nil) {
			return g
		}
	}
	return nil
}

// mayGo tells whether g may be dropped. Call it under mu.
func (s *Spool) mayGo(g *segment) bool {
	return !g.gone && g != s.cur && (s.commit >= s.seen || g.base >= s.seen)
}

// view is what a survey needs to know of the spool, at one moment.
type view struct {
	start int64 // where a frame begins, before the segment or in it
	taken int64
	gaps  []Gap
}

// view returns the view for the segment from b to e. Call it under mu.
func (s *Spool) view(b, e int64) view {
	v := view{start: s.taken, taken: s.taken}
	for _, g := range s.gaps {
		if g.To > s.taken {
			v.gaps = append(v.gaps, g.Gap)
		}
		if g.From <= b && g.To <= e {
			v.start = max(v.start, g.To)
		}
	}
	return v
}

// survey walks the headers of frames up to the segment from b to e, and through it. It returns where the first frame
// begins that needs bytes of it, where the first frame after it begins, and how many lie between.
func (s *Spool) survey(v view, b, e int64) (lost Gap, err error) {
	buf := walkBuffers.Get().(*[walkBytes]byte)
	defer walkBuffers.Put(buf)
	lost.From = -1
	p, at, n := v.start, v.start, 0 // buf holds n bytes from at on
	gaps := v.gaps
	for p < e {
		for len(gaps) > 0 && gaps[0].To <= p {
			gaps = gaps[1:]
		}
		if len(gaps) > 0 && gaps[0].From <= p {
			p = gaps[0].To
			continue
		}
		const enough = 16 // for a look at the first fields
		if p < at || p+enough > at+int64(n) {
			if n, err = s.readAt(p, buf[:]); err != nil && n == 0 {
				break // the segment cannot be read: all of it is lost, uncounted
			}
			at = p
		}
		if n == 0 {
			next, ok := s.afterHole(p)
			if !ok {
				lost.begin(p)
				return lost, errNotYet
			}
			if next > b {
				lost.begin(p)
			}
			p, at = next, next
			continue
		}
		window := buf[p-at : n]
		size, ferr := frame.Size(window)
		switch {
		case ferr == nil:
			if p+int64(size) > b {
				lost.begin(p)
				lost.Lines++
			}
			p += int64(size)
		case errors.Is(ferr, frame.ErrShort):
			// Fewer than four bytes, and no more to be read.
			next, ok := s.afterHole(at + int64(n))
			if !ok {
				lost.begin(p)
				return lost, errNotYet
			}
			if next > b {
				lost.begin(p)
			}
			p, n = next, 0
		default:
			if p > at && n == len(buf) {
				// Look at as much as fits.
				if n, err = s.readAt(p, buf[:]); err != nil && n == 0 {
					break
				}
				at, window = p, buf[:n]
			}
			skip, found := frame.Resync(window)
			if skip == 0 && !found {
				skip = len(window) // the end of what there is
			}
			if p+int64(skip) > b {
				lost.begin(p)
			}
			p += int64(skip)
		}
	}
	lost.begin(max(min(p, b), v.start))
	lost.To = max(p, e, lost.From)
	return lost, nil
}

// begin sets where the gap begins, if that is not set.
func (g *Gap) begin(pos int64) {
	if g.From < 0 {
		g.From = pos
	}
}

// afterHole returns the base of the first segment after pos.
func (s *Spool) afterHole(pos int64) (base int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.find(pos); g != nil && g.base > pos {
		return g.base, true
	}
	return 0, false
}

// addGap adds g to the gaps, and joins it with those it touches if the reader has not been told of them. A gap with an
// exact number and one without stay apart while there is room. It returns false if there is no room for it. Call it under mu.
func (s *Spool) addGap(g Gap) bool {
	before, full := s.inGaps(), len(s.gaps) >= maxGaps
	alike := func(a, b Gap) bool { return (a.Lines == 0) == (b.Lines == 0) }
	i := 0
	for i < len(s.gaps) && s.gaps[i].From < g.From {
		i++
	}
	if i > 0 {
		g.From = max(g.From, min(s.gaps[i-1].To, g.To))
	}
	if g.From >= g.To {
		return true // it is in a gap already
	}
	switch {
	case i > 0 && !s.gaps[i-1].told && s.gaps[i-1].To == g.From && (full || alike(s.gaps[i-1].Gap, g)):
		i--
		s.gaps[i].To = g.To
		s.gaps[i].Lines += g.Lines
	case !full:
		s.gaps = slices.Insert(s.gaps, i, gap{Gap: g})
	case i < len(s.gaps) && s.gaps[i].From <= g.To && !s.gaps[i].told:
		s.gaps[i].From = g.From
		s.gaps[i].To = max(s.gaps[i].To, g.To)
		s.gaps[i].Lines += g.Lines
	default:
		return false
	}
	s.lines += g.Lines
	for i+1 < len(s.gaps) && s.gaps[i+1].From <= s.gaps[i].To {
		next := s.gaps[i+1]
		if next.From == s.gaps[i].To && !alike(next.Gap, s.gaps[i].Gap) {
			break
		}
		s.gaps[i].To = max(s.gaps[i].To, next.To)
		s.gaps[i].Lines += next.Lines
		s.gaps = slices.Delete(s.gaps, i+1, i+2)
	}
	s.bytes += s.inGaps() - before
	return true
}

// inGaps counts the bytes in gaps. Call it under mu.
func (s *Spool) inGaps() (n int64) {
	for _, g := range s.gaps {
		n += g.To - g.From
	}
	return n
}
