package router

import (
	"errors"
	"io"
	"sync"
)

// lent is a request body whose bytes belong to somebody else. net/http may still read a body after it has given the
// answer; once takeBack has returned it reads an error instead.
type lent struct {
	mu   sync.Mutex
	data []byte
	back bool
}

var errTakenBack = errors.New("the request is over")

func (l *lent) takeBack() {
	l.mu.Lock()
	l.data, l.back = nil, true
	l.mu.Unlock()
}

func (l *lent) reader() io.ReadCloser { return &lentReader{l: l} }

type lentReader struct {
	l   *lent
	off int
}

func (r *lentReader) Read(p []byte) (int, error) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	switch {
	case r.l.back:
		return 0, errTakenBack
	case r.off == len(r.l.data):
		return 0, io.EOF
	}
	n := copy(p, r.l.data[r.off:])
	r.off += n
	return n, nil
}

func (r *lentReader) Close() error { return nil }
