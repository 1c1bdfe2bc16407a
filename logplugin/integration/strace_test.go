//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// injected is a prefix that makes system calls of the driver fail, as strace -e inject says. The driver stays this test's
// child (-D). strace counts the calls of each thread by itself.
func injected(t *testing.T, inject string) (prefix []string, trace string) {
	t.Helper()
	needs(t, "strace")
	trace = filepath.Join(t.TempDir(), "trace")
	return []string{"strace", "-D", "-f", "-qqq", "-o", trace, "-e", "trace=" + strings.SplitN(inject, ":", 2)[0], "-e", "inject=" + inject}, trace
}

// Errors of the moment, at the calls on which the driver depends, cost no line and no answer of the daemon.
func TestInjectedErrors(t *testing.T) {
	for i, tt := range []struct{ name, inject string }{
		{"accept: too many open files", "accept4:error=EMFILE:when=1..40+2"},
		{"accept: interrupted", "accept4:error=EINTR:when=1+3"},
		{"write: no space", "pwrite64:error=ENOSPC:when=3+4"},
		{"write: input/output error", "pwrite64:error=EIO:when=2+5"},
		{"splice: no space", "splice:error=ENOSPC:when=5..200+3"},
		{"splice: interrupted", "splice:error=EINTR:when=1+3"},
		{"read: interrupted", "pread64:error=EINTR:when=1+4"},
		{"rename: input/output error", "renameat:error=EIO:when=1..6+2"},
		{"socket: too many open files", "socket:error=EMFILE:when=2+2"},
		{"open: too many open files", "openat:error=EMFILE:when=6..60+3"},
		{"open: too many open files on the host", "openat:error=ENFILE:when=6..60+4"},
		{"open: input/output error", "openat:error=EIO:when=7..60+3"},
		{"open: no memory", "openat:error=ENOMEM:when=6..60+4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			prefix, trace := injected(t, tt.inject)
			w := newWorld(t, worldOptions{prefix: prefix})
			f := newFakes(w)
			for c := range 5 {
				_, refused := f.start(fmt.Sprintf("inj%02d-%d", i, c))
				for try := 0; strings.Contains(refused, "open the container's log") && try < 3; try++ {
					_, refused = f.start(fmt.Sprintf("inj%02d-%d-%d", i, c, try)) // a new container may be refused, and is started again
				}
				if refused != "" {
					t.Fatalf("container %d is refused: %s", c, refused)
				}
			}
			for range 20 {
				f.write(50)
				pause(t, 20*time.Millisecond)
			}
			f.arrived(time.Minute)
			until(t, 20*time.Second, "the state on disk", func() bool {
				names, err := filepath.Glob(w.state + "/sessions/*.json")
				return err == nil && len(names) == len(f.all)
			})
			w.end(syscall.SIGKILL)
			f.write(50)
			w.start()
			f.write(50)
			f.arrived(time.Minute)
			f.stop()
			if f.slowest > 5*time.Second {
				t.Errorf("the slowest call of the daemon took %v", f.slowest)
			}
			w.gone()
			if text, err := os.ReadFile(trace); err != nil || !strings.Contains(string(text), "(INJECTED)") {
				t.Errorf("nothing was injected (%v)", err)
			}
		})
	}
}
