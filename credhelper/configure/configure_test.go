package configure

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/conffile"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// oneSecond is a file time that no write of this test can produce.
var oneSecond = time.Unix(1, 0)

func docker(dir string) Options {
	return Options{
		Hosts:  []string{"registry.example.com", "docker.io", "registry.example.com:5000"},
		Getenv: func(k string) string { return map[string]string{"DOCKER_CONFIG": dir}[k] },
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, oneSecond, oneSecond); err != nil {
		t.Fatal(err)
	}
}

// untouched checks that a file has its bytes and its time, and that nothing was left beside it.
func untouched(t *testing.T, name, path, want string) {
	t.Helper()
	if got := read(t, path); got != want {
		t.Errorf("%s: %s has changed: %q, want %q", name, path, got, want)
	}
	st, err := os.Stat(path)
	if err != nil || !st.ModTime().Equal(oneSecond) {
		t.Errorf("%s: %s was written again: %v, %v", name, path, st.ModTime(), err)
	}
	noTemp(t, name, filepath.Dir(path))
}

func noTemp(t *testing.T, name, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".*secretref-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%s: left behind: %v, %v", name, left, err)
	}
}

// TestDockerGolden configures, configures again, and undoes.
func TestDockerGolden(t *testing.T) {
	for _, c := range []struct {
		name      string
		all       bool
		anyHelper string
		logins    string // shadowed, joined by blanks
		changes   int
		undone    string // what undo leaves; "" for the original bytes
	}{
		{name: "absent-key", logins: "https://index.docker.io/v1/", changes: 5},
		{name: "two-spaces", changes: 5},
		{name: "one-line", changes: 5},
		{name: "empty-object", changes: 5},
		{name: "empty-object-lines", changes: 5, undone: "{}\n"},
		{name: "empty-file", changes: 5, undone: "{}"},
		{name: "empty-helpers", changes: 5, undone: "{\n\t\"credsStore\": \"pass\"\n}"},
		{name: "other-case", changes: 5},
		{name: "odd-layout", changes: 5},
		{name: "partly", changes: 4, undone: "{\n\t\"credHelpers\": {\n\t\t\"gcr.io\": \"gcloud\"\n\t}\n}"},
		{name: "store", all: true, anyHelper: "pass", logins: "ghcr.io quay.io", changes: 1},
		{name: "no-store", all: true, changes: 1},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "config.json")
		before, golden := read(t, "testdata/"+c.name+".before.json"), "testdata/"+c.name+".after.json"
		write(t, path, before)
		o := docker(dir)
		o.All, o.AnyHelper = c.all, c.anyHelper

		dry := o
		dry.DryRun = true
		planned, err := Docker(dry)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		untouched(t, c.name+", dry run", path, before)

		r, err := Docker(o)
		if err != nil || len(r.Changes) != c.changes || strings.Join(r.Logins, " ") != c.logins {
			t.Errorf("%s: %q, logins %q, %v; want %d changes and %q", c.name, r.Changes, r.Logins, err, c.changes, c.logins)
		}
		if planned.String() != r.String() {
			t.Errorf("%s: the dry run said\n%s\nand then was done\n%s", c.name, planned, r)
		}
		got := read(t, path)
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := read(t, golden); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, want)
		}

		if err := os.Chtimes(path, oneSecond, oneSecond); err != nil {
			t.Fatal(err)
		}
		r, err = Docker(o)
		if err != nil || len(r.Changes) != 0 || !strings.Contains(r.String(), "nothing to change") {
			t.Errorf("%s, again: %q, %v", c.name, r.Changes, err)
		}
		untouched(t, c.name+", again", path, got)

		o.Undo = true
		r, err = Docker(o)
		if err != nil || len(r.Changes) < c.changes {
			t.Errorf("%s, undo: %q, %v", c.name, r.Changes, err)
		}
		want := c.undone
		if want == "" {
			want = before
		}
		if got := read(t, path); got != want {
			t.Errorf("%s, undo: got\n%q\nwant\n%q", c.name, got, want)
		}
		if err := os.Chtimes(path, oneSecond, oneSecond); err != nil {
			t.Fatal(err)
		}
		r, err = Docker(o)
		if err != nil || len(r.Changes) != 0 {
			t.Errorf("%s, undo again: %q, %v", c.name, r.Changes, err)
		}
		untouched(t, c.name+", undo again", path, want)
	}
}

// After the undo of --all the other helper is the store again only if the configuration still has it.
func TestDockerUndoAll(t *testing.T) {
	for anyHelper, want := range map[string]string{
		"pass": "{\n\t\"credsStore\": \"pass\",\n\t\"x\": 1\n}",
		"":     "{\n\t\"x\": 1\n}",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "config.json")
		write(t, path, "{\n\t\"credsStore\": \"secretref\",\n\t\"x\": 1\n}")
		o := docker(dir)
		o.Undo, o.AnyHelper = true, anyHelper
		if r, err := Docker(o); err != nil || len(r.Changes) != 1 || read(t, path) != want {
			t.Errorf("helper %q: %q, %v, got %q, want %q", anyHelper, r.Changes, err, read(t, path), want)
		}
	}
}

func TestDockerRefuses(t *testing.T) {
	const canary = "c4n4ry"
	for name, c := range map[string]struct {
		text string
		all  bool
		want string
	}{
		"another helper for a host":      {`{"credHelpers":{"registry.example.com":"pass"}}`, false, `credHelpers["registry.example.com"] is "pass", another helper; remove that entry`},
		"plain file for a host":          {`{"credHelpers":{"registry.example.com":""}}`, false, `is "", another helper`},
		"another helper for Docker Hub":  {`{"credHelpers":{"https://index.docker.io/v1/":"pass"}}`, false, "another helper"},
		"another helper, all":            {`{"credHelpers":{"registry.example.com":"pass"}}`, true, "another helper"},
		"another store":                  {`{"credsStore":"desktop"}`, true, `credsStore is "desktop", another helper; add [registries."*"] with helper = "desktop"`},
		"cut":                            {"{\n\"auths\": {\"x\": {\"auth\": \"" + canary, false, "not valid JSON at line 2"},
		"a comment":                      {"// " + canary + "\n{}", false, "not valid JSON at line 1"},
		"words after the object":         {"{}\n" + canary, false, "not valid JSON at line 2"},
		"trailing comma":                 {`{"a":1,}`, false, "not valid JSON"},
		"array":                          {`["` + canary + `"]`, false, "not a JSON object"},
		"byte order mark":                {"\ufeff{}", false, "byte order mark"},
		"binary":                         {"\x00\x01", false, "not valid JSON"},
		"credHelpers a string":           {`{"credHelpers":"` + canary + `"}`, false, `"credHelpers" is not a JSON object`},
		"credHelpers null":               {`{"credHelpers":null}`, false, `"credHelpers" is not a JSON object`},
		"a helper that is a number":      {`{"credHelpers":{"registry.example.com":5}}`, false, `is not a string`},
		"credsStore a number":            {`{"credsStore":5}`, true, `"credsStore" is not a string`},
		"two credHelpers":                {`{"credHelpers":{},"CredHelpers":{}}`, false, `"credHelpers" is there 2 times`},
		"two of one host in credHelpers": {`{"credHelpers":{"a":"x","a":"y"}}`, false, `credHelpers["a"] is there twice`},
		"auths a list":                   {`{"auths":["` + canary + `"]}`, false, `"auths" is not an object of objects`},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "config.json")
		write(t, path, c.text)
		o := docker(dir)
		o.All = c.all
		r, err := Docker(o)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q after the path, on one line", name, err, c.want)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error quotes the file: %v", name, err)
		}
		if len(r.Changes) > 0 {
			t.Errorf("%s: changes beside an error: %q", name, r.Changes)
		}
		untouched(t, name, path, c.text)
	}
	for _, h := range []string{"*", "*.example.com", "registry.example.com/team", "https://registry.example.com", "Registry.example.com", "index.docker.io", ""} {
		o := docker(t.TempDir())
		o.Hosts = []string{h}
		if _, err := Docker(o); err == nil || !strings.Contains(err.Error(), "not an exact registry host") {
			t.Errorf("host %q: %v", h, err)
		}
	}
}

func TestDockerNewFile(t *testing.T) {
	home := t.TempDir()
	if err := os.Chown(home, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0))
	o := docker("")
	o.Hosts = o.Hosts[:1]
	o.Getenv = func(k string) string { return map[string]string{"HOME": home}[k] }
	if _, err := Docker(o); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, ".docker", "config.json")
	if got, want := read(t, path), "{\n\t\"credHelpers\": {\n\t\t\"https://registry.example.com\": \"secretref\",\n\t\t\"registry.example.com\": \"secretref\"\n\t}\n}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	owned(t, path, 0o600, 65534)
	owned(t, filepath.Dir(path), os.ModeDir|0o700, 65534)

	empty := docker(filepath.Join(home, "none"))
	empty.Undo = true
	if r, err := Docker(empty); err != nil || len(r.Changes) > 0 {
		t.Errorf("undo without a file: %q, %v", r.Changes, err)
	}
	if _, err := os.Stat(filepath.Join(home, "none")); err == nil {
		t.Error("undo has made a directory")
	}
}

func owned(t *testing.T, path string, mode os.FileMode, uid uint32) {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || st.Mode() != mode || sys.Uid != uid || sys.Gid != uid {
		t.Errorf("%s: mode %v, owner %v, want %v and %d", path, st.Mode(), st.Sys(), mode, uid)
	}
}

func TestDockerKeepsModeOwnerAndLink(t *testing.T) {
	dir, real := t.TempDir(), t.TempDir()
	target, link := filepath.Join(real, "dotfiles.json"), filepath.Join(dir, "config.json")
	write(t, target, "{}")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(target, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Docker(docker(dir)); err != nil {
		t.Fatal(err)
	}
	owned(t, target, 0o640, 65534)
	if got, err := os.Readlink(link); err != nil || got != target {
		t.Errorf("the link is %q, %v", got, err)
	}
	if !strings.Contains(read(t, target), "credHelpers") {
		t.Error("the link's target was not edited")
	}
	noTemp(t, "link", dir)
	noTemp(t, "link", real)
}

// TestOddFiles are paths that cannot be edited.
func TestOddFiles(t *testing.T) {
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"directory":     {func(p string) error { return os.Mkdir(p, 0o755) }, "not a regular file"},
		"FIFO":          {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "not a regular file"},
		"dangling link": {func(p string) error { return os.Symlink("/nonexistent/x", p) }, "a symbolic link to a file that does not exist"},
		"link to self":  {func(p string) error { return os.Symlink(p, p) }, "links"},
		"huge":          {func(p string) error { return os.WriteFile(p, make([]byte, conffile.MaxFile+1), 0o600) }, "too large for a configuration"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "config.json")
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Docker(docker(dir)); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the path", name, err, c.want)
		}
	}
	if _, err := Docker(docker("/dev/null")); err == nil {
		t.Error("a file as the directory was taken")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	write(t, path, "{}")
	if _, err := (conffile.Disk{EUID: 65534}).Edit(path); err == nil || !strings.Contains(err.Error(), "belongs to uid 0, not to you (uid 65534)") {
		t.Errorf("a foreign file: %v", err)
	}
}

// A login that docker writes between our reading and our writing must not be lost.
func TestChangedMeanwhile(t *testing.T) {
	for name, first := range map[string]bool{"edited": true, "created": false} {
		path := filepath.Join(t.TempDir(), "config.json")
		if first {
			write(t, path, "{}")
		}
		f, err := (conffile.Disk{}).Edit(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, `{"auths":{}}`)
		if err := f.Write([]byte("{ }")); err == nil || !strings.Contains(err.Error(), "changed by another program") {
			t.Errorf("%s: write: %v", name, err)
		}
		if err := f.Remove(); err == nil || !strings.Contains(err.Error(), "changed by another program") {
			t.Errorf("%s: remove: %v", name, err)
		}
		untouched(t, name, path, `{"auths":{}}`)
	}
}

// FuzzDocument adds and removes an entry: the text must stay JSON, keep all else, and come back as it was.
func FuzzDocument(f *testing.F) {
	names, err := filepath.Glob("testdata/*.before.json")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parseDocument(text)
		if err != nil {
			return
		}
		original := string(d.Text)
		_, hadHelpers := d.Value("credHelpers")
		helpers := d.Keys("credHelpers")
		if _, there, err := d.helper("new.example"); there || err != nil {
			return
		}
		if _, there, _ := d.helper("other.example"); there {
			return
		}
		for _, k := range []string{"new.example", "other.example"} {
			if err := d.setHelper(k, "ours-for-fuzz"); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Check(); err != nil {
			t.Fatalf("%q became %q: %v", original, d.Text, err)
		}
		if v, ok, err := d.helper("other.example"); v != "ours-for-fuzz" || !ok || err != nil {
			t.Fatalf("%q became %q, without the entry", original, d.Text)
		}
		dropped := d.dropHelpers("ours-for-fuzz")
		if !slices.Equal(dropped, []string{"new.example", "other.example"}) {
			t.Fatalf("dropped %q from %q", dropped, d.Text)
		}
		keep := len(helpers) > 0 // an emptied credHelpers goes, and an emptied {} loses its blanks
		if !hadHelpers {
			keep = len(d.Keys("")) > 0
		}
		if keep && string(d.Text) != original {
			t.Fatalf("%q came back as %q", original, d.Text)
		}
	})
}
