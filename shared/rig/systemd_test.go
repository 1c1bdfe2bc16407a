//go:build integration

package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSystemd(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := shared(t)
	s := Use(t, StartSystemd, SystemdOptions{
		Units: map[string]string{
			"talk.service":                "[Service]\nExecStart=hello stay\nRestart=always\nRestartSec=100ms\nStateDirectory=talk\n[Install]\nWantedBy=multi-user.target\n",
			"talk.service.d/restart.conf": "[Service]\nEnvironment=A=B\n",
		},
		Etc:      map[string]string{"talk/config": "x"},
		Programs: []string{hello(t)},
	})
	do := func(want string, args ...string) {
		t.Helper()
		r, err := s.Run(t.Context(), args...)
		if err != nil || !strings.Contains(r.Output, want) {
			t.Errorf("%q: %v, %q, want %q", args, err, r.Output, want)
		}
	}
	do("", "systemctl", "enable", "--now", "talk.service")
	do("A=B", "systemctl", "show", "-p", "Environment", "talk.service")
	do("x", "cat", "/etc/talk/config")
	if _, err := os.Stat(filepath.Join(s.Dir(), "lib/talk")); err != nil {
		t.Error(err)
	}
	do("", "systemctl", "kill", "-s", "KILL", "talk.service")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	line := "hello from inside [stay]\n"
	err := await(ctx, nil, func(context.Context) error {
		if log := s.Log(); !strings.Contains(log, "talk.service.log:\n"+line+line) {
			return fmt.Errorf("the log has not the line of both starts:\n%s", log)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	checkGone(t, s, s.dir, s.name)
	if after := shared(t); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("shared directories:\n%q before,\n%q after", before, after)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("a file of the machine's /tmp: %v", err)
	}
}

// A daemon that has ended is started again with the containers that it left.
func TestDockerdAgain(t *testing.T) {
	d := Use(t, StartDockerd, DockerdOptions{Args: []string{"--live-restore"}})
	do := func(want string, args ...string) {
		t.Helper()
		r, err := d.Docker(t.Context(), args...)
		if err != nil || !strings.Contains(r.Output, want) {
			t.Errorf("docker %s: %v, %q, want %q", strings.Join(args, " "), err, r.Output, want)
		}
	}
	if err := d.Import(t.Context(), "hello:1", hello(t)); err != nil {
		t.Fatal(err)
	}
	do("", "run", "-d", "--name", "stays", "--network", "none", "hello:1", "stay")
	pid := func() string {
		r, err := d.Docker(t.Context(), "inspect", "-f", "{{.State.Pid}}", "stays")
		if err != nil {
			t.Error(err)
		}
		return r.Stdout
	}
	first := pid()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := d.Halt(sig); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Docker(t.Context(), "version"); err == nil {
			t.Error("the daemon answers after Halt")
		}
		if err := d.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if again := pid(); again != first {
			t.Errorf("the container has pid %s after %v, want %s", again, sig, first)
		}
	}
	do("", "run", "--rm", "--network", "none", "hello:1")
	checkGone(t, d, d.dir, d.name)
}
