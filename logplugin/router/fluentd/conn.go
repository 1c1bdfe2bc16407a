package fluentd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// conn is a connection that is ready for messages. One goroutine reads from it for its whole life, so that an end is
// seen before the next batch is written into it.
type conn struct {
	net.Conn
	address   router.Address
	keepalive bool
	gone      chan struct{} // the reader has ended; err says why
	err       error
	some      chan struct{} // holds one when messages were acknowledged

	mu      sync.Mutex
	pending map[string]int // the messages that wait for their acknowledgement, by chunk
	acked   []int          // those that have it since the last call of take
	unasked int            // acknowledgements of what was not sent
}

// maxUnasked bounds the acknowledgements of what was not sent that a receiver may send on one connection. None is kept.
const maxUnasked = 100

var (
	errHello   = errors.New("the receiver asks for a shared key") // and the client has none
	errUnasked = fmt.Errorf("%w: it acknowledges what was not sent", errMsgpack)
)

// dial connects to one address of t and does all handshakes, each step of them within its timeout and all within ctx.
func dial(ctx context.Context, t target, a router.Address, id identity, limits timing) (*conn, error) {
	d := net.Dialer{Timeout: limits.dial}
	network, address := dialed(a)
	raw, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	stop := router.EndWith(ctx, raw)
	defer stop()
	c := &conn{Conn: raw, address: a, keepalive: true, gone: make(chan struct{}), some: make(chan struct{}, 1), pending: map[string]int{}}
	end := time.Now().Add(2 * limits.hello)
	step := func() { router.SetDeadline(ctx, raw, earlier(time.Now().Add(limits.hello), end)) }
	step()
	if a.Scheme == secureScheme {
		secure := tls.Client(raw, router.WithServerName(t.tls, address))
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		c.Conn = secure
	}
	r := bufio.NewReader(c.Conn)
	if t.handshake {
		h, err := shake(c.Conn, r, id, step)
		if err != nil {
			_ = c.Conn.Close()
			return nil, err
		}
		c.keepalive = h.keepalive
	}
	router.SetDeadline(ctx, raw, time.Time{})
	go c.read(r)
	if !t.handshake && !t.ack {
		c.awaitHello(ctx, limits.grace)
	}
	return c, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// read runs until the connection ends or the receiver sends what is not in the protocol.
func (c *conn) read(r *bufio.Reader) {
	defer close(c.gone)
	for c.err == nil {
		c.err = c.readAck(r)
	}
}

func (c *conn) readAck(r *bufio.Reader) error {
	v, err := readMessage(r, ofAck)
	if err != nil {
		return err
	}
	if isHello(v) {
		return errHello
	}
	m, _ := v.(map[string]any)
	chunk, ok := m["ack"].(string)
	if !ok {
		return errMsgpack
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	message, ok := c.pending[chunk]
	if !ok {
		if c.unasked++; c.unasked > maxUnasked {
			return errUnasked
		}
		return nil
	}
	delete(c.pending, chunk)
	c.acked = append(c.acked, message)
	select {
	case c.some <- struct{}{}:
	default:
	}
	return nil
}

// expect notes that the message with chunk is to be acknowledged.
func (c *conn) expect(chunk string, message int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[chunk] = message
}

// take returns the messages that were acknowledged since the last call, and how many are not yet.
func (c *conn) take() (acked []int, pending int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	acked, c.acked = c.acked, nil
	return acked, len(c.pending)
}

// awaitHello gives a receiver that wants a shared key the time to say so: without acknowledgement there would be no
// other sign that it throws away what it gets.
func (c *conn) awaitHello(ctx context.Context, grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.gone:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// isGone reports whether the connection has ended, as far as is known.
func (c *conn) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// shut closes the connection and waits for its reader.
func (c *conn) shut() {
	_ = c.SetDeadline(time.Now().Add(time.Second)) // TLS says goodbye when it closes
	_ = c.Close()
	<-c.gone
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
