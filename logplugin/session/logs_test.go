package session

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/readlogs"
)

// shown is what `docker logs` shows.
type shown struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *shown) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var e frame.Entry
	for rest := b; len(rest) > 0; {
		n, err := frame.Decode(rest, &e)
		if err != nil {
			return 0, err
		}
		s.text.Write(e.Line)
		rest = rest[n:]
	}
	return len(b), nil
}

func (*shown) Flush() error { return nil }

func (s *shown) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.text.String(), "\n", " ")
}

// logs is `docker logs`, with lines joined by blanks.
func logs(t *testing.T, s *Sessions, in dockerplugin.Info) string {
	t.Helper()
	answer, err := s.ReadLogs(t.Context(), in, readlogs.Query{Tail: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	var out shown
	if err := answer.WriteTo(t.Context(), &out); err != nil {
		t.Errorf("docker logs: %v", err)
	}
	return out.String()
}

// `docker logs` shows each line that was written, whatever the router does, and what was delivered, over all sessions.
func TestReadLogs(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{block: make(chan struct{})}
	s := start(t, dir, m)
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	f := newFIFO(t, first)
	if err := s.Start(t.Context(), first, info()); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1", "2")
	if got := logs(t, s, info()); got != "1 2 " {
		t.Errorf("while the router does not answer: %q", got)
	}
	write(t, f, "3")
	s.Stop(first)
	f.Close()
	if got := logs(t, s, info()); got != "1 2 3 " {
		t.Errorf("after the end: %q", got)
	}
	g := newFIFO(t, second)
	if err := s.Start(t.Context(), second, info()); err != nil {
		t.Fatal(err)
	}
	write(t, g, "4")
	if got := logs(t, s, info()); got != "1 2 3 4 " {
		t.Errorf("after the next start: %q", got)
	}
	close(m.block)
	m.wait(t, "1 2 3 4")
	if got := logs(t, s, info()); got != "1 2 3 4 " {
		t.Errorf("after delivery: %q", got)
	}
	s.Stop(second)
	g.Close()
	await(t, "the end of all sessions", func() bool { return len(s.Status()) == 0 })
	if got := logs(t, s, info()); got != "1 2 3 4 " {
		t.Errorf("after all sessions: %q", got)
	}
	end(t, s)
	s = start(t, dir, m)
	s.Attach()
	if got := logs(t, s, info()); got != "1 2 3 4 " {
		t.Errorf("after a restart of the driver: %q", got)
	}
	other := info()
	other.ContainerID = "f00d"
	if got := logs(t, s, other); got != "" {
		t.Errorf("of another container: %q", got)
	}
}

// A follower sees each line at once, and its answer ends with the session.
func TestReadLogsFollows(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, info()); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1")
	answer, err := s.ReadLogs(t.Context(), info(), readlogs.Query{Tail: -1, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	var out shown
	ended := make(chan error, 1)
	go func() { ended <- answer.WriteTo(t.Context(), &out) }()
	await(t, "the first line", func() bool { return out.String() == "1 " })
	m.wait(t, "1") // it is delivered, and that changes nothing
	write(t, f, "2")
	await(t, "the second line", func() bool { return out.String() == "1 2 " })
	write(t, f, "3")
	s.Stop(file)
	f.Close()
	if err := <-ended; err != nil || out.String() != "1 2 3 " {
		t.Errorf("follow has ended with %v after %q, want all lines", err, out.String())
	}
}

// cache-disabled means that nothing is kept after delivery.
func TestReadLogsWithoutHistory(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	file, in := filepath.Join(dir, "f"), info()
	in.Config["cache-disabled"] = "true"
	f := newFIFO(t, file)
	if err := s.Start(t.Context(), file, in); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1")
	m.wait(t, "1")
	s.Stop(file)
	f.Close()
	gone(t, s, file)
	if got := logs(t, s, in); got != "" {
		t.Errorf("docker logs shows %q, want nothing", got)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "state", "history")); err == nil && len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// What `docker logs` of a container that has ended begins costs no destination, and leaves nothing; a container that starts again gets its
// destination with its first line.
func TestSessionWithoutLines(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	begin := func(name string) (file string, f *os.File) {
		file = filepath.Join(dir, name)
		f = newFIFO(t, file)
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
		return file, f
	}
	destinations := func() int {
		s.destinations.mu.Lock()
		defer s.destinations.mu.Unlock()
		return len(s.destinations.byConnection)
	}
	file, f := begin("first")
	if n := destinations(); n != 1 {
		t.Errorf("a new container has %d destinations, want one", n)
	}
	write(t, f, "1")
	m.wait(t, "1")
	s.Stop(file)
	f.Close()
	gone(t, s, file)
	await(t, "the destination's end", func() bool { return destinations() == 0 })

	file, f = begin("phantom")
	if got := logs(t, s, info()); got != "1 " {
		t.Errorf("docker logs shows %q, want the line", got)
	}
	if n := destinations(); n != 0 {
		t.Errorf("docker logs has made %d destinations", n)
	}
	if st := only(t, s); st.State != Reading || st.LastError != "" {
		t.Errorf("its session is %s, %q; want reading", st.State, st.LastError)
	}
	s.Stop(file)
	f.Close()
	gone(t, s, file)

	_, f = begin("again")
	if n := destinations(); n != 0 {
		t.Errorf("a container that starts again has %d destinations before its first line", n)
	}
	write(t, f, "2")
	m.wait(t, "1 2")
	if n := destinations(); n != 1 {
		t.Errorf("a container with a line has %d destinations, want one", n)
	}
}

// What `docker logs` begins ends no older session, however long it lasts and however silent that is.
func TestLongDockerLogs(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), &memory{}
	s := start(t, dir, m)
	running, phantom := filepath.Join(dir, "running"), filepath.Join(dir, "phantom")
	f := newFIFO(t, running)
	newFIFO(t, phantom)
	for _, file := range []string{running, phantom} {
		if err := s.Start(t.Context(), file, info()); err != nil {
			t.Fatal(err)
		}
	}
	pause(t, 3*quick.silence)
	write(t, f, "still", "read")
	m.wait(t, "still read")
}

// Output from before an upgrade is in a file of the daemon's that docker logs does not show any more: the first line says so.
func TestReadLogsAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	const says = "secretref: output from before the log driver answered docker logs is not shown; it is in containers/"
	for _, row := range []struct {
		name          string
		before, after bool // read_logs, at the first start and the next
		options       []string
		want          bool
	}{
		{"always", true, true, nil, false},
		{"switched on", false, true, nil, true},
		{"switched off and on", true, false, nil, true},
		{"without a copy of the daemon's", false, true, []string{"cache-disabled", "true"}, false},
	} {
		dir, m := t.TempDir(), &memory{}
		in := info(row.options...)
		for _, on := range []bool{row.before, row.after} {
			s := start(t, dir, m)
			s.readLogs = on
			s.Attach()
			file := filepath.Join(dir, "f")
			f := newFIFO(t, file)
			if err := s.Start(t.Context(), file, in); err != nil {
				t.Fatal(err)
			}
			s.Stop(file)
			f.Close()
			gone(t, s, file)
			end(t, s)
			_ = os.Remove(file)
		}
		s := start(t, dir, m)
		if got := logs(t, s, in); strings.HasPrefix(got, says+in.ContainerID+"/container-cached.log ") != row.want || !row.want && got != "" {
			t.Errorf("%s: docker logs shows %q, want the line: %v", row.name, got, row.want)
		}
		end(t, s)
	}
}

// While read_logs is false, nothing is kept after delivery, except of a container that runs since before: the daemon has no copy of that,
// and goes on asking the driver. Once it is true, lines are kept: after its end the container's log is asked from the driver.
func TestReadLogsSwitched(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name          string
		before, after bool
		want          string
	}{
		{"off", true, false, "1 2 "},
		{"on", false, true, "2 "},
		{"not", false, false, ""},
	} {
		dir, m := t.TempDir(), &memory{}
		file := filepath.Join(dir, "f")
		f := newFIFO(t, file)
		s := start(t, dir, m)
		s.readLogs = row.before
		s.Attach()
		if err := s.Start(t.Context(), file, info("cache-max-size", "1m")); err != nil {
			t.Fatal(err)
		}
		write(t, f, "1")
		m.wait(t, "1")
		end(t, s)
		s = start(t, dir, m)
		s.readLogs = row.after
		s.Attach()
		write(t, f, "2")
		m.wait(t, "1 2")
		s.Stop(file)
		f.Close()
		gone(t, s, file)
		in := info("cache-disabled", "true") // no line of our own
		if got := logs(t, s, in); got != row.want {
			t.Errorf("switched %s: docker logs shows %q, want %q", row.name, got, row.want)
		}
		end(t, s)
	}
}
