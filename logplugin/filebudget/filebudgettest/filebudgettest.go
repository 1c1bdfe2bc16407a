// Package filebudgettest takes all files of a test's process, to see what goes on without any.
package filebudgettest

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// UseUp lowers the limit of open files and opens files until there are none left. They come back with the end of the
// test, which must not run beside another.
func UseUp(t *testing.T) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 256, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var all []int
	t.Cleanup(func() {
		for _, fd := range all {
			_ = unix.Close(fd)
		}
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	})
	for {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if errors.Is(err, unix.EMFILE) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fd)
	}
}
