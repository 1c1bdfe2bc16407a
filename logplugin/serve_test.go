package logplugin

import (
	"io"
	"net"
	"net/http"
	"testing"
)

// A port that somebody else has keeps nobody's log waiting; it is taken when it is free.
func TestMetricsAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	d := startDriver(t, "metrics_address = \""+address+"\"\n") // it is ready
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "metrics", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body) // until it can be used again
		return resp.StatusCode == http.StatusOK
	})
	if code := d.stop(); code != exitOK {
		t.Errorf("exit status %d, want %d", code, exitOK)
	}
}
