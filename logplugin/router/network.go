package router

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// longPast breaks every wait at once.
var longPast = time.Unix(1, 0)

// EndWith breaks every wait on c when ctx ends. The caller calls stop when it has done with ctx; c is of no use after
// ctx has ended.
func EndWith(ctx context.Context, c net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(longPast) })
}

// SetDeadline sets the deadline of c to at, unless ctx has ended: see EndWith.
func SetDeadline(ctx context.Context, c net.Conn, at time.Time) {
	_ = c.SetDeadline(at)
	if ctx.Err() != nil {
		_ = c.SetDeadline(longPast)
	}
}

// WithServerName returns c with the host of address as the name of the server, unless it has another.
func WithServerName(c *tls.Config, address string) *tls.Config {
	if c.ServerName == "" {
		c = c.Clone()
		c.ServerName, _, _ = net.SplitHostPort(address)
	}
	return c
}

// ConnectionCause is NetworkCause for a connection that has no answers: its end is a cause.
func ConnectionCause(err error, hidden bool) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return "the receiver closed the connection"
	}
	return NetworkCause(err, hidden)
}

// WithoutAddress returns what programs may ask of err, and nothing with an address in it. more are errors without one.
func WithoutAddress(err error, more ...error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	for _, known := range append([]error{context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded, io.EOF}, more...) {
		if errors.Is(err, known) {
			return known
		}
	}
	return nil
}
