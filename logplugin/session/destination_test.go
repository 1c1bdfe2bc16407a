package session

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/state"
)

// startNamed starts Sessions that know the destination prod, or none when address is "". Each address has a receiver.
func startNamed(t *testing.T, dir, address string, receivers map[string]*memory) *Sessions {
	t.Helper()
	s := start(t, dir, &memory{})
	kind := router.Kind{
		Name: "memory", Options: []router.Option{{Name: "key"}, {Name: "own", Session: true}},
		New: func(o router.Options) (router.Config, error) { return receivers[o.Plain["key"]], nil },
	}
	s.admission.kinds["memory"], s.admission.rules.Kinds = &kind, []router.Kind{kind}
	if address != "" {
		s.admission.rules.Destinations = map[string]map[string]string{"prod": {"logDriver": "memory", "key": address}}
	}
	return s
}

func end(t *testing.T, s *Sessions) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = s.dir.Close()
}

func toProd(options ...string) map[string]string {
	c := info(options...).Config
	delete(c, "logDriver")
	c["destination"] = "prod"
	return c
}

// A destination that changes, goes and comes back takes its containers along, which run all the time.
func TestDestinationChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	receivers := map[string]*memory{"https://a.example.com": {}, "https://b.example.com": {}}
	a, b := receivers["https://a.example.com"], receivers["https://b.example.com"]
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	s := startNamed(t, dir, "https://a.example.com", receivers)
	in := info()
	in.Config = toProd("own", "x")
	if err := s.Start(t.Context(), file, in); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1")
	a.wait(t, "1")
	if st := only(t, s); st.Destination != "prod" {
		t.Errorf("status %+v, want destination prod", st)
	}
	kept, err := os.ReadFile(filepath.Join(s.dir.Path(), "sessions", state.ID(file)+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(kept, []byte("example.com")) || !bytes.Contains(kept, []byte(`"destination": "prod"`)) || !bytes.Contains(kept, []byte(`"own": "x"`)) {
		t.Errorf("the state has more or less than the name and the container's own options:\n%s", kept)
	}
	end(t, s)

	s = startNamed(t, dir, "https://b.example.com", receivers) // changed
	s.Attach()
	write(t, f, "2")
	b.wait(t, "2")
	end(t, s)

	s = startNamed(t, dir, "", receivers) // removed
	s.Attach()
	write(t, f, "3")
	awaitStatus(t, s, "that the session is parked", func(st Status) bool {
		return st.State == Parked && strings.Contains(st.LastError, "[logs.destinations.prod]") && st.WaitingBytes > 0
	})
	end(t, s)

	s = startNamed(t, dir, "https://a.example.com", receivers) // there again
	s.Attach()
	a.wait(t, "1 3")
	f.Close()
	gone(t, s, file)
}

// All containers of a destination share what it takes to connect.
func TestDestinationIsShared(t *testing.T) {
	dir := inMemory(t)
	receivers := map[string]*memory{"https://a.example.com": {}}
	s := startNamed(t, dir, "https://a.example.com", receivers)
	const containers = 1000
	for i := range containers {
		file := filepath.Join(dir, fmt.Sprint(i))
		newFIFO(t, file)
		in := info()
		in.ContainerID, in.Config = fmt.Sprintf("%064d", i), toProd("own", fmt.Sprint(i))
		if err := s.Start(t.Context(), file, in); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byFile) != containers || len(s.destinations.byConnection) != 1 {
		t.Errorf("%d sessions have %d routers, want %d and one", len(s.byFile), len(s.destinations.byConnection), containers)
	}
}

// A container that relies on the default destination, and starts while the configuration cannot be read, is read and kept, and goes
// there when it can.
func TestDefaultDestinationLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	receivers := map[string]*memory{"https://a.example.com": {}}
	file := filepath.Join(dir, "f")
	f := newFIFO(t, file)
	s := startNamed(t, dir, "", receivers) // as with a configuration that stands in for a broken one
	s.admission.broken = errors.New("the configuration is broken")
	in := info()
	in.Config = map[string]string{"own": "x"}
	if err := s.dir.Accept(in.ContainerID); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), file, in); err != nil {
		t.Fatal(err)
	}
	write(t, f, "1")
	awaitStatus(t, s, "that it is parked", func(st Status) bool { return st.State == Parked && st.WaitingBytes > 0 })
	end(t, s)

	s = startNamed(t, dir, "https://a.example.com", receivers)
	s.Attach()
	awaitStatus(t, s, "that it has no default", func(st Status) bool { return strings.Contains(st.LastError, "no default_destination under [logs]") })
	end(t, s)

	s = startNamed(t, dir, "https://a.example.com", receivers)
	s.admission.rules.DefaultDestination = "prod"
	s.Attach()
	receivers["https://a.example.com"].wait(t, "1")
	if st := only(t, s); st.Destination != "prod" {
		t.Errorf("status %+v, want destination prod", st)
	}
}
