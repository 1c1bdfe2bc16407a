//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// The daemon ends and comes back, with and without --live-restore, gently and killed: every line that it passed on arrives,
// and neither sessions nor FIFOs of the old daemon are left.
func TestRestartedDaemon(t *testing.T) {
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("live-restore ", live), func(t *testing.T) {
			t.Parallel() // each has a daemon of its own, which mostly waits
			var o rig.DockerdOptions
			if live {
				o.Args = []string{"--live-restore"}
			}
			d := rig.Use(t, rig.StartDockerd, o)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := d.Import(ctx, "talker", programs.talker); err != nil {
				t.Fatal(err)
			}
			for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
				t.Run(sig.String(), func(t *testing.T) { restartDaemon(t, d, live, sig) })
			}
		})
	}
}

func restartDaemon(t *testing.T, d *rig.Dockerd, live bool, sig syscall.Signal) {
	w := newWorld(t, worldOptions{dockerd: d})
	w.named(w.hec.URL()) // its containers outlive the daemon as others do
	w.mustDocker(append(w.toProd("steady"), "talker", "-pause", "500us", "-both")...)
	// It is started again by the daemon, and begins from line 0.
	w.mustDocker(append(w.toProd("again"), "talker", "-n", "3000", "-pause", "100us", "-stay")...)
	w.mustDocker("update", "--restart", "always", "again")
	w.talks("steady")
	w.talks("again")
	before := w.fifos()
	if len(before) != 2 {
		t.Errorf("%q, want the FIFOs of two containers", before)
	}
	if err := d.Halt(sig); err != nil {
		t.Fatal(err)
	}
	if live {
		// The containers talk on, into what there is of pipes, and the driver delivers the rest of its FIFOs.
		w.gone()
		w.end(sig)
		w.start()
	}
	if err := d.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, 60*time.Second, "all lines of the container that the daemon restarts", func() bool {
		w.look()
		s := w.stream("again", "stdout")
		return s.end == 3000 && s.last == 2999
	})
	if live {
		w.running("steady")
		w.talks("steady")
		w.mustDocker("stop", "-t", "10", "steady")
	} else {
		// The daemon has ended it, or found it dead.
		until(t, 30*time.Second, "the end of steady", func() bool {
			return w.mustDocker("inspect", "-f", "{{.State.Running}}", "steady") == "false\n"
		})
	}
	w.mustDocker("stop", "-t", "10", "again")
	w.gone()
	w.look()
	for _, source := range []string{"stdout", "stderr"} {
		s := w.stream("steady", source)
		// A line that the daemon has read and not passed on when it ends is lost with every log driver, also with json-file,
		// unless it stops its containers first.
		lost := s.next - s.lines
		if sig == syscall.SIGTERM && !live && lost > 0 || lost > 20 || s.jumps > 1 || s.twice > 0 || s.lines < 100 {
			t.Errorf("%s: %d lines of %d, %+v", source, s.lines, s.next, *s)
		}
		if (live || sig == syscall.SIGTERM) && s.end != s.next {
			t.Errorf("%s: %d lines, and the container says that it wrote %d", source, s.next, s.end)
		}
	}
	for _, f := range before {
		if _, err := os.Lstat(f); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the FIFO %s of the old daemon: %v", f, err)
		}
	}
	w.mustDocker("rm", "-f", "steady", "again")
}

// fifos lists those that the driver reads.
func (w *world) fifos() (names []string) {
	w.t.Helper()
	files, err := filepath.Glob(w.state + "/sessions/*.json")
	if err != nil || len(files) == 0 {
		w.t.Fatalf("no state files: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		names = append(names, fifoName.FindString(string(text)))
	}
	return names
}

var fifoName = regexp.MustCompile(`/run/docker/logging/[0-9a-f]{64}`)
