//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

// stream is what has arrived of one stream of a talker.
type stream struct {
	lines   int   // different ones
	next    int   // the number after the highest
	last    int   // the number of the line that came last, -1 = none
	end     int   // how many there are, -1 = not known yet
	jumps   int   // a line came before the one that stands before it
	twice   int   // lines that came again
	rewinds []int // how far the numbers have gone back, each time
	others  []string
}

// event is an event as splunk-format=inline makes it.
type event struct {
	Line, Source, Tag string
}

// receiver is a receiver, and how many of its events have been looked at.
type receiver struct {
	*hectest.Server
	seen int
}

// receiver starts another receiver.
func (w *world) receiver(o hectest.Options) *hectest.Server {
	w.t.Helper()
	s, err := hectest.Start(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	w.receivers = append(w.receivers, &receiver{Server: s})
	return s
}

// look reads the events that are new.
func (w *world) look() {
	w.t.Helper()
	for _, r := range w.receivers {
		if r.Count() == r.seen {
			continue
		}
		all := r.Events()
		for _, e := range all[r.seen:] {
			var ev struct{ Event event }
			if err := json.Unmarshal([]byte(e.Text), &ev); err != nil {
				w.t.Fatalf("event %q: %v", e.Text, err)
			}
			w.stream(ev.Event.Tag, ev.Event.Source).take(ev.Event.Line)
		}
		r.seen = len(all)
	}
}

func (w *world) stream(tag, source string) *stream {
	key := tag + " " + source
	if w.streams[key] == nil {
		w.streams[key] = newStream()
	}
	return w.streams[key]
}

func newStream() *stream { return &stream{last: -1, end: -1} }

func (s *stream) take(line string) {
	kind, number, _ := strings.Cut(strings.TrimRight(line, "."), " ")
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || kind != "line" && kind != "end":
		s.others = append(s.others, line)
		return
	case kind == "end":
		if n != s.last+1 && s.end != n {
			s.jumps++
		}
		s.end = n
		return
	case n < s.next:
		s.twice++
	default:
		s.lines++
		if n > s.next {
			s.jumps++
		}
	}
	if n <= s.last {
		s.rewinds = append(s.rewinds, s.last+1-n)
	}
	s.last, s.next = n, max(s.next, n+1)
}

// arrived waits until all lines of a talker are there, and checks that none is missing and the order is right.
func (w *world) arrived(tag string, limit time.Duration, sources ...string) (lines, twice int) {
	w.t.Helper()
	if sources == nil {
		sources = []string{"stdout"}
	}
	for _, source := range sources {
		s := w.arrivedFrom(tag, source, limit)
		lines, twice = lines+s.end, twice+s.twice
	}
	return lines, twice
}

func (w *world) arrivedFrom(tag, source string, limit time.Duration) *stream {
	w.t.Helper()
	s := w.stream(tag, source)
	defer func() {
		if w.t.Failed() {
			w.t.Logf("%s %s: %+v", tag, source, *s)
		}
	}()
	until(w.t, limit, fmt.Sprintf("the last line of %s %s", tag, source), func() bool { w.look(); return s.end >= 0 && s.next >= s.end })
	if s.jumps > 0 || s.next != s.end || s.lines != s.end || len(s.others) > 0 {
		w.t.Errorf("%s %s: %d of %d lines, %d before their time, other lines %.3q", tag, source, s.lines, s.end, s.jumps, s.others)
	}
	return s
}

// largestBatch returns the most events of one container in one request.
func (w *world) largestBatch() (most int) {
	for _, r := range w.hec.Requests() {
		count := map[string]int{}
		dec := json.NewDecoder(strings.NewReader(string(r.Body)))
		for {
			var ev struct{ Event event }
			if dec.Decode(&ev) != nil {
				break
			}
			count[ev.Event.Tag]++
			most = max(most, count[ev.Event.Tag])
		}
	}
	return most
}

// talks waits until lines of a talker have arrived.
func (w *world) talks(tag string) {
	w.t.Helper()
	from := w.stream(tag, "stdout").next
	until(w.t, 60*time.Second, "lines of "+tag, func() bool { w.look(); return w.stream(tag, "stdout").next > from })
}
