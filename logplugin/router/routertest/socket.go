package routertest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/porttest"
)

// SocketOptions says how a SocketReceiver listens.
type SocketOptions struct {
	Network string // udp, tcp, unix or unixgram
	Address string // of net.Listen; "" means a port of 127.0.0.1
	TLS     *tls.Config
	Split   bufio.SplitFunc // tells the messages of a stream apart
	Buffer  int             // bytes of the kernel's buffer for what was not read yet; 0 means the system's default
}

// SocketFault is how a SocketReceiver misbehaves.
type SocketFault int

// The faults.
const (
	SocketWell  SocketFault = iota
	SocketHangs             // reads nothing
	SocketEnds              // closes each connection at once
	SocketAway              // does not listen
	SocketTalks             // sends without end
)

// SocketReceiver is a receiver of a protocol without answers, with faults.
type SocketReceiver struct {
	options SocketOptions
	address string
	port    *porttest.Reservation // nil if Address was given or it listens on a path

	mu       sync.Mutex
	changed  *sync.Cond
	fault    SocketFault
	listener net.Listener
	packets  net.PacketConn
	conns    map[net.Conn]bool
	accepted int
	buffer   int // of the last connection over TCP
	messages [][]byte
	holdAt   int           // after so many messages no more are taken; 0 means never
	held     chan struct{} // closed when that is so
	done     sync.WaitGroup
}

// StartSocket starts a receiver that ends with the test.
func StartSocket(t testing.TB, o SocketOptions) *SocketReceiver {
	t.Helper()
	s, err := ListenSocket(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// ListenSocket starts a receiver that ends with Close.
func ListenSocket(o SocketOptions) (*SocketReceiver, error) {
	s := &SocketReceiver{options: o, address: o.Address, conns: map[net.Conn]bool{}}
	s.changed = sync.NewCond(&s.mu)
	if o.Address == "" {
		var err error
		if s.port, err = porttest.Reserve(o.Network, "127.0.0.1"); err != nil {
			return nil, err
		}
		s.address = s.port.Address()
	}
	err := s.listen()
	return s, err
}

// Close ends the receiver and its connections.
func (s *SocketReceiver) Close() {
	s.Release()
	s.SetFault(SocketAway)
	s.done.Wait()
	_ = s.port.Close() // nothing depends on it
}

// Address is where it listens: HOST:PORT, or the path of the socket.
func (s *SocketReceiver) Address() string { return s.address }

func (s *SocketReceiver) listen() error {
	if s.options.Network == "udp" || s.options.Network == "unixgram" {
		p, err := s.listenPacket()
		if err != nil {
			return err
		}
		s.packets, s.address = p, p.LocalAddr().String()
		if c, ok := p.(syscall.Conn); ok && s.options.Buffer > 0 {
			if err := setBuffer(c, s.options.Buffer); err != nil {
				return err
			}
		}
		s.done.Go(func() { s.receive(p) })
		return nil
	}
	l, err := net.Listen(s.options.Network, s.address)
	if err != nil {
		return err
	}
	s.listener, s.address = l, l.Addr().String()
	s.done.Go(func() { s.accept(l) })
	return nil
}

func (s *SocketReceiver) listenPacket() (net.PacketConn, error) {
	if s.port != nil {
		return s.port.ListenPacket()
	}
	return net.ListenPacket(s.options.Network, s.address)
}

// SetFault changes what is wrong. Connections that there are do not outlive it.
func (s *SocketReceiver) SetFault(f SocketFault) {
	s.mu.Lock()
	was := s.fault
	s.fault = f
	s.changed.Broadcast()
	if f == SocketAway {
		if s.listener != nil {
			_ = s.listener.Close()
		}
		if s.packets != nil {
			_ = s.packets.Close()
			_ = os.Remove(s.address) // of a unixgram socket
		}
	}
	if f != was {
		s.cut()
	}
	s.mu.Unlock()
	if was == SocketAway && f != SocketAway {
		s.done.Wait()
		if err := s.listen(); err != nil {
			panic(err) // of a test
		}
	}
}

// Cut ends all connections, with a reset where bytes were not read.
func (s *SocketReceiver) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut()
}

func (s *SocketReceiver) cut() {
	for c := range s.conns {
		_ = c.Close()
	}
}

// HoldAfter has the receiver take n more messages, and then none, until Release: what its connections have sent besides stays where
// it is, in the buffers of the kernel. held is closed when the last of the n has come.
func (s *SocketReceiver) HoldAfter(n int) (held <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdAt, s.held = len(s.messages)+n, make(chan struct{})
	return s.held
}

// Release ends what HoldAfter has begun.
func (s *SocketReceiver) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdAt = 0
	s.changed.Broadcast()
}

// setBuffer gives a socket a buffer for what was not read yet, as root a larger one than the system allows others.
func setBuffer(c syscall.Conn, size int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size)
		}
	})
	return errors.Join(failed, err)
}

// readBuffer is what the kernel keeps at most for a socket of what was not read, 0 if it does not say.
func readBuffer(c syscall.Conn) (n int) {
	raw, err := c.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { n, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) })
	}
	return n
}

// Buffer is what the kernel keeps at most of the last connection's bytes that were not read.
func (s *SocketReceiver) Buffer() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buffer
}

// Messages returns what has arrived, in order.
func (s *SocketReceiver) Messages() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Accepted is how many connections were made.
func (s *SocketReceiver) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *SocketReceiver) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		size := 0
		if t, ok := c.(*net.TCPConn); ok {
			if s.options.Buffer > 0 {
				_ = t.SetReadBuffer(s.options.Buffer)
			}
			size = readBuffer(t)
		}
		s.mu.Lock()
		s.buffer = size
		s.accepted++
		s.conns[c] = true
		s.mu.Unlock()
		s.done.Go(func() { s.serve(c) })
	}
}

func (s *SocketReceiver) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	r := io.Reader(&gate{s, c})
	if s.options.TLS != nil {
		r = tls.Server(&gate{s, c}, s.options.TLS)
	}
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), 1<<20)
	scanner.Split(s.options.Split)
	for scanner.Scan() {
		s.add(scanner.Bytes())
	}
}

func (s *SocketReceiver) add(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.isFull() {
		s.changed.Wait()
	}
	s.messages = append(s.messages, slices.Clone(p))
	if s.isFull() {
		close(s.held)
	}
}

// isFull reports whether no more messages are taken. The lock is held.
func (s *SocketReceiver) isFull() bool { return s.holdAt > 0 && len(s.messages) >= s.holdAt }

func (s *SocketReceiver) receive(p net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		s.await(nil)
		s.add(buf[:n])
	}
}

// await returns when the receiver does not hang, with the fault that there is then.
func (s *SocketReceiver) await(c net.Conn) SocketFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.fault == SocketHangs && (c == nil || s.conns[c]) {
		s.changed.Wait()
	}
	return s.fault
}

// gate is a connection that obeys the fault before it reads.
type gate struct {
	s *SocketReceiver
	net.Conn
}

func (g *gate) Read(p []byte) (int, error) {
	switch g.s.await(g.Conn) {
	case SocketEnds, SocketAway:
		return 0, io.EOF
	case SocketTalks:
		for {
			if _, err := g.Write(make([]byte, 4<<10)); err != nil {
				return 0, err
			}
		}
	}
	return g.Conn.Read(p)
}
