// Package newrelictest is New Relic's Log API in memory, for tests and benchmarks, written from its documentation: it takes and
// refuses what that says, answers as that says, and keeps what it has accepted.
//
// https://docs.newrelic.com/docs/logs/log-api/introduction-log-api/
package newrelictest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

// What the Log API takes.
const (
	MaxRequest    = 1_000_000
	MaxAttributes = 255
)

// Options say what kind of API it is. The zero value takes every key.
type Options = routertest.IntakeOptions

// Log is one log that was accepted.
type Log struct {
	Timestamp  int64
	Message    string
	Attributes map[string]any // the common ones too
}

// Server is a running API.
type Server struct{ *routertest.Intake[Log] }

// Start starts an API on a port of the loopback address.
func Start(o Options) *Server {
	s := &Server{}
	s.Intake = routertest.StartIntake[Log](o, s.take)
	return s
}

// Logs returns what was accepted, in order.
func (s *Server) Logs() []Log { return s.Taken() }

func (s *Server) take(w http.ResponseWriter, r *http.Request, body []byte) {
	key := r.Header.Get("X-License-Key") + r.Header.Get("X-Insert-Key")
	switch {
	case r.URL.Path != "/log/v1":
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case key == "", !s.Good(key):
		w.WriteHeader(http.StatusForbidden)
		return
	case r.ContentLength > MaxRequest:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	logs, ok := s.decode(r.Header.Get("Content-Type"), body)
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.Keep(logs...)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"requestId":"00000000-0000-0000-0000-000000000000"}`)
}

// block is one element of a request: logs with what they have in common, or one log by itself.
type block struct {
	Common    struct{ Attributes map[string]any }
	Logs      []Log
	Timestamp int64
	Message   string
}

func (s *Server) decode(kind string, body []byte) (logs []Log, ok bool) {
	var blocks []block
	if kind != "application/json" || json.Unmarshal(body, &blocks) != nil || len(blocks) == 0 {
		return nil, false
	}
	for _, block := range blocks {
		if block.Message != "" { // the simple form: a log that is not in a block, whose other members are attributes
			block.Logs = []Log{{Timestamp: block.Timestamp, Message: block.Message, Attributes: map[string]any{}}}
		}
		if len(block.Logs) == 0 {
			return nil, false
		}
		for _, log := range block.Logs {
			all := maps.Clone(block.Common.Attributes)
			if all == nil {
				all = map[string]any{}
			}
			maps.Copy(all, log.Attributes)
			if log.Attributes = all; len(all) > MaxAttributes || s.Rejects(log.Message) {
				return nil, false
			}
			logs = append(logs, log)
		}
	}
	return logs, true
}
