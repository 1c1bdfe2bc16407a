package dockerplugin

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// latePause is the time between two tries to listen.
const latePause = 250 * time.Millisecond

// passing are errors of the moment: the disk, memory and files come back.
var passing = []error{
	unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.EINTR, unix.EAGAIN, unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EROFS,
}

// ListenLate is Listen, but for errors of the moment: then the listener is returned all the same, and listens as soon as
// it can. Containers' logs want to be read meanwhile.
func ListenLate(path string, log *slog.Logger) (net.Listener, error) {
	return listenLate(path, log, Listen)
}

func listenLate(path string, log *slog.Logger, listen func(string) (net.Listener, error)) (net.Listener, error) {
	l, err := listen(path)
	for _, e := range passing {
		if errors.Is(err, e) {
			log.Error("cannot listen, will retry", "listener", "daemon", "error", err)
			return &late{path: path, log: log, listen: listen}, nil
		}
	}
	return l, err
}

// late is a listener that listens once it can.
type late struct {
	path   string
	log    *slog.Logger
	listen func(string) (net.Listener, error)

	mu       sync.Mutex
	opened   net.Listener // nil means not yet
	closed   bool
	deadline time.Time
}

// Accept tries to listen until it can, and then waits for a connection.
func (l *late) Accept() (net.Conn, error) {
	again := time.NewTicker(latePause)
	defer again.Stop()
	for {
		opened, err := l.try()
		if err != nil {
			return nil, err
		}
		if opened != nil {
			return opened.Accept()
		}
		<-again.C
	}
}

// try returns the listener, nil if there is none yet, or why there will be none.
func (l *late) try() (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, net.ErrClosed
	case l.opened != nil:
		return l.opened, nil
	case !l.deadline.IsZero() && !time.Now().Before(l.deadline):
		return nil, os.ErrDeadlineExceeded
	}
	opened, err := l.listen(l.path)
	if err != nil {
		return nil, nil // the log has its first error
	}
	l.log.Info("listens now", "listener", "daemon")
	l.opened = opened
	return opened, nil
}

// SetDeadline is for Lend.
func (l *late) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
	if d, ok := l.opened.(interface{ SetDeadline(time.Time) error }); ok {
		return d.SetDeadline(t)
	}
	return nil
}

// Close ends Accept.
func (l *late) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.opened == nil {
		return nil
	}
	return l.opened.Close()
}

// Addr is the path.
func (l *late) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }
