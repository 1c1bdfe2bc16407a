// Package dockerplugin is the protocol of Docker's log plugins (docker.logdriver/1.0), volume plugins
// (docker.volumedriver/1.0) and providers of a swarm's secrets (docker.secretprovider/1.0): HTTP on a unix socket, on which
// the daemon announces each container that begins or ends to log, and asks for volumes and secrets.
//
// The daemon makes these calls while it holds the container's lock, often without a time limit of its own. So every
// call is answered within a time of our own, whatever the sessions do; a panic is an answer; and the status is always
// 200, because the daemon shows the text of Err cleanly only then. ReadLogs is the exception, see reader. StopLogging never has an Err: the daemon would leak
// the container's FIFO.
//
// The transport (this file: listener, deadlines, recovery, decoding, one method for each path) knows nothing of what the
// methods mean; those of LogDriver are in logdriver.go, of VolumeDriver in volumedriver.go, of SecretProvider in secretprovider.go.
//
// It is written on net/http and not on the sdk.Handler of docker/go-plugins-helpers. On that, two tests of this package
// fail: TestConnectionsThatAskNothing, because its http.Server has no deadline before a handler runs, and
// TestShutdownDoesNotWaitForEver, because it gives no way to close connections. It also answers Plugin.Activate on a
// connection that stays open. Such a connection is a danger: when the process ends just as the daemon uses it, the
// daemon tries again with the body lost, and the user reads of a malformed request.
package dockerplugin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/filebudget"
)

// Limits of a call.
const (
	maxBody   = 16 << 20 // bytes: an environment, labels and options
	maxUnread = 64 << 20 // bytes read and thrown away, so that a client that still writes sees the answer

	spareFiles = 4 // of the calls that are accepted when the process has no other file left
)

// Options of a Server. The zero value of each field is usable.
type Options struct {
	StartTimeout time.Duration // for StartLogging; 0 = 5 s
	MountTimeout time.Duration // for Mount; 0 = 5 s
	StopTimeout  time.Duration // for StopLogging; 0 = 1 s
	CloseTimeout time.Duration // for the calls that are under way when Serve ends; 0 = 3 s
	Connections  int           // at once; 0 = 64
	Logs         Logs          // answers docker logs; nil = nobody does
	Readers      int           // answers to docker logs at once, besides Connections; 0 = 16
	ReadLogs     bool          // the daemon asks Logs, and keeps no copy of its own
	Volumes      Volumes       // New answers for them on the socket of the log driver, as a managed plugin does; nil = none there
	Secrets      Secrets       // answers the managers of a swarm, on the socket that has the volumes; nil = nobody does
	Logger       *slog.Logger  // nil = none

	headerTimeout time.Duration // for the beginning of a call; 0 = 5 s
}

// Server answers the daemon.
type Server struct {
	options    Options
	interfaces []string          // of the protocol
	methods    map[string]method // by path
	ending     context.Context   // of Serve; here because answers to docker logs end with it, and with nothing else
	end        context.CancelFunc
	calls      sync.WaitGroup // goroutines that are in a method's work, perhaps for longer than the daemon waits
}

// New returns a Server for sessions.
func New(sessions Sessions, o Options) *Server {
	s := newServer(o)
	s.offer("LogDriver", logDriver{s, sessions}.methods())
	s.offerSecrets()
	if o.Logs != nil {
		s.methods[readLogsPath] = reader{s, s.options.Logs, make(chan struct{}, s.options.Readers)}.read
	}
	return s
}

// newServer returns a Server without an interface of the protocol.
func newServer(o Options) *Server {
	o.StartTimeout = cmp.Or(o.StartTimeout, 5*time.Second)
	o.MountTimeout = cmp.Or(o.MountTimeout, 5*time.Second)
	o.StopTimeout = cmp.Or(o.StopTimeout, time.Second)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 3*time.Second)
	o.headerTimeout = cmp.Or(o.headerTimeout, 5*time.Second)
	o.Connections = cmp.Or(o.Connections, 64)
	o.Readers = cmp.Or(o.Readers, 16)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: o}
	s.methods = map[string]method{"/Plugin.Activate": func(http.ResponseWriter, *http.Request) (any, error) {
		return activated{Implements: s.interfaces}, nil
	}}
	s.ending, s.end = context.WithCancel(context.Background())
	return s
}

// offer adds an interface of the protocol.
func (s *Server) offer(name string, methods map[string]method) {
	s.interfaces = append(s.interfaces, name)
	maps.Copy(s.methods, methods)
}

// offerSecrets adds the interfaces that give secrets to containers, as far as the options have them.
func (s *Server) offerSecrets() {
	if s.options.Volumes != nil {
		s.offer("VolumeDriver", volumeDriver{s, s.options.Volumes}.methods())
	}
	if s.options.Secrets != nil {
		s.offer("secretprovider", secretProvider{s, s.options.Secrets}.methods())
	}
}

// Serve answers calls on l until ctx ends, and then no new ones; those under way get CloseTimeout. It closes l. Its
// error says what did not end in time, or why l failed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var asking connections
	h := http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ConnState:         asking.note,
		ReadHeaderTimeout: s.options.headerTimeout,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20*time.Second + max(s.options.StartTimeout, s.options.MountTimeout, secretTimeout), // from the request's beginning
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelWarn),
	}
	h.SetKeepAlivesEnabled(false)
	served := make(chan error, 1)
	bounds := filebudget.Bounds{Name: "daemon", Connections: s.options.Connections + s.options.Readers, Spares: spareFiles, Log: s.options.Logger}
	go func() { served <- h.Serve(filebudget.Bound(l, bounds)) }()
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("listen on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.end() // those who follow a log first
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.CloseTimeout)
	defer cancel()
	// A client that has just connected sends its request at once, and is answered; others are not waited for.
	soon, cancelSoon := context.WithTimeout(end, 250*time.Millisecond)
	defer cancelSoon()
	_ = h.Shutdown(soon)
	if n := asking.wait(end); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d calls of the daemon have no answer after %v", n, s.options.CloseTimeout))
	}
	return errors.Join(err, s.wait(end), h.Close())
}

// wait waits for what is still under way though the daemon has its answer.
func (s *Server) wait(ctx context.Context) error {
	idle := make(chan struct{})
	go func() { // ends with the last of the calls
		s.calls.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return errors.New("a session did not return from Start or Stop")
	}
}

// method is one call of the protocol. It returns the answer, which is encoded as JSON, or nil when it has written one
// itself. An error becomes an answer with Err.
type method func(w http.ResponseWriter, r *http.Request) (answer any, err error)

// failure is an answer that says no more than what went wrong, if anything did.
type failure struct{ Err string }

// activated says which interfaces of the protocol there are.
type activated struct {
	Implements []string
	Err        string
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	var a any
	err := s.recovered(r.URL.Path, func() (err error) {
		m := s.methods[r.URL.Path]
		if m == nil {
			return fmt.Errorf("there is no call %q", r.URL.Path)
		}
		a, err = m(w, r)
		return err
	})
	switch {
	case errors.Is(err, errCut):
		panic(http.ErrAbortHandler)
	case errors.Is(err, ErrHangUp):
		s.options.Logger.Error("call of the daemon is not answered", "call", r.URL.Path, "error", errText(err))
		panic(http.ErrAbortHandler)
	case err != nil:
		a = failure{errText(err)}
	case a == nil:
		return
	}
	w.Header().Set("Content-Type", "application/vnd.docker.plugins.v1.2+json")
	if err != nil && r.URL.Path == readLogsPath {
		w.WriteHeader(http.StatusInternalServerError)
	}
	if err := json.NewEncoder(w).Encode(a); err != nil {
		s.options.Logger.Warn("the daemon did not take an answer", "call", r.URL.Path, "error", err)
	}
}

// ErrHangUp in an error's chain ends the connection without an answer: for a call where any answer would be taken for a fact.
// The daemon tries again.
var ErrHangUp = errors.New("not answered")

var (
	errInternal = errors.New("internal error, see the log of secretref-logdriver")
	errEmpty    = errors.New("the daemon repeated its call without the body, after secretref-logdriver had ended in the middle of it; start the container again")
)

// within returns what f returns, or an error once limit has passed. When f has not failed, but its caller was told so,
// undo follows.
func (s *Server) within(r *http.Request, limit time.Duration, f func(context.Context) error, undo func()) error {
	// Without the request's end: a daemon that went away may be back for a container that runs. And f gets less time,
	// so that its own words are heard when it is late.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), limit-limit/5)
	result, gone := make(chan error), make(chan struct{})
	s.calls.Go(func() {
		defer cancel()
		err := s.recovered(r.URL.Path, func() error { return f(ctx) })
		if errors.Is(err, errInternal) {
			_ = s.recovered(r.URL.Path, func() error { undo(); return nil }) // it is in the log
		}
		select {
		case result <- err:
			return
		case <-gone:
		}
		s.options.Logger.Warn("call returned after its time limit", "call", r.URL.Path, "error", errText(err))
		if err == nil {
			_ = s.recovered(r.URL.Path, func() error { undo(); return nil })
		}
	})
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case err := <-result:
		return err
	case <-t.C:
		close(gone)
		return fmt.Errorf("secretref-logdriver did not answer within %v", limit)
	}
}

// recovered makes an error of a panic. What was thrown may hold anything, so only its type is logged.
func (s *Server) recovered(path string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			what := fmt.Sprintf("%T", p)
			if e, ok := p.(runtime.Error); ok {
				what = e.Error()
			}
			s.options.Logger.Error("panic", "call", path, "what", what, "stack", string(debug.Stack()))
			err = errInternal
		}
	}()
	return f()
}

// decode reads the body of a call. Its errors do not quote the body.
func decode[T any](r *http.Request) (q T, err error) {
	var none T
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return q, errors.New("the daemon's call broke off in the middle")
	case len(body) > maxBody:
		_, _ = io.CopyN(io.Discard, r.Body, maxUnread)
		return q, fmt.Errorf("the daemon's call is larger than %d MiB; the container's environment or labels are too long", maxBody>>20)
	case len(bytes.TrimSpace(body)) == 0:
		return q, errEmpty
	case json.Unmarshal(body, &q) != nil:
		return none, errors.New("the daemon's call is not the JSON that Docker documents for plugins")
	}
	return q, nil
}
