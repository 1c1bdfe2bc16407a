// Package fifo is the reading end of the FIFOs into which the Docker daemon writes the logs of containers: opening and
// removing them, waiting for what comes, and the size of their buffers in the kernel.
//
// Use Open for the file, a Poller to wait for many of them, and Pipes to let busy ones have larger buffers. An error of
// Open for which IsGone is false passes (there are too few files, for instance): the FIFO is still there, and must be
// read, or its container hangs.
package fifo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrNotFIFO says that a file is something else.
var ErrNotFIFO = errors.New("it is not a FIFO")

// Open opens the reading end of a FIFO, without waiting for a writer.
//
// The runtime's own poller does not know the file: that one is woken by each write into a pipe that it knows, whether
// a reader waits for it or not, and the daemon makes one write for each line. With it the wake-ups take more time than
// everything else that is done for a line, from the container as well.
func Open(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFIFO {
		err = ErrNotFIFO
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	// NewFile shows a file to the poller if it does not block at that moment.
	_ = unix.SetNonblock(fd, false)
	f := os.NewFile(uintptr(fd), path)
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// IsGone reports whether an error of Open says that there is no such FIFO. After every other error it may be there, and
// Open may succeed later.
func IsGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotFIFO) }

// IsEmpty reports whether there is nothing to read in an open FIFO. False if that cannot be found out.
func IsEmpty(f *os.File) bool {
	n, err := unread(f)
	return n == 0 && err == nil
}

// Unread returns how many bytes lie in an open FIFO, 0 if that cannot be found out.
func Unread(f *os.File) int {
	n, _ := unread(f)
	return n
}

func unread(f *os.File) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n, errors.Join(err, failed)
}

// Remove removes the FIFO at path, and nothing that is not a FIFO. That there is none is not an error.
func Remove(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !filepath.IsAbs(path) || info.Mode().Type() != fs.ModeNamedPipe:
		return &os.PathError{Op: "remove", Path: path, Err: ErrNotFIFO}
	}
	return os.Remove(path)
}
