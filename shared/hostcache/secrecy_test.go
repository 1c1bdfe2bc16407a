package hostcache

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/ttl"
)

// The kernel drops the key by itself, with no program of ours running.
func TestKernelExpiry(t *testing.T) {
	c, k := open(t, Options{}), newKey(t)
	start := time.Now()
	w := ttl.Window{Fresh: start.Add(1100 * time.Millisecond), End: start.Add(1100 * time.Millisecond)}
	if _, err := c.Do(t.Context(), k, func(context.Context) (Fetched, error) {
		return Fetched{Payload: secret.New(canary), Window: w}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Lookup(k); !ok {
		t.Fatal("not kept")
	}
	serial, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, keyType, description(k.ID), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // what has expired stays listed for some minutes
		if _, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, serial, unix.KEY_SPEC_USER_KEYRING, 0, 0); err != nil {
			t.Error(err)
		}
	})
	for tick := time.NewTicker(20 * time.Millisecond); hasKey(k.ID); <-tick.C {
		if time.Since(start) > 5*time.Second {
			t.Fatal("the key is still there after 5 s, want its end after 2 to 3 s")
		}
	}
	if age := time.Since(start); age < w.End.Sub(start) {
		t.Errorf("the key went after %v, before the window's end", age)
	}
	late := open(t, Options{Dirs: c.dirs, Now: func() time.Time { return start }})
	if _, ok := late.Peek(k); ok {
		t.Error("the entry opens for a clock that stands still, without its key")
	}
}

// A window that begins late in a second must not end early.
func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int{time.Nanosecond: 2, time.Second: 3, 1100 * time.Millisecond: 3, time.Hour: 3602, 1<<63 - 1: 1<<31 - 1} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %d, want %d", d, got, want)
		}
	}
}

func TestKeyInKernel(t *testing.T) {
	clk := newClock()
	c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
	serials := map[int]bool{}
	for range 3 {
		if _, err := c.Do(t.Context(), k, s.fetch); err != nil {
			t.Fatal(err)
		}
		clk.forward(6 * time.Minute)
		serial, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, keyType, description(k.ID), 0)
		if err != nil {
			t.Fatal(err)
		}
		serials[serial] = true
		about, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, serial)
		if want := fmt.Sprintf("user;%d;%d;3f3f0000;secretref:%s", os.Geteuid(), os.Getegid(), k.ID); err != nil || about != want {
			t.Errorf("the key is %q, %v; want %q", about, err, want)
		}
	}
	if len(serials) != 3 {
		t.Errorf("%d keys for three writes, want a new one each", len(serials))
	}
	keys, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(keys)) {
		if f := strings.Fields(line); strings.Contains(line, k.ID) && (len(f) < 4 || f[3] == "perm") {
			t.Errorf("a key without an end: %s", line)
		}
	}
}

func TestNoPlaintext(t *testing.T) {
	clk := newClock()
	c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
	if _, err := c.Do(t.Context(), k, s.fetch); err != nil {
		t.Fatal(err)
	}
	clk.forward(6 * time.Minute)
	s.err = failure(fault.Throttled)
	if a, err := c.Do(t.Context(), k, s.fetch); err != nil || !a.Stale {
		t.Fatalf("Do = %+v, %v", a, err)
	}
	seen := 0
	all, _ := filepath.Glob(filepath.Join(c.dir.path, "*"))
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(b)
		for _, hidden := range []string{canary, "prod/ghcr", "Throttled"} {
			if bytes.Contains(b, []byte(hidden)) || strings.Contains(path, hidden) {
				t.Errorf("%s holds %q", path, hidden)
			}
		}
		if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", path, st.Mode(), err)
		}
	}
	keys, err := os.ReadFile("/proc/keys")
	if err != nil || bytes.Contains(keys, []byte(canary)) || !bytes.Contains(keys, []byte(k.ID)) {
		t.Errorf("/proc/keys, %v:\n%s", err, keys)
	}
	var key [keySize]byte
	if !readKey(k.ID, &key) || bytes.Contains(key[:], []byte(canary[:8])) || seen == 0 {
		t.Errorf("looked at %d bytes and key %x", seen, key)
	}
}
