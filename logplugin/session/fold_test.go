package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/state"
)

// A container is restarted again and again while its router takes nothing. It has a few directories and states however often that is, docker
// logs shows every line all the time, and in the end each line arrives once and in order, also from the next process.
func TestRestartedWhileRouterTakesNothing(t *testing.T) {
	t.Parallel()
	const restarts, most = 250, 16
	dir, m := inMemory(t), &memory{block: make(chan struct{})}
	s := start(t, dir, m)
	var want strings.Builder
	for i := range restarts {
		file := filepath.Join(dir, fmt.Sprint("f", i))
		f := newFIFO(t, file)
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
		write(t, f, fmt.Sprint(i))
		fmt.Fprint(&want, i, " ")
		s.Stop(file)
		f.Close()
		if i%50 == 10 {
			if got := logs(t, s, info()); got != want.String() {
				t.Fatalf("after %d starts docker logs shows %q, want %q", i+1, got, want.String())
			}
		}
	}
	await(t, "few sessions", func() bool { return len(s.Status()) <= most })
	for _, part := range []string{"spool", "sessions"} {
		await(t, "few files in "+part, func() bool {
			left, err := os.ReadDir(filepath.Join(dir, "state", part))
			return err == nil && len(left) <= most
		})
	}
	if got := logs(t, s, info()); got != want.String() {
		t.Errorf("docker logs shows %q, want %q", got, want.String())
	}
	end(t, s)
	m = &memory{}
	s = startWith(t, dir, m, state.OS{}, Config{})
	s.Attach()
	m.wait(t, strings.TrimSpace(want.String()))
	await(t, "the end of all sessions", func() bool { return len(s.Status()) == 0 })
	if got := logs(t, s, info()); got != want.String() {
		t.Errorf("after delivery docker logs shows %q, want %q", got, want.String())
	}
}
