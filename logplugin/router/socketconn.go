package router

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketConn is one connection. If it is a stream, a goroutine reads from it for its whole life, so that its end is seen
// before the next batch is written into it.
type socketConn struct {
	net.Conn
	address Address
	raw     *countedConn
	control syscall.RawConn
	made    time.Time
	inode   uint64        // of a socket in the file system
	gone    chan struct{} // the reader has ended; err says why
	err     error
}

// maxTalk bounds what a receiver may send: there is nothing that the protocol lets it say.
const maxTalk = 64 << 10

var errTalks = errors.New("the receiver sends data, and none is in the protocol")

// countedConn counts the bytes, and says when the first of the other side after the handshake have been understood: that is
// when more are asked for.
type countedConn struct {
	net.Conn
	written atomic.Int64
	awaits  atomic.Bool // the handshake is done
	came    bool        // bytes have come since; the reader's
	heard   chan struct{}
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

func (c *countedConn) Read(p []byte) (int, error) {
	if c.came && c.awaits.CompareAndSwap(true, false) {
		close(c.heard)
	}
	n, err := c.Conn.Read(p)
	c.came = c.came || n > 0 && c.awaits.Load()
	return n, err
}

// dial connects, and does the TLS handshake.
func (u *socketUse) dial() (*socketConn, error) {
	a, limits := u.addresses[u.index], u.s.timing
	network, address := a.Scheme, a.Path
	if !IsFile(network) {
		address = a.HostPort()
	}
	secure := network == u.s.config.Secure
	if secure {
		network = "tcp"
	}
	number := inode(a.Path)
	d := net.Dialer{Timeout: limits.dial}
	plain, err := d.DialContext(u.ctx, network, address)
	if err != nil {
		return nil, dialError(err)
	}
	c := &socketConn{address: a, made: time.Now(), inode: number, gone: make(chan struct{}), raw: &countedConn{Conn: plain, heard: make(chan struct{})}}
	c.Conn = c.raw
	if c.control, err = plain.(syscall.Conn).SyscallConn(); err != nil {
		_ = plain.Close()
		return nil, err
	}
	stop := EndWith(u.ctx, plain)
	defer stop()
	if secure {
		err := c.secure(u.ctx, WithServerName(u.receivers.tls, address), limits)
		return c, err
	}
	if c.isStream() {
		go c.read()
	}
	return c, nil
}

// dialError makes the dialer's own timeout one of os.
func dialError(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errors.Join(os.ErrDeadlineExceeded, err)
	}
	return err
}

// secure does the handshake, and waits for what the server says about the client: with TLS 1.3 it looks at the client's
// certificate after the client's handshake is done, and the first lines would be lost.
func (c *socketConn) secure(ctx context.Context, config *tls.Config, limits socketTiming) error {
	config, asked := withTickets(config)
	s := tls.Client(c.raw, config)
	SetDeadline(ctx, c.raw, time.Now().Add(limits.hello))
	if err := s.HandshakeContext(ctx); err != nil {
		_ = c.raw.Close()
		return err
	}
	SetDeadline(ctx, c.raw, time.Time{})
	c.Conn = s
	c.raw.awaits.Store(true)
	go c.read()
	if s.ConnectionState().Version < tls.VersionTLS13 || !*asked {
		return nil
	}
	timer := time.NewTimer(limits.heard)
	defer timer.Stop()
	select {
	case <-c.gone:
	case <-c.raw.heard: // a session ticket
	case <-timer.C:
	case <-ctx.Done():
	}
	if c.isGone() {
		c.shut(true)
		return c.err
	}
	return nil
}

// withTickets returns c for a client that takes session tickets. asked is true when the server has asked for a certificate.
func withTickets(c *tls.Config) (with *tls.Config, asked *bool) {
	with, asked = c.Clone(), new(bool)
	with.ClientSessionCache = noSessions{}
	with.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		*asked = true
		for i := range c.Certificates {
			if r.SupportsCertificate(&c.Certificates[i]) == nil {
				return &c.Certificates[i], nil
			}
		}
		return &tls.Certificate{}, nil // the server says what it thinks of none
	}
	return with, asked
}

// noSessions keeps no session, but with it a client says that it takes session tickets: a server that sends one has taken
// the client's certificate. To resume a session would keep a certificate in use that was rotated.
type noSessions struct{}

func (noSessions) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (noSessions) Put(string, *tls.ClientSessionState)        {}

// read runs until the connection ends.
func (c *socketConn) read() {
	defer close(c.gone)
	buf := make([]byte, 512)
	for total := 0; ; {
		n, err := c.Conn.Read(buf)
		if err != nil {
			c.err = err
			return
		}
		if total += n; total > maxTalk {
			c.err = errTalks
			return
		}
	}
}

func (c *socketConn) isStream() bool {
	return c.address.Scheme != "udp" && c.address.Scheme != "unixgram"
}

// isOld reports whether the name of a UDP receiver should be looked up again.
func (c *socketConn) isOld(refresh time.Duration) bool {
	return c.address.Scheme == "udp" && time.Since(c.made) > refresh
}

// isGone reports whether the connection has ended, as far as is known.
func (c *socketConn) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// shut closes the connection and waits for its reader.
func (c *socketConn) shut(abort bool) {
	if t, ok := c.raw.Conn.(*net.TCPConn); ok && abort {
		_ = t.SetLinger(0)
	}
	_ = c.SetDeadline(time.Now().Add(time.Second)) // TLS says goodbye when it closes
	_ = c.Close()
	if c.isStream() {
		<-c.gone
	}
}

// writeAll writes one datagram.
func (c *socketConn) writeAll(p []byte) error {
	_, err := c.Write(p)
	return err
}

// queued returns how many of the bytes that were written are still in this host's queue. Over TCP these are the bytes that the
// receiver's host has not acknowledged. On a unix socket they are the bytes that the receiver has not read, and the kernel adds
// a size of its own for each message: only 0 is exact.
func (c *socketConn) queued() (n int, err error) {
	failed := c.control.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n, errors.Join(failed, err)
}

// ended returns why the connection has ended, or nil when it has not. After the end queued returns 0, also for bytes that the
// receiver has never read, so call ended too before a batch counts as sent. It asks the kernel by itself, because the goroutine
// that reads may see the end later, and nothing can be read from a datagram socket.
func (c *socketConn) ended() error {
	if c.address.Scheme == "unixgram" {
		return c.replaced()
	}
	over := false
	failed := c.control.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		over = err == nil && n > 0
	})
	if !over || failed != nil {
		return failed
	}
	<-c.gone // the reader sees the same
	return c.err
}

// replaced returns an error when nobody reads from the datagram socket any more, or somebody from another of its name.
func (c *socketConn) replaced() error {
	now, err := net.Dial("unixgram", c.address.Path)
	if err != nil {
		return err
	}
	_ = now.Close()
	if inode(c.address.Path) != c.inode {
		return net.ErrClosed
	}
	return nil
}

// inode returns that of a file, 0 when there is none.
func inode(path string) uint64 {
	var s unix.Stat_t
	if unix.Stat(path, &s) != nil {
		return 0
	}
	return s.Ino
}

// pending returns what the network has said about datagrams that were sent.
func (c *socketConn) pending() (err error) {
	failed := c.control.Control(func(fd uintptr) {
		var n int
		if n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && n != 0 {
			err = &net.OpError{Op: "write", Net: "udp", Err: os.NewSyscallError("write", syscall.Errno(n))}
		}
	})
	return errors.Join(failed, err)
}
