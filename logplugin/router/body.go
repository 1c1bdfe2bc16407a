package router

import (
	"errors"
	"io"
	"net"
	"sync"
)

// lent is a request body whose bytes belong to somebody else. net/http may still read a body after it has given the
// answer; once takeBack has returned it reads an error instead.
type lent struct {
	mu   sync.Mutex
	data [][]byte // one after the other
	back bool
}

var errTakenBack = errors.New("the request is over")

func (l *lent) takeBack() {
	l.mu.Lock()
	l.data, l.back = nil, true
	l.mu.Unlock()
}

func (l *lent) len() (n int) {
	for _, p := range l.data {
		n += len(p)
	}
	return n
}

func (l *lent) reader() io.ReadCloser { return &lentReader{l: l} }

type lentReader struct {
	l    *lent
	part int // of data
	off  int // in that part
}

func (r *lentReader) Read(p []byte) (n int, err error) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.l.back {
		return 0, errTakenBack
	}
	for n < len(p) && r.part < len(r.l.data) {
		part := r.l.data[r.part]
		copied := copy(p[n:], part[r.off:])
		n, r.off = n+copied, r.off+copied
		if r.off == len(part) {
			r.part, r.off = r.part+1, 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *lentReader) Close() error { return nil }

// copying is a connection to which a body is copied with memory that is used again. That of package net takes 32 KiB for
// each body.
type copying struct{ net.Conn }

// copyBytes are written at once: each write wakes the receiver's side, so that with 64 KiB a body costs a tenth more.
const copyBytes = 256 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBytes]byte) }}

// ReadFrom implements io.ReaderFrom.
func (c copying) ReadFrom(r io.Reader) (int64, error) {
	buf, _ := copyBuffers.Get().(*[copyBytes]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c.Conn}, r, buf[:])
}
