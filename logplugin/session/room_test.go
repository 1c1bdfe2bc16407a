package session

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

// The memory for a batch is made once: for what waits, and no more than the limit and one long record behind it.
func TestFillMakesRoomOnce(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{block: make(chan struct{})}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	const many, length = 200, 2000
	line := strings.Repeat("a", length)
	write(t, f, "first")
	await(t, "a request", m.isBlocked)
	for range many {
		write(t, f, line)
	}
	await(t, "all lines in the spool", func() bool { return s.Status()[0].WaitingBytes >= many*length })
	s.mu.Lock()
	x := s.byFile[file]
	s.mu.Unlock()
	// It is in a request, so that nothing but this test fills it.
	for _, c := range []struct {
		name               string
		limit, least, most int
	}{
		{"the limit", 50_000, 50_000, 200_000},
		{"all that waits", 1 << 30, many * length / 2, many * length * 2},
	} {
		var want, got router.Batch
		x.feed.makeRoom(&want, c.limit)
		x.feed.Fill(&got, c.limit)
		if n := cap(got.Body); n != cap(want.Body) || n < c.least || n > c.most {
			t.Errorf("%s: a batch of %d bytes has room for %d; want %d, between %d and %d", c.name, len(got.Body), n, cap(want.Body), c.least, c.most)
		}
	}
	close(m.block)
}
