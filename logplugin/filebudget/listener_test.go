package filebudget

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/filebudget/filebudgettest"
)

// scripted is a listener whose Accept returns what it is told to.
type scripted struct {
	net.Listener
	errs   []error
	closed chan struct{}
}

func (l *scripted) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		if err != nil {
			return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", err)}
		}
		c, _ := net.Pipe()
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *scripted) Close() error { close(l.closed); return nil }

// Any error but that of a closed listener passes.
func TestAcceptGoesOn(t *testing.T) {
	for _, tt := range []struct {
		name string
		errs []error
		logs int
	}{
		{"no error", nil, 0},
		{"too many open files", []error{unix.EMFILE, unix.EMFILE, unix.EMFILE, unix.EMFILE}, 2},
		{"one that a spare file helps against", []error{unix.EMFILE}, 0},
		{"of the host", []error{unix.ENFILE}, 2},
		{"memory", []error{unix.ENOMEM, unix.ENOBUFS}, 2},
		{"the peer", []error{unix.ECONNABORTED, unix.EPROTO, unix.EPERM}, 2},
		{"a disk's", []error{unix.EIO, unix.EINTR, unix.ENOSPC}, 2},
		{"for long", slicesOf(unix.EMFILE, 500), 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				s := &scripted{errs: append(tt.errs, nil), closed: make(chan struct{})}
				l := Bound(s, Bounds{Name: "test", Connections: 1, Spares: 2, Log: slog.New(slog.NewTextHandler(&log, nil))})
				c, err := l.Accept()
				if err != nil {
					t.Fatalf("Accept: %v", err)
				}
				if n := strings.Count(log.String(), "listener=test"); n != tt.logs {
					t.Errorf("%d lines in the log, want %d:\n%s", n, tt.logs, log.String())
				}
				_ = c.Close()
				_ = l.Close()
				if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Accept after Close: %v", err)
				}
			})
		})
	}
}

func slicesOf(err error, n int) (all []error) {
	for range n {
		all = append(all, err)
	}
	return all
}

// Who comes when all places are taken waits, and has one when another goes.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Bound(&scripted{errs: make([]error, 3), closed: make(chan struct{})}, Bounds{Connections: 2})
		accepted := make(chan net.Conn)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					close(accepted)
					return
				}
				accepted <- c
			}
		}()
		first, second := <-accepted, <-accepted
		synctest.Wait()
		select {
		case <-accepted:
			t.Error("a third connection has a place")
		default:
		}
		_ = first.Close()
		_ = first.Close() // gives no second place
		third := <-accepted
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, ok := <-accepted; ok {
			t.Error("a fourth connection has a place")
		}
		_, _ = second.Close(), third.Close()
	})
}

// When the process has no file left, a connection is accepted with a spare one, again and again.
func TestNoFileLeft(t *testing.T) {
	dir, err := os.MkdirTemp("", "fb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	u, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l := Bound(u, Bounds{Connections: 8, Spares: 2})
	defer l.Close()
	const calls = 20
	var clients [calls]int // made before there are no files
	for i := range clients {
		if clients[i], err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		limit := unix.NsecToTimeval(int64(10 * time.Second))
		if err := unix.SetsockoptTimeval(clients[i], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
			t.Fatal(err)
		}
	}
	filebudgettest.UseUp(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, io.LimitReader(c, 1))
			_ = c.Close()
		}
	}()
	for i, c := range clients {
		if err := unix.Connect(c, &unix.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		b := []byte{byte(i)}
		if _, err := unix.Write(c, b); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(c, b); n != 1 || err != nil {
			t.Fatalf("call %d has no answer: %d, %v", i, n, err)
		}
		// Left open: what it would give back is not for the server.
	}
	for _, c := range clients {
		_ = unix.Close(c)
	}
}
