package ociruntime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/ociruntime/ask"
)

const (
	secretPrefix = "secrets."         // of a variable whose value is a reference
	filesName    = "environmentFiles" // the variable that names environment files
)

// maxSpec bounds what is read of config.json, process.json and state.json, in bytes.
const maxSpec = 64 << 20

// fields is an object of JSON, of which most is passed on as it came.
type fields map[string]json.RawMessage

func readFields(path string) (fields, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSpec+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSpec {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxSpec>>20)
	}
	var all fields
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s is not JSON: %w", path, err)
	}
	return all, nil
}

// get decodes one field; one that is missing leaves to as it is.
func (f fields) get(name string, to any) error {
	raw, ok := f[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("field %s: %w", name, err)
	}
	return nil
}

func (f fields) set(name string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		f[name] = b
	}
	return err
}

// environment is process.env of a specification, with the references that stand in it.
type environment struct {
	env     []string
	secrets []ask.Secret
	files   []string
}

func readEnvironment(process fields) (environment, error) {
	var e environment
	if err := process.get("env", &e.env); err != nil {
		return e, err
	}
	for _, v := range e.env {
		name, value, _ := strings.Cut(v, "=")
		if secret, ok := strings.CutPrefix(name, secretPrefix); ok {
			if secret == "" {
				return e, errors.New("the variable " + secretPrefix + " has no name behind the dot; write " + secretPrefix + "NAME=REFERENCE")
			}
			e.secrets = append(e.secrets, ask.Secret{Name: secret, ValueFrom: value})
		} else if name == filesName && value != "" {
			e.files = append(e.files, value)
		}
	}
	return e, nil
}

// hasReferences reports whether something is to be resolved.
func (e environment) hasReferences() bool { return len(e.secrets) > 0 || len(e.files) > 0 }

// with returns the environment with variables in place of the references. A secret replaces a variable of its name, and a variable
// of an environment file does not.
func (e environment) with(variables []ask.Variable) []string {
	env := make([]string, 0, len(e.env)+len(variables))
	at := map[string]int{}
	for _, v := range e.env {
		name, _, _ := strings.Cut(v, "=")
		if name == filesName || strings.HasPrefix(name, secretPrefix) {
			continue
		}
		at[name] = len(env)
		env = append(env, v)
	}
	for _, v := range variables {
		i, there := at[v.Name]
		switch {
		case !there:
			at[v.Name] = len(env)
			env = append(env, v.Name+"="+v.Value)
		case !v.File:
			env[i] = v.Name + "=" + v.Value
		}
	}
	return env
}

// mount is one of a specification's, with the fields that are of use here.
type mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type,omitempty"`
	Source      string   `json:"source,omitempty"`
	Options     []string `json:"options,omitempty"`
}

// volumes returns the names of the secretref-files volumes below dir.
func volumes(spec fields, dir string) (names []string, err error) {
	var all []mount
	if err := spec.get("mounts", &all); err != nil {
		return nil, err
	}
	for _, m := range all {
		below, err := filepath.Rel(dir, filepath.Clean(m.Source))
		if m.Source == "" || err != nil || below == "." || below == ".." || strings.HasPrefix(below, "../") {
			continue
		}
		name, _, _ := strings.Cut(below, "/")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// standInPath is where a container finds this program when it stands in for the application.
const standInPath = "/.secretref"

// putStandIn puts this program, which is the file program of the host, in the place of the application. It prints reason, and ends.
func putStandIn(spec, process fields, program, reason string) error {
	var mounts []json.RawMessage
	if err := spec.get("mounts", &mounts); err != nil {
		return err
	}
	own, err := json.Marshal(mount{standInPath, "bind", program, []string{"bind", "ro", "nosuid", "nodev"}})
	if err != nil {
		return err
	}
	return errors.Join(spec.set("mounts", append(mounts, own)), process.set("args", []string{standInPath, reason}))
}
