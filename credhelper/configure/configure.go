// Package configure writes secretref into the configuration of docker and podman, and takes it out again.
//
// Use it for `configure docker` and `configure podman`. It edits a file the way a careful person would: only the lines
// that matter change, and unknown keys, order, indentation, mode, owner and one's own symbolic links stay. A second run changes
// nothing, not even the file's time. With Undo it removes what names secretref and nothing else.
//
// It refuses to take a registry away from another helper, to edit what it does not understand, to write through a
// file that somebody else changes at the same time, and to follow a symbolic link that another user can replace: root may
// be configuring a user's client, in directories of that user.
package configure

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/shared/conffile"
	"github.com/secretref/secretref/shared/registryhost"
)

// suffix is what follows docker-credential- in our program's name.
const suffix = "secretref"

// Options say what is to be configured.
type Options struct {
	Hosts     []string // canonical hosts of the rules without wildcard: "registry.example.com:5000", "docker.io"
	All       bool     // every registry goes to secretref, not only Hosts
	Undo      bool     // remove secretref; Hosts and All mean nothing then
	DryRun    bool     // say what would change, write nothing
	AnyHelper string   // helper of [registries."*"]: unmapped registries go on to it; "" for none

	Getenv func(string) string // the environment; nil is os.Getenv

	step func(call string) // see disk; nil except in tests
}

// Result is what was changed, or would be with DryRun, in words for printing. No field holds a credential.
type Result struct {
	Files   []string // the files that were looked at
	Changes []string // one line each; empty when everything was as it should be
	Logins  []string // keys of saved logins that clients do not look at any more, because secretref is asked instead
	Notes   []string // what the user should know beside it
}

// String is the result for a terminal: one line for each fact.
func (r Result) String() string {
	var b strings.Builder
	for _, c := range r.Changes {
		b.WriteString(c + "\n")
	}
	if len(r.Changes) == 0 {
		b.WriteString(strings.Join(r.Files, ", ") + ": nothing to change\n")
	}
	for _, l := range r.Logins {
		b.WriteString("no longer used: the saved login for " + strconv.Quote(l) + "\n")
	}
	for _, n := range r.Notes {
		b.WriteString("note: " + n + "\n")
	}
	return b.String()
}

func (o Options) disk() conffile.Disk { return conffile.Disk{EUID: os.Geteuid(), Step: o.step} }

func (o Options) env(name string) string {
	if o.Getenv == nil {
		return os.Getenv(name)
	}
	return o.Getenv(name)
}

// home is the home directory as docker finds it: HOME, else what the user database says.
func (o Options) home() (string, error) {
	if h := o.env("HOME"); h != "" {
		return h, nil
	}
	u, err := user.Current()
	if err != nil || u.HomeDir == "" {
		return "", errors.New("no home directory: HOME is not set, and the user database has none; set HOME")
	}
	return u.HomeDir, nil
}

// hosts returns the hosts, sorted and once each, in their spellings.
func (o Options) hosts(spellings func(string) []string) ([]string, error) {
	var keys []string
	for _, h := range o.Hosts {
		n, err := registryhost.Normalize(h)
		if err != nil || n.String() != h || n.Path != "" {
			return nil, fmt.Errorf("host %q: not an exact registry host in canonical form", h)
		}
		keys = append(keys, spellings(h)...)
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// setHelpers puts keys into credHelpers of the document.
func (r *Result) setHelpers(d document, path string, keys []string) error {
	for _, k := range keys {
		have, ok, err := d.helper(k)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", path, err)
		case ok && have == suffix:
		case ok:
			return otherHelper(path, k, have)
		default:
			if err := d.setHelper(k, suffix); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			r.Changes = append(r.Changes, fmt.Sprintf("%s: credHelpers[%q] = %q", path, k, suffix))
		}
	}
	return nil
}

func otherHelper(path, key, have string) error {
	return fmt.Errorf("%s: credHelpers[%q] is %q, another helper; remove that entry, or take the host out of the secretref configuration", path, key, have)
}

// dropHelpers removes every entry of credHelpers that names us.
func (r *Result) dropHelpers(d document, path string) {
	for _, k := range d.dropHelpers(suffix) {
		r.Changes = append(r.Changes, fmt.Sprintf("%s: credHelpers[%q] removed", path, k))
	}
}

// change is one file to be written or removed. All of a run are decided before the first is carried out.
type change struct {
	file   *conffile.File
	text   []byte
	remove bool
}

// apply carries the changes out.
func (o Options) apply(changes []change) error {
	if o.DryRun {
		return nil
	}
	for _, c := range changes {
		var err error
		switch {
		case c.remove:
			err = c.file.Remove()
		case string(c.text) != string(c.file.Text) || !c.file.Exists:
			err = c.file.Write(c.text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Docker edits $DOCKER_CONFIG/config.json, or ~/.docker/config.json. Podman, buildx, compose, nerdctl, crane and ORAS
// read it too.
func Docker(o Options) (Result, error) {
	dir := o.env("DOCKER_CONFIG")
	if dir == "" {
		home, err := o.home()
		if err != nil {
			return Result{}, err
		}
		dir = filepath.Join(home, ".docker")
	}
	if filepath.Base(dir) == "config.json" {
		return Result{}, fmt.Errorf("DOCKER_CONFIG is %s, which names the file; name its directory, %s", dir, filepath.Dir(dir))
	}
	path := filepath.Join(dir, "config.json")
	f, d, err := editJSON(o.disk(), path)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	r := Result{Files: []string{path}}
	if o.Undo {
		err = r.undoDocker(d, path, o.AnyHelper)
	} else {
		err = r.docker(d, path, o)
	}
	if err != nil {
		return Result{}, err
	}
	if len(r.Changes) == 0 {
		return r, nil
	}
	if err := d.Check(); err != nil {
		return Result{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := o.apply([]change{{file: f, text: d.Text}}); err != nil {
		return Result{}, err
	}
	return r, nil
}

func (r *Result) docker(d document, path string, o Options) error {
	keys, err := o.hosts(dockerKeys)
	if err != nil {
		return err
	}
	if !o.All {
		if err := r.setHelpers(d, path, keys); err != nil {
			return err
		}
		return r.shadowed(d, path, func(login string) bool { return covers(o.Hosts, login) })
	}

	// An entry of credHelpers comes before credsStore, so another helper there would keep its host.
	for _, k := range keys {
		if have, ok, err := d.helper(k); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		} else if ok && have != suffix {
			return otherHelper(path, k, have)
		}
	}
	store, ok, err := d.StringAt("credsStore")
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case store == suffix:
	case store != "" && store != o.AnyHelper:
		return fmt.Errorf("%s: credsStore is %q, another helper; add [registries.\"*\"] with helper = %q to the secretref configuration, so that it keeps the other registries, and run this again", path, store, store)
	default:
		d.SetString("credsStore", suffix)
		was := ""
		if ok {
			was = fmt.Sprintf(" (was %q)", store)
		}
		r.Changes = append(r.Changes, fmt.Sprintf("%s: credsStore = %q%s", path, suffix, was))
	}
	return r.shadowed(d, path, func(login string) bool {
		have, ok, err := d.helper(login)
		return err == nil && (!ok || have == suffix)
	})
}

func (r *Result) undoDocker(d document, path, anyHelper string) error {
	r.dropHelpers(d, path)
	store, _, err := d.StringAt("credsStore")
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case store != suffix:
	case anyHelper != "":
		d.SetString("credsStore", anyHelper)
		r.Changes = append(r.Changes, fmt.Sprintf("%s: credsStore = %q again", path, anyHelper))
	default:
		d.Remove("credsStore")
		r.Changes = append(r.Changes, fmt.Sprintf("%s: credsStore removed", path))
	}
	return nil
}

// shadowed lists the saved logins for which is true.
func (r *Result) shadowed(d document, path string, is func(login string) bool) error {
	logins, err := d.logins()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, l := range logins {
		if is(l) {
			r.Logins = append(r.Logins, l)
		}
	}
	return nil
}

// covers reports whether a saved login, for a host or for a namespace below it, belongs to one of the hosts.
func covers(hosts []string, login string) bool {
	n, err := registryhost.Normalize(login)
	return err == nil && slices.Contains(hosts, n.Host)
}

// dockerKeys are the spellings under which docker looks a host up. Up to version 20.10 `docker login https://HOST` looks
// for the address as it was typed, and without a helper there writes the password into config.json.
func dockerKeys(host string) []string {
	if host == registryhost.Hub {
		return []string{registryhost.HubKey}
	}
	return []string{host, "https://" + host}
}
