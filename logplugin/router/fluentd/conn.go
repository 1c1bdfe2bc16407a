package fluentd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// conn is a connection that is ready for messages. One goroutine reads from it for its whole life, so that an end is
// seen before the next batch is written into it.
type conn struct {
	net.Conn
	keepalive bool
	gone      chan struct{} // the reader has ended; err says why
	err       error
	some      chan struct{} // holds one when there are acks that nobody has taken

	mu   sync.Mutex
	acks []string // chunks, as the receiver has acknowledged them
}

// maxAcks bounds the acknowledgements that wait to be taken: no batch has as many messages.
const maxAcks = 1 << 16

// errHello is a receiver that wants a handshake from a client that knows none.
var errHello = errors.New("the receiver asks for a shared key")

// dial connects and does all handshakes, each within its timeout and all within ctx.
func dial(ctx context.Context, t target, id identity, limits timing) (*conn, error) {
	d := net.Dialer{Timeout: limits.dial}
	raw, err := d.DialContext(ctx, t.network, t.address)
	if err != nil {
		return nil, err
	}
	stop := endWith(ctx, raw)
	defer stop()
	_ = raw.SetDeadline(time.Now().Add(limits.hello))
	c := &conn{Conn: raw, keepalive: true, gone: make(chan struct{}), some: make(chan struct{}, 1)}
	if t.tls != nil {
		secure := tls.Client(raw, t.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		c.Conn = secure
	}
	r := bufio.NewReader(c.Conn)
	if t.handshake {
		h, err := shake(c.Conn, r, id)
		if err != nil {
			_ = c.Conn.Close()
			return nil, err
		}
		c.keepalive = h.keepalive
	}
	_ = raw.SetDeadline(time.Time{})
	go c.read(r)
	if !t.handshake && !t.ack {
		c.awaitHello(ctx, limits.grace)
	}
	return c, nil
}

// endWith breaks every wait on c when ctx ends. The caller calls stop when it has done with ctx; c is of no use after
// ctx has ended.
func endWith(ctx context.Context, c net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
}

// read runs until the connection ends or the receiver says what it should not.
func (c *conn) read(r *bufio.Reader) {
	defer close(c.gone)
	for {
		v, err := readValue(r, 0)
		if err != nil {
			c.err = err
			return
		}
		if isHello(v) {
			c.err = errHello
			return
		}
		m, _ := v.(map[string]any)
		chunk, ok := m["ack"].(string)
		if !ok {
			c.err = errMsgpack
			return
		}
		c.mu.Lock()
		c.acks = append(c.acks, chunk) // never waits: a receiver that cannot answer stops reading
		n := len(c.acks)
		c.mu.Unlock()
		if n > maxAcks {
			c.err = errMsgpack
			return
		}
		select {
		case c.some <- struct{}{}:
		default:
		}
	}
}

// take returns what was acknowledged since the last call.
func (c *conn) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	acks := c.acks
	c.acks = nil
	return acks
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

// isGone tells whether the connection has ended, as far as is known.
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
