package dockerplugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/polltest"
)

const canary = "Zq7-canary-4f81"

// fake is Sessions made of functions; nil does nothing.
type fake struct {
	start    func(ctx context.Context, file string, info Info) error
	stop     func(file string)
	withdraw func(file string)
}

func (f *fake) Start(ctx context.Context, file string, info Info) error {
	if f.start == nil {
		return nil
	}
	return f.start(ctx, file, info)
}

func (f *fake) Withdraw(file string) {
	if f.withdraw != nil {
		f.withdraw(file)
	}
}

func (f *fake) Stop(file string) {
	if f.stop != nil {
		f.stop(file)
	}
}

// lockedBuffer is a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// daemon is the daemon's side of a server that runs.
type daemon struct {
	path string
	log  *lockedBuffer
	end  func() error // ends Serve and returns its error
	http http.Client
}

func serve(t *testing.T, s Sessions, o Options) *daemon {
	t.Helper()
	d := &daemon{path: filepath.Join(socketDir(t), "p.sock"), log: &lockedBuffer{}}
	o.Logger = slog.New(slog.NewTextHandler(d.log, nil))
	l, err := Listen(d.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- New(s, o).Serve(ctx, l) }()
	d.end = sync.OnceValue(func() error { cancel(); return <-served })
	d.http.Transport = unixTransport(d.path)
	d.http.Timeout = 20 * time.Second
	t.Cleanup(func() { _ = d.end(); d.http.CloseIdleConnections() })
	return d
}

// unixTransport connects to a socket, whatever the address is.
func unixTransport(path string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
}

// socketDir is a directory with a short path: a socket's has 107 bytes at most.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// call makes a call with the daemon's headers, and returns the body of the answer. The status must be 200.
func (d *daemon) call(t *testing.T, method, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://plugin.moby.localhost/"+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/vnd.docker.plugins.v1.2+json")
	w, err := d.http.Do(r)
	if err != nil {
		t.Errorf("%s: %v", method, err)
		return ""
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	if err != nil || w.StatusCode != http.StatusOK || !w.Close {
		t.Errorf("%s: status %s, close %v, %v", method, w.Status, w.Close, err)
	}
	return strings.TrimSpace(string(b))
}

const file = "/run/docker/logging/4f81"

func startBody(file string) string {
	return `{"File":"` + file + `","Info":{"Config":{"logDriver":"splunk","splunk-token":"` + canary + `"},"ContainerID":"0123456789abcdef","ContainerName":"/web","ContainerEntrypoint":"/app",` +
		`"ContainerArgs":["a"],"ContainerImageID":"sha256:1","ContainerImageName":"img","ContainerCreated":"2026-11-23T19:49:41.197422124Z","ContainerEnv":["PASSWORD=` + canary + `"],` +
		`"ContainerLabels":{"l":"v"},"LogPath":"","DaemonName":"docker"}}` + "\n"
}

func TestAnswers(t *testing.T) {
	d := serve(t, &fake{start: func(_ context.Context, file string, _ Info) error {
		if strings.HasSuffix(file, "refused") {
			return errors.New("log-opt logDriver is missing")
		}
		return nil
	}}, Options{})
	for _, c := range []struct{ name, method, body, want string }{
		{"activate", "Plugin.Activate", "", `{"Implements":["LogDriver"],"Err":""}`},
		{"activate with a body", "Plugin.Activate", "{}\n", `{"Implements":["LogDriver"],"Err":""}`},
		{"capabilities", "LogDriver.Capabilities", "", `{"Cap":{"ReadLogs":false},"Err":""}`},
		{"start", "LogDriver.StartLogging", startBody(file), `{"Err":""}`},
		{"start refused", "LogDriver.StartLogging", startBody(file + "refused"), `{"Err":"secretref: log-opt logDriver is missing"}`},
		{"start without body", "LogDriver.StartLogging", "", `{"Err":"secretref: the daemon repeated its call without the body, after secretref-logdriver had ended in the middle of it; start the container again"}`},
		{"start with white space", "LogDriver.StartLogging", "\n", `{"Err":"secretref: the daemon repeated its call without the body, after secretref-logdriver had ended in the middle of it; start the container again"}`},
		{"start with garbage", "LogDriver.StartLogging", `{"File":"` + canary, `{"Err":"secretref: the daemon's call is not the JSON that Docker documents for plugins"}`},
		{"start with a number", "LogDriver.StartLogging", `{"File":"/f","Info":{"ContainerEnv":[12345678]}}`, `{"Err":"secretref: the daemon's call is not the JSON that Docker documents for plugins"}`},
		{"start without file", "LogDriver.StartLogging", `{"Info":{"ContainerID":"1"}}`, `{"Err":"secretref: StartLogging names no file or no container"}`},
		{"start without container", "LogDriver.StartLogging", `{"File":"/f"}`, `{"Err":"secretref: StartLogging names no file or no container"}`},
		{"start of a newer daemon", "LogDriver.StartLogging", `{"File":"/f","Info":{"ContainerID":"1","New":{"a":[1]}},"More":1}`, `{"Err":""}`},
		{"stop", "LogDriver.StopLogging", `{"File":"` + file + `"}`, `{"Err":""}`},
		{"stop of an unknown file", "LogDriver.StopLogging", `{"File":"/never/seen"}`, `{"Err":""}`},
		{"stop without body", "LogDriver.StopLogging", "", `{"Err":""}`},
		{"stop with garbage", "LogDriver.StopLogging", "<html>", `{"Err":""}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := d.call(t, c.method, c.body); got != c.want {
				t.Errorf("answer %s, want %s", got, c.want)
			}
		})
	}
	if strings.Contains(d.log.String(), canary) || !strings.Contains(d.log.String(), "container=0123456789ab name=web error=") {
		t.Errorf("log: %s", d.log)
	}
}

// The bytes are those of a daemon; what a Go client adds does not matter.
func TestTheDaemonsBytes(t *testing.T) {
	d := serve(t, &fake{}, Options{})
	c, err := net.Dial("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := startBody(file)
	fmt.Fprintf(c, "POST /LogDriver.StartLogging HTTP/1.1\r\nHost: plugin.moby.localhost\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: %d\r\n"+
		"Accept: application/vnd.docker.plugins.v1.2+json\r\nAccept-Encoding: gzip\r\n\r\n%s", len(body), body)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	got, err := io.ReadAll(c) // to its end: the connection is not kept
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"HTTP/1.1 200 OK\r\n", "Content-Type: application/vnd.docker.plugins.v1.2+json\r\n", "Connection: close\r\n", "\r\n\r\n{\"Err\":\"\"}\n"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("answer %q, want %q in it", got, want)
		}
	}
}

func TestStartGetsTheInfo(t *testing.T) {
	infos := make(chan Info, 1)
	d := serve(t, &fake{start: func(_ context.Context, f string, info Info) error {
		if f != file {
			t.Errorf("file %q", f)
		}
		infos <- info
		return nil
	}}, Options{})
	d.call(t, "LogDriver.StartLogging", startBody(file))
	i := <-infos
	if i.Config["logDriver"] != "splunk" || i.ContainerID != "0123456789abcdef" || i.ContainerName != "/web" || i.ContainerEntrypoint != "/app" || i.ContainerArgs[0] != "a" ||
		i.ContainerImageID != "sha256:1" || i.ContainerImageName != "img" || i.ContainerCreated.Nanosecond() != 197422124 || i.ContainerLabels["l"] != "v" || i.DaemonName != "docker" {
		b, _ := json.Marshal(i)
		t.Errorf("info %s", b)
	}
}

func TestLargeBodies(t *testing.T) {
	d := serve(t, &fake{}, Options{})
	for _, c := range []struct {
		bytes int
		want  string
	}{
		{4 << 20, `{"Err":""}`},
		{maxBody, `{"Err":"secretref: the daemon's call is larger than 16 MiB; the container's environment or labels are too long"}`},
		{3 * maxBody, `{"Err":"secretref: the daemon's call is larger than 16 MiB; the container's environment or labels are too long"}`},
	} {
		body := `{"File":"/f","Info":{"ContainerID":"1","ContainerEnv":["A=` + strings.Repeat("x", c.bytes) + `"]}}`
		if got := d.call(t, "LogDriver.StartLogging", body); got != c.want {
			t.Errorf("%d bytes: answer %s, want %s", c.bytes, got, c.want)
		}
	}
	// A client that writes all before it reads gets to the answer too.
	c, err := net.Dial("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	body := strings.Repeat("x", 2*maxBody)
	if _, err := fmt.Fprintf(c, "POST /LogDriver.StartLogging HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(c); err != nil || !strings.Contains(string(got), "larger than 16 MiB") {
		t.Errorf("%v, %q", err, got)
	}
	if got := d.call(t, "LogDriver.StopLogging", `{"File":"`+strings.Repeat("x", maxBody)+`"}`); got != `{"Err":""}` {
		t.Errorf("StopLogging: %s", got)
	}
}

func TestPanics(t *testing.T) {
	stopped := make(chan string, 1)
	d := serve(t, &fake{
		start:    func(context.Context, string, Info) error { panic(canary) },
		stop:     func(f string) { stopped <- f; _ = []int{}[len(f)] },
		withdraw: func(f string) { stopped <- f; _ = []int{}[len(f)] },
	}, Options{})
	if got, want := d.call(t, "LogDriver.StartLogging", startBody(file)), `{"Err":"secretref: internal error, see the log of secretref-logdriver"}`; got != want {
		t.Errorf("StartLogging: %s, want %s", got, want)
	}
	if got := <-stopped; got != file {
		t.Errorf("after the panic Withdraw was called for %q", got)
	}
	if got, want := d.call(t, "LogDriver.StopLogging", `{"File":"/f"}`), `{"Err":""}`; got != want {
		t.Errorf("StopLogging: %s, want %s", got, want)
	}
	<-stopped
	if got := d.call(t, "LogDriver.Capabilities", ""); got == "" {
		t.Error("nobody answers after a panic")
	}
	if log := d.log.String(); strings.Contains(log, canary) || !strings.Contains(log, "index out of range") || !strings.Contains(log, "what=string") {
		t.Errorf("log: %s", log)
	}
}

func TestSlowStart(t *testing.T) {
	release, stopped := make(chan struct{}), make(chan string, 1)
	d := serve(t, &fake{
		start:    func(context.Context, string, Info) error { <-release; return nil },
		withdraw: func(f string) { stopped <- f },
	}, Options{StartTimeout: 100 * time.Millisecond})
	if got, want := d.call(t, "LogDriver.StartLogging", startBody(file)), `{"Err":"secretref: secretref-logdriver did not answer within 100ms"}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	select {
	case <-stopped:
		t.Error("Withdraw was called while Start had not returned")
	default:
	}
	close(release)
	if got := <-stopped; got != file {
		t.Errorf("Withdraw was called for %q", got)
	}
}

func TestLateButFailed(t *testing.T) {
	release, stopped := make(chan struct{}), make(chan string, 1)
	d := serve(t, &fake{
		start:    func(context.Context, string, Info) error { <-release; return errors.New("the disk is slow") },
		withdraw: func(f string) { stopped <- f },
	}, Options{StartTimeout: 50 * time.Millisecond})
	d.call(t, "LogDriver.StartLogging", startBody(file))
	close(release)
	if err := d.end(); err != nil { // waits for Start
		t.Error(err)
	}
	if len(stopped) != 0 {
		t.Error("Withdraw was called for a session that never began")
	}
	if !strings.Contains(d.log.String(), "the disk is slow") {
		t.Errorf("nobody hears why Start failed: %s", d.log)
	}
}

// A Start that heeds its context is heard in its own words.
func TestStartHeedsItsContext(t *testing.T) {
	d := serve(t, &fake{start: func(ctx context.Context, _ string, _ Info) error {
		<-ctx.Done()
		return errors.New("state directory: no answer")
	}}, Options{StartTimeout: time.Second})
	if got, want := d.call(t, "LogDriver.StartLogging", startBody(file)), `{"Err":"secretref: state directory: no answer"}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
}

func TestSlowStop(t *testing.T) {
	release := make(chan struct{})
	d := serve(t, &fake{stop: func(string) { <-release }}, Options{StopTimeout: 50 * time.Millisecond})
	if got, want := d.call(t, "LogDriver.StopLogging", `{"File":"/f"}`), `{"Err":""}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	close(release)
}

func TestParallelCalls(t *testing.T) {
	const n = 40
	var inside sync.WaitGroup
	inside.Add(n)
	d := serve(t, &fake{start: func(context.Context, string, Info) error { inside.Done(); inside.Wait(); return nil }}, Options{})
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			if got := d.call(t, "LogDriver.StartLogging", startBody(fmt.Sprint("/f", i))); got != `{"Err":""}` {
				t.Errorf("call %d: %s", i, got)
			}
		})
	}
	calls.Wait()
}

func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	d := serve(t, &fake{start: func(context.Context, string, Info) error { close(inside); <-release; return nil }}, Options{})
	answer := make(chan string, 1)
	go func() { answer <- d.call(t, "LogDriver.StartLogging", startBody(file)) }()
	<-inside
	idle, err := net.Dial("unix", d.path) // a client that asks nothing is not a fault
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	ended := make(chan error, 1)
	go func() { ended <- d.end() }()
	polltest.Until(t, 20*time.Second, "the socket is gone before the call is answered", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("Serve ended with a call under way: %v", err)
		default:
		}
		_, err := os.Lstat(d.path)
		return err != nil
	})
	close(release)
	if got := <-answer; got != `{"Err":""}` {
		t.Errorf("answer %s", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	d := serve(t, &fake{start: func(context.Context, string, Info) error { close(inside); <-release; return nil }}, Options{CloseTimeout: 50 * time.Millisecond})
	called := make(chan struct{})
	go func() {
		defer close(called)
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/LogDriver.StartLogging", strings.NewReader(startBody(file)))
		if w, err := d.http.Do(r); err == nil {
			w.Body.Close()
			t.Error("a call that was cut off has an answer")
		}
	}()
	<-inside
	err := d.end()
	if err == nil || !strings.Contains(err.Error(), "1 calls of the daemon have no answer") || !strings.Contains(err.Error(), "a session did not return") {
		t.Errorf("Serve: %v", err)
	}
	close(release)
	<-called
}

func TestServeReportsItsListener(t *testing.T) {
	l, err := Listen(filepath.Join(socketDir(t), "p.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := New(&fake{}, Options{}).Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "listen on "+l.Addr().String()) {
		t.Errorf("Serve: %v", err)
	}
}

func TestErrText(t *testing.T) {
	for in, want := range map[string]string{
		"open /x: no such file or directory":                   "secretref: open /x: it does not exist",
		"open /x: Permission Denied\nsecond line":              "secretref: open /x: access refused second line",
		"mkdir /x: not a directory":                            "secretref: mkdir /x: not a folder",
		"read /x: IS A DIRECTORY":                              "secretref: read /x: is a folder",
		"permission\ndenied":                                   "secretref: access refused",
		"permission denied, permission denied":                 "secretref: access refused, access refused",
		"exec: \"x\": executable file not found in $PATH":      "secretref: exec: \"x\": program not found in $PATH",
		"executable no such file or directory":                 "secretref: executable it does not exist",
		"log-opt splunk-url is é\x00the end of permission":     "secretref: log-opt splunk-url is é the end of permission",
		"the system cannot find the file specified":            "secretref: the system has no such file",
		strings.Repeat("é", 600) + "no such file or directory": "secretref: " + strings.Repeat("é", 500) + "...",
	} {
		if got := errText(errors.New(in)); got != want {
			t.Errorf("errText(%q) = %q, want %q", in, got, want)
		}
	}
	if got := errText(nil); got != "" {
		t.Errorf("errText(nil) = %q", got)
	}
}

func FuzzErrText(f *testing.F) {
	f.Add("not is a directory a directory")
	f.Add("no such file or no such file or directory directory")
	f.Fuzz(func(t *testing.T, s string) {
		got := errText(errors.New(s))
		if strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("errText(%q) = %q, which is not one line", s, got)
		}
		for _, w := range exitCodes {
			if strings.Contains(strings.ToLower(got), w[0]) {
				t.Errorf("errText(%q) = %q", s, got)
			}
		}
	})
}
