package splunk

import (
	"io"
	"net"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// TestEarlyAnswer plays a receiver that answers before it has read the batch, and reads on afterwards. The bytes are the
// caller's again when Send returns: what the receiver still gets must not be what the caller writes then. With -race
// the reader itself is found.
func TestEarlyAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	returned, late := make(chan struct{}), make(chan int, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			late <- -1
			return
		}
		defer c.Close()
		buf := make([]byte, 64<<10)
		_, _ = c.Read(buf)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
		<-returned
		n := 0
		for {
			size, err := c.Read(buf)
			for _, b := range buf[:size] {
				if b == 'X' {
					n++
				}
			}
			if err != nil {
				late <- n
				return
			}
		}
	}()
	config, err := Kind().New(router.Options{Plain: map[string]string{"splunk-url": "http://" + l.Addr().String(), "splunk-token": "t"}})
	if err != nil {
		t.Fatal(err)
	}
	r := config.Router()
	e, err := config.Encoder(t.Context(), router.Session{})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := routertest.Batch([]router.Encoder{e}, 300_000)
	err = r.Send(t.Context(), b)
	for i := range b.Body {
		b.Body[i] = 'X'
	}
	close(returned)
	if router.ClassOf(err) != router.ClassTooLarge {
		t.Errorf("%v, want class too_large", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if n := <-late; n != 0 {
		t.Errorf("the receiver got %d bytes that were written after Send had returned", n)
	}
}
