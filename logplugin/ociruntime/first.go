package ociruntime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/secretref/secretref/logplugin/ociruntime/ask"
)

// maxEnviron bounds what is read of a process's environment, in bytes. The kernel takes no more for a new one, as a rule.
const maxEnviron = 8 << 20

// ofContainer returns the variables that the references of e stand for, for another process of a container that runs. Those that the
// first process was given are taken from there: they are the container's, whatever has been rotated since, and AWS may be
// away. The service is asked for the others: a process may have written its title over its environment, as PostgreSQL does.
func (c call) ofContainer(e environment) (variables []ask.Variable, err error) {
	first := c.firstEnviron()
	q := ask.Question{Container: c.id(), EnvironmentFiles: e.files, Exec: true}
	for _, s := range e.secrets {
		if value, ok := first[s.Name]; ok {
			variables = append(variables, ask.Variable{Name: s.Name, Value: value})
		} else {
			q.Secrets = append(q.Secrets, s)
		}
	}
	if len(q.Secrets) == 0 && len(q.EnvironmentFiles) == 0 {
		return variables, nil
	}
	a, err := ask.Ask(context.Background(), c.own.socket, q)
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	switch {
	case err == nil:
		return append(variables, a.Variables...), nil
	case len(q.Secrets) == 0 && len(first) > 0: // of environment files: all that the first process has will do
		for name, value := range first {
			variables = append(variables, ask.Variable{Name: name, Value: value, File: true})
		}
		return variables, nil
	}
	return nil, err
}

// firstEnviron returns the environment that the container's first process was started with, as far as it is still there.
func (c call) firstEnviron() map[string]string {
	var pid int
	state, err := readFields(filepath.Join(c.root, c.id(), "state.json"))
	if err != nil || state.get("init_process_pid", &pid) != nil || pid <= 0 {
		return nil // another runtime keeps its state in another form
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEnviron))
	if err != nil {
		return nil
	}
	all := map[string]string{}
	for v := range bytes.SplitSeq(b, []byte{0}) {
		if name, value, ok := strings.Cut(string(v), "="); ok && name != "" && name != filesName {
			all[name] = value
		}
	}
	return all
}
