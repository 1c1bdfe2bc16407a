package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// NetNSOptions has nothing to choose.
type NetNSOptions struct{}

// NetNS is a network namespace with loopback up. It has no name under /run/netns but lives as long as this process
// holds it open, so that a test that dies leaves nothing behind, interfaces included.
type NetNS struct{ f *os.File }

// StartNetNS makes a namespace.
func StartNetNS(ctx context.Context, _ NetNSOptions) (*NetNS, error) {
	n := &NetNS{}
	err := onOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		n.f, err = os.Open(threadNetNS)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := n.Run(ctx, Cmd{Args: []string{"ip", "link", "set", "lo", "up"}}); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

const threadNetNS = "/proc/thread-self/ns/net"

// onOwnThread calls f on a thread that nobody else uses meanwhile, and brings the thread back to its network namespace.
func onOwnThread(f func() error) error {
	err := errors.New("the function has not returned; t.Fatal must not be called in it")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // not unlocked when the way back fails: the thread then ends with the goroutine
		home, openErr := os.Open(threadNetNS)
		if openErr != nil {
			err = openErr
			return
		}
		defer home.Close()
		defer func() {
			if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
				err = errors.Join(err, fmt.Errorf("leave network namespace: %w", back))
				return
			}
			runtime.UnlockOSThread()
		}()
		err = f()
	}()
	<-done
	return err
}

// Path names the namespace for `ip link set … netns PATH` and `nsenter --net=PATH`, while this process lives.
func (n *NetNS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.f.Fd()) }

// Do calls f with its thread in the namespace. Sockets that f opens in its own goroutine, and programs that it starts,
// belong to the namespace for good. A name that f looks up may be asked for from outside: use addresses.
func (n *NetNS) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(n.f.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// Run runs c in the namespace.
func (n *NetNS) Run(ctx context.Context, c Cmd) (r Result, err error) {
	err = n.Do(func() error {
		r, err = c.Run(ctx)
		return err
	})
	return r, err
}

// Connect joins n to peer, or to the host when peer is nil, by a pair of interfaces with the given addresses, such as
// 10.99.1.1/24 and 10.99.1.2/24. The pair ends with either namespace.
func (n *NetNS) Connect(ctx context.Context, addr string, peer *NetNS, peerAddr string) error {
	name, peerName := uniqueName("srve-"), uniqueName("srve-")
	add := []string{"ip", "link", "add", name, "netns", n.Path(), "type", "veth", "peer", "name", peerName}
	run := func(ctx context.Context, c Cmd) (Result, error) { return c.Run(ctx) }
	if peer != nil {
		add = append(add, "netns", peer.Path())
		run = peer.Run
	}
	if _, err := (Cmd{Args: add}).Run(ctx); err != nil {
		return err
	}
	return errors.Join(configure(ctx, n.Run, name, addr), configure(ctx, run, peerName, peerAddr))
}

func configure(ctx context.Context, run func(context.Context, Cmd) (Result, error), name, addr string) error {
	_, err := run(ctx, Cmd{Args: []string{"ip", "addr", "add", addr, "dev", name}})
	_, err2 := run(ctx, Cmd{Args: []string{"ip", "link", "set", name, "up"}})
	return errors.Join(err, err2)
}

// Log returns the namespace's interfaces and routes.
func (n *NetNS) Log() string {
	ctx := context.Background() // Cmd has a deadline of its own
	addr, _ := n.Run(ctx, Cmd{Args: []string{"ip", "addr"}})
	route, _ := n.Run(ctx, Cmd{Args: []string{"ip", "route"}})
	return addr.Output + route.Output
}

// Stop lets go of the namespace. It ends, with its interfaces, once no socket and no process is in it.
func (n *NetNS) Stop() error {
	if err := n.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
