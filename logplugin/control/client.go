package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/history"
	"github.com/secretref/secretref/logplugin/session"
)

// A driver that is well answers at once. A thousand sessions are about a megabyte.
const (
	askWait   = 10 * time.Second
	maxAnswer = 64 << 20 // bytes
)

// systemd says that the driver is started when its process runs. It listens a moment later.
const (
	startWait  = time.Second
	startPause = 20 * time.Millisecond
)

// Client asks the driver of a state directory.
type Client struct{ dir string }

// NewClient returns a Client. It connects for each question.
func NewClient(stateDir string) *Client { return &Client{stateDir} }

// ErrNoDriver says that nobody answers.
var ErrNoDriver = errors.New("no log driver answers")

// errNobodyListens is an ErrNoDriver that may end soon.
var errNobodyListens = fmt.Errorf("%w", ErrNoDriver)

// Report returns what the driver says of itself. A driver of the first release answers with its sessions alone; what it
// would say of itself is then made of them.
func (c *Client) Report(ctx context.Context) (Report, error) {
	var r Report
	err := c.ask(ctx, question{method: http.MethodGet, path: "/status"}, func(b []byte) error {
		if bytes.HasPrefix(bytes.TrimSpace(b), []byte("[")) {
			if err := json.Unmarshal(b, &r.Sessions); err != nil {
				return err
			}
			r.Version, r.Attention = ReportVersion, Attention(r.Sessions)
			return nil
		}
		return json.Unmarshal(b, &r)
	})
	return r, err
}

// ReportOfStarting is Report of a driver that may have been started just now: while nobody listens, it asks again for a second.
func (c *Client) ReportOfStarting(ctx context.Context) (Report, error) {
	return askStarting(ctx, func() (Report, error) { return c.Report(ctx) })
}

func askStarting(ctx context.Context, ask func() (Report, error)) (Report, error) {
	end := time.NewTimer(startWait)
	defer end.Stop()
	again := time.NewTicker(startPause)
	defer again.Stop()
	for {
		r, err := ask()
		if !errors.Is(err, errNobodyListens) {
			return r, err
		}
		select {
		case <-again.C:
		case <-end.C:
			return r, err
		case <-ctx.Done():
			return r, err
		}
	}
}

// Metrics returns the metrics in Prometheus' text format.
func (c *Client) Metrics(ctx context.Context) (string, error) {
	var text string
	err := c.ask(ctx, question{method: http.MethodGet, path: "/metrics"}, func(b []byte) error { text = string(b); return nil })
	return text, err
}

// Forget ends a session, see session.Sessions.Forget.
func (c *Client) Forget(ctx context.Context, id string, how session.Forgetting) (session.Status, error) {
	q := url.Values{"session": {id}, "discard": {strconv.FormatBool(how.Discard)}, "force": {strconv.FormatBool(how.Force)}}
	var st session.Status
	err := c.ask(ctx, question{method: http.MethodPost, path: "/forget?" + q.Encode()}, func(b []byte) error { return json.Unmarshal(b, &st) })
	return st, err
}

// ForgetEnded deletes what is kept of the log of a container, see session.Sessions.ForgetEnded.
func (c *Client) ForgetEnded(ctx context.Context, container string) (history.Stats, error) {
	q := url.Values{"container": {container}}
	var deleted history.Stats
	err := c.ask(ctx, question{method: http.MethodPost, path: "/forget-ended?" + q.Encode()}, func(b []byte) error { return json.Unmarshal(b, &deleted) })
	return deleted, err
}

// ForgetVolume removes a volume, see volume.Volumes.Forget.
func (c *Client) ForgetVolume(ctx context.Context, name string, force bool) error {
	q := url.Values{"volume": {name}, "force": {strconv.FormatBool(force)}}
	return c.ask(ctx, question{method: http.MethodPost, path: "/forget-volume?" + q.Encode()}, func([]byte) error { return nil })
}

// Refresh reads the values of one volume again, or of all that are mounted when volume is empty. It returns how many.
func (c *Client) Refresh(ctx context.Context, volume string) (int, error) {
	q := url.Values{"volume": {volume}}
	var r refreshed
	err := c.ask(ctx, question{method: http.MethodPost, path: "/refresh?" + q.Encode(), wait: refreshWait + 5*time.Second}, func(b []byte) error { return json.Unmarshal(b, &r) })
	return r.Volumes, err
}

// question is what the driver is asked.
type question struct {
	method, path string
	body         io.Reader     // nil means none
	wait         time.Duration // 0 means askWait
}

func (c *Client) ask(ctx context.Context, q question, read func([]byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(q.wait, askWait))
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: c.dial}
	req, err := http.NewRequestWithContext(ctx, q.method, "http://driver"+q.path, q.body)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.unreachable(err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return ErrOldDriver
	default:
		var f failure
		if json.Unmarshal(b, &f) != nil || f.Error == "" {
			f.Error = "the driver answers " + resp.Status
		}
		return errors.New(f.Error)
	}
	if err := read(b); err != nil {
		return fmt.Errorf("read the driver's answer: %w; is it of another version?", err)
	}
	return nil
}

func (c *Client) dial(ctx context.Context, _, _ string) (conn net.Conn, err error) {
	err = reach(c.dir, func(path string) (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}

func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w at %s/%s: permission denied; ask as root", ErrNoDriver, c.dir, socketName)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w at %s/%s; %s", errNobodyListens, c.dir, socketName, silence(c.dir))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w at %s/%s in time", ErrNoDriver, c.dir, socketName)
	}
	return fmt.Errorf("%w at %s/%s: %w", ErrNoDriver, c.dir, socketName, err)
}

// silence says why nobody may listen in a state directory. A driver whose directory has been read-only from the start serves the daemon,
// and has no socket.
func silence(dir string) string {
	if errors.Is(unix.Access(dir, unix.W_OK), unix.EROFS) {
		return "the directory is read-only, and a driver has no socket there until it is not: make its file system writable"
	}
	return "does the service run, and with this state directory?"
}
