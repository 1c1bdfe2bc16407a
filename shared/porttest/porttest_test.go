package porttest

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A port without a listener refuses connections, and a listener can come, go and come back.
func TestTCP(t *testing.T) {
	address := Address(t)
	for range 3 {
		if c, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("Dial of a port where nothing listens = %v, %v, want a refusal", c, err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []interface{ Close() error }{l, server, client} { // the server's end first: it waits for stray packets
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestUDP(t *testing.T) {
	r, err := Reserve("udp", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	client, err := net.Dial("udp", r.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := client.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("the answer of a port where nothing listens = %v, want a refusal", err)
		}
		p, err := r.ListenPacket()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 9)
		if n, _, err := p.ReadFrom(got); err != nil || string(got[:n]) != "x" {
			t.Fatalf("ReadFrom = %q, %v, want x", got[:n], err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The kernel does not give a reserved port to an outgoing connection, even to one that may have no other.
func TestNobodyElse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			r, err := Reserve(network, "127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			d := net.Dialer{Control: from(netip.MustParseAddrPort(r.Address()))}
			if c, err := d.DialContext(t.Context(), network, l.Addr().String()); !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EAGAIN) &&
				!errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("a connection from %s, which is reserved: %v, %v, want that there is no port for it", r.Address(), c, err)
			}
			if err := errors.Join(r.Close(), r.Close()); err != nil {
				t.Fatal(err)
			}
			c, err := d.DialContext(t.Context(), network, l.Addr().String())
			if err != nil {
				t.Fatalf("a connection from %s, which is no longer reserved: %v", r.Address(), err)
			}
			_ = c.Close()
		})
	}
}

// from is for connections from one port.
func from(address netip.AddrPort) func(_, _ string, c syscall.RawConn) error {
	port := int(address.Port())
	return func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, port<<16|port)
			if errors.Is(err, unix.ENOPROTOOPT) { // before Linux 6.3
				err = unix.Bind(int(fd), &unix.SockaddrInet4{Port: port, Addr: address.Addr().As4()})
			}
		}), err)
	}
}
