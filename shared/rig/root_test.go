//go:build integration

package rig

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A Debian of its own: systemd and Docker run in it, what is written goes away, and its network reaches what is forwarded alone.
func TestRoot(t *testing.T) {
	before := shared(t)
	r := Use(t, StartRoot, RootOptions{})
	do := func(want string, args ...string) {
		t.Helper()
		out, err := r.Run(t.Context(), args...)
		if err != nil || !strings.Contains(out.Output, want) {
			t.Errorf("%q: %v, %q, want %q", args, err, out.Output, want)
		}
	}
	do("systemd", "cat", "/proc/1/comm")
	do("20.10", "docker", "version")
	do("", "systemctl", "is-active", "docker.service")
	do("", "touch", "/etc/written", "/usr/written")
	if err := r.Copy("opt", hello(t)); err != nil {
		t.Fatal(err)
	}
	do("hello", "/opt/hello")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("from the machine\n"))
			_ = c.Close()
		}
	})
	if err := r.Address(t.Context(), "192.0.2.10", "peer.example.com"); err != nil {
		t.Fatal(err)
	}
	if err := r.Forward("192.0.2.10:8088", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := r.Forward("192.0.2.10:61000", l.Addr().String()); err == nil {
		t.Error("Forward takes a port above 32767")
	}
	do("from the machine", "bash", "-c", "cat </dev/tcp/peer.example.com/8088")
	if out, err := r.Run(t.Context(), "bash", "-c", "cat </dev/tcp/"+strings.ReplaceAll(l.Addr().String(), ":", "/")); err == nil {
		t.Errorf("the machine's own loopback is reached: %q", out.Output)
	}
	module, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	checkGone(t, r, r.dir, r.name)
	if _, err := os.Stat(filepath.Join(module, ".cache/roots/bookworm/etc/written")); err == nil {
		t.Error("what was written is in the file system that others begin with")
	}
	if after := shared(t); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("shared directories:\n%q before,\n%q after", before, after)
	}
}
