package dockerplugin

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A listener that cannot be made at the moment is made later, and answers; one that can never be is an error at once.
func TestListenLate(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, tt := range map[string]struct {
		err  error
		late bool
	}{
		"full disk":           {&os.PathError{Op: "mkdir", Path: "/run/docker", Err: unix.ENOSPC}, true},
		"no file":             {&net.OpError{Op: "listen", Err: os.NewSyscallError("socket", unix.EMFILE)}, true},
		"read-only":           {&os.LinkError{Op: "rename", Err: unix.EROFS}, true},
		"another process":     {errors.New("another process does"), false},
		"nobody may":          {&os.PathError{Op: "mkdir", Path: "/x", Err: unix.EACCES}, false},
		"no such address":     {&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", unix.EINVAL)}, false},
		"nothing is the case": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(socketDir(t), "p.sock")
			failures := 2
			l, err := listenLate(path, log, func(path string) (net.Listener, error) {
				if failures--; failures >= 0 && tt.err != nil {
					return nil, tt.err
				}
				return Listen(path)
			})
			if tt.err != nil && !tt.late {
				if !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, isLate := l.(*late); isLate != tt.late || l.Addr().String() != path {
				t.Errorf("listener %T at %s, want it late: %v", l, l.Addr(), tt.late)
			}
			for range 2 { // lent once, and again
				lent := Lend(l)
				accepted := make(chan error, 1)
				go func() {
					c, err := lent.Accept()
					if err == nil {
						_ = c.Close()
					}
					accepted <- err
				}()
				waitSocket(t, path)
				if err := <-accepted; err != nil {
					t.Errorf("Accept: %v", err)
				}
				_ = lent.Close()
				if _, err := lent.Accept(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Accept after Close: %v", err)
				}
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept of a listener that is closed: %v", err)
			}
		})
	}
}

// What ends before it could listen ends at once.
func TestLateIsClosed(t *testing.T) {
	l, err := listenLate("/x/p.sock", slog.New(slog.DiscardHandler), func(string) (net.Listener, error) { return nil, unix.EIO })
	if err != nil {
		t.Fatal(err)
	}
	lent := Lend(l)
	accepted := make(chan error, 1)
	go func() { _, err := lent.Accept(); accepted <- err }()
	_ = lent.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of one that was lent: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
