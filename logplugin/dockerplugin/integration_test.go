//go:build integration

package dockerplugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

const talkerSource = `package main

import ("fmt"; "os"; "strconv"; "time")

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	for i := range n {
		fmt.Printf("line %06d of a container\n", i)
	}
	if len(os.Args) > 2 {
		time.Sleep(time.Hour)
	}
}
`

// drain is Sessions that read every FIFO to its end and count.
type drain struct {
	mu       sync.Mutex
	sessions map[string]*drained
	all      sync.WaitGroup
}

type drained struct {
	info        Info
	bytes       atomic.Int64
	eof         chan struct{}
	stopped     chan struct{}
	eofTooEarly bool // before StopLogging was answered
}

// Withdraw is not called: no Start is late here.
func (d *drain) Withdraw(string) {}

func (d *drain) Start(_ context.Context, file string, info Info) error {
	if info.Config["refuse"] != "" {
		_ = os.Remove(file) // the daemon leaves it
		return errors.New("open /etc/x: No such file or directory")
	}
	f, err := os.Open(file) // does not block: the daemon has both ends open
	if err != nil {
		return err
	}
	s := &drained{info: info, eof: make(chan struct{}), stopped: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions[file] = s
	d.all.Go(func() {
		defer f.Close()
		defer close(s.eof)
		_, _ = io.Copy(&countWriter{&s.bytes}, f)
	})
	return nil
}

func (d *drain) Stop(file string) {
	d.mu.Lock()
	s := d.sessions[file]
	d.mu.Unlock()
	if s == nil {
		return
	}
	select { // the daemon waits for the answer before it closes its end
	case <-s.eof:
		s.eofTooEarly = true
	case <-time.After(300 * time.Millisecond):
	}
	close(s.stopped)
}

// of returns the sessions of a container.
func (d *drain) of(name string) []*drained {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []*drained
	for _, s := range d.sessions {
		if s.info.ContainerName == "/"+name {
			list = append(list, s)
		}
	}
	return list
}

type countWriter struct{ n *atomic.Int64 }

func (w *countWriter) Write(p []byte) (int, error) {
	w.n.Add(int64(len(p)))
	return len(p), nil
}

func TestWithADaemon(t *testing.T) {
	source := filepath.Join(t.TempDir(), "talker.go")
	if err := os.WriteFile(source, []byte(talkerSource), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := rig.Build(t.Context(), filepath.Join(t.TempDir(), "talker"), source)
	if err != nil {
		t.Fatal(err)
	}
	plugin := fmt.Sprintf("apitest%d", os.Getpid())
	l, err := Listen("/run/docker/plugins/" + plugin + ".sock")
	if err != nil {
		t.Fatal(err)
	}
	sessions := &drain{sessions: map[string]*drained{}}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- New(sessions, Options{}).Serve(ctx, l) }()
	t.Cleanup(func() { // after the daemon's end, which is registered later
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		sessions.all.Wait() // a FIFO that never ends would show here
	})
	d := rig.Use(t, rig.StartDockerd, rig.DockerdOptions{})
	if err := d.Import(t.Context(), "talker", bin); err != nil {
		t.Fatal(err)
	}
	docker := func(args ...string) string {
		t.Helper()
		r, err := d.Docker(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return r.Stdout
	}

	t.Run("a container that ends", func(t *testing.T) {
		const lines = 20000 // several times what a pipe holds
		docker("run", "--name", "ends", "--network", "none", "--log-driver", plugin, "--log-opt", "tag=x", "-e", "PASSWORD="+canary, "talker", fmt.Sprint(lines))
		all := sessions.of("ends")
		if len(all) != 1 {
			t.Fatalf("%d sessions", len(all))
		}
		s := all[0]
		<-s.stopped
		<-s.eof
		// Each line is a frame: four bytes of length, the source, the time, the line.
		if got, least := s.bytes.Load(), int64(lines*(4+8+len("line 000000 of a container"))); got < least {
			t.Errorf("%d bytes came out of the FIFO, want %d and more", got, least)
		}
		if s.eofTooEarly {
			t.Error("the FIFO ended before StopLogging was answered")
		}
		if s.info.Config["tag"] != "x" || s.info.ContainerID == "" || s.info.DaemonName != "docker" {
			t.Errorf("info: %v", s.info)
		}
		got := docker("logs", "ends") // from the daemon's cache, with a session that nothing goes through
		if n := strings.Count(got, "\n"); n != lines || !strings.HasSuffix(got, fmt.Sprintf("line %06d of a container\n", lines-1)) {
			t.Errorf("docker logs shows %d lines", n)
		}
		if n := len(sessions.of("ends")); n != 2 {
			t.Errorf("%d sessions after docker logs, want 2", n)
		}
	})
	t.Run("a container that is stopped", func(t *testing.T) {
		docker("run", "-d", "--name", "stays", "--network", "none", "--stop-signal", "KILL", "--log-driver", plugin, "talker", "10", "stay")
		begin := time.Now()
		docker("stop", "stays")
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("docker stop took %v", took)
		}
		s := sessions.of("stays")[0]
		<-s.stopped
		<-s.eof
		if s.eofTooEarly || s.bytes.Load() == 0 {
			t.Errorf("end before the answer: %v, bytes: %d", s.eofTooEarly, s.bytes.Load())
		}
		docker("rm", "stays")
	})
	t.Run("a plugin that refuses", func(t *testing.T) {
		r, err := d.Docker(t.Context(), "run", "--network", "none", "--log-driver", plugin, "--log-opt", "refuse=1", "talker", "1")
		// With the system's own words the daemon would say 127: command not found.
		if want := "secretref: open /etc/x: it does not exist"; err == nil || r.Code != 125 && r.Code != 128 || !strings.Contains(r.Stderr, want) {
			t.Errorf("exit code %d, %q, want %q in it", r.Code, r.Stderr, want)
		}
	})
	if strings.Contains(d.Log(), canary) {
		t.Error("the environment is in the daemon's log")
	}
}
