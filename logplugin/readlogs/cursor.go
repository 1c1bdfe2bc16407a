package readlogs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/history"
	"github.com/secretref/secretref/logplugin/spool"
)

// cursor is a place in the log of a container.
type cursor struct {
	container Container
	key       history.Key // of the session; the zero Key is before all of them
	pos       int64       // in it
	fresh     bool        // nothing of the session has been read: a beginning that has been deleted is not reported
	missing   string      // a line to be shown before what follows; "" means none
	lost      int64       // bytes before pos that are not frames, and are not reported yet
	live      Session     // at which it was; nil means not known
	seen      int64       // the end of the bytes that were there when they were read last

	file  *os.File // of piece; nil means none
	piece history.Piece
}

func (c *cursor) close() {
	if c.file != nil {
		_ = c.file.Close()
		c.file = nil
	}
}

// session returns the one at which the cursor is, if it is still in the driver's hands.
func (c *cursor) session() Session {
	if c.live != nil && c.live.Key() == c.key && !c.live.Spool().IsReleased() {
		return c.live
	}
	c.live = nil
	for _, x := range c.container.Sessions() {
		if x.Key() == c.key {
			c.live = x
			return x
		}
	}
	return nil
}

// situation is what comes after the bytes that were read.
type situation int

const (
	atMore situation = iota // more bytes
	atWait                  // nothing yet
	atHole                  // bytes are missing, up to the position that comes with it
	atNext                  // nothing any more: the session is over
	atEnd                   // nothing any more: the answer is complete
)

// ahead is what fill has found.
type ahead struct {
	n    int // bytes
	what situation
	gap  spool.Gap // of atHole
}

// fill reads into buf what comes at the cursor, at most up to limit, over as many pieces as it takes.
func (c *cursor) fill(buf []byte, limit int64) (a ahead, err error) {
	for a.n < len(buf) && c.pos+int64(a.n) < limit {
		want := min(int64(len(buf)-a.n), limit-c.pos-int64(a.n))
		var n int
		n, a.what, a.gap, err = c.read(c.pos+int64(a.n), buf[a.n:a.n+int(want)])
		a.n += n
		if err != nil || n == 0 {
			c.seen = c.pos + int64(a.n)
			return a, err
		}
	}
	a.what = atMore
	if c.pos+int64(a.n) >= limit {
		a.what = atWait
	}
	c.seen = c.pos + int64(a.n)
	return a, nil
}

// read reads at pos. Without bytes it says why there are none.
func (c *cursor) read(pos int64, buf []byte) (n int, st situation, gap spool.Gap, err error) {
	for range 3 { // a segment may be on its way from the spool to the history
		if c.covers(pos) {
			n, err = c.readPiece(pos, buf)
			return n, atMore, spool.Gap{}, err
		}
		x := c.session()
		st = atNext
		if x != nil {
			if n, st, gap = readSpool(x, pos, buf); n > 0 || st == atWait {
				return n, st, gap, nil
			}
		}
		next, err := c.find(pos)
		switch {
		case err != nil:
			return 0, st, gap, err
		case c.covers(pos): // it is in the history now
		case next > pos && (st == atNext || next < gap.To):
			return 0, atHole, spool.Gap{From: pos, To: next}, nil
		case x == nil || !x.Spool().IsReleased():
			return 0, st, gap, nil
		}
	}
	return 0, atWait, spool.Gap{}, nil
}

// readSpool reads what the session still has in its spool.
func readSpool(x Session, pos int64, buf []byte) (n int, st situation, gap spool.Gap) {
	ended := x.Ended()
	n, gap, err := x.Spool().NewReader(pos).Peek(buf)
	switch {
	case n > 0:
		return n, atMore, spool.Gap{}
	case gap.To > pos:
		return 0, atHole, gap
	case errors.Is(err, io.EOF), ended && pos >= x.Spool().Stats().End, x.Spool().IsReleased():
		return 0, atNext, gap
	}
	return 0, atWait, gap
}

// covers reports whether the byte at pos is in the piece that is open.
func (c *cursor) covers(pos int64) bool {
	return c.file != nil && c.piece.Key == c.key && c.piece.Base <= pos && pos < c.piece.End
}

// readPiece reads from the piece that is open.
func (c *cursor) readPiece(pos int64, buf []byte) (n int, err error) {
	n, err = c.file.ReadAt(buf[:min(int64(len(buf)), c.piece.End-pos)], pos-c.piece.Base)
	switch {
	case n > 0:
		return n, nil
	case err == nil, errors.Is(err, io.EOF): // somebody has cut the file
		err = io.ErrUnexpectedEOF
	}
	return 0, keptError(err)
}

func keptError(err error) error {
	return fmt.Errorf("read what is kept of the container's log: %w", err)
}

// find opens the piece with the byte at pos. If there is none, it returns where the next piece of the session begins, 0 if there
// is none either.
func (c *cursor) find(pos int64) (next int64, err error) {
	c.close()
	pieces, err := c.container.History.List(c.container.ID)
	if err != nil {
		return 0, keptError(err)
	}
	for _, p := range pieces {
		if p.Key != c.key || p.End <= pos {
			continue
		}
		if p.Base > pos {
			return p.Base, nil
		}
		f, err := c.container.History.Open(c.container.ID, p)
		if errors.Is(err, fs.ErrNotExist) { // it has just been deleted
			continue
		}
		if err != nil {
			return 0, keptError(err)
		}
		c.file, c.piece = f, p
		return 0, nil
	}
	return 0, nil
}

// next goes to the session that follows, and reports whether there is one.
func (c *cursor) next() (bool, error) {
	pieces, err := c.container.History.List(c.container.ID)
	if err != nil {
		return false, keptError(err)
	}
	var keys []history.Key
	for _, p := range pieces {
		keys = append(keys, p.Key)
	}
	for _, x := range c.container.Sessions() {
		keys = append(keys, x.Key())
	}
	keys = slices.DeleteFunc(keys, func(k history.Key) bool { return k.Compare(c.key) <= 0 })
	if len(keys) == 0 {
		return false, nil
	}
	c.close()
	c.key, c.pos, c.fresh = slices.MinFunc(keys, history.Key.Compare), 0, true
	return true, nil
}

// pass goes on behind a hole, and says what was there.
func (c *cursor) pass(g spool.Gap) {
	deleted := g.Lines == 0 // or lost
	switch {
	case deleted && c.fresh: // the oldest goes when there is too much
	case deleted:
		c.missing = fmt.Sprintf("secretref: %d bytes of the log are missing here", g.To-c.pos)
	default:
		c.missing = g.Text()
	}
	c.pos = g.To
}

// reportLost makes a line of the bytes that are not frames, and reports whether there are any.
func (c *cursor) reportLost() bool {
	if c.lost == 0 {
		return false
	}
	c.missing = spool.Gap{To: c.lost}.Text()
	c.lost = 0
	return true
}

// buffers are shared by all streams, for what they read: one that waits needs none.
var buffers = sync.Pool{New: func() any { b := make([]byte, frameBytes); return &b }}

// step shows the frames that come next to each, and says what follows.
func (s *Stream) step(ctx context.Context, each func(*frame.Entry) bool) (situation, error) {
	c := &s.cursor
	limit := s.limit()
	if c.key == (history.Key{}) || c.pos >= limit {
		if c.reportLost() {
			return atMore, nil
		}
		return s.advance()
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b := *buf
	for {
		a, err := c.fill(b, limit)
		if err != nil {
			return 0, err
		}
		final := a.what == atHole || a.what == atNext
		if c.lost > 0 && (final && a.n == 0 || isFrame(b[:a.n])) {
			c.reportLost()
			return atMore, nil
		}
		used, lost, ok := decode(b[:a.n], final, each)
		c.pos += int64(used)
		c.lost += int64(lost)
		c.fresh = c.fresh && used == 0
		switch {
		case !ok:
			return atEnd, nil
		case lost > 0:
			return atMore, nil
		case used == 0 && a.n == len(b):
			b = make([]byte, frame.HeaderBytes+frame.MaxBytes) // a frame that no daemon writes
		case a.what == atHole:
			c.pass(a.gap)
			return atMore, nil
		case a.what == atNext, a.what == atWait && c.seen >= limit: // what is behind used is the beginning of a frame
			return s.advance()
		case a.what == atWait && !s.isFollowed():
			return atMore, s.await(ctx)
		default:
			return a.what, nil
		}
	}
}

// isFollowed reports whether the cursor is in the session whose end is awaited.
func (s *Stream) isFollowed() bool {
	_, present := s.ends[s.cursor.key]
	return s.query.Follow && present && s.cursor.key == s.last
}

// limit returns where the answer ends in the session at the cursor. Of one that has ended it goes to the end.
func (s *Stream) limit() int64 {
	end, present := s.ends[s.cursor.key]
	switch {
	case s.isFollowed():
	case present:
		return end
	case s.cursor.key == s.last:
		return s.size
	}
	return math.MaxInt64
}

// await waits for bytes that are there, and cannot be read at the moment.
func (s *Stream) await(ctx context.Context) error {
	c := &s.cursor
	if c.seen != s.stuck.at || s.stuck.since.IsZero() {
		s.stuck.at, s.stuck.since = c.seen, time.Now()
	}
	if time.Since(s.stuck.since) > bytesWait {
		return errLost
	}
	again := time.NewTimer(bytesPause)
	defer again.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-again.C:
		return nil
	}
}

// advance goes to the next session, if that belongs to the answer.
func (s *Stream) advance() (situation, error) {
	if s.cursor.key != (history.Key{}) && s.cursor.key.Compare(s.last) >= 0 {
		return atEnd, nil
	}
	found, err := s.cursor.next()
	if err != nil {
		return 0, err
	}
	if !found || s.cursor.key.Compare(s.last) > 0 {
		return atEnd, nil
	}
	return atMore, nil
}

// isFrame reports whether buf begins with a frame.
func isFrame(buf []byte) bool {
	var e frame.Entry
	_, err := frame.Decode(buf, &e)
	return err == nil
}

// decode shows the frames in buf to each, until that is false, and returns how many bytes they are. It stops after bytes that
// are not frames, the last lost of those used. final says that nothing follows buf: then the beginning of a frame at its end
// is used, and not lost.
func decode(buf []byte, final bool, each func(*frame.Entry) bool) (used, lost int, ok bool) {
	var e frame.Entry
	for used < len(buf) {
		n, err := frame.Decode(buf[used:], &e)
		if err == nil {
			used += n
			if !each(&e) {
				return used, 0, false
			}
			continue
		}
		short := err == frame.ErrShort //nolint:errorlint // Decode returns exactly this
		if short && !final {
			return used, 0, true
		}
		skip, found := frame.Resync(buf[used+1:])
		switch {
		case found || !final:
			return used + 1 + skip, 1 + skip, true
		case short:
			return len(buf), 0, true
		}
		return len(buf), len(buf) - used, true
	}
	return used, 0, true
}
