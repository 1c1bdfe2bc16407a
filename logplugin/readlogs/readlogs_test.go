package readlogs

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// sameText fails with the first difference.
func sameText(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(end)", "(end)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("%s: got %d lines, want %d; line %d is %q, want %q", what, len(g)-1, len(w)-1, i, a, b)
			return
		}
	}
}

// build makes a log of three sessions with n lines each: one in the history, one that is half delivered, one that is read.
func build(t *testing.T, n int) *world {
	w := newWorld(t)
	a := w.begin()
	a.write(lines(0, n)...)
	a.end()
	a.deliver()
	a.remove()
	b := w.begin()
	b.write(lines(n, n/2)...)
	b.deliver()
	b.write(lines(n+n/2, n-n/2)...)
	b.end()
	w.begin().write(lines(2*n, n)...)
	return w
}

func TestQueries(t *testing.T) {
	const n = 100
	w := build(t, n)
	at := func(i int) time.Time { return time.Unix(0, timeOf(lines(i, 1)[0])) }
	for _, row := range []struct {
		name     string
		q        Query
		from, to int // lines
	}{
		{"all", Query{Tail: -1}, 0, 3 * n},
		{"negative tail", Query{Tail: -3}, 0, 3 * n},
		{"tail 0", Query{Tail: 0}, 3 * n, 3 * n},
		{"tail 1", Query{Tail: 1}, 3*n - 1, 3 * n},
		{"tail of one session", Query{Tail: n}, 2 * n, 3 * n},
		{"tail over sessions", Query{Tail: n + 1}, 2*n - 1, 3 * n},
		{"tail in the history", Query{Tail: 2*n + n/2}, n / 2, 3 * n},
		{"tail of all", Query{Tail: 3 * n}, 0, 3 * n},
		{"tail of more", Query{Tail: 1000000}, 0, 3 * n},
		{"since", Query{Tail: -1, Since: at(n + 3)}, n + 3, 3 * n},
		{"until", Query{Tail: -1, Until: at(n + 3)}, 0, n + 4},
		{"since and until", Query{Tail: -1, Since: at(5), Until: at(7)}, 5, 8},
		{"tail before since", Query{Tail: 10, Since: at(n)}, 3*n - 10, 3 * n},
		{"tail before until", Query{Tail: 10, Until: at(n)}, 0, 0},
	} {
		got := w.logs(row.q)
		sameText(t, row.name, got, joined(lines(row.from, row.to-row.from)))
	}
}

func TestNothing(t *testing.T) {
	w := newWorld(t)
	for _, tail := range []int{-1, 0, 5} {
		if got := w.logs(Query{Tail: tail}); got != "" {
			t.Errorf("tail %d of no log = %q, want nothing", tail, got)
		}
	}
	w.begin()
	if got := w.logs(Query{Tail: -1}); got != "" {
		t.Errorf("log of a session without lines = %q, want nothing", got)
	}
}

// A large log goes over many segments, some of them in the history, and frames reach over their borders.
func TestSegments(t *testing.T) {
	const n, rounds = 4000, 6
	w := newWorld(t)
	s := w.begin()
	pad := strings.Repeat("x", 400)
	var want strings.Builder
	for r := range rounds {
		all := lines(r*n, n)
		for i := range all {
			all[i] += pad
			want.WriteString(all[i] + "\n")
		}
		for len(all) > 0 {
			k := min(250, len(all)) // that fit into a pipe
			s.write(all[:k]...)
			all = all[k:]
		}
		if r%3 == 1 {
			s.deliver()
		}
	}
	pieces, err := w.history.List(container)
	if err != nil || len(pieces) < 3 {
		t.Fatalf("the history has %d pieces (%v), want several", len(pieces), err)
	}
	sameText(t, "segments", w.logs(Query{Tail: -1}), want.String())
	text := want.String()
	for _, tail := range []int{1, 10, 3333, n * rounds / 2, n*rounds - 1} {
		got := w.logs(Query{Tail: tail})
		if !strings.HasSuffix(text, got) || strings.Count(got, "\n") != tail {
			t.Errorf("tail %d: got %d lines, which are the end of the log: %v", tail, strings.Count(got, "\n"), strings.HasSuffix(text, got))
		}
	}
	s.end()
	s.deliver()
	s.remove()
	sameText(t, "after the end", w.logs(Query{Tail: -1}), text)
}

func TestFollow(t *testing.T) {
	w := build(t, 50)
	s := w.sessions[len(w.sessions)-1]
	stream, err := Open(t.Context(), w.container(), Query{Tail: 7, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	a := newAnswer(t)
	ended := make(chan error, 1)
	go func() { ended <- stream.WriteTo(t.Context(), a) }()
	want := joined(lines(143, 7))
	await := func() {
		for a.String() != want {
			select {
			case <-a.wrote:
			case err := <-ended:
				t.Fatalf("ended with %v; got %q, want %q", err, a.String(), want)
			case <-t.Context().Done():
				t.Fatalf("got %q, want %q", a.String(), want)
			}
		}
	}
	await()
	for i := range 5 {
		s.write(lines(150+i, 1)...)
		want += joined(lines(150+i, 1))
		await()
		s.deliver() // the answer does not depend on it
	}
	s.write(lines(155, 3)...)
	want += joined(lines(155, 3))
	s.end()
	s.deliver()
	s.remove()
	if err := <-ended; err != nil {
		t.Errorf("follow ended with %v, want nil", err)
	}
	sameText(t, "follow", a.String(), want)
}

func TestFollowEndsWithContext(t *testing.T) {
	w := build(t, 5)
	stream, err := Open(t.Context(), w.container(), Query{Tail: 0, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- stream.WriteTo(ctx, newAnswer(t)) }()
	cancel()
	if err := <-ended; err == nil {
		t.Error("follow ended without an error, want that of the context")
	}
}

// What keeps an answer alive is seen by no client, and never before Since, where the daemon would skip it.
func TestKeepAlive(t *testing.T) {
	now := time.Now()
	for name, row := range map[string]struct {
		q     Query
		at    time.Time // at least
		sends int
		ends  bool
	}{
		"now":                 {Query{}, now, keepAlives, false},
		"since the future":    {Query{Since: now.Add(time.Hour)}, now.Add(time.Hour), keepAlives, false},
		"until the future":    {Query{Until: now.Add(time.Hour)}, now, keepAlives, false},
		"until the past ends": {Query{Until: now.Add(-time.Hour)}, now, 0, true},
	} {
		a := newAnswer(t)
		e := &encoder{query: row.q, w: a}
		if err := e.keepAlive(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if a.hidden != row.sends || a.writes > 1 || a.String() != "" || e.ended != row.ends || e.pool != nil {
			t.Errorf("%s: %d frames in %d writes with text %q, ended %v; want %d in one, no text, %v, and no buffer kept",
				name, a.hidden, a.writes, a.String(), e.ended, row.sends, row.ends)
		}
		if row.sends > 0 && a.last < row.at.UnixNano() {
			t.Errorf("%s: the time is %d, want at least %d", name, a.last, row.at.UnixNano())
		}
	}
}

// What is deleted while it is read leaves one line that says so, and the answer goes on with the oldest that is left.
func TestDeletedWhileRead(t *testing.T) {
	w := newWorld(t)
	w.limit = 3 << 20
	s := w.begin()
	pad := strings.Repeat("x", 1000)
	write := func(from, n int) {
		for i := 0; i < n; i += 500 {
			for j := 0; j < 500; j += 50 { // that fit into a pipe
				some := lines(from+i+j, 50)
				for k := range some {
					some[k] += pad
				}
				s.write(some...)
			}
			s.deliver()
		}
	}
	write(0, 2500)
	stream, err := Open(t.Context(), w.container(), Query{Tail: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	a := newAnswer(t)
	first := true
	a.pause = func() { // the reader is slow, and nobody waits for it
		if first {
			first = false
			write(2500, 3000)
			w.limit = 64 << 10
			write(5500, 1500)
		}
	}
	if err := stream.WriteTo(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	missing, last := 0, -1
	for line := range strings.Lines(a.String()) {
		if strings.HasPrefix(line, "secretref: ") && strings.HasSuffix(line, " bytes of the log are missing here\n") {
			missing++
			continue
		}
		n := int((timeOf(line) - timeOf("0")) / int64(time.Second))
		if n <= last {
			t.Fatalf("line %d follows on line %d", n, last)
		}
		last = n
	}
	if missing > 1 || missing == 0 && last < 2400 {
		t.Errorf("%d lines say that something is missing, and the last line is %d", missing, last)
	}
}

func BenchmarkWriteTo(b *testing.B) {
	w := newWorld(b)
	s := w.begin()
	pad := strings.Repeat("x", 80)
	const n = 100_000
	for i := 0; i < n; i += 100 {
		all := lines(i, 100)
		for j := range all {
			all[j] += pad
		}
		s.write(all...)
	}
	s.end()
	s.deliver()
	s.remove()
	b.ReportAllocs()
	for _, tail := range []int{-1, 10} {
		b.Run(fmt.Sprint("tail=", tail), func(b *testing.B) {
			for b.Loop() {
				stream, err := Open(b.Context(), w.container(), Query{Tail: tail})
				if err != nil {
					b.Fatal(err)
				}
				if err := stream.WriteTo(b.Context(), discard{}); err != nil {
					b.Fatal(err)
				}
				stream.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/line")
		})
	}
}

// discard is a Writer that forgets.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Flush() error                { return nil }
