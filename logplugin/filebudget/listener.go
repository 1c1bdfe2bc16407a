package filebudget

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of a listener.
type Bounds struct {
	Name        string       // for the log
	Connections int          // open at once, at least 1; further ones wait in the backlog of the socket
	Spares      int          // files that are kept for Accept, for when the process has no others
	Log         *slog.Logger // nil means no log
}

// The pauses after an Accept that failed.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = 100 * time.Millisecond
)

// Bound returns l with these bounds. Its Accept fails only when the listener is closed: any other error, of which too
// many open files is the usual one, is tried again, with the spare files first. A connection must be closed by the
// caller: only then does its place become free.
func Bound(l net.Listener, b Bounds) net.Listener {
	if b.Log == nil {
		b.Log = slog.New(slog.DiscardHandler)
	}
	x := &bounded{Listener: l, bounds: b, places: make(chan struct{}, max(1, b.Connections)), closed: make(chan struct{})}
	x.refill()
	return x
}

// bounded is a listener with bounds.
type bounded struct {
	net.Listener
	bounds Bounds
	places chan struct{} // an element for each open connection, and one for an Accept that waits
	closed chan struct{}
	close  sync.Once

	mu     sync.Mutex
	spares []int // descriptors of nothing in particular
}

func (l *bounded) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	l.refill()
	pause, failed := firstPause, false
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			if failed {
				l.bounds.Log.Info("listener accepts connections again", "listener", l.bounds.Name)
			}
			return &connection{Conn: c, listener: l}, nil
		case errors.Is(err, net.ErrClosed):
			<-l.places
			return nil, err
		case errors.Is(err, unix.EMFILE) && l.release():
			continue // the spare file is a connection next, unless another part of the program is faster
		case !failed:
			failed = true
			l.bounds.Log.Error("cannot accept a connection, will retry", "listener", l.bounds.Name, "error", err)
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-l.closed: // the next Accept reports it
		}
		again.Stop()
		pause = min(2*pause, maxPause)
		l.refill()
	}
}

// Close closes the listener. Connections stay open.
func (l *bounded) Close() error {
	l.close.Do(func() {
		close(l.closed)
		for l.release() { // until there are none
		}
	})
	return l.Listener.Close()
}

// refill takes as many spare files as are missing, if there are any.
func (l *bounded) refill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return
	default:
	}
	for len(l.spares) < l.bounds.Spares {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return // tried again after the next connection
		}
		l.spares = append(l.spares, fd)
	}
}

// release gives up one spare file, and reports whether there was one.
func (l *bounded) release() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.spares)
	if n == 0 {
		return false
	}
	_ = unix.Close(l.spares[n-1])
	l.spares = l.spares[:n-1]
	return true
}

// connection is one that has a place.
type connection struct {
	net.Conn
	listener *bounded
	close    sync.Once
}

func (c *connection) Close() error {
	err := c.Conn.Close()
	c.close.Do(func() {
		c.listener.refill()
		<-c.listener.places
	})
	return err
}
