package session

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/lines"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/polltest"
)

// writeLong writes one line as the daemon writes a long one: in pieces.
func writeLong(t *testing.T, w interface{ Write([]byte) (int, error) }, pieces ...string) {
	t.Helper()
	for i, p := range pieces {
		e := frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: []byte(p), Partial: true, PartialID: []byte(pieces[0]), Ordinal: int32(i + 1), Last: i == len(pieces)-1}
		if _, err := w.Write(frame.AppendFrame(nil, &e)); err != nil {
			t.Fatal(err)
		}
	}
}

// Patterns choose among whole lines, for routers that take pieces too. What they leave out is counted and not read again, and
// `docker logs` shows it.
func TestPatterns(t *testing.T) {
	for name, pieces := range map[string]bool{"lines": false, "a router that takes pieces": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, m := t.TempDir(), &memory{}
			s := start(t, dir, m)
			s.admission.kinds["memory"].Pieces = pieces
			file := filepath.Join(dir, "f")
			f := newFIFO(t, file)
			in := info("include-pattern", "^GET|end$", "exclude-pattern", "health")
			if err := s.Start(t.Context(), file, in); err != nil {
				t.Fatal(err)
			}
			write(t, f, "GET-1", "POST-2", "GET-health\r", "GET-3\r")
			writeLong(t, f, "x-long-", "line-", "to-its-end")
			writeLong(t, f, "xx-long-", "line-of-health-", "to-its-end")
			write(t, f, "POST-4", "last-health")
			m.wait(t, "GET-1 GET-3 x-long-line-to-its-end")
			await(t, "the cursor to be behind all", func() bool { return s.Status()[0].WaitingBytes == 0 })
			if st := s.Status()[0]; st.SentLines != 3 || st.FilteredLines != 5 || st.RejectedLines != 0 || st.DroppedLines != 0 {
				t.Errorf("status counts %+v, want 3 lines sent and 5 filtered", st)
			}
			if all, _ := s.Tallies(); len(all) != 1 || all[0].Sent != 3 || all[0].Filtered != 5 {
				t.Errorf("tallies %+v, want 3 lines sent and 5 filtered", all)
			}
			want := "GET-1 POST-2 GET-health\r GET-3\r x-long-line-to-its-end xx-long-line-of-health-to-its-end POST-4 last-health "
			if got := logs(t, s, in); got != want {
				t.Errorf("docker logs: %q, want %q", got, want)
			}
			end(t, s)
			s = start(t, dir, m) // the patterns are in the state
			s.Attach()
			write(t, f, "POST-5", "GET-6")
			m.wait(t, "GET-1 GET-3 x-long-line-to-its-end GET-6")
			f.Close()
			gone(t, s, file)
		})
	}
}

// A destination has patterns for all who name it, and a container may have its own.
func TestPatternsOfADestination(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	receivers := map[string]*memory{"https://a.example.com": {}}
	m := receivers["https://a.example.com"]
	s := startNamed(t, dir, "https://a.example.com", receivers)
	s.admission.rules.Destinations["prod"]["include-pattern"] = "^a"
	for _, c := range []struct {
		options []string
		want    string
	}{
		{nil, "a1 a2"}, {[]string{"include-pattern", "^b"}, "a1 a2 b1"}, {[]string{"include-pattern", ""}, "a1 a2 b1 a1 b1 a2"},
	} {
		file := filepath.Join(dir, "f"+strings.Join(c.options, "-"))
		f := newFIFO(t, file)
		in := info()
		in.Config = toProd(c.options...)
		if err := s.Start(t.Context(), file, in); err != nil {
			t.Fatal(err)
		}
		write(t, f, "a1", "b1", "a2")
		m.wait(t, c.want)
		f.Close()
		gone(t, s, file)
	}
}

// A session whose pattern takes long gives the others of its destination their turn.
func TestPatternsTakeTurns(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{block: make(chan struct{})}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, info("exclude-pattern", "(.*a){100}$")); err != nil {
		t.Fatal(err)
	}
	const many = 200
	line := strings.Repeat("ax", 1000)
	for range many {
		write(t, f, line)
	}
	await(t, "all lines in the spool", func() bool { return s.Status()[0].WaitingBytes >= many*int64(len(line)) })
	await(t, "a request", m.isBlocked)
	s.mu.Lock()
	x := s.byFile[file]
	s.mu.Unlock()
	// It is in a request, so that nothing but this test fills it.
	var b router.Batch
	if more := x.feed.Fill(&b, 1<<30); !more || b.Len() == 0 || b.Len() > many/2 {
		t.Errorf("one turn took %d of %d lines, more %v; want a part of them, and more", b.Len(), many, more)
	}
	close(m.block)
}

// A pattern of another version that this one cannot read: lines are kept, and status says why.
func TestPatternThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	leave(t, dir, state.Session{
		File: file, ContainerID: "aaaa", Started: time.Now(),
		Options: options.Options{Router: "memory", Lines: lines.Options{ExcludePattern: "(?=secret)"}},
	})
	s := start(t, dir, m)
	s.Attach()
	write(t, f, "1")
	await(t, "the reason in status", func() bool {
		all := s.Status()
		return len(all) == 1 && all[0].WaitingBytes > 0 && strings.Contains(all[0].LastError, "exclude-pattern")
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lines) != 0 {
		t.Errorf("sent %q", m.lines)
	}
}

// Lines that are one event go as one record, whatever the driver does in between, and `docker logs` shows lines.
func TestMultiline(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	in := info("multiline-pattern", "^E", "exclude-pattern", "b")
	if err := s.Start(t.Context(), file, in); err != nil {
		t.Fatal(err)
	}
	write(t, f, "E1", "a", "E2", "b", "E3")
	writeLong(t, f, "c-long-", "line")
	m.wait(t, "E1 a")
	await(t, "the cursor at the event that is open", func() bool { return s.Status()[0].WaitingBytes < 100 })
	end(t, s)
	s = start(t, dir, m)
	s.Attach()
	write(t, f, "d", "E4")
	m.wait(t, "E1 a E3 c-long-line d")
	if n := s.Status()[0].FilteredLines; n != 0 {
		t.Errorf("%d events were read again and left out, want 0: the process before had committed that", n)
	}
	f.Close()
	m.wait(t, "E1 a E3 c-long-line d E4")
	gone(t, s, file)
	if got, want := logs(t, s, in), "E1 a E2 b E3 c-long-line d E4 "; got != want {
		t.Errorf("docker logs: %q, want %q", got, want)
	}
}

// Lines over the rate are counted, and a record says where they are missing; docker logs shows them.
func TestMaxRateDrops(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	in := info("max-rate", "2", "max-rate-mode", "drop")
	if err := s.Start(t.Context(), file, in); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1", "2", "3", "4", "5") // in one second of the daemon's time
	f.Close()
	m.wait(t, "1 2 secretref: 3 lines are missing here: the container wrote more than max-rate=2 allows")
	gone(t, s, file)
	if all, _ := s.Tallies(); len(all) != 1 || all[0].Limited != 3 || all[0].Sent != 3 || all[0].Dropped != 0 {
		t.Errorf("tallies %+v, want 3 lines over the rate, and 2 sent with one record", all)
	}
	if got, want := logs(t, s, in), "1 2 3 4 5 "; got != want {
		t.Errorf("docker logs: %q, want %q", got, want)
	}
}

// Lines over the rate wait in the spool until it allows them, also those of a container that has ended.
func TestMaxRateKeeps(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	began := time.Now()
	if err := s.Start(t.Context(), file, info("max-rate", "2")); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1", "2", "3", "4")
	f.Close()
	polltest.Until(t, 20*time.Second, "a note that says why lines wait", func() bool {
		all := s.Status()
		return len(all) == 1 && strings.Contains(all[0].Note, "more than its max-rate allows")
	})
	m.wait(t, "1 2 3 4")
	if took := time.Since(began); took < time.Second {
		t.Errorf("4 lines took %v, want a second or more at 2 lines a second", took)
	}
	gone(t, s, file)
	if all, _ := s.Tallies(); len(all) != 1 || all[0].Sent != 4 || all[0].Limited != 0 {
		t.Errorf("tallies %+v, want 4 lines sent", all)
	}
}

// Lines name the instance that the process runs on, if that is known.
func TestInstanceOfLines(t *testing.T) {
	t.Parallel()
	on := router.Instance{ID: "i-1234567890abcdef0"}
	for _, c := range []struct {
		ask  func(context.Context) router.Instance
		want router.Instance
	}{{nil, router.Instance{}}, {func(context.Context) router.Instance { return on }, on}} {
		dir, m := t.TempDir(), &memory{}
		s := startWith(t, dir, m, state.OS{}, Config{Instance: c.ask})
		file := filepath.Join(dir, "f")
		f := newFIFO(t, file)
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
		write(t, f, "1")
		m.wait(t, "1")
		m.mu.Lock()
		if m.instance != c.want {
			t.Errorf("lines name %+v, want %+v", m.instance, c.want)
		}
		m.mu.Unlock()
	}
}
