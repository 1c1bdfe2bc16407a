package logplugin

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/resolve"
)

// BenchmarkFIFOToRouter takes lines of 100 bytes all the way: FIFO, spool, encoder, router, and the cursor when they are
// accepted. One op is one line. Feeder and receiver are in this process, so the time is more than the driver's, which
// `make bench` measures in a process of its own; what counts here is the allocations: those of a request are shared by
// its few thousand lines, and a line has none.
//
//	go test -run '^$' -bench FIFOToRouter -benchtime 2s ./logplugin
func BenchmarkFIFOToRouter(b *testing.B) {
	hec := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"text":"Success","code":0}`)
	}))
	defer hec.Close()
	forward := discard(b)
	for _, c := range []struct {
		name    string
		options map[string]string
	}{
		{"splunk", map[string]string{"logDriver": "splunk", "splunk-url": hec.URL, "splunk-token": "t"}},
		{"splunk gzip", map[string]string{"logDriver": "splunk", "splunk-url": hec.URL, "splunk-token": "t", "splunk-gzip": "true"}},
		{"fluentd", map[string]string{"logDriver": "fluentd", "fluentd-address": forward}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := benchSessions(b)
			file := filepath.Join(b.TempDir(), "fifo")
			if err := unix.Mkfifo(file, 0o700); err != nil {
				b.Fatal(err)
			}
			w, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			info := dockerplugin.Info{ContainerID: strings.Repeat("a", 64), ContainerName: "/web", Config: c.options}
			if err := s.Start(b.Context(), file, info); err != nil {
				b.Fatal(err)
			}
			const together = 100 // lines of one write: the daemon's own cost is not what is measured
			var frames []byte
			for _, l := range routertest.Lines(together) {
				frames = frame.AppendFrame(frames, &frame.Entry{Source: []byte("stdout"), TimeNano: time.Now().UnixNano(), Line: l})
			}
			b.SetBytes(100)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += together {
				if _, err := w.Write(frames); err != nil {
					b.Fatal(err)
				}
			}
			_ = w.Close()
			for len(s.Status()) > 0 { // until all is with the router
				select {
				case <-time.After(time.Millisecond):
				case <-b.Context().Done():
					b.Fatal("out of time")
				}
			}
		})
	}
}

// discard is a receiver that throws away what comes, and returns its address.
func discard(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() { // ends with l
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func benchSessions(b *testing.B) *session.Sessions {
	dir, err := state.Open(b.Context(), filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	cfg := &config.Config{AWS: config.AWS{Region: "eu-west-1"}}
	cfg.Logs.AllowOptions = true
	cfg.Logs.SpoolMinFree = -1 // the machine that runs the benchmark may be full
	cfg.Logs.SpoolMaxBytes, cfg.Logs.SpoolTotal = 1<<30, 4<<30
	r := resolve.New(awsconf.New(cfg.AWS, Name, "test"), resolve.Options{})
	s, err := session.New(session.Config{State: dir, Config: cfg, Resolver: r, Kinds: Routers()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(); _ = dir.Close(); r.Close() })
	return s
}
