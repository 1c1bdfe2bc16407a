package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a server that runs until stop. Its output goes to a file.
type process struct {
	name    string
	cmd     *exec.Cmd
	logFile string
	exited  chan struct{} // closed once it is waited for
	stopped sync.Once     // its pid may be somebody else's afterwards
	stopErr error
}

// startProcess starts args in dir, with the log in dir too. The server gets SIGTERM should we die without stopping it.
func startProcess(name, dir string, env []string, args ...string) (*process, error) {
	path, err := Tool(args[0])
	if err != nil {
		return nil, err
	}
	p := &process{name: name, logFile: filepath.Join(dir, "log"), exited: make(chan struct{})}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(path, args[1:]...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // stop waits for it
		_ = p.cmd.Wait() // how it ended is in the log, and of no use to anybody
		close(p.exited)
	}()
	return p, nil
}

// ready waits until probe says nil.
func (p *process) ready(ctx context.Context, probe func(context.Context) error) error {
	if err := await(ctx, p.exited, probe); err != nil {
		return fmt.Errorf("start %s: %w; its log:\n%s", p.name, err, tail(p.log()))
	}
	return nil
}

// stop asks the process to end, waits for grace, and kills what is left of its group.
func (p *process) stop(grace time.Duration) error {
	p.stopped.Do(func() { p.stopErr = p.end(grace) })
	return p.stopErr
}

func (p *process) end(grace time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // "already finished" is fine, and so is "no such process" below
	select {
	case <-p.exited:
	case <-time.After(grace):
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	select {
	case <-p.exited:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("stop %s: pid %d outlives SIGKILL", p.name, p.cmd.Process.Pid)
	}
}

func (p *process) log() string {
	b, err := os.ReadFile(p.logFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(b)
}
