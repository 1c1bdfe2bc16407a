package dockerplugin

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/filebudget/filebudgettest"
)

// client is a socket of the daemon that is made before the process has no file left.
type client int

func newClient(t *testing.T) client {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	limit := unix.NsecToTimeval(int64(5 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return client(fd)
}

// call makes a call and returns the whole answer.
func (c client) call(t *testing.T, path, method, body string) string {
	t.Helper()
	if err := unix.Connect(int(c), &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body)
	if _, err := unix.Write(int(c), []byte(text)); err != nil {
		t.Fatal(err)
	}
	var answer strings.Builder
	for b := make([]byte, 4096); ; {
		n, err := unix.Read(int(c), b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatalf("%s has no answer: %v", method, err)
		}
		if n == 0 {
			return answer.String()
		}
		answer.Write(b[:n])
	}
}

// The daemon has an answer when the process has no file left.
func TestAnswersWithoutFiles(t *testing.T) {
	d := serve(t, &fake{}, Options{})
	d.call(t, "LogDriver.Capabilities", "") // it serves
	var clients [12]client
	for i := range clients {
		clients[i] = newClient(t)
	}
	filebudgettest.UseUp(t)
	for i, c := range clients {
		method, body := "LogDriver.StopLogging", `{"File":"/f"}`
		if i%2 == 0 {
			method, body = "LogDriver.StartLogging", startBody(file)
		}
		if got := c.call(t, d.path, method, body); !strings.HasSuffix(got, "{\"Err\":\"\"}\n") {
			t.Errorf("call %d: %q", i, got)
		}
	}
}

// Connections that ask nothing hold their places for a while, and then the daemon is heard.
func TestConnectionsThatAskNothing(t *testing.T) {
	d := serve(t, &fake{}, Options{Connections: 4, headerTimeout: 50 * time.Millisecond})
	for range 20 {
		c, err := net.Dial("unix", d.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:gocritic // deferInLoop: twenty
	}
	if got := d.call(t, "LogDriver.StopLogging", `{"File":"/f"}`); got != `{"Err":""}` {
		t.Errorf("StopLogging: %s", got)
	}
}
