package configure

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const alice = 65533

// shared is a machine on which root configures the clients of alice, who may change what is in her home at any moment.
type shared struct {
	*machine
	victim string // a directory of root that looks like every one of hers
}

func newShared(t *testing.T) *shared {
	t.Helper()
	s := &shared{machine: newMachine(t)}
	s.victim = s.path("victim")
	for _, name := range []string{"config.json", "auth.json", "containers/auth.json", ".config/containers/auth.json", ".docker/config.json"} {
		write(t, filepath.Join(s.victim, name), `{"auths": {"registry.example.com": {}}, "credHelpers": {"docker.io": "secretref"}}`)
	}
	for _, name := range []string{"registries.conf.d", "containers/registries.conf.d", ".config/containers/registries.conf.d"} {
		write(t, filepath.Join(s.victim, name, dropInName), dropInText)
	}
	write(t, filepath.Join(s.victim, "registries.conf"), "")
	write(t, s.path("home/taken/secret"), "root's, in her home")
	for _, path := range []string{s.victim, s.path("home/taken")} {
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(s.path("home"), alice, alice); err != nil {
		t.Fatal(err)
	}
	return s
}

// hers writes a file of alice's, with the directories above it.
func (s *shared) hers(name, text string) {
	s.t.Helper()
	write(s.t, s.path("home/"+name), text)
	for at := "home/" + name; at != "home"; at = filepath.Dir(at) {
		if err := os.Chown(s.path(at), alice, alice); err != nil {
			s.t.Fatal(err)
		}
	}
}

// state is everything below a directory: names, modes, owners, contents.
func state(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", path, st.Mode())
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			fmt.Fprintf(&b, " %d:%d", sys.Uid, sys.Gid)
		}
		if st.Mode().IsRegular() {
			b.WriteString(" " + read(t, path))
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// runs are the ways to configure; each touches all that the command ever does.
var runs = []struct {
	name  string
	hers  map[string]string // files of alice's, below her home
	parts []string          // what she replaces, below her home
	run   func(*shared, Options) (Result, error)
}{
	{"docker", map[string]string{".docker/config.json": "{}"}, []string{".docker", ".docker/config.json"}, (*shared).docker},
	{"docker, no file yet", nil, []string{".docker", ".docker/config.json"}, (*shared).docker},
	{"docker --undo", map[string]string{".docker/config.json": `{"credHelpers": {"docker.io": "secretref"}}`}, []string{".docker", ".docker/config.json"}, undo((*shared).docker)},
	{
		"podman", map[string]string{".config/containers/auth.json": "{}"},
		[]string{".config", ".config/containers", ".config/containers/auth.json"}, (*shared).podmanOf,
	},
	{
		"podman --all, no file yet", nil,
		[]string{".config", ".config/containers", ".config/containers/auth.json", ".config/containers/registries.conf.d"}, (*shared).podmanAll,
	},
	{
		"podman --all, her registries.conf", map[string]string{".config/containers/registries.conf": ""},
		[]string{".config/containers", ".config/containers/registries.conf", ".config/containers/registries.conf.d", ".config/containers/registries.conf.d/" + dropInName}, (*shared).podmanAll,
	},
	{
		"podman --undo",
		map[string]string{
			".config/containers/registries.conf": "", ".config/containers/registries.conf.d/" + dropInName: dropInText,
			".config/containers/auth.json": `{"credHelpers": {"docker.io": "secretref"}}`,
		},
		[]string{".config/containers", ".config/containers/registries.conf.d", ".config/containers/registries.conf.d/" + dropInName, ".config/containers/auth.json"}, undo((*shared).podmanAll),
	},
}

func (s *shared) docker(o Options) (Result, error) {
	o.Getenv = func(k string) string { return s.env[k] }
	return Docker(o)
}

func (s *shared) podmanOf(o Options) (Result, error) { return s.podman(o) }

func (s *shared) podmanAll(o Options) (Result, error) {
	o.All = true
	return s.podman(o)
}

func undo(run func(*shared, Options) (Result, error)) func(*shared, Options) (Result, error) {
	return func(s *shared, o Options) (Result, error) {
		o.Undo = true
		return run(s, o)
	}
}

// replace puts something of alice's choice in the place of a part of her home: what was there moves away.
func (s *shared) replace(part, with string) {
	path := s.path("home/" + part)
	_ = os.Rename(path, path+".away") // it may not be there, or no directory for it
	if with == "taken" {
		_ = os.Rename(s.path("home/taken"), path)
		return
	}
	target := s.victim
	if strings.HasSuffix(part, ".json") || strings.HasSuffix(part, ".conf") {
		target = filepath.Join(s.victim, filepath.Base(part))
	}
	if filepath.Base(part) == dropInName {
		target = filepath.Join(s.victim, "registries.conf.d", dropInName)
	}
	_ = os.Symlink(target, path)
}

// Whatever alice replaces, and whenever she does, root changes nothing outside of her home, and no mode or owner of what
// is root's in it.
func TestReplacedMeanwhile(t *testing.T) {
	for _, c := range runs {
		prepare := func() *shared {
			s := newShared(t)
			for name, text := range c.hers {
				s.hers(name, text)
			}
			return s
		}
		var steps []int // all but those above her home, which come to the same
		undisturbed, n := prepare(), 0
		quiet := exact()
		quiet.step = func(call string) {
			if n++; !strings.HasPrefix(call, "find ") || strings.Contains(call, undisturbed.path("home/")) {
				steps = append(steps, n)
			}
		}
		if r, err := c.run(undisturbed, quiet); err != nil || len(r.Changes) == 0 || len(steps) < 5 {
			t.Errorf("%s, undisturbed: %q, %v, after %d steps", c.name, r.Changes, err, len(steps))
			continue
		}
		for _, part := range c.parts {
			for _, with := range []string{"link", "taken"} {
				for _, k := range steps {
					s := prepare()
					before := s.outside()
					now, at := 0, ""
					o := exact()
					o.step = func(call string) {
						if now++; now == k {
							at = strings.ReplaceAll(call, s.dir, "")
							s.replace(part, with)
						}
					}
					_, err := c.run(s, o)
					if now < k {
						continue // it ended before
					}
					if after := s.outside(); after != before {
						t.Errorf("%s, %s replaced by a %s before %q (%v): outside of her home was\n%s\nand is\n%s", c.name, part, with, at, err, before, after)
					}
					s.stillRoots(c.name+", "+part+" before "+at, with, part)
				}
			}
		}
	}
}

// outside is the state of all that is not in her home, but for the drop-in of the machine, which is written there where
// she has no registries.conf.
func (s *shared) outside() string {
	s.t.Helper()
	dropIn := s.path("etc/registries.conf.d/" + dropInName)
	if st, err := os.Lstat(dropIn); err == nil && st.Mode() == 0o644 && read(s.t, dropIn) == dropInText {
		if err := os.Remove(dropIn); err != nil {
			s.t.Fatal(err)
		}
	}
	return state(s.t, s.victim) + state(s.t, s.path("etc"))
}

// stillRoots checks the directory of root that alice can move about in her home.
func (s *shared) stillRoots(name, with, part string) {
	s.t.Helper()
	path := s.path("home/taken")
	if with == "taken" {
		path = s.path("home/" + part)
		if _, err := os.Lstat(filepath.Join(path, "secret")); err != nil {
			path = s.path("home/taken") // it could not be moved
		}
	}
	st, err := os.Lstat(path)
	if err != nil {
		s.t.Errorf("%s: %v", name, err)
		return
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || st.Mode() != os.ModeDir|0o700 || sys.Uid != 0 {
		s.t.Errorf("%s: the directory of root in her home has mode %v and owner %v", name, st.Mode(), st.Sys())
	}
}

// A link that another user can replace is refused by name, before anything is written.
func TestForeignLinks(t *testing.T) {
	for _, c := range runs {
		for _, part := range c.parts {
			s := newShared(t)
			for name, text := range c.hers {
				s.hers(name, text)
			}
			if err := os.MkdirAll(filepath.Dir(s.path("home/"+part)), 0o700); err != nil {
				t.Fatal(err)
			}
			s.replace(part, "link")
			before := state(t, s.victim)
			r, err := c.run(s, exact())
			want := s.path("home/"+part) + " is a symbolic link that another user can replace, and is not followed; run this as that user, or give the path without the link"
			// What undo cannot take out, it names.
			if noted := c.name == "podman --undo" && strings.HasSuffix(part, dropInName); !noted && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, %s: %v, want %q", c.name, part, err, want)
			}
			if after := state(t, s.victim); after != before {
				t.Errorf("%s, %s: %v: outside of her home was\n%s\nand is\n%s", c.name, part, r, before, after)
			}
		}
	}
}

// A user's own links are followed, also several and relative ones, and those of root on the way.
func TestOwnLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "dotfiles/docker/config.json"), "{}")
	for link, to := range map[string]string{"home": "real/./home", "real/home/.docker": "../../dotfiles/docker"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, "real/home"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	o := exact()
	o.Getenv = func(k string) string { return map[string]string{"HOME": filepath.Join(dir, "home")}[k] }
	if _, err := Docker(o); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "dotfiles/docker/config.json")); !strings.Contains(got, "secretref") {
		t.Errorf("the file behind the links is %q", got)
	}

	// The same path, once somebody else can write beside the link.
	if err := os.Chmod(filepath.Join(dir, "real/home"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Docker(o); err == nil || !strings.Contains(err.Error(), "another user can replace") {
		t.Errorf("a link in a directory that everybody can write: %v", err)
	}
}
