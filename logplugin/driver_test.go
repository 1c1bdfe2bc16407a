package logplugin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/shared/fakeaws"
)

// driver is one that runs in this process, with its own AWS endpoint and receiver.
type driver struct {
	dir, socket string
	args        []string // of every command but version and help
	aws         *fakeaws.Server
	hec         *hectest.Server
	reference   string
	stop        func() int // of the first driver
	cancel      context.CancelFunc
	log         *buffer
	reload      chan os.Signal
	more        []string // arguments of serve alone
}

func startDriver(t *testing.T, extra string) *driver {
	t.Helper()
	d := &driver{dir: t.TempDir(), log: &buffer{}, reload: make(chan os.Signal)}
	d.socket = filepath.Join(d.dir, "plugin.sock")
	d.aws = fakeaws.New(t, fakeaws.Options{})
	for _, kv := range append(d.aws.Environ(), "AWS_CA_BUNDLE=") {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	d.reference = d.aws.PutSecret(fakeaws.Secret{Name: "logs/splunk", String: `{"token":"` + token + `"}`}) + ":token::"
	var err error
	if d.hec, err = hectest.Start(hectest.Options{Tokens: []string{token}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.hec.Close)
	state := d.state()
	conf := filepath.Join(d.dir, "config.toml")
	text := "[aws]\nregion = \"eu-west-1\"\n[logs]\nstate_dir = \"" + state + "\"\nspool_min_free = \"0B\"\n" + extra
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.args = []string{"--config", conf}
	ended := d.serve(t)
	cancel := d.cancel
	d.stop = sync.OnceValue(func() int { cancel(); return ended() })
	t.Cleanup(func() { d.stop() })
	await(t, "the driver", func() bool { code, _ := d.run(t, "status"); return code == 0 })
	return d
}

// state is a directory with a path that is too long for a socket's address, as a managed plugin has it.
func (d *driver) state() string { return filepath.Join(d.dir, strings.Repeat("d", 120)) }

// serve starts a driver that ends with cancel, and returns what waits for its end.
func (d *driver) serve(t *testing.T) (ended func() int) {
	t.Helper()
	var ctx context.Context
	ctx, d.cancel = context.WithCancel(t.Context())
	t.Cleanup(d.cancel)
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, Program{Args: slices.Concat([]string{"serve", "--socket", d.socket}, d.more, d.args), Stdout: d.log, Stderr: d.log, Getenv: func(string) string { return "" }, Version: "1", Reload: d.reload})
	}()
	return sync.OnceValue(func() int {
		select {
		case code := <-done:
			return code
		case <-time.After(8 * time.Second):
			t.Error("the driver does not end within 8 s")
			return -1
		}
	})
}

// reread has a driver that was started once read its configuration again, and returns when that is in use.
func (d *driver) reread(t *testing.T) {
	t.Helper()
	ready := func() int { return strings.Count(d.log.String(), "msg=ready") }
	before := max(ready(), 1) // it may answer status before it says that it is ready for the first time
	d.reload <- syscall.SIGHUP
	await(t, "the configuration that was read again", func() bool { return ready() > before })
}

func (d *driver) run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	return run(t.Context(), append(args, d.args...)...)
}

// sessions are those that the driver reports; none if nobody answers.
func (d *driver) sessions(t *testing.T) []session.Status {
	t.Helper()
	r, _ := control.NewClient(d.state()).Report(t.Context())
	return r.Sessions
}

// call does what the daemon does.
func (d *driver) call(t *testing.T, method string, body any) string {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://plugin/"+method, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket)
	}}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(answer))
}

// container begins to log, and returns where the daemon writes.
func (d *driver) container(t *testing.T, name string) *os.File {
	t.Helper()
	f := d.fifo(t, name)
	if a := d.start(t, name); a != `{"Err":""}` {
		t.Fatalf("StartLogging: %s", a)
	}
	return f
}

// fifo makes one as the daemon does.
func (d *driver) fifo(t *testing.T, name string) *os.File {
	t.Helper()
	file := filepath.Join(d.dir, name)
	if err := unix.Mkfifo(file, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// start makes the call alone, and returns the answer.
func (d *driver) start(t *testing.T, name string) string {
	t.Helper()
	return d.startWith(t, name, map[string]string{"logDriver": "splunk", "splunk-url": d.hec.URL(), "secretOptions.splunk-token": d.reference})
}

func (d *driver) startWith(t *testing.T, name string, config map[string]string) string {
	t.Helper()
	return d.call(t, "LogDriver.StartLogging", map[string]any{"File": filepath.Join(d.dir, name), "Info": map[string]any{
		"Config": config, "ContainerID": strings.Repeat("a", 62) + name, "ContainerName": "/" + name, "ContainerEnv": []string{"PASSWORD=hunter2hunter2"},
	}})
}

func write(t *testing.T, f *os.File, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if _, err := f.Write(frame.AppendFrame(nil, &frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: []byte(l)})); err != nil {
			t.Fatal(err)
		}
	}
}
