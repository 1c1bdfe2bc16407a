// Package logdnatest is Mezmo's ingestion API in memory, for tests and benchmarks, written from its documentation: it takes and
// refuses what that says, answers as that says, and keeps what it has accepted.
//
// https://docs.mezmo.com/reference/ingest
package logdnatest

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

// MaxRequest is what a request may have.
const MaxRequest = 10_000_000

// Options say what kind of receiver it is. The zero value takes every key.
type Options = routertest.IntakeOptions

// Line is one line that was accepted, with what the query of its request has said.
type Line struct {
	Line, App, File, Level, Hostname string
	Timestamp                        int64
	Meta                             map[string]any

	Host, MAC, IP, Tags string // of the request
}

// Server is a running receiver.
type Server struct{ *routertest.Intake[Line] }

// Start starts a receiver on a port of the loopback address.
func Start(o Options) *Server {
	s := &Server{}
	s.Intake = routertest.StartIntake[Line](o, s.take)
	return s
}

// Lines returns what was accepted, in order.
func (s *Server) Lines() []Line { return s.Taken() }

var macAddress = regexp.MustCompile(`^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$`)

func (s *Server) take(w http.ResponseWriter, r *http.Request, body []byte) {
	status, lines := s.read(r, body)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if status != http.StatusOK {
		_ = json.NewEncoder(w).Encode(map[string]any{"error": http.StatusText(status), "code": status})
		return
	}
	s.Keep(lines...)
	_, _ = io.WriteString(w, `{"status":"ok","batchID":"a8b1"}`)
}

// read looks at a request, and returns the status of its answer.
func (s *Server) read(r *http.Request, body []byte) (status int, lines []Line) {
	q := r.URL.Query()
	key, password, _ := r.BasicAuth()
	_, notNow := strconv.ParseInt(q.Get("now"), 10, 64)
	var all struct{ Lines []Line }
	switch {
	case r.URL.Path != "/logs/ingest":
		return http.StatusNotFound, nil
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, nil
	case key == "" || password != "":
		return http.StatusUnauthorized, nil
	case !s.Good(key):
		return http.StatusForbidden, nil
	case len(body) > MaxRequest:
		return http.StatusRequestEntityTooLarge, nil
	case q.Get("hostname") == "", notNow != nil, json.Unmarshal(body, &all) != nil, len(all.Lines) == 0:
		return http.StatusBadRequest, nil
	case q.Get("mac") != "" && !macAddress.MatchString(q.Get("mac")), q.Get("ip") != "" && net.ParseIP(q.Get("ip")) == nil:
		return http.StatusBadRequest, nil
	}
	for i := range all.Lines {
		l := &all.Lines[i]
		if s.Rejects(l.Line) {
			return http.StatusBadRequest, nil
		}
		l.Host, l.MAC, l.IP, l.Tags = q.Get("hostname"), q.Get("mac"), q.Get("ip"), q.Get("tags")
	}
	return http.StatusOK, all.Lines
}
