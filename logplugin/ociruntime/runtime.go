// Package ociruntime is what the command secretref-runtime does: an OCI runtime in front of another, runc as a rule, that
// gives a container its secrets as variables.
//
// The Docker daemon, containerd and every file on the disk know the references alone. A variable secrets.NAME=REFERENCE, and
// environmentFiles, become the variables of the application between containerd's shim, which calls this program, and the runtime
// behind. The values go there in a file of memory: config.json of the bundle is a link to it while the runtime reads it, and what stood
// there comes back when that is done. A kill at any moment leaves a link to nothing.
//
// Every call but create, run and exec becomes the runtime behind at once.
package ociruntime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/ociruntime/ask"
)

// Name is the program.
const Name = "secretref-runtime"

// exitTemporary is that of a stand-in: EX_TEMPFAIL of sysexits(3). A restart policy tries again.
const exitTemporary = 75

// maxReason bounds what a stand-in prints, in bytes.
const maxReason = 2000

// Run carries out one call with the program's arguments, os.Args, and returns the exit status, unless it becomes another program.
func Run(args []string) int {
	if len(args) == 2 && filepath.Clean(args[0]) == standInPath {
		fmt.Fprintf(os.Stderr, "secretref: %s\n", args[1])
		return exitTemporary
	}
	// No values in a core dump. The limit of core dumps stays: containers inherit it.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	c := parse(args[1:])
	status, err := c.run()
	if err != nil {
		c.report(err)
		return 1
	}
	return status
}

// run carries out the call.
func (c call) run() (status int, err error) {
	var change func() (*changed, error)
	switch c.command {
	case "create", "run":
		change = c.create
	case "exec":
		change = c.exec
	default:
		return 0, c.become()
	}
	ch, err := change()
	if err != nil {
		return 0, err
	}
	if ch == nil {
		return 0, c.become()
	}
	defer func() { err = errors.Join(err, ch.undo()) }()
	return c.callRuntime(ch.args)
}

// report writes an error where containerd's shim looks for it, which the daemon shows to whoever starts the container.
func (c call) report(err error) {
	text := "secretref: " + err.Error()
	fmt.Fprintln(os.Stderr, text)
	if c.log == "" {
		return
	}
	line, marshalErr := json.Marshal(map[string]string{"level": "error", "msg": text, "time": time.Now().UTC().Format(time.RFC3339)})
	if marshalErr != nil {
		return
	}
	f, openErr := os.OpenFile(c.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_CLOEXEC, 0o600)
	if openErr != nil {
		return // it is on standard error
	}
	_, _ = f.Write(append(line, '\n')) // the same
	_ = f.Close()
}

// path returns the file of the runtime behind.
func (c call) path() (string, error) {
	path, err := exec.LookPath(c.own.runtime)
	if err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, c.own.runtime)); err == nil && !strings.Contains(c.own.runtime, "/") {
			return p, nil
		}
	}
	return "", fmt.Errorf("the runtime behind %s cannot be run: %w; name another with --runtime NAME in runtimeArgs of daemon.json", Name, err)
}

// become runs the runtime behind in place of this program.
func (c call) become() error {
	path, err := c.path()
	if err != nil {
		return err
	}
	return syscall.Exec(path, append([]string{path}, c.args...), os.Environ())
}

// callRuntime runs the runtime behind with other arguments, and returns its exit status.
func (c call) callRuntime(args []string) (status int, err error) {
	path, err := c.path()
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread() // the runtime is to end with this process, and the kernel takes the thread for that
	cmd := exec.Command(path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil // it has said why
	}
	return 0, fmt.Errorf("run %s: %w", path, err)
}

// changed is a call whose specification has values in it.
type changed struct {
	args []string
	undo func() error
}

// create gives the application of a new container its variables. It returns nil when there are none to give.
func (c call) create() (*changed, error) {
	path := filepath.Join(c.value("bundle", "b", "."), "config.json")
	if err := putBack(path); err != nil {
		return nil, err
	}
	spec, err := readFields(path)
	if err != nil {
		return nil, err
	}
	process := fields{}
	if err := spec.get("process", &process); err != nil {
		return nil, err
	}
	e, err := readEnvironment(process)
	if err != nil {
		return nil, err
	}
	names, err := volumes(spec, c.own.volumesDir)
	if err != nil {
		return nil, err
	}
	if !e.hasReferences() && len(names) == 0 {
		return nil, nil
	}
	a, err := ask.Ask(context.Background(), c.own.socket, ask.Question{Container: c.id(), Secrets: e.secrets, EnvironmentFiles: e.files, Volumes: names})
	if err != nil {
		return nil, err
	}
	switch {
	case a.Error != "" && a.Passing && a.Before:
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		if err := putStandIn(spec, process, program, a.Error[:min(len(a.Error), maxReason)]); err != nil {
			return nil, err
		}
	case a.Error != "":
		return nil, errors.New(a.Error)
	}
	if err := errors.Join(process.set("env", e.with(a.Variables)), spec.set("process", process)); err != nil {
		return nil, err
	}
	memory, err := inMemory(spec)
	if err != nil {
		return nil, err
	}
	undo, err := replace(path, memory)
	return &changed{args: c.args, undo: undo}, err
}

// exec gives another process of a container the variables of the first one, or those of the service where the first has none.
func (c call) exec() (*changed, error) {
	at, prefix := c.find("process", "p")
	if at < 0 {
		return nil, nil // a person's own call: what it runs stands in the arguments
	}
	process, err := readFields(strings.TrimPrefix(c.args[at], prefix))
	if err != nil {
		return nil, err
	}
	e, err := readEnvironment(process)
	if err != nil || !e.hasReferences() {
		return nil, err
	}
	variables, err := c.ofContainer(e)
	if err != nil {
		return nil, err
	}
	if err := process.set("env", e.with(variables)); err != nil {
		return nil, err
	}
	memory, err := inMemory(process)
	if err != nil {
		return nil, err
	}
	args := append([]string(nil), c.args...)
	args[at] = prefix + procPath(memory)
	return &changed{args: args, undo: memory.Close}, nil
}
