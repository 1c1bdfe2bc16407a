package daemonjson

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/ociruntime"
)

// newOptions returns options with a program and a socket that are there, and with a daemon.json that has text, or is missing if that
// is "".
func newOptions(t *testing.T, text string) Options {
	t.Helper()
	dir := t.TempDir()
	o := Options{File: dir + "/docker/daemon.json", Program: dir + "/" + ociruntime.Name, Socket: dir + "/resolve.sock", Proc: dir + "/proc"}
	write(t, o.Program, "#!/bin/sh\n", 0o755)
	l, err := net.Listen("unix", o.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if text != "" {
		write(t, o.File, o.fill(text), 0o640)
	}
	return o
}

// fill puts the program and the file into a text.
func (o Options) fill(text string) string {
	return strings.NewReplacer("PROGRAM", o.Program, "FILE", o.File).Replace(text)
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// content returns the file's text; "" means that there is none.
func (o Options) content(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(o.File)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// TestRuntime writes the entry, writes it again, and takes it out.
func TestRuntime(t *testing.T) {
	const ours = `"secretref": {"path":"PROGRAM"}`
	for name, c := range map[string]struct {
		before, after, undone string
		options               Options // Behind and Default
		changes               int
	}{
		"no file":        {"", "{\n\t\"runtimes\": {\n\t\t" + ours + "\n\t}\n}", "{}", Options{}, 1},
		"another key":    {"{\n  \"log-driver\": \"secretref\"\n}\n", "{\n  \"log-driver\": \"secretref\",\n  \"runtimes\": {\n    " + ours + "\n  }\n}\n", "{\n  \"log-driver\": \"secretref\"\n}\n", Options{}, 1},
		"other runtimes": {`{"runtimes": {"crun": {"path": "crun"}}}`, `{"runtimes": {"crun": {"path": "crun"},` + ours + `}}`, `{"runtimes": {"crun": {"path": "crun"}}}`, Options{}, 1},
		"another behind": {"{}", "{\n\t\"runtimes\": {\n\t\t\"secretref\": {\"path\":\"PROGRAM\",\"runtimeArgs\":[\"--runtime\",\"crun\"]}\n\t}\n}", "{}", Options{Behind: "crun"}, 1},
		"behind changes": {`{"runtimes":{"secretref":{"path":"PROGRAM","runtimeArgs":["--runtime","a"]}}}`, `{"runtimes":{"secretref":{"path":"PROGRAM","runtimeArgs":["--runtime","b"]}}}`, "{}", Options{Behind: "b"}, 1},
		"for all":        {`{"x":1,"default-runtime":"runc"}`, `{"x":1,"default-runtime":"secretref","runtimes":{` + strings.Replace(ours, ": ", ":", 1) + `}}`, `{"x":1}`, Options{Default: true}, 2},
	} {
		o := newOptions(t, c.before)
		o.Behind, o.Default = c.options.Behind, c.options.Default
		dry := o
		dry.DryRun = true
		r, err := Runtime(dry)
		if err != nil || len(r.Changes) != c.changes || o.content(t) != o.fill(c.before) {
			t.Errorf("%s, dry run: %q, %v, and %q", name, r.Changes, err, o.content(t))
		}
		r, err = Runtime(o)
		if got, want := o.content(t), o.fill(c.after); err != nil || len(r.Changes) != c.changes || got != want {
			t.Errorf("%s: %q, %v\n%s\nwant %d changes and\n%s", name, r.Changes, err, got, c.changes, want)
		}
		if st, err := os.Stat(o.File); err != nil || st.Mode() != map[bool]os.FileMode{true: 0o644, false: 0o640}[c.before == ""] {
			t.Errorf("%s: the file has mode %v (%v)", name, st.Mode(), err)
		}
		o.unchanged(t, name+", again")
		o.Undo = true
		r, err = Runtime(o)
		if got := o.content(t); err != nil || got != c.undone || len(r.Changes) == 0 || len(r.Notes) != 1 {
			t.Errorf("%s, undo: %q, %q, %v\n%s\nwant\n%s", name, r.Changes, r.Notes, err, got, c.undone)
		}
		o.unchanged(t, name+", undo again")
	}
}

// unchanged checks that there is nothing to do and that the file is not written.
func (o Options) unchanged(t *testing.T, name string) {
	t.Helper()
	second := time.Unix(1, 0)
	if err := os.Chtimes(o.File, second, second); err != nil {
		t.Fatal(err)
	}
	r, err := Runtime(o)
	if err != nil || len(r.Changes) > 0 {
		t.Errorf("%s: %q, %v", name, r.Changes, err)
	}
	if st, err := os.Stat(o.File); err != nil || !st.ModTime().Equal(second) {
		t.Errorf("%s: the file was written (%v)", name, err)
	}
}

// What is right already stays, with arguments that an administrator has added; undo leaves what is not ours.
func TestStays(t *testing.T) {
	for name, text := range map[string]string{
		"written by hand": `{"runtimes":{"secretref":{"path":"PROGRAM"}}}`,
		"arguments":       `{"runtimes":{"secretref":{"path":"PROGRAM","runtimeArgs":["--socket","/run/x.sock"]}}}`,
		"for all":         `{"runtimes":{"secretref":{"path":"PROGRAM"}},"default-runtime":"secretref"}`,
	} {
		newOptions(t, text).unchanged(t, name)
	}
	for name, text := range map[string]string{
		"no runtimes":       `{"x":1}`,
		"another program":   `{"runtimes":{"secretref":{"path":"/opt/other"}},"default-runtime":"secretref"}`,
		"an odd entry":      `{"runtimes":{"secretref":7}}`,
		"a default of runc": `{"default-runtime":"runc"}`,
	} {
		o := newOptions(t, text)
		o.Undo = true
		o.unchanged(t, name+", undo")
	}
}

func TestRefuses(t *testing.T) {
	gone := func(path func(Options) string) func(*testing.T, *Options) {
		return func(t *testing.T, o *Options) {
			if err := os.Remove(path(*o)); err != nil {
				t.Fatal(err)
			}
		}
	}
	daemon := func(args ...string) func(*testing.T, *Options) {
		return func(t *testing.T, o *Options) {
			args := append([]string{"/usr/bin/dockerd", "--config-file", o.File}, args...)
			write(t, o.Proc+"/7/cmdline", strings.Join(args, "\x00")+"\x00", 0o444)
		}
	}
	for name, c := range map[string]struct {
		text string
		make func(*testing.T, *Options)
		want string
	}{
		"no program":            {"{}", gone(func(o Options) string { return o.Program }), "the program PROGRAM is not there"},
		"no socket":             {"{}", gone(func(o Options) string { return o.Socket }), "no such file or directory; stop secretref-logdriver.service, systemctl enable --now secretref-runtime.socket"},
		"neither":               {"{}", func(_ *testing.T, o *Options) { o.Program, o.Socket = "/nowhere", "/nowhere/s" }, "the program /nowhere is not there, and no container would start; install it beside secretref-logdriver; and the socket /nowhere/s"},
		"not executable":        {"{}", func(t *testing.T, o *Options) { write(t, o.Program, "", 0o644) }, "cannot be executed; chmod 755 PROGRAM"},
		"others may write":      {"{}", func(t *testing.T, o *Options) { write(t, o.Program, "", 0o777) }, "others than its owner can change what root runs"},
		"another runtime":       {`{"runtimes":{"secretref":{"path":"/opt/other"}}}`, nil, `runtimes["secretref"] is the program "/opt/other", not PROGRAM`},
		"an odd entry":          {`{"runtimes":{"secretref":7}}`, nil, `runtimes["secretref"] is not an entry of a runtime`},
		"other arguments":       {`{"runtimes":{"secretref":{"path":"PROGRAM","runtimeArgs":["--socket","/x"]}}}`, func(_ *testing.T, o *Options) { o.Behind = "crun" }, `add "--runtime", "crun" to them by hand`},
		"itself behind":         {"{}", func(_ *testing.T, o *Options) { o.Behind = o.Program }, "is this runtime itself"},
		"another default":       {`{"default-runtime":"nvidia"}`, func(_ *testing.T, o *Options) { o.Default = true }, `default-runtime is "nvidia"; remove it`},
		"a default of no text":  {`{"default-runtime":7}`, func(_ *testing.T, o *Options) { o.Default = true }, `"default-runtime" is not a string`},
		"no JSON":               {"{", nil, "not valid JSON at line 1"},
		"runtimes is a list":    {`{"runtimes":[]}`, nil, `"runtimes" is not a JSON object`},
		"a flag":                {"{}", daemon("--add-runtime", "crun=/usr/bin/crun"), "runs with the option --add-runtime, and does not start again when FILE has runtimes too"},
		"a flag of the default": {"{}", func(t *testing.T, o *Options) { o.Default = true; daemon("--default-runtime=crun")(t, o) }, "option --default-runtime"},
	} {
		o := newOptions(t, c.text)
		if c.make != nil {
			c.make(t, &o)
		}
		_, err := Runtime(o)
		if want := o.fill(c.want); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q in one line", name, err, want)
		}
		if c.text != "{}" && !strings.HasPrefix(err.Error(), o.File+": ") {
			t.Errorf("%s: %v, want it to name the file", name, err)
		}
		if got := o.content(t); got != o.fill(c.text) {
			t.Errorf("%s: the file has changed: %s", name, got)
		}
	}
}

// Other processes, and daemons with other files, are not looked at.
func TestOtherProcesses(t *testing.T) {
	o := newOptions(t, "{}")
	for pid, args := range map[string][]string{
		"1": {"/sbin/init"}, "2": {""}, "3": {"dockerd", "--add-runtime=a=b"}, "4": {"dockerd", "--config-file=" + o.File, "--default-runtime", "a"},
		"5": {"vi", "--config-file", o.File, "--add-runtime"},
	} {
		write(t, o.Proc+"/"+pid+"/cmdline", strings.Join(args, "\x00"), 0o444)
	}
	if r, err := Runtime(o); err != nil || len(r.Changes) != 1 {
		t.Errorf("%q, %v, want one change", r.Changes, err)
	}
}
