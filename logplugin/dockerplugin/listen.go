package dockerplugin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// firstFD is the first file that systemd passes, see sd_listen_fds(3).
const firstFD = 3

// The socket units of volumes and of secretref-runtime; the socket of any other unit is that of the log driver.
const (
	VolumesUnit = "secretref-files.socket"
	RuntimeUnit = "secretref-runtime.socket"
)

// Sockets are those that systemd has passed; nil means that there is none.
type Sockets struct{ Logs, Volumes, Runtime net.Listener }

// Passed returns the sockets that systemd has passed to this process. Call it once, early: it takes the variables
// LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment.
func Passed() (Sockets, error) {
	var s Sockets
	pid, fds, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name) // fails for malformed names only
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return s, nil // none, or meant for the process that started this one
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 1 || n > 3 {
		return s, fmt.Errorf("systemd passes %q sockets, and one each for logs, volumes and secretref-runtime are wanted; check the ListenStream lines of the socket units", fds)
	}
	for i := range n {
		to, what := &s.Logs, "logs"
		if i < len(names) {
			switch names[i] {
			case VolumesUnit:
				to, what = &s.Volumes, "volumes"
			case RuntimeUnit:
				to, what = &s.Runtime, "secretref-runtime"
			}
		}
		l, err := passed(firstFD + i)
		if err == nil && *to != nil {
			err = errors.Join(fmt.Errorf("systemd passes two sockets for %s, and only one is wanted; check the ListenStream lines of the socket units", what), l.Close())
		}
		if err != nil {
			return Sockets{}, errors.Join(err, s.close())
		}
		*to = l
	}
	return s, nil
}

func (s Sockets) close() (err error) {
	for _, l := range []net.Listener{s.Logs, s.Volumes, s.Runtime} {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}

// passed returns the socket that is file fd.
func passed(fd int) (net.Listener, error) {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "systemd socket") //nolint:gosec // 3 to 5
	defer f.Close()                                // FileListener works on a copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("file %d, which systemd passes, is not a listening socket: %w", fd, err)
	}
	if _, ok := l.(*net.UnixListener); !ok {
		return nil, errors.Join(fmt.Errorf("systemd passes a socket of %s, and a unix socket is wanted", l.Addr().Network()), l.Close())
	}
	return l, nil
}

// Listen returns a socket at path. It is for the caller's user alone (0600). Missing directories above are made as the
// daemon makes them (0700). A socket that is left over from a process that has ended is replaced; one that somebody answers
// on, and anything that is not a socket, is an error. Closing the listener removes the file, unless another has taken its place.
func Listen(path string) (net.Listener, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("listen on %q: the path does not begin with a slash", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := checkUnused(path); err != nil {
		return nil, err
	}
	return listen(path)
}

// checkUnused returns an error if no socket can be made at path.
func checkUnused(path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("listen on %s: there is something that is not a socket; remove it", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("listen on %s: another process does; end it first", path)
	case errors.Is(err, unix.ECONNREFUSED):
		return nil
	}
	return fmt.Errorf("listen on %s: a socket is there, and whether it is in use cannot be told: %w", path, err)
}

// listen makes the socket under another name and renames it once it is closed to others, so that nobody ever finds it
// open, or finds none where one was.
func listen(path string) (net.Listener, error) {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(temp, 0o600)
	if err == nil {
		err = os.Rename(temp, path)
	}
	var st os.FileInfo
	if err == nil {
		st, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), os.RemoveAll(temp))
	}
	return &listener{UnixListener: l, path: path, file: st}, nil
}

// listener is a socket that takes its file away.
type listener struct {
	*net.UnixListener
	path string
	file os.FileInfo
}

// Addr returns the path of the file: the socket itself knows only the name under which it was made.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close closes the socket and removes its file.
func (l *listener) Close() error {
	if st, err := os.Lstat(l.path); err == nil && os.SameFile(st, l.file) {
		_ = os.Remove(l.path) // what stays is found stale by the next process
	}
	return l.UnixListener.Close()
}

// Lend returns a listener on l that can be closed while l stays open, for the next Server. Who connects meanwhile waits.
// One is lent at a time.
func Lend(l net.Listener) net.Listener {
	x := &lent{Listener: l}
	x.deadline(time.Time{})
	return x
}

// lent is a listener of which another is the owner.
type lent struct {
	net.Listener
	closed atomic.Bool
}

func (l *lent) deadline(t time.Time) {
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(t) // a listener that is closed has no use for one
	}
}

// Accept returns a connection, net.ErrClosed after Close, or the owner's error.
func (l *lent) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil && l.closed.Load() {
		return nil, net.ErrClosed
	}
	return c, err
}

// Close ends Accept.
func (l *lent) Close() error {
	l.closed.Store(true)
	l.deadline(time.Unix(1, 0)) // long ago: who waits in Accept has an error now
	return nil
}
