package main

import (
	"bytes"
	"slices"
	"strconv"
	"time"
)

// marks are the numbers and times that lines carry: "seq=000000001 t=1795463301000000256 ".
type marks struct {
	seen       []bool // by number
	distinct   int
	duplicates int
	late       []time.Duration // from the line's time to its arrival
}

// summary is what a benchmark wants to know of marks.
type summary struct {
	Distinct, Duplicates int
	Median, P99, Max     time.Duration
}

const (
	numberDigits = 9
	timeDigits   = 19
	maxNumber    = 10_000_000
)

var (
	mark = []byte("seq=")
	when = []byte(" t=")
)

func (m *marks) read(text []byte, at time.Time) {
	for {
		i := bytes.Index(text, mark)
		if i < 0 {
			return
		}
		text = text[i+len(mark):]
		if len(text) < numberDigits+len(when)+timeDigits || !bytes.HasPrefix(text[numberDigits:], when) {
			continue
		}
		n, err := strconv.Atoi(string(text[:numberDigits]))
		if err != nil || n >= maxNumber {
			continue
		}
		nano, err := strconv.ParseInt(string(text[numberDigits+len(when):][:timeDigits]), 10, 64)
		if err != nil {
			continue
		}
		m.add(n, at.Sub(time.Unix(0, nano)))
	}
}

func (m *marks) add(n int, late time.Duration) {
	if n >= len(m.seen) {
		m.seen = append(m.seen, make([]bool, n+1-len(m.seen))...)
	}
	if m.seen[n] {
		m.duplicates++
		return
	}
	m.seen[n] = true
	m.distinct++
	m.late = append(m.late, late)
}

func (m *marks) summary() summary {
	s := summary{Distinct: m.distinct, Duplicates: m.duplicates}
	if last := len(m.late) - 1; last >= 0 {
		slices.Sort(m.late)
		s.Median, s.P99, s.Max = m.late[last/2], m.late[last*99/100], m.late[last]
	}
	return s
}
