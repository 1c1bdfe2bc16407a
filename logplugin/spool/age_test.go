package spool

import (
	"os"
	"testing"
	"time"
)

// later makes everything that the spool remembers so much older.
func later(s *Spool, d time.Duration) {
	l := &s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	s.segs.mu.Lock()
	defer s.segs.mu.Unlock()
	l.age.since, l.age.stamped = l.age.since.add(-d), l.age.stamped.add(-d)
	for _, g := range s.segs.list {
		g.born = g.born.add(-d)
	}
}

func checkAge(t *testing.T, s *Spool, what string, want time.Duration) {
	t.Helper()
	if got := s.Stats().Age(time.Now()).Round(time.Hour); got != want {
		t.Errorf("%s: the oldest byte is said to wait for %v, want %v", what, got, want)
	}
}

func TestAge(t *testing.T) {
	for name, do := range map[string]func(*testing.T, *Spool, func(), *reader){
		"quiet container": func(t *testing.T, s *Spool, line func(), r *reader) {
			for range 3 {
				line()
				checkAge(t, s, "a new line", 0)
				r.until(r.next + 1)
				if got := s.Stats(); !got.Since.IsZero() {
					t.Errorf("nothing waits, since %v", got.Since)
				}
				later(s, time.Hour)
			}
		},
		"backlog": func(t *testing.T, s *Spool, line func(), r *reader) {
			line()
			r.until(1)
			later(s, time.Hour)
			for hours := range time.Duration(3) {
				line()
				checkAge(t, s, "nothing is accepted", hours*time.Hour)
				later(s, time.Hour)
			}
			r.until(2)
			checkAge(t, s, "all but two lines are accepted", 2*time.Hour)
			r.until(4)
			line()
			checkAge(t, s, "a line behind a backlog", 0)
		},
		// The router always has a line that it has not accepted yet.
		"never idle": func(t *testing.T, s *Spool, line func(), r *reader) {
			before := int64(0)
			for range 10 {
				line()
				for at := s.Taken(); s.Taken() == at; {
					_, _ = r.step(1)
				}
				if err := s.Commit(before); err != nil {
					t.Fatal(err)
				}
				before = s.Taken()
				if age := s.Stats().Age(time.Now()); age > 150*time.Minute {
					t.Errorf("a line waits for an hour, the oldest is said to do so for %v", age)
				}
				later(s, time.Hour)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStore(t, Config{Dir: t.TempDir()})
			s := open(st, st.cfg.Dir+"/one", Options{})
			defer shut(t, s)
			do(t, s, writer(t, s), newReader(t, s))
		})
	}
}

// writer returns a function that writes the next line and waits until the spool has it.
func writer(t *testing.T, s *Spool) (line func()) {
	p := newFIFO(t)
	_ = startDrain(t, s, p)
	n, end := 0, s.Stats().End
	return func() {
		t.Helper()
		b := appendLines(nil, n, n+1)
		n, end = n+1, end+int64(len(b))
		p.write(t, b)
		await(t, s, "the line", func(g Stats) bool { return g.End == end })
	}
}

// What an earlier process has left is as old as its file, until it is accepted.
func TestAgeAfterRestart(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	dir := st.cfg.Dir + "/one"
	s := open(st, dir, Options{})
	put(t, s, appendLines(nil, 0, 10))
	path := s.segs.path(s.segs.cur.base)
	shut(t, s)
	old := time.Now().Add(-5 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	s = open(st, dir, Options{})
	defer shut(t, s)
	checkAge(t, s, "after a restart", 5*time.Hour)
	line := writer(t, s)
	line()
	checkAge(t, s, "with a new line", 5*time.Hour)
	r := newReader(t, s)
	r.until(5)
	checkAge(t, s, "with some accepted", 5*time.Hour)
	r.until(10)
	checkAge(t, s, "with only the new line", 0)
}
