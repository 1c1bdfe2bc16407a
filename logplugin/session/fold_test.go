package session

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
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

// What a session ends with is not mixed with what the next one begins with: a frame that a killed daemon has begun, or a piece of a line.
func TestEndsAreKeptApart(t *testing.T) {
	t.Parallel()
	const restarts, apart = keptApart + 5, keptApart + 1
	hasty := quick
	hasty.silence = 10 * time.Millisecond // for each session that ends within a line
	long := frame.AppendFrame(nil, &frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: make([]byte, 3000)})
	piece := func(id []byte) []byte {
		return frame.AppendFrame(nil, &frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: []byte("piece"), Partial: true, PartialID: id, Ordinal: 1})
	}
	for name, c := range map[string]struct {
		last  []byte
		line  string // that becomes of last
		folds bool
	}{
		"a frame without its end":     {long[:len(long)-100], "", false},
		"a frame without its content": {long[:7], "", false},
		"a piece without an id":       {piece(nil), " piece", false},
		"a piece with an id":          {piece([]byte("id")), " piece", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, m := inMemory(t), &memory{block: make(chan struct{})}
			s := start(t, dir, m)
			var want []string
			for i := range restarts {
				file := filepath.Join(dir, fmt.Sprint("f", i))
				f := newFIFO(t, file)
				if err := s.Start(t.Context(), file, info()); err != nil {
					t.Fatal(err)
				}
				write(t, f, fmt.Sprint(i))
				if _, err := f.Write(c.last); err != nil {
					t.Fatal(err)
				}
				want = append(want, fmt.Sprint(i, c.line))
				s.Stop(file)
				f.Close()
			}
			if c.folds {
				await(t, "few sessions", func() bool { return len(s.Status()) <= apart })
			}
			await(t, "the end of all pipes", func() bool {
				return !slices.ContainsFunc(s.sessions(), func(x *session) bool { return !x.drained.Load() })
			})
			end(t, s)
			if n := len(s.Status()); !c.folds && n != restarts {
				t.Errorf("%d sessions are left, want all %d", n, restarts)
			}
			m = &memory{}
			s = startWith(t, dir, m, state.OS{}, Config{pauses: hasty})
			s.Attach()
			m.wait(t, strings.Join(want, " "))
			await(t, "the end of all sessions", func() bool { return len(s.Status()) == 0 })
		})
	}
}
