package fluentd

import (
	"context"
	"errors"
	"net"

	"os"

	"github.com/secretref/secretref/logplugin/router"
)

// failed makes an error, tells the sources of credentials that were refused, and counts what was acknowledged.
func (s *sending) failed(err error) *router.Error {
	e := &router.Error{Class: router.ClassRetry, Op: s.op, Bad: router.NoRecord, Err: err}
	if s.conn != nil {
		s.takeAcks()
	}
	for i, ok := range s.acked {
		if !ok {
			break
		}
		e.Delivered = s.ends[i]
	}
	var no *refusal
	class, cause, hint := router.TLSFault(err, tlsNames, s.target.hidden)
	switch {
	case class != "":
		e.Class, e.Cause, e.Hint = class, s.redact(cause), hint
		s.r.options.Invalidate(s.values, tlsNames.Credentials()...) // it may have been rotated
	case errors.As(err, &no):
		e.Cause, e.Hint = no.cause, no.hint
		if e.Class = router.ClassConfig; !no.config {
			e.Class = router.ClassCredentials
			s.r.options.Invalidate(s.values, credentials...)
		}
	case errors.Is(err, errHello):
		e.Class, e.Cause, e.Hint = router.ClassConfig, err.Error(), "set fluentd-shared-key"
	case errors.Is(err, errMsgpack):
		e.Class, e.Cause, e.Hint = router.ClassConfig, err.Error(), "check fluentd-address"
	case s.ctx.Err() != nil:
		e.Cause = "stopped"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		s.timedOut(e, err)
	default:
		e.Cause = router.ConnectionCause(err, s.target.hidden)
	}
	if s.target.hidden {
		e.Err = router.WithoutAddress(err, errMsgpack, errHello)
	}
	return e
}

// redact takes the destination's secrets and more out of a text, and addresses that came by reference with them.
func (s *sending) redact(text string, more ...string) string {
	for _, a := range s.target.addresses {
		if s.target.hidden {
			more = append(more, a.HostPort(), a.Host, a.Path)
		}
	}
	return s.values.Redact(options, text, more...)
}

// timedOut explains that the receiver had nothing to say in its time.
func (s *sending) timedOut(e *router.Error, err error) {
	var op *net.OpError
	e.TimedOut = s.conn != nil
	switch {
	case s.conn != nil && s.target.ack:
		e.Cause = "the receiver has not acknowledged the batch in time"
	case s.conn != nil:
		e.Cause = "no answer in time"
	case errors.As(err, &op) && op.Op == "dial":
		e.Cause, e.Hint = "cannot connect in time", "check fluentd-address, and that no firewall is in between"
	case s.target.handshake:
		e.Cause, e.Hint = "the receiver did not finish the handshake in time", "if it has no shared key, leave fluentd-shared-key out"
	default:
		e.Cause = "the receiver did not finish the TLS handshake in time"
	}
}
