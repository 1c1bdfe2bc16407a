package delegate

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// run starts the helper with one action and returns its stdout if it succeeded.
func (h *Helper) run(ctx context.Context, action, stdin string, hidden *strings.Replacer) ([]byte, error) {
	var cancel context.CancelFunc
	if _, bounded := ctx.Deadline(); bounded {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
	}
	defer cancel()

	stdout := &bounded{limit: maxStdout, full: cancel}
	stderr := &bounded{limit: maxStderr}
	cmd := exec.CommandContext(ctx, h.path, action)
	cmd.Env = append(os.Environ(), Marker+"=1")
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = pipeWait
	// Its own group, so that what it has started dies with it; and a signal for when we are killed ourselves, since
	// the terminal's Ctrl-C does not reach another group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return os.ErrProcessDone
	}

	// The kernel sends Pdeathsig when the starting thread ends, so that thread is kept for as long as it runs.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case stdout.over:
		return nil, h.errorf(action, "it printed more than %d bytes; run it by hand, or name another helper", maxStdout)
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // exited with 0; in the second case something of it lives on
		return stdout.buf.Bytes(), nil
	case ctx.Err() != nil:
		return nil, h.errorf(action, "no answer in %v: %w; run it by hand to see what it waits for", time.Since(start).Round(100*time.Millisecond), ctx.Err())
	case errors.As(err, &exit):
		return nil, h.failure(action, exit, stdout, stderr, hidden)
	}
	return nil, h.errorf(action, "%w", err)
}

// bounded keeps the first limit bytes. What comes after is dropped, or ends the helper if full is set.
type bounded struct {
	buf   bytes.Buffer
	limit int
	over  bool
	full  func()
}

func (b *bounded) Write(p []byte) (int, error) {
	keep := min(len(p), b.limit-b.buf.Len())
	b.buf.Write(p[:keep])
	if keep < len(p) {
		b.over = true
		if b.full != nil {
			b.full()
		}
	}
	return len(p), nil
}
