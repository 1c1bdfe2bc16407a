package logplugin

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/porttest"
)

// openFiles counts those of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Whoever connects to metrics_address or to the status socket has a handful of the driver's files, and a container that
// starts meanwhile is read.
func TestStrangersHoldFewFiles(t *testing.T) {
	const strangers = 200
	address := porttest.Address(t)
	d := startDriver(t, "metrics_address = \""+address+"\"\n")
	socket := "/proc/self/fd/" // of the state directory, see control
	dir, err := os.Open(d.state())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	socket += strconv.Itoa(int(dir.Fd())) + "/status.sock"
	lines := 0
	for _, target := range []struct{ network, address string }{{"tcp", address}, {"unix", socket}} {
		before := openFiles(t)
		var held []net.Conn
		for range strangers {
			c, err := net.Dial(target.network, target.address)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
			// The beginning of a request, whose end never comes.
			if _, err := c.Write([]byte("GET /metrics HTTP/1.1\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		if n := openFiles(t) - before - strangers; n > 12 {
			t.Errorf("%s: the driver holds %d files for %d connections", target.network, n, strangers)
		}
		name := "c-" + target.network
		f := d.container(t, name)
		write(t, f, "a line")
		lines++
		await(t, "the line", func() bool { return d.hec.Count() == lines })
		for _, c := range held {
			_ = c.Close()
		}
	}
}

// No connection to metrics_address is kept after its answer.
func TestMetricsConnectionsAreNotKept(t *testing.T) {
	address := porttest.Address(t)
	startDriver(t, "metrics_address = \""+address+"\"\n")
	var c net.Conn
	var err error
	await(t, "the metrics", func() bool { // status answers before metrics_address does
		c, err = net.Dial("tcp", address)
		return err == nil
	})
	defer c.Close()
	if _, err := c.Write([]byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	var answer strings.Builder
	b := make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = c.Read(b)
		answer.Write(b[:n])
	}
	if err.Error() != "EOF" || !strings.HasPrefix(answer.String(), "HTTP/1.1 200 OK\r\n") || !strings.Contains(answer.String(), "\r\nConnection: close\r\n") {
		t.Errorf("%v after %.300q", err, answer.String())
	}
}
