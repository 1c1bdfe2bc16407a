// Package control is how people and programs ask a running log driver: HTTP on a socket in its state directory, which
// belongs to the driver's user alone.
//
//	GET  /status   a Report
//	GET  /metrics  the same numbers for Prometheus
//	GET  /healthz  200 if all is well, else 503 and the reasons, one per line
//	POST /forget?session=ID[&discard=true][&force=true]
//	POST /forget-ended[?container=ID]
//	POST /forget-volume?volume=NAME[&force=true]
//	POST /refresh[?volume=NAME]
//	POST /check    a Trial, answered with a CheckReport
//
// It answers while a router, AWS or the disk hangs, and never shows a line, an option's value or a secret. It is no
// part of Docker's protocol, which is in package dockerplugin.
package control

import (
	"cmp"
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
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/filebudget"
	"github.com/secretref/secretref/logplugin/history"
	"github.com/secretref/secretref/logplugin/requests"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/volume"
	"github.com/secretref/secretref/shared/fault"
)

const socketName = "status.sock"

// Report is the answer to GET /status.
type Report struct {
	Version   int               `json:"version"`             // of this form: 1
	Program   string            `json:"program"`             // the driver's own version
	Attention []string          `json:"attention"`           // why a person should look, one line each; empty means that all is well
	Sessions  []session.Status  `json:"sessions"`            // the oldest first
	History   history.Stats     `json:"history"`             // kept of delivered lines for docker logs
	Volumes   []volume.Status   `json:"volumes,omitempty"`   // by name
	Swarm     []requests.Status `json:"swarm,omitempty"`     // secrets that managers of a swarm have asked for since the start, by name
	Variables []requests.Status `json:"variables,omitempty"` // containers of secretref-runtime that have asked for variables since the start, by id
}

// ReportVersion is Report.Version of this program.
const ReportVersion = 1

// Driver is what is asked.
type Driver interface {
	Report() Report
	Forget(id string, how session.Forgetting) (session.Status, error)
	ForgetEnded(container string) (history.Stats, error)
	Check(ctx context.Context, t Trial) (CheckReport, error)
	Refresh(ctx context.Context, volume string) (int, error)
	ForgetVolume(name string, force bool) error
}

// Handler answers for d. metrics answers GET /metrics.
func Handler(d Driver, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, d.Report()) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { health(w, d.Report().Attention) })
	mux.HandleFunc("POST /forget", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		discard, _ := strconv.ParseBool(q.Get("discard")) // anything else than a boolean is false
		force, _ := strconv.ParseBool(q.Get("force"))
		st, err := d.Forget(q.Get("session"), session.Forgetting{Discard: discard, Force: force})
		reply(w, st, err)
	})
	mux.HandleFunc("POST /forget-ended", func(w http.ResponseWriter, r *http.Request) {
		deleted, err := d.ForgetEnded(r.URL.Query().Get("container"))
		reply(w, deleted, err)
	})
	mux.HandleFunc("POST /forget-volume", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		force, _ := strconv.ParseBool(q.Get("force"))
		reply(w, struct{}{}, d.ForgetVolume(q.Get("volume"), force))
	})
	mux.HandleFunc("POST /refresh", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), refreshWait)
		defer cancel()
		n, err := d.Refresh(ctx, r.URL.Query().Get("volume"))
		reply(w, refreshed{n}, err)
	})
	mux.Handle("POST /check", checks(d))
	mux.Handle("GET /metrics", metrics)
	return mux
}

// PublicHandler answers on metrics_address, where anybody on the network may ask: metrics, and whether all is well without
// a word of what is not.
func PublicHandler(d Driver, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		var reasons []string
		if n := len(d.Report().Attention); n > 0 {
			reasons = []string{fmt.Sprintf("needs attention: %d; ask secretref-logdriver status on the host", n)}
		}
		health(w, reasons)
	})
	return mux
}

func health(w http.ResponseWriter, reasons []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(reasons) == 0 {
		_, _ = io.WriteString(w, "ok\n") // the client may be gone
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, strings.Join(reasons, "\n")+"\n")
}

// refreshWait is how long the driver may ask AWS for volumes, less than it may take to answer.
const refreshWait = 25 * time.Second

// refreshed is the answer to POST /refresh.
type refreshed struct {
	Volumes int `json:"volumes"` // that were looked at
}

type failure struct {
	Error string `json:"error"`
}

// reply answers with v, or with what has kept the driver from doing what it was asked.
func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		answer(w, http.StatusConflict, failure{fault.OneLine(err.Error())})
		return
	}
	answer(w, http.StatusOK, v)
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // who asked has gone
}

// Limits of a listener: who may hold a file of the driver, and for how long.
type Limits struct {
	Connections int           // at once; 0 means 8
	Answer      time.Duration // to write one answer; 0 means 5 s
	Spares      int           // files for when the process has no others
}

// Serve answers on l until stop is called. name is that of the listener in the log.
func Serve(l net.Listener, name string, h http.Handler, limits Limits, log *slog.Logger) (stop func() error) {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: cmp.Or(limits.Answer, 5*time.Second), MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // a client's faults are its own
	}
	srv.SetKeepAlivesEnabled(false)
	bounded := filebudget.Bound(l, filebudget.Bounds{Name: name, Connections: cmp.Or(limits.Connections, 8), Spares: limits.Spares, Log: log})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(bounded) }()
	return func() error {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

// Listen makes the socket in the state directory, which the caller has locked: what lies there belongs to nobody.
func Listen(dir string) (net.Listener, error) {
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var l net.Listener
	err := reach(dir, func(path string) (err error) {
		l, err = net.Listen("unix", path)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by then its name is another's; the next driver removes the file
	return l, nil
}

// reach calls f with a path to the socket in dir that is short enough for a socket's address: it has 107 bytes, and the
// state directory of a managed plugin alone may have more.
func reach(dir string, f func(path string) error) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	return f("/proc/self/fd/" + strconv.Itoa(fd) + "/" + socketName)
}
