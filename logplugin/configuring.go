package logplugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/secretref/secretref/logplugin/daemonjson"
	"github.com/secretref/secretref/logplugin/ociruntime"
	"github.com/secretref/secretref/logplugin/ociruntime/ask"
)

// configureFlags are those of configure.
type configureFlags struct {
	daemonConfig string // "" = /etc/docker/daemon.json
	behind       string // the runtime behind; "" = runc
	asDefault    bool
	undo, dryRun bool
}

// check refuses what does not go together.
func (f configureFlags) check(what string) error {
	switch {
	case what == "":
		return errors.New("configure: write configure runtime")
	case what == "docker" || what == "podman":
		return fmt.Errorf("configure: %q is not known here; write configure runtime, or docker-credential-secretref configure %s", what, what)
	case what != "runtime":
		return fmt.Errorf("configure: %q is not known here; write configure runtime", what)
	case f.undo && (f.behind != "" || f.asDefault):
		return errors.New("configure: --undo takes the entry out, whatever it says; give it without --runtime and --default")
	}
	return nil
}

// configure writes secretref-runtime into the configuration of the Docker daemon.
func (p Program) configure(_ context.Context, f flags) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o := daemonjson.Options{
		File:    cmp.Or(f.configure.daemonConfig, p.DaemonConfig, daemonjson.Path),
		Program: cmp.Or(p.Runtime, filepath.Join(filepath.Dir(self), ociruntime.Name)),
		Socket:  cmp.Or(p.RuntimeSocket, ask.Socket),
		Behind:  f.configure.behind, Default: f.configure.asDefault, Undo: f.configure.undo, DryRun: f.configure.dryRun,
	}
	result, err := daemonjson.Runtime(o)
	if err != nil {
		return err
	}
	for _, change := range result.Changes {
		fmt.Fprintf(p.Stdout, "%s: %s\n", o.File, change)
	}
	switch {
	case len(result.Changes) == 0:
		fmt.Fprintf(p.Stdout, "%s: nothing to change\n", o.File)
	case o.Undo && !o.DryRun:
		result.Notes = append(result.Notes, "the daemon forgets the runtime when it is restarted, systemctl restart docker; a reload is not enough, and until then the program must stay")
	case !o.DryRun:
		result.Notes = append(result.Notes, "systemctl reload docker has the daemon read it; no container stops")
	}
	if !o.Undo {
		result.Notes = append(result.Notes, p.variablesAllowed(f)...)
	}
	for _, note := range result.Notes {
		fmt.Fprintf(p.Stdout, "note: %s\n", note)
	}
	return nil
}

// variablesAllowed says what of the configuration keeps containers from their variables.
func (p Program) variablesAllowed(f flags) []string {
	cfg, err := p.load(f)
	switch {
	case err != nil:
		return []string{err.Error()}
	case len(cfg.Secrets.AllowReferences) == 0:
		return []string{"a container may name no reference in its variables yet: set allow_references under [secrets]"}
	}
	return nil
}
