package hostcache

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/ttl"
)

// Whatever somebody does to an entry's file, it is a miss, the answer is fetched, and the cache works again.
func TestSpoiltFile(t *testing.T) {
	read := func(t *testing.T, path string) []byte {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(t *testing.T, path string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(t *testing.T, path, other string){
		"first byte":   func(t *testing.T, path, _ string) { b := read(t, path); b[0]++; write(t, path, b) },
		"nonce":        func(t *testing.T, path, _ string) { b := read(t, path); b[1] ^= 1; write(t, path, b) },
		"a bit":        func(t *testing.T, path, _ string) { b := read(t, path); b[len(b)/2] ^= 1; write(t, path, b) },
		"tag":          func(t *testing.T, path, _ string) { b := read(t, path); b[len(b)-1] ^= 1; write(t, path, b) },
		"truncated":    func(t *testing.T, path, _ string) { must(t, os.Truncate(path, 40)) },
		"empty":        func(t *testing.T, path, _ string) { must(t, os.Truncate(path, 0)) },
		"longer":       func(t *testing.T, path, _ string) { write(t, path, append(read(t, path), 0)) },
		"huge":         func(t *testing.T, path, _ string) { must(t, os.Truncate(path, 1<<40)) },
		"gone":         func(t *testing.T, path, _ string) { must(t, os.Remove(path)) },
		"other's file": func(t *testing.T, path, other string) { write(t, path, read(t, other)) },
		"swapped":      func(t *testing.T, path, other string) { must(t, os.Rename(other, path)) },
		"wrong owner":  func(t *testing.T, path, _ string) { must(t, os.Chown(path, 65534, 65534)) },
		"symlink": func(t *testing.T, path, _ string) {
			must(t, os.Rename(path, path+"x"))
			must(t, os.Symlink(path+"x", path))
		},
		"link to /proc": func(t *testing.T, path, _ string) {
			must(t, os.Remove(path))
			must(t, os.Symlink("/proc/self/mem", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			clk := newClock()
			c, k, other, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t, "1"), newKey(t, "2"), newSource(clk)
			for _, k := range []Key{k, other} {
				if _, err := c.Do(t.Context(), k, s.fetch); err != nil {
					t.Fatal(err)
				}
			}
			spoil(t, filepath.Join(c.dir.path, k.name()), filepath.Join(c.dir.path, other.name()))
			if a, ok := c.Lookup(k); ok {
				t.Fatalf("Lookup gives %+v", a)
			}
			s.value = "new"
			if a, err := c.Do(t.Context(), k, s.fetch); err != nil || a.Payload.Reveal() != "new" || s.calls != 3 {
				t.Fatalf("Do = %+v, %v after %d calls", a, err, s.calls)
			}
			if a, ok := c.Lookup(k); !ok || a.Payload.Reveal() != "new" {
				t.Errorf("afterwards Lookup = %+v, %v; trouble %q", a, ok, c.Disabled())
			}
		})
	}
}

// A directory, pipe or link where the entry or its lock should be: no harm is done to it, and there is an answer.
func TestSpoiltPlace(t *testing.T) {
	for _, suffix := range []string{"", lockSuffix} {
		t.Run("directory"+suffix, func(t *testing.T) {
			clk := newClock()
			c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
			if err := os.Mkdir(filepath.Join(c.dir.path, k.name()+suffix), 0o700); err != nil {
				t.Fatal(err)
			}
			if a, err := c.Do(t.Context(), k, s.fetch); err != nil || a.Payload.Reveal() != canary {
				t.Fatalf("Do = %+v, %v", a, err)
			}
			if d := c.Disabled(); !strings.Contains(d, c.dir.path) {
				t.Errorf("Disabled = %q, want the reason", d)
			}
			if _, ok := c.Lookup(k); ok || hasKey(k.ID) {
				t.Error("something was kept")
			}
		})
	}
	t.Run("lock is a link", func(t *testing.T) {
		clk := newClock()
		c, k, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newKey(t), newSource(clk)
		target := filepath.Join(t.TempDir(), "target")
		if err := os.Symlink(target, filepath.Join(c.dir.path, k.name()+lockSuffix)); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Do(t.Context(), k, s.fetch); err != nil || a.Payload.Reveal() != canary {
			t.Fatalf("Do = %+v, %v", a, err)
		}
		if _, err := os.Lstat(target); err == nil {
			t.Error("the link was followed")
		}
	})
}

func TestDirectory(t *testing.T) {
	mkdir := func(mode os.FileMode, uid int) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, uid, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		sub     string
		prepare func(t *testing.T, path string)
		want    string // of the reason; "" = suitable
	}{
		"made by us":     {"secretref", func(*testing.T, string) {}, ""},
		"there already":  {"secretref", mkdir(0o700, 0), ""},
		"wrong owner":    {"secretref", mkdir(0o700, 65534), "owned by uid 65534"},
		"group may read": {"secretref", mkdir(0o750, 0), "make it 0700"},
		"world may pass": {"secretref", mkdir(0o701, 0), "make it 0700"},
		"a file": {"secretref", func(t *testing.T, path string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a directory"},
		"a link": {"secretref", func(t *testing.T, path string) {
			if err := os.Symlink(t.TempDir(), path); err != nil {
				t.Fatal(err)
			}
		}, "not a directory"},
		"no parent":             {"a/secretref", func(*testing.T, string) {}, "no such file"},
		"parent of another":     {"a/secretref", func(t *testing.T, path string) { mkdir(0o700, 65534)(t, filepath.Dir(path)) }, "owned by uid 65534"},
		"parent open to others": {"a/secretref", func(t *testing.T, path string) { mkdir(0o777, 0)(t, filepath.Dir(path)) }, "writable by others"},
		"parent like /dev/shm":  {"a/secretref", func(t *testing.T, path string) { mkdir(0o777|os.ModeSticky, 0)(t, filepath.Dir(path)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			path, next := filepath.Join(base, c.sub), filepath.Join(base, "next")
			c.prepare(t, path)
			only := Open(Options{Dirs: []string{path}})
			defer only.Close() //nolint:errcheck // a test
			if d := only.Disabled(); (d == "") != (c.want == "") || !strings.Contains(d, c.want) {
				t.Errorf("Disabled = %q, want %q in it", d, c.want)
			}
			clk := newClock()
			k, s := newKey(t), newSource(clk)
			if a, err := only.Do(t.Context(), k, s.fetch); err != nil || a.Payload.Reveal() != canary {
				t.Errorf("Do = %+v, %v", a, err)
			}
			both := open(t, Options{Dirs: []string{path, next}})
			if want := map[bool]string{true: path, false: next}[c.want == ""]; both.dir.path != want {
				t.Errorf("uses %s, want %s", both.dir.path, want)
			}
			if st, err := os.Stat(both.dir.path); err != nil || st.Mode() != 0o700|os.ModeDir {
				t.Errorf("the directory is %v, %v", st, err)
			}
		})
	}
}

func TestDefaultDirs(t *testing.T) {
	for _, c := range []struct {
		uid     int
		runtime string
		want    string
	}{
		{0, "", "/run/secretref /run/user/0/secretref /dev/shm/secretref-0"},
		{0, "/run/user/0", "/run/secretref /run/user/0/secretref /dev/shm/secretref-0"},
		{1000, "", "/run/user/1000/secretref /dev/shm/secretref-1000"},
		{1000, "/run/user/1000/", "/run/user/1000/secretref /dev/shm/secretref-1000"},
		{1000, "/tmp/rt", "/tmp/rt/secretref /run/user/1000/secretref /dev/shm/secretref-1000"},
		{1000, "relative", "/run/user/1000/secretref /dev/shm/secretref-1000"},
	} {
		if got := strings.Join(defaultDirs(c.uid, c.runtime), " "); got != c.want {
			t.Errorf("defaultDirs(%d, %q) = %s, want %s", c.uid, c.runtime, got, c.want)
		}
	}
}

func TestSweep(t *testing.T) {
	clk := newClock()
	c, s := open(t, Options{Now: clk.Now, Boot: clk.boot}), newSource(clk)
	s.window = func() ttl.Window {
		return ttl.Window{Fresh: clk.Now().Add(96 * time.Hour), End: clk.Now().Add(96 * time.Hour)}
	}
	long, dead, busy, fresh := newKey(t, "long"), newKey(t, "dead"), newKey(t, "busy"), newKey(t, "fresh")
	for _, k := range []Key{long, dead, busy} {
		if _, err := c.Do(t.Context(), k, s.fetch); err != nil {
			t.Fatal(err)
		}
	}
	dropKey(dead.ID)
	dropKey(busy.ID)
	if err := os.WriteFile(filepath.Join(c.dir.path, tempPrefix+"X"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	worker, err := c.dir.ticket(busy.name() + lockSuffix)
	if err != nil || worker.try() != nil || !worker.locked {
		t.Fatalf("lock: %v", err)
	}
	defer worker.close()
	clk.forward(48 * time.Hour) // the kernel's clock stands still meanwhile
	if _, err := c.Do(t.Context(), fresh, s.fetch); err != nil {
		t.Fatal(err)
	}
	// The file times of fresh are two days old for this clock: its key keeps it.
	want := []string{busy.name(), busy.name() + lockSuffix, fresh.name(), fresh.name() + lockSuffix, long.name(), long.name() + lockSuffix}
	got, err := c.dir.names()
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("left are %q, %v; want %q", got, err, want)
	}
	if _, ok := c.Lookup(long); !ok {
		t.Error("an entry that is good was swept")
	}
}
