//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/shared/rig"
)

// fakes are containers of which there is only what the driver sees: a FIFO, and what the daemon says. They start at once,
// and every call is timed.
type fakes struct {
	w       *world
	config  map[string]string // log options; nil = those of newWorld. Each has its name as the tag
	all     []*fake
	slowest time.Duration // of the daemon's calls
}

// fake is one of them.
type fake struct {
	name  string
	fifo  *os.File // both ends are open, as the daemon has it
	lines int
}

func newFakes(w *world) *fakes {
	f := &fakes{w: w}
	w.t.Cleanup(func() {
		for _, c := range f.all {
			_ = c.fifo.Close()
		}
	})
	return f
}

// call does what the daemon does, and returns the text of Err.
func (f *fakes) call(method string, body any) string {
	f.w.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		f.w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.w.t.Context()), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin/"+method, bytes.NewReader(b))
	if err != nil {
		f.w.t.Fatal(err)
	}
	began := time.Now()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", f.w.socket())
	}}
	resp, err := transport.RoundTrip(req)
	f.slowest = max(f.slowest, time.Since(began))
	if err != nil {
		f.w.t.Errorf("%s has no answer after %v: %v", method, time.Since(began), err)
		return "no answer"
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.w.t.Fatal(err)
	}
	var a struct{ Err string }
	if err := json.Unmarshal(text, &a); err != nil {
		f.w.t.Fatalf("%s: %v in %q", method, err, text)
	}
	return a.Err
}

// start begins a container. One that is refused is not kept.
func (f *fakes) start(name string) (*fake, string) {
	f.w.t.Helper()
	file := filepath.Join(f.w.dir, name)
	if err := unix.Mkfifo(file, 0o700); err != nil {
		f.w.t.Fatal(err)
	}
	fifo, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		f.w.t.Fatal(err)
	}
	config := map[string]string{"logDriver": "splunk", "splunk-url": f.w.hec.URL(), "secretOptions.splunk-token": f.w.arn + ":token::"}
	if f.config != nil {
		config = maps.Clone(f.config)
	}
	config["tag"] = name
	refused := f.call("LogDriver.StartLogging", map[string]any{"File": file, "Info": map[string]any{
		"ContainerID": fakeID(name), "ContainerName": "/" + name,
		"Config": config,
	}})
	if refused != "" {
		_ = fifo.Close()
		return nil, refused
	}
	c := &fake{name: name, fifo: fifo}
	f.all = append(f.all, c)
	return c, ""
}

// fakeID is the id of the container of a name.
func fakeID(name string) string {
	id := fmt.Sprintf("%x", name)
	return id + strings.Repeat("0", 64-len(id))
}

// write writes n lines to each container.
func (f *fakes) write(n int) {
	f.w.t.Helper()
	for _, c := range f.all {
		var b []byte
		for range n {
			b = frame.AppendFrame(b, &frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: fmt.Appendf(nil, "%s %d", c.name, c.lines)})
			c.lines++
		}
		if _, err := c.fifo.Write(b); err != nil {
			f.w.t.Fatal(err)
		}
	}
}

// complete writes n times, looks that every line arrives and the driver stays prompt, and ends the containers.
func (f *fakes) complete(t *testing.T, n int) {
	t.Helper()
	for range n {
		f.write(100)
	}
	f.prompt(t)
	f.arrived(time.Minute)
	f.stop()
	f.prompt(t)
	f.w.gone()
}

// arrived waits until every line of every container is there, in order.
func (f *fakes) arrived(limit time.Duration) {
	f.w.t.Helper()
	want := map[string]int{}
	for _, c := range f.all {
		want[c.name] = c.lines
	}
	var got map[string]int
	until(f.w.t, limit, "all lines", func() bool {
		got = f.received()
		for name, n := range want {
			if got[name] != n {
				return false
			}
		}
		return true
	})
}

// received returns how many lines of each container are there, from its first on without a hole.
func (f *fakes) received() map[string]int {
	f.w.t.Helper()
	got := map[string]int{}
	for _, e := range f.w.hec.Events() {
		var ev struct{ Event event }
		if err := json.Unmarshal([]byte(e.Text), &ev); err != nil {
			f.w.t.Fatal(err)
		}
		var name string
		var n int
		if _, err := fmt.Sscanf(ev.Event.Line, "%s %d", &name, &n); err != nil {
			f.w.t.Errorf("a line that no container has written: %q", ev.Event.Line)
			continue
		}
		switch {
		case n == got[name]:
			got[name]++
		case n > got[name]:
			f.w.t.Errorf("%s: line %d came before line %d", name, n, got[name])
			got[name] = n + 1
		}
	}
	return got
}

// stop ends all containers, as the daemon does.
func (f *fakes) stop() {
	f.w.t.Helper()
	for _, c := range f.all {
		if err := f.call("LogDriver.StopLogging", map[string]any{"File": c.fifo.Name()}); err != "" {
			f.w.t.Errorf("StopLogging of %s: %s", c.name, err)
		}
		_ = c.fifo.Close()
		_ = os.Remove(c.fifo.Name())
	}
}

// prompt wants every call of the daemon, and status, to be answered within a second.
func (f *fakes) prompt(t *testing.T) {
	t.Helper()
	began := time.Now()
	if _, err := f.w.status(); err != nil {
		t.Errorf("status: %v", err)
	}
	took := time.Since(began)
	t.Logf("the slowest call of the daemon took %v, status %v", f.slowest, took)
	if f.slowest > time.Second || took > time.Second {
		t.Errorf("the slowest call of the daemon took %v, and status %v, want at most 1 s", f.slowest, took)
	}
}

// needs fails the test when a program that it needs is not there.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := (rig.Cmd{Args: []string{program, "--version"}, Timeout: 5 * time.Second}).Run(t.Context()); err != nil {
		t.Fatalf("%s is needed, run packaging/install-test-deps: %v", program, err)
	}
}
