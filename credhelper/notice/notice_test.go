package notice

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func listen(t *testing.T) (string, *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return path, c
}

var line = Line{Program: "docker-credential-secretref", Action: "get", Registry: "registry.example.com", Text: "registry registry.example.com: access denied"}

func TestSend(t *testing.T) {
	path, c := listen(t)
	if !Send(path, line) {
		t.Fatal("not sent")
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if want := fmt.Sprintf("<11>docker-credential-secretref[%d]: get: registry registry.example.com: access denied", os.Getpid()); err != nil || string(buf[:n]) != want {
		t.Errorf("%q, %v, want %q", buf[:n], err, want)
	}
	if got := string(line.journal()); !strings.Contains(got, "PRIORITY=3\n") || !strings.Contains(got, "SECRETREF_REGISTRY=registry.example.com\n") || !strings.HasSuffix(got, "MESSAGE=get: registry registry.example.com: access denied\n") {
		t.Errorf("for journald: %q", got)
	}
	info := line
	info.Info = true
	if got, got2 := string(info.syslog()), string(info.journal()); !strings.HasPrefix(got, "<14>") || !strings.Contains(got2, "PRIORITY=6\n") {
		t.Errorf("severity info: %q, %q", got, got2)
	}
	odd := line
	odd.Text = "a\nMESSAGE=b"
	if got := string(odd.journal()); strings.Contains(got, "\nMESSAGE=get") || !strings.HasSuffix(got, "get: a\nMESSAGE=b\n") {
		t.Errorf("two lines for journald: %q", got)
	}
}

// A log that nobody reads, and none at all, cost no more than the patience.
func TestSendGivesUp(t *testing.T) {
	path, _ := listen(t)
	sent := 0
	for ; sent < 10_000 && Send(path, line); sent++ {
	}
	if sent == 10_000 {
		t.Fatal("the socket never filled")
	}
	best := time.Hour // of several: the machine may be busy
	for range 5 {
		began := time.Now()
		if Send(path, line) {
			t.Error("sent into a full socket")
		}
		best = min(best, time.Since(began))
	}
	if best < Patience/2 || best > 4*Patience {
		t.Errorf("gave up after %v, want about %v", best, Patience)
	}
	began := time.Now()
	if Send(path+".none", line) || time.Since(began) > time.Second {
		t.Errorf("no socket: %v", time.Since(began))
	}
}
