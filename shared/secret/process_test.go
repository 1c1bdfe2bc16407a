package secret

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asChild makes the test binary a process that is protected and has asked a server that answers too much.
const asChild = "SECRETREF_TEST_AS_CHILD"

// A server can send back, after its answer, the token that it was sent. Package net/http writes such bytes to the standard logger,
// which nobody could redact.
func TestStandardLoggerIsSilent(t *testing.T) {
	if os.Getenv(asChild) != "" {
		ProtectProcess()
		askTalkative(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), asChild+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "t0ken") || strings.Contains(string(out), "Unsolicited") {
		t.Errorf("a protected process: %v, and it writes %q; want nothing of what the server has sent", err, out)
	}
}

// askTalkative makes one request to a server that sends more after its answer, and returns when the client has closed the connection for it.
func askTalkative(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			closed <- err
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\nyour token is t0ken")
		}
		_, err = io.Copy(io.Discard, r)
		closed <- err
	}()
	client := http.Client{Transport: &http.Transport{}}
	res, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := <-closed; err != nil {
		t.Logf("the client has closed the connection with %v", err)
	}
}
