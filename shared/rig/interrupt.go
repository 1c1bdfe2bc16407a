package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Interruptible returns a context that ends when a person ends the program: by SIGINT, SIGTERM or SIGHUP, or because
// nobody reads stdout any more (`make demo | head`), which must clean up too. What is written goes to the writer that
// it returns. Call stop at the end.
//
// SIGPIPE itself does not say the second: a program that takes it is sent one for every connection of its own servers
// whose other side is gone. It is taken and not looked at, so that such a write to stdout is an error and not the
// end of the program; it is not ignored, because children would inherit that.
func Interruptible(stdout io.Writer) (ctx context.Context, out io.Writer, stop func()) {
	ctx, unregister := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancelCause(ctx)
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	return ctx, &endingWriter{w: stdout, cancel: cancel}, func() {
		signal.Stop(pipe)
		cancel(nil)
		unregister()
	}
}

// endingWriter ends a context at its first failed write.
type endingWriter struct {
	mu     sync.Mutex
	w      io.Writer
	cancel context.CancelCauseFunc
}

// Write never fails: the context says that it did, and its owner what it was about to do.
func (e *endingWriter) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.w.Write(p); err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		e.cancel(fmt.Errorf("nobody reads the output: %w", err))
	}
	return len(p), nil
}
