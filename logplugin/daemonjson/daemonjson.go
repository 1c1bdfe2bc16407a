// Package daemonjson writes secretref-runtime into the configuration of the Docker daemon, and takes it out again.
//
// Only the lines that matter change. It refuses to write an entry with which containers would not start, or the daemon itself:
// without the program and the socket of the service, over an entry of another runtime, and beside runtimes that the daemon has
// on its command line. The default runtime changes only when that is asked for.
package daemonjson

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/ociruntime"
	"github.com/secretref/secretref/shared/conffile"
)

// Path is where the Docker daemon looks.
const Path = "/etc/docker/daemon.json"

// RuntimeName is the name of the runtime for containers: docker run --runtime.
const RuntimeName = "secretref"

// The keys of daemon.json that are looked at.
const (
	runtimesKey = "runtimes"
	defaultKey  = "default-runtime"
)

// Options say what is to be written.
type Options struct {
	File    string // daemon.json
	Program string // path of secretref-runtime
	Socket  string // on which the service answers it
	Behind  string // the runtime that does the work; "" means the program's default, runc
	Default bool   // it becomes the runtime of containers that name none
	Undo    bool   // take out what names the program; Behind and Default mean nothing then
	DryRun  bool   // say what would change, write nothing

	Proc string // where processes are seen; "" means /proc
}

// Result is what was changed, or would be with DryRun.
type Result struct {
	Changes []string // one line each; empty when everything was as it should be
	Notes   []string // what the user should know beside it
}

func (r *Result) changed(format string, args ...any) {
	r.Changes = append(r.Changes, fmt.Sprintf(format, args...))
}

// Runtime edits daemon.json.
func Runtime(o Options) (Result, error) {
	if !o.Undo {
		if err := o.canStart(); err != nil {
			return Result{}, err
		}
	}
	keys := conffile.Keys{Names: []string{runtimesKey, defaultKey}, Tables: []string{runtimesKey}}
	f, d, err := conffile.Disk{EUID: os.Geteuid()}.EditJSON(o.File, keys)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	if !f.Exists {
		f.Mode, f.DirMode = 0o644, 0o755 // as packages of Docker make them: nothing in it is secret
	}
	var r Result
	if o.Undo {
		err = r.undo(d)
	} else {
		err = r.write(d, o)
	}
	if err == nil {
		err = d.Check()
	}
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", o.File, err)
	}
	if len(r.Changes) == 0 || o.DryRun {
		return r, nil
	}
	return r, f.Write(d.Text)
}

// write puts the entry in.
func (r *Result) write(d *conffile.Document, o Options) error {
	if err := r.writeRuntime(d, o); err != nil || !o.Default {
		return err
	}
	now, _, err := d.StringAt(defaultKey)
	switch {
	case err != nil:
		return err
	case now == RuntimeName:
		return nil
	case now != "" && now != "runc":
		return fmt.Errorf("%s is %q; remove it, and run this again with --runtime and the program of %s, which then works behind", defaultKey, now, now)
	}
	d.SetString(defaultKey, RuntimeName)
	r.changed("%s = %q", defaultKey, RuntimeName)
	return nil
}

// entry is one of runtimes, as far as it is ours to know.
type entry struct {
	Path        string   `json:"path"`
	RuntimeArgs []string `json:"runtimeArgs,omitempty"`
}

func (r *Result) writeRuntime(d *conffile.Document, o Options) error {
	want := entry{Path: o.Program}
	if o.Behind != "" {
		want.RuntimeArgs = []string{"--runtime", o.Behind}
		if base := filepath.Base(o.Behind); base == ociruntime.Name || base == RuntimeName {
			return fmt.Errorf("--runtime %s is this runtime itself; name the one that is to work behind it", o.Behind)
		}
	}
	value, ok := d.Get(runtimesKey, RuntimeName)
	if ok {
		var have entry
		if json.Unmarshal(value, &have) != nil {
			return fmt.Errorf("%s[%q] is not an entry of a runtime; correct it or remove it", runtimesKey, RuntimeName)
		}
		switch {
		case have.Path != o.Program:
			return fmt.Errorf("%s[%q] is the program %q, not %s; remove that entry, or use the option --undo if it is an earlier one of this program", runtimesKey, RuntimeName, have.Path, o.Program)
		case o.Behind == "" || slices.Equal(have.RuntimeArgs, want.RuntimeArgs):
			return nil
		case len(have.RuntimeArgs) > 0 && (len(have.RuntimeArgs) != 2 || have.RuntimeArgs[0] != "--runtime"):
			return fmt.Errorf("%s[%q] has runtimeArgs of its own; add \"--runtime\", %q to them by hand", runtimesKey, RuntimeName, o.Behind)
		}
	}
	b, err := json.Marshal(want)
	if err != nil {
		return err
	}
	d.Set(runtimesKey, RuntimeName, b)
	r.changed("%s[%q] = %s", runtimesKey, RuntimeName, b)
	return nil
}

// undo takes out every entry whose program is ours, and the default runtime that names one of them.
func (r *Result) undo(d *conffile.Document) error {
	names := d.Drop(runtimesKey, func(_ string, value json.RawMessage) bool {
		var e entry
		return json.Unmarshal(value, &e) == nil && filepath.Base(e.Path) == ociruntime.Name
	})
	for _, name := range names {
		r.changed("%s[%q] removed", runtimesKey, name)
	}
	now, _, err := d.StringAt(defaultKey)
	if err != nil {
		return err
	}
	if slices.Contains(names, now) {
		d.Remove(defaultKey)
		r.changed("%s removed", defaultKey)
	}
	if len(names) > 0 {
		r.Notes = append(r.Notes, "containers that were created with the runtime "+strings.Join(names, ", ")+" do not start without it; create them anew")
	}
	return nil
}
