// Command demo tells, with real parts, how docker pull works with no password on the host, and how containers' logs
// reach a collector with no token on it, and a container has a password in a file that no disk has: `make demo`.
//
// Each step says what it does and why, then shows the commands as they are typed and what they answer. A step that
// does not come out as it says ends the demo with exit status 1, so it is a test too. Everything is made below one
// temporary directory and taken away at the end, also after Ctrl-C.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/rig"
)

// The whole story, with a build that finds nothing in Go's cache. Taking down has time of its own.
const limit = 5 * time.Minute

func main() {
	ctx, out, stop := rig.Interruptible(os.Stdout)
	code := run(ctx, teller{w: out, bold: isTerminal(os.Stdout)}, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, out teller, stderr io.Writer) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(stderr, "demo: it starts a Docker daemon of its own; run it as root")
		return 1
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	h := &host{out: out}
	err := tell(ctx, h, story())
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "\ndemo: %v\ndemo: taking everything down\n", err)
	if err := errors.Join(h.takeDown()...); err != nil {
		fmt.Fprintf(stderr, "demo: %v\n", err)
	}
	return 1
}

// isTerminal reports whether w shows text to a person: only then is it made bold.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
