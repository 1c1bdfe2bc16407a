// Package porttest reserves ports for tests. Use it where a test needs an address before something listens there, where nothing is to
// listen, or where a receiver ends and comes back. Without a reservation the port can go to an outgoing connection meanwhile: these
// take their ports from the same range.
//
// A reserved port refuses connections until a program listens on it. Programs that set SO_REUSEADDR can do so, one after the other,
// as net.Listen and most servers do; the kernel gives the port to nothing else.
package porttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Reservation is a port that stays reserved until Close.
type Reservation struct {
	address netip.AddrPort
	socket  *os.File // is bound and does not listen
}

// Reserve reserves a port of host, an IPv4 address, for network, which is tcp or udp.
func Reserve(network, host string) (*Reservation, error) {
	kind := unix.SOCK_STREAM
	if network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	r := &Reservation{socket: os.NewFile(uintptr(fd), "port")}
	port, err := bind(fd, ip, network)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reserve a port of %s: %w", host, err), r.Close())
	}
	r.address = netip.AddrPortFrom(ip, port)
	return r, nil
}

func bind(fd int, ip netip.Addr, network string) (uint16, error) {
	if err := reuse(fd); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: ip.As4()}); err != nil {
		return 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	at, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("unexpected address %T", name)
	}
	if network == "udp" {
		// A socket with a peer takes packets of the peer alone, and the peer is this socket. The kernel refuses all others.
		return uint16(at.Port), unix.Connect(fd, at)
	}
	return uint16(at.Port), nil
}

func reuse(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }

// Address is HOST:PORT.
func (r *Reservation) Address() string { return r.address.String() }

// ListenPacket listens on a reserved port for UDP. For TCP, use net.Listen.
func (r *Reservation) ListenPacket() (net.PacketConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) { err = reuse(int(fd)) }), err)
	}}
	return config.ListenPacket(context.Background(), "udp", r.Address())
}

// Close gives the port back. A second Close does nothing, nor does one of a nil Reservation.
func (r *Reservation) Close() error {
	if r == nil {
		return nil
	}
	if err := r.socket.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Address reserves a port of 127.0.0.1 for TCP until the test ends, and returns HOST:PORT.
func Address(t testing.TB) string {
	t.Helper()
	r, err := Reserve("tcp", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r.Address()
}
