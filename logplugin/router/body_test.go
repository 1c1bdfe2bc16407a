package router

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestLent(t *testing.T) {
	l := &lent{data: [][]byte{[]byte("01"), nil, []byte("23456789"), nil}}
	r, other := l.reader(), l.reader()
	p := make([]byte, 4)
	if n, err := r.Read(p); n != 4 || err != nil || string(p) != "0123" {
		t.Errorf("Read = %d, %v, %q", n, err, p)
	}
	if all, err := io.ReadAll(other); string(all) != "0123456789" || err != nil {
		t.Errorf("the second reader gives %q, %v", all, err)
	}
	l.takeBack()
	if n, err := r.Read(p); n != 0 || !errors.Is(err, errTakenBack) {
		t.Errorf("after takeBack: Read = %d, %v", n, err)
	}
}

// writes is a connection that counts what is written to it.
type writes struct {
	net.Conn
	calls, bytes int
}

func (w *writes) Write(p []byte) (int, error) {
	w.calls, w.bytes = w.calls+1, w.bytes+len(p)
	return len(p), nil
}

// A body costs few writes.
func TestCopyingWritesLargePieces(t *testing.T) {
	const size = 1 << 20
	w, l := &writes{}, &lent{data: [][]byte{make([]byte, size)}}
	if n, err := (copying{w}).ReadFrom(l.reader()); n != size || err != nil || w.bytes != size {
		t.Fatalf("ReadFrom = %d, %v, and %d bytes are written; want %d", n, err, w.bytes, size)
	}
	if want := 4; w.calls > want {
		t.Errorf("%d bytes take %d writes, want at most %d", size, w.calls, want)
	}
}

func TestRetryAfterDate(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	if got := retryAfter(now.Add(90*time.Second).UTC().Format(http.TimeFormat), now); got != 90*time.Second {
		t.Errorf("a date 90 s away: %v", got)
	}
}
