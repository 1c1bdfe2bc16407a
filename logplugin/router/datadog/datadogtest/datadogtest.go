// Package datadogtest is Datadog's intake in memory, for tests and benchmarks, written from its documentation: it takes and
// refuses what that says, answers as that says, and keeps what it has accepted.
//
// https://docs.datadoghq.com/api/latest/logs/#send-logs
package datadogtest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

// What the intake takes.
const (
	MaxLogs    = 1000
	MaxRequest = 5 << 20
	MaxLog     = 1 << 20
)

// Options say what kind of intake it is. The zero value takes every key.
type Options struct {
	routertest.ReceiverOptions                           // all but Handle
	Keys                       []string                  // good API keys; nil = every one is
	Reject                     func(message string) bool // logs for which a request is refused; nil = none
}

// Log is one log that was accepted, by attribute.
type Log map[string]any

// Server is a running intake.
type Server struct {
	*routertest.Receiver

	mu      sync.Mutex
	options Options
	logs    []Log
}

// Start starts an intake on a port of the loopback address.
func Start(o Options) *Server {
	s := &Server{options: o}
	o.Handle = s.take
	s.Receiver = routertest.StartReceiver(o.ReceiverOptions)
	return s
}

// SetKeys makes these the only good keys.
func (s *Server) SetKeys(keys ...string) {
	s.mu.Lock()
	s.options.Keys = keys
	s.mu.Unlock()
}

// Logs returns what was accepted, in order.
func (s *Server) Logs() []Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.logs)
}

func (s *Server) take(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	case s.options.Keys != nil && !slices.Contains(s.options.Keys, r.Header.Get("DD-API-KEY")):
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
	s.logs = append(s.logs, logs...)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, "{}")
}

func (s *Server) rejects(log Log) bool {
	message, _ := log["message"].(string)
	return s.options.Reject != nil && s.options.Reject(message)
}

func answer(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"detail": detail, "status": http.StatusText(status)}}})
}
