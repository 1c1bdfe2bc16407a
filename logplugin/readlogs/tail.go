package readlogs

import (
	"context"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/history"
)

// mark is a place where a frame begins, or the beginning of a piece.
type mark struct {
	key    history.Key
	pos    int64
	before int // frames, from where the count has begun
}

// start moves the cursor to the first frame of the answer.
func (s *Stream) start(ctx context.Context) error {
	if s.query.Tail < 0 {
		return nil
	}
	places, err := s.places()
	if err != nil {
		return err
	}
	// From the end on, twice as far back each time, so that a short tail of a long log is quick.
	for back := 1; ; back *= 2 {
		from := max(0, len(places)-back)
		found, err := s.countFrom(ctx, places, from)
		if found || err != nil {
			return err
		}
	}
}

// places returns where the pieces of the log begin, in order.
func (s *Stream) places() ([]mark, error) {
	c := s.cursor.container
	pieces, err := c.History.List(c.ID)
	if err != nil {
		return nil, err
	}
	var all []mark
	seen := map[history.Key]int64{} // the end of what is in the history
	sessions := c.Sessions()
	add := func(upTo *history.Key) {
		for len(sessions) > 0 && (upTo == nil || sessions[0].Key().Compare(*upTo) < 0) {
			k := sessions[0].Key()
			all = append(all, mark{key: k, pos: seen[k]})
			sessions = sessions[1:]
		}
	}
	for _, p := range pieces {
		add(&p.Key)
		all = append(all, mark{key: p.Key, pos: p.Base})
		seen[p.Key] = p.End
	}
	add(nil)
	return all, nil
}

// countFrom counts the frames from a place on, and moves the cursor to where the tail begins. It reports whether it has found
// that, which it has whenever from is 0.
func (s *Stream) countFrom(ctx context.Context, places []mark, from int) (found bool, err error) {
	s.cursor.close()
	s.cursor.key, s.cursor.pos, s.cursor.fresh = history.Key{}, 0, true
	if from > 0 {
		s.cursor.key, s.cursor.pos = places[from].key, places[from].pos
	}
	follow := s.query.Follow
	s.query.Follow = false // up to where the log ends now
	defer func() { s.query.Follow = follow }()
	total := 0
	var marks []mark
	for {
		marks = append(marks, mark{s.cursor.key, s.cursor.pos, total})
		st, err := s.step(ctx, func(*frame.Entry) bool { total++; return true })
		if err != nil {
			return false, err
		}
		if st == atEnd {
			break
		}
	}
	s.cursor.missing, s.cursor.lost = "", 0
	skip := total - s.query.Tail
	if skip < 0 && from > 0 {
		return false, nil
	}
	skip = max(0, skip)
	i := len(marks) - 1
	for i > 0 && marks[i].before > skip {
		i--
	}
	s.cursor.close()
	s.cursor.key, s.cursor.pos, s.cursor.fresh = marks[i].key, marks[i].pos, true
	s.skip = skip - marks[i].before
	return true, nil
}
