package router

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	socketWrite   = 64 << 10 // a write ends with a whole record as soon as it has this much
	groupRecords  = 64       // sent as datagrams without a pause: a receiver's buffer holds some hundred small ones
	groupBytes    = 64 << 10
	groupPause    = time.Millisecond
	maxDatagram   = 65_000 // UDP has room for 65,507
	largestOutput = 256 << 10
)

// socketMark says that the records before record are in the first wire bytes of a connection.
type socketMark struct {
	wire   int64
	record int
}

// stream writes the records, and waits until the other side has taken them.
func (u *socketUse) stream(b *Batch) *Error {
	s := u.s
	s.marks = s.marks[:0]
	for from := 0; from < b.Len(); {
		to := from + 1
		for to < b.Len() && b.Ends[to]-b.Start(from) <= socketWrite {
			to++
		}
		p := b.Body[b.Start(from):b.Ends[to-1]]
		if u.wires[u.index].Octets {
			p = s.counted(b, from, to)
		}
		if u.conn.isGone() {
			return u.failed(u.conn.err)
		}
		if err := u.write(p); err != nil {
			return u.failed(err)
		}
		s.marks = append(s.marks, socketMark{u.conn.raw.written.Load(), to})
		from = to
	}
	err := u.drained()
	if err == nil {
		err = u.outlives()
	}
	if err != nil {
		return u.failed(err)
	}
	return nil
}

// counted returns the records from to to-1 with their lengths before them, valid until the next call.
func (s *Socket) counted(b *Batch, from, to int) []byte {
	if cap(s.out) > largestOutput {
		s.out = nil
	}
	out := s.out[:0]
	for i := from; i < to; i++ {
		record := b.Body[b.Start(i):b.Ends[i]]
		out = append(strconv.AppendInt(out, int64(len(record)), 10), ' ')
		out = append(out, record...)
	}
	s.out = out
	return out
}

// taken returns how many records the other side's host has acknowledged, as far as that can be known.
func (u *socketUse) taken() int {
	n := u.safe
	if u.conn == nil || !u.conn.isStream() {
		return n
	}
	queued, err := u.conn.queued()
	if err != nil || queued > 0 && IsFile(u.conn.address.Scheme) { // the kernel counts its own bytes there
		return n
	}
	for _, m := range u.s.marks {
		if m.wire <= u.conn.raw.written.Load()-int64(queued) {
			n = m.record
		}
	}
	return n
}

// datagrams sends the records in groups. A group is safe when the network has not said otherwise after its pause; on a socket
// of this host when it was read.
func (u *socketUse) datagrams(b *Batch) *Error {
	inGroup, size := 0, 0
	for i := range b.Len() {
		if inGroup == 0 {
			if err := u.allow(); err != nil {
				return u.failed(err)
			}
		}
		record := b.Body[b.Start(i):b.Ends[i]]
		if err := u.datagram(record); err != nil {
			return u.failed(err)
		}
		inGroup++
		size += len(record)
		if inGroup < groupRecords && size < groupBytes && i+1 < b.Len() {
			continue
		}
		if err := u.settle(i+1 < b.Len()); err != nil {
			return u.failed(err)
		}
		u.safe, inGroup, size = i+1, 0, 0
	}
	return nil
}

func (u *socketUse) datagram(record []byte) error {
	if cut := u.wires[u.index].Datagram; cut != nil {
		return cut(record, u.conn.writeAll)
	}
	if len(record) > maxDatagram {
		head, mark := Cut(record, maxDatagram)
		u.s.out = append(append(u.s.out[:0], head...), mark...)
		record = u.s.out
	}
	return u.conn.writeAll(record)
}

// settle waits until what was sent is as safe as it can be. With pause more follows.
func (u *socketUse) settle(pause bool) error {
	if IsFile(u.conn.address.Scheme) {
		return u.drained()
	}
	if pause {
		timer := time.NewTimer(groupPause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-u.ctx.Done():
			return u.ctx.Err()
		}
	}
	return u.conn.pending()
}

// failed makes an error, tells the sources of certificates that were refused, and counts what need not be sent again.
func (u *socketUse) failed(err error) *Error {
	s := u.s
	e := &Error{Class: ClassRetry, Op: u.op, Bad: NoRecord, Err: err, Delivered: u.safe}
	redact := func(text string) string {
		var hosts []string
		for _, a := range u.addresses {
			if u.hidden {
				hosts = append(hosts, a.HostPort(), a.Host, a.Path)
			}
		}
		return u.values.Redact(s.config.List, text, hosts...)
	}
	class, cause, hint := TLSFault(err, s.config.TLS, u.hidden)
	switch {
	case class != "":
		e.Class, e.Cause, e.Hint, e.IsTLS = class, redact(cause), hint, true
		s.config.Options.Invalidate(u.values, s.config.TLS.Credentials()...) // it may have been rotated
	case errors.Is(err, errTalks):
		e.Class, e.Cause, e.Hint = ClassConfig, err.Error(), "check "+s.config.Form.Option
	case u.ctx.Err() != nil:
		e.Cause, e.Delivered = "stopped", u.taken()
	case errors.Is(err, os.ErrDeadlineExceeded) && u.conn != nil:
		e.Cause, e.TimedOut, e.Delivered = "the receiver takes nothing", true, u.taken()
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Cause, e.Hint = "cannot connect in time", "check "+s.config.Form.Option+", and that no firewall is in between"
	case errors.Is(err, unix.EPROTOTYPE):
		e.Class, e.Cause, e.Hint = ClassConfig, "the socket is of another type", "write unix:// for a stream socket, unixgram:// for a datagram socket"
	default:
		e.Cause = redact(ConnectionCause(err, u.hidden))
	}
	if u.hidden {
		e.Err = WithoutAddress(err)
	}
	return e
}
