package spool

import (
	"errors"

	"github.com/secretref/secretref/logplugin/frame"
)

// With so many bytes of a frame its length is known, and its first fields can be looked at.
const enough = 16

// window is the bytes of a spool that a survey looks at.
type window struct {
	s   *Spool
	buf *[walkBytes]byte
	at  int64 // position of the first
	n   int   // bytes
}

func (s *Spool) window(pos int64) *window {
	return &window{s: s, buf: walkBuffers.Get().(*[walkBytes]byte), at: pos}
}

func (w *window) release() { walkBuffers.Put(w.buf) }

// from returns the bytes from p on: enough for a look, or as many as follow without a hole.
func (w *window) from(p int64) ([]byte, error) {
	if p < w.at || p+enough > w.at+int64(w.n) {
		return w.read(p)
	}
	return w.buf[p-w.at : w.n], nil
}

// read is from with as many bytes as fit.
func (w *window) read(p int64) ([]byte, error) {
	n, err := w.s.segs.readAt(p, w.buf[:])
	w.at, w.n = p, n
	if err == nil || n >= enough {
		return w.buf[:n], nil
	}
	w.n = 0
	if isDamage(err) {
		return nil, &damageError{pos: p + int64(n), cause: err}
	}
	return nil, err
}

// survey walks the headers of frames up to the segment from b to e, and through it. It returns where the first frame
// begins that needs bytes of it, where the first frame after it begins, and how many lie between. With an error only
// the first is known.
func (s *Spool) survey(v view, b, e int64) (lost Gap, err error) {
	w := s.window(v.start)
	defer w.release()
	lost.From = -1
	p, gaps := v.start, v.gaps
	for p < e && err == nil {
		for len(gaps) > 0 && gaps[0].To <= p {
			gaps = gaps[1:]
		}
		if len(gaps) > 0 && gaps[0].From <= p {
			p = gaps[0].To
			continue
		}
		var size int
		var isFrame bool
		size, isFrame, err = w.step(p)
		if err != nil {
			break
		}
		if p+int64(size) > b {
			lost.begin(p)
			if isFrame {
				lost.Lines++
			}
		}
		p += int64(size)
	}
	lost.begin(max(min(p, b), v.start))
	lost.To = max(p, e, lost.From)
	return lost, err
}

// step returns how many bytes from p on are a frame, or are none.
func (w *window) step(p int64) (size int, isFrame bool, err error) {
	buf, err := w.from(p)
	if err != nil {
		return 0, false, err
	}
	size, ferr := frame.Size(buf)
	switch {
	case ferr == nil:
		return size, true, nil
	case errors.Is(ferr, frame.ErrShort):
		// Fewer than four bytes, and no more to be read.
		base, _, ok := w.s.segs.at(p + int64(len(buf)))
		if !ok || base <= p+int64(len(buf)) {
			return 0, false, errNotYet
		}
		return int(base - p), false, nil
	}
	if w.n == len(w.buf) && p > w.at {
		if buf, err = w.read(p); err != nil { // as much as fits
			return 0, false, err
		}
	}
	skip, found := frame.Resync(buf)
	if skip == 0 && !found {
		skip = len(buf) // the end of what there is
	}
	return skip, false, nil
}

// surveyAlone counts the frames of the segment from b to e by what is in it alone, for what comes before it cannot be
// read. A frame that reaches into it counts as well, for its end is lost. Without a number if the segment cannot be read
// either.
func (s *Spool) surveyAlone(v view, b, e int64) Gap {
	w := s.window(b)
	defer w.release()
	lost := Gap{From: b, To: e}
	p, counted := b, b == v.start && s.segs.isLoaded()
	for _, g := range v.gaps {
		if g.From <= b && g.To >= b {
			p, counted = g.To, true // and a frame that reaches into it is in the gap
		}
	}
	for p < e {
		if p == b && !counted {
			counted = true
			buf, err := w.from(p)
			if err != nil {
				return Gap{From: b, To: e}
			}
			skip, found := frame.Resync(buf)
			if skip > 0 || !found {
				lost.Lines++
			}
			if !found {
				skip = max(skip, 1)
			}
			p += int64(skip)
			continue
		}
		size, isFrame, err := w.step(p)
		if errors.Is(err, errNotYet) {
			lost.Lines++ // it has begun
			break
		}
		if err != nil {
			return Gap{From: b, To: e}
		}
		if isFrame {
			lost.Lines++
		}
		p += int64(size)
	}
	lost.To = max(p, e)
	return lost
}

// begin sets where the gap begins, if that is not set.
func (g *Gap) begin(pos int64) {
	if g.From < 0 {
		g.From = pos
	}
}
