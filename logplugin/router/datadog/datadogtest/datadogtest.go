// Package datadogtest is Datadog's intake in memory, for tests and benchmarks, written from its documentation: it takes and
// refuses what that says, answers as that says, and keeps what it has accepted.
//
// https://docs.datadoghq.com/api/latest/logs/#send-logs
package datadogtest

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

// What the intake takes.
const (
	MaxLogs    = 1000
	MaxRequest = 5 << 20
	MaxLog     = 1 << 20
)

// Options say what kind of intake it is. The zero value takes every key.
type Options = routertest.IntakeOptions

// Log is one log that was accepted, by attribute.
type Log map[string]any

// Server is a running intake.
type Server struct{ *routertest.Intake[Log] }

// Start starts an intake on a port of the loopback address.
func Start(o Options) *Server {
	s := &Server{}
	s.Intake = routertest.StartIntake[Log](o, s.take)
	return s
}

// Logs returns what was accepted, in order.
func (s *Server) Logs() []Log { return s.Taken() }

func (s *Server) take(w http.ResponseWriter, r *http.Request, body []byte) {
	var texts []json.RawMessage
	switch {
	case r.URL.Path != "/api/v2/logs":
		answer(w, http.StatusNotFound, "Not Found")
		return
	case r.Method != http.MethodPost:
		answer(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	case r.Header.Get("DD-API-KEY") == "":
		answer(w, http.StatusUnauthorized, "Unauthorized")
		return
	case !s.Good(r.Header.Get("DD-API-KEY")):
		answer(w, http.StatusForbidden, "Forbidden")
		return
	case len(body) > MaxRequest:
		answer(w, http.StatusRequestEntityTooLarge, "Payload Too Large")
		return
	case r.Header.Get("Content-Type") != "application/json", json.Unmarshal(body, &texts) != nil, len(texts) == 0, len(texts) > MaxLogs:
		answer(w, http.StatusBadRequest, "Bad Request")
		return
	}
	var logs []Log
	for _, text := range texts {
		var log Log
		if len(text) > MaxLog || json.Unmarshal(text, &log) != nil || s.rejects(log) {
			answer(w, http.StatusBadRequest, "Bad Request")
			return
		}
		logs = append(logs, log)
	}
	s.Keep(logs...)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, "{}")
}

func (s *Server) rejects(log Log) bool {
	message, _ := log["message"].(string)
	return s.Rejects(message)
}

func answer(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"detail": detail, "status": http.StatusText(status)}}})
}
