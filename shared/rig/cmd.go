package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Cmd is one call of a program. The zero value of each field but Args is usable.
type Cmd struct {
	Args    []string      // program and arguments; a bare program name is looked up with Tool
	Env     []string      // the whole environment, the later of two values wins; nil = Env("/nonexistent")
	Dir     string        // "" = the current directory
	Stdin   string        // what the program reads
	Timeout time.Duration // 0 = one minute
	UID     uint32        // user and group to run as; 0 = root
}

// Result is what a program has written, and how it ended.
type Result struct {
	Stdout, Stderr string
	Output         string // both, as they came
	Code           int    // exit code; -1 when it was killed or never started
}

// Run runs c to its end. The error is nil only for exit code 0, and holds the command line and the end of the output;
// the Result is filled in either case. A program that outlives its timeout is killed with its whole process group.
func (c Cmd) Run(ctx context.Context) (Result, error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	path, err := Tool(c.Args[0])
	if err != nil {
		return Result{Code: -1}, err
	}
	env := c.Env
	if env == nil {
		env = Env("/nonexistent")
	}
	var out, errOut, both bytes.Buffer
	var mu sync.Mutex
	cmd := exec.CommandContext(ctx, path, c.Args[1:]...)
	cmd.Env, cmd.Dir = env, c.Dir
	cmd.Stdin = strings.NewReader(c.Stdin)
	cmd.Stdout, cmd.Stderr = tee{&mu, &out, &both}, tee{&mu, &errOut, &both}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.UID, Gid: c.UID}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second // for a grandchild that left the group and holds our pipe

	err = cmd.Run()
	mu.Lock()
	defer mu.Unlock()
	r := Result{out.String(), errOut.String(), both.String(), -1}
	if cmd.ProcessState != nil {
		r.Code = cmd.ProcessState.ExitCode()
	}
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil:
		err = fmt.Errorf("killed, %w", context.Cause(ctx))
	case errors.Is(err, exec.ErrWaitDelay):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		err = errors.New("it ended, but left a process that holds its output")
	}
	return r, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, tail(r.Output))
}

// tee writes to two buffers. Both outputs of a program share the second one.
type tee struct {
	mu        *sync.Mutex
	own, both io.Writer
}

func (t tee) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.both.Write(p) // a buffer never refuses
	return t.own.Write(p)
}
