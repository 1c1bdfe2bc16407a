package configure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a home directory and an /etc/containers and /run/containers of its own.
type machine struct {
	t    *testing.T
	dir  string
	uid  int
	env  map[string]string
	auth string // ~/.config/containers/auth.json
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, dir: t.TempDir()}
	m.env = map[string]string{"HOME": m.path("home")}
	m.auth = m.path("home/.config/containers/auth.json")
	for _, d := range []string{"home", "etc/registries.conf.d", "run/0"} {
		if err := os.MkdirAll(m.path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *machine) path(rel string) string { return filepath.Join(m.dir, rel) }

func (m *machine) podman(o Options) (Result, error) {
	o.Getenv = func(k string) string { return m.env[k] }
	return podman(o, system{etc: m.path("etc"), run: m.path("run"), uid: m.uid})
}

// exact is the usual request.
func exact() Options { return Options{Hosts: []string{"registry.example.com", "docker.io"}} }

func (m *machine) absent(rel string) {
	m.t.Helper()
	if _, err := os.Lstat(m.path(rel)); err == nil {
		m.t.Errorf("%s is there", rel)
	}
}

const exactAuth = "{\n\t\"credHelpers\": {\n\t\t\"docker.io\": \"secretref\",\n\t\t\"registry.example.com\": \"secretref\"\n\t}\n}"

func TestPodmanChoosesTheFile(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string // values are below the machine's directory
		want string
	}{
		"default":            {nil, "home/.config/containers/auth.json"},
		"XDG_CONFIG_HOME":    {map[string]string{"XDG_CONFIG_HOME": "xdg"}, "xdg/containers/auth.json"},
		"REGISTRY_AUTH_FILE": {map[string]string{"XDG_CONFIG_HOME": "xdg", "REGISTRY_AUTH_FILE": "my/auth.json"}, "my/auth.json"},
		"not the volatile":   {map[string]string{"XDG_RUNTIME_DIR": "run"}, "home/.config/containers/auth.json"},
	} {
		m := newMachine(t)
		for k, v := range c.env {
			m.env[k] = m.path(v)
		}
		r, err := m.podman(exact())
		if err != nil || len(r.Changes) != 2 {
			t.Errorf("%s: %q, %v", name, r.Changes, err)
		}
		if got := read(t, m.path(c.want)); got != exactAuth {
			t.Errorf("%s: %s holds %q, want %q", name, c.want, got, exactAuth)
		}
		m.absent("etc/registries.conf.d/50-secretref.conf")
		m.absent("run/containers/auth.json")
	}
}

func TestPodmanAll(t *testing.T) {
	for name, c := range map[string]struct {
		uid       int
		files     map[string]string
		anyHelper string
		want      string // the drop-in; "" for none
	}{
		"root":                     {0, nil, "", "etc/registries.conf.d/50-secretref.conf"},
		"user":                     {1000, nil, "", "home/.config/containers/registries.conf.d/50-secretref.conf"},
		"root with its own config": {0, map[string]string{"home/.config/containers/registries.conf": ""}, "", "home/.config/containers/registries.conf.d/50-secretref.conf"},
		"no directory in etc":      {0, map[string]string{"etc/registries.conf.d": "-"}, "", "etc/registries.conf.d/50-secretref.conf"},
		"other settings":           {0, map[string]string{"etc/registries.conf": "unqualified-search-registries = [\"docker.io\"]\n"}, "", "etc/registries.conf.d/50-secretref.conf"},
		"default written out":      {0, map[string]string{"etc/registries.conf": "credential-helpers = [\"containers-auth.json\"]\n"}, "", "etc/registries.conf.d/50-secretref.conf"},
		"helper of unmapped hosts": {0, map[string]string{"etc/registries.conf": "credential-helpers = [\"containers-auth.json\", \"pass\"]\n"}, "pass", "etc/registries.conf.d/50-secretref.conf"},
		"there already":            {0, map[string]string{"etc/registries.conf.d/10-own.conf": "credential-helpers = [\"secretref\"]\n"}, "", ""},
		"not a .conf":              {0, map[string]string{"etc/registries.conf.d/90-x.bak": "credential-helpers = [\"pass\"]\n"}, "", "etc/registries.conf.d/50-secretref.conf"},
	} {
		m := newMachine(t)
		m.uid = c.uid
		for f, text := range c.files {
			if text == "-" {
				if err := os.Remove(m.path(f)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			write(t, m.path(f), text)
		}
		o := exact()
		o.All, o.AnyHelper = true, c.anyHelper
		dry := o
		dry.DryRun = true
		planned, err := m.podman(dry)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m.absent("home/.config/containers/auth.json")
		r, err := m.podman(o)
		if err != nil || r.String() != planned.String() {
			t.Errorf("%s: %v, %v; the dry run said %v", name, r, err, planned)
		}
		if got := read(t, m.auth); got != exactAuth {
			t.Errorf("%s: auth.json holds %q", name, got)
		}
		if c.want == "" {
			m.absent("etc/registries.conf.d/50-secretref.conf")
			continue
		}
		dropIn := m.path(c.want)
		if got := read(t, dropIn); got != dropInText {
			t.Errorf("%s: the drop-in holds %q", name, got)
		}
		mode := os.FileMode(0o600)
		if strings.HasPrefix(c.want, "etc") {
			mode = 0o644
			owned(t, filepath.Dir(dropIn), os.ModeDir|0o755, 0)
		}
		owned(t, dropIn, mode, 0)

		for _, f := range []string{m.auth, dropIn} {
			if err := os.Chtimes(f, oneSecond, oneSecond); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := m.podman(o); err != nil || len(r.Changes) != 0 || !strings.Contains(r.String(), "nothing to change") {
			t.Errorf("%s, again: %v, %v", name, r, err)
		}
		untouched(t, name, m.auth, exactAuth)
		untouched(t, name, dropIn, dropInText)

		if r, err := m.podman(Options{Undo: true}); err != nil || len(r.Changes) != 3 || len(r.Notes) != 0 {
			t.Errorf("%s, undo: %v, %v", name, r, err)
		}
		m.absent(c.want)
		if got := read(t, m.auth); got != "{}" {
			t.Errorf("%s, undo: auth.json holds %q", name, got)
		}
		if r, err := m.podman(Options{Undo: true}); err != nil || len(r.Changes) != 0 {
			t.Errorf("%s, undo again: %v, %v", name, r, err)
		}
	}
}

func TestPodmanRefuses(t *testing.T) {
	const dropIn = "etc/registries.conf.d/50-secretref.conf"
	for name, c := range map[string]struct {
		file, text string
		want       string
	}{
		"another helper for a host": {"home/.config/containers/auth.json", `{"credHelpers":{"docker.io":"pass"}}`, `credHelpers["docker.io"] is "pass", another helper`},
		"broken auth.json":          {"home/.config/containers/auth.json", `{`, "not valid JSON"},
		"another helper for all":    {"etc/registries.conf", "credential-helpers = [\"pass\"]\n", `credential-helpers has "pass", another helper; add [registries."*"]`},
		"a later file":              {"etc/registries.conf.d/60-x.conf", "credential-helpers = [\"containers-auth.json\"]\n", "is read after"},
		"the user's later file":     {"home/.config/containers/registries.conf.d/10-x.conf", "credential-helpers = [\"containers-auth.json\"]\n", "is read after"},
		"broken TOML":               {"etc/registries.conf", "credential-helpers = [", "not valid TOML"},
		"drop-in changed by hand":   {dropIn, "credential-helpers = [\"containers-auth.json\"]\n", "changed by hand"},
	} {
		m := newMachine(t)
		write(t, m.path(c.file), c.text)
		o := exact()
		o.All = true
		r, err := m.podman(o)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), m.path(c.file)) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q after the path, on one line", name, err, c.want)
		}
		if len(r.Changes) > 0 {
			t.Errorf("%s: changes beside an error: %q", name, r.Changes)
		}
		untouched(t, name, m.path(c.file), c.text)
		if c.file != "home/.config/containers/auth.json" {
			m.absent("home/.config/containers/auth.json")
		}
		if c.file != dropIn {
			m.absent(dropIn)
		}
	}
}

// Undo leaves a file that is not as it was written, and says so.
func TestPodmanUndoKeepsForeignFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		notes      int
	}{
		"drop-in with an addition":    {"etc/registries.conf.d/50-secretref.conf", dropInText + "short-name-mode = \"enforcing\"\n", 1},
		"drop-in, helper taken out":   {"etc/registries.conf.d/50-secretref.conf", "credential-helpers = [\"containers-auth.json\"]\n", 0},
		"the administrator's own":     {"etc/registries.conf", "credential-helpers = [\"secretref\"]\n", 1},
		"our text under another name": {"etc/registries.conf.d/10-own.conf", dropInText, 1},
	} {
		m := newMachine(t)
		write(t, m.path(c.file), c.text)
		r, err := m.podman(Options{Undo: true})
		if err != nil || len(r.Changes) != 0 || len(r.Notes) != c.notes {
			t.Errorf("%s: %v, %v, want %d notes", name, r, err, c.notes)
		}
		untouched(t, name, m.path(c.file), c.text)
	}
}

func TestPodmanTellsWhatComesFirst(t *testing.T) {
	const login = `{"auth":"dTpjNG40cnk="}`
	m := newMachine(t)
	write(t, m.path("run/0/auth.json"), `{"auths":{"registry.example.com/team":`+login+`,"other.example":`+login+`,"docker.io":{}},"credHelpers":{"docker.io":"pass"}}`)
	write(t, m.auth, `{"auths":{"docker.io":`+login+`,"registry.example.com":{},"quay.io":`+login+`}}`)
	r, err := m.podman(exact())
	if err != nil || len(r.Changes) != 2 {
		t.Fatalf("%v, %v", r, err)
	}
	if got := strings.Join(r.Logins, " "); got != "docker.io" {
		t.Errorf("logins %q, want docker.io", got)
	}
	if len(r.Notes) != 2 || !strings.Contains(r.Notes[0], "podman logout registry.example.com/team") || !strings.Contains(r.Notes[1], `the helper "pass" for docker.io`) {
		t.Errorf("notes %q", r.Notes)
	}
	if strings.Contains(r.String(), "dTp") || strings.Contains(r.String(), "c4n4ry") {
		t.Errorf("the result shows a credential: %v", r)
	}

	// The file that is read first may be broken; that is for the user to know, not for us to correct.
	m.env["XDG_RUNTIME_DIR"] = m.path("user")
	write(t, m.path("user/containers/auth.json"), "{c4n4ry")
	r, err = m.podman(exact())
	if err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "not valid JSON") || strings.Contains(r.Notes[0], "c4n4ry") {
		t.Errorf("broken: %q, %v", r.Notes, err)
	}
	untouched(t, "broken", m.path("user/containers/auth.json"), "{c4n4ry")

	// With REGISTRY_AUTH_FILE podman reads that file first.
	m.env["REGISTRY_AUTH_FILE"] = m.path("my.json")
	if r, err = m.podman(exact()); err != nil || len(r.Notes) != 0 {
		t.Errorf("explicit: %q, %v", r.Notes, err)
	}
}
