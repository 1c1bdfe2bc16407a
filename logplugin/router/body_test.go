package router

import (
	"errors"
	"io"
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

func TestRetryAfterDate(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	if got := retryAfter(now.Add(90*time.Second).UTC().Format(http.TimeFormat), now); got != 90*time.Second {
		t.Errorf("a date 90 s away: %v", got)
	}
}
