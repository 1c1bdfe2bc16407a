// Package elastictest is the bulk API of Elasticsearch in memory, for tests and benchmarks, written from its documentation: it
// takes and refuses what that says, answers as that says, and keeps what it has accepted.
//
// https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
package elastictest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

// MaxRequest is what a small server takes.
const MaxRequest = 10 << 20

// Options say what kind of server it is. The zero value takes every credential.
type Options struct {
	routertest.ReceiverOptions                           // all but Handle
	Auth                       string                    // the good Authorization header; "" = every one is
	Reject                     func(message string) bool // documents that cannot be indexed; nil = none
	// Fail gives the status and the type of the fault of a document that is not indexed; 0 = it is.
	Fail    func(d Document) (status int, kind string)
	Verbose bool // the answer has all that it can have, as from a server that knows no filter_path
}

// Document is one that was accepted.
type Document struct {
	Index, ID, Pipeline string
	Fields              map[string]any
}

// Message is the line, which has another name in the documents of Fluent Bit.
func (d Document) Message() string {
	if s, ok := d.Fields["message"].(string); ok {
		return s
	}
	s, _ := d.Fields["log"].(string)
	return s
}

// Server is a running one.
type Server struct {
	*routertest.Receiver

	mu      sync.Mutex
	options Options
	ids     map[string]bool // of an index
	created []Document
	known   []Document // that were sent again
	sent    []Document // accepted or known, in order
}

// Start starts a server on a port of the loopback address.
func Start(o Options) *Server {
	s := &Server{options: o, ids: map[string]bool{}}
	o.Handle = s.take
	s.Receiver = routertest.StartReceiver(o.ReceiverOptions)
	return s
}

// SetAuth makes this the only good Authorization header.
func (s *Server) SetAuth(header string) {
	s.mu.Lock()
	s.options.Auth = header
	s.mu.Unlock()
}

// Documents returns what was created, in order.
func (s *Server) Documents() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.created)
}

// Known returns what was sent again, and was there already.
func (s *Server) Known() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.known)
}

// Sent returns both, in order.
func (s *Server) Sent() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

func (s *Server) take(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	switch {
	case s.options.Auth != "" && r.Header.Get("Authorization") != s.options.Auth:
		fault(w, http.StatusUnauthorized, "security_exception", "missing authentication credentials for REST request [/_bulk]")
		return
	case !strings.HasSuffix(r.URL.Path, "/_bulk"):
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"no handler found for uri [`+r.URL.Path+`] and method [POST]"}`)
		return
	case r.Method != http.MethodPost && r.Method != http.MethodPut:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case r.Header.Get("Content-Type") != "application/x-ndjson" && r.Header.Get("Content-Type") != "application/json":
		fault(w, http.StatusNotAcceptable, "media_type_header_exception", "Content-Type header is not supported")
		return
	case len(body) > MaxRequest:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	documents, err := parse(body)
	if err != nil {
		fault(w, http.StatusBadRequest, "illegal_argument_exception", err.Error())
		return
	}
	items, failed := []string{}, false
	for _, d := range documents {
		status, item := s.index(d, s.options.Verbose || r.URL.Query().Get("filter_path") == "")
		items, failed = append(items, item), failed || status >= 300
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = fmt.Fprintf(w, `{"errors":%v,"items":[%s]}`, failed, strings.Join(items, ","))
}

// index creates a document, and returns its status and its result.
func (s *Server) index(d Document, verbose bool) (status int, item string) {
	status, kind := http.StatusCreated, ""
	if s.options.Fail != nil {
		if at, why := s.options.Fail(d); at != 0 {
			status, kind = at, why
		}
	}
	_, isTime := d.Fields["@timestamp"].(string)
	switch key := d.Index + "/" + d.ID; {
	case kind != "":
	case !validIndex(d.Index):
		status, kind = http.StatusBadRequest, "invalid_index_name_exception"
	case !isTime, s.options.Reject != nil && s.options.Reject(d.Message()):
		status, kind = http.StatusBadRequest, "document_parsing_exception"
	case d.ID != "" && s.ids[key]:
		status, kind = http.StatusConflict, "version_conflict_engine_exception"
		s.known, s.sent = append(s.known, d), append(s.sent, d)
	default:
		s.ids[key] = true
		s.created, s.sent = append(s.created, d), append(s.sent, d)
	}
	result := map[string]any{"status": status}
	if kind != "" {
		result["error"] = map[string]any{"type": kind}
	}
	if verbose {
		result["_index"], result["_id"], result["_shards"] = d.Index, d.ID, map[string]int{"total": 2, "successful": 1, "failed": 0}
		if kind != "" {
			result["error"] = map[string]any{"type": kind, "reason": "failed to parse field [message]. Preview of field's value: '" + d.Message() + "'"}
		}
	}
	text, _ := json.Marshal(map[string]any{"create": result})
	return status, string(text)
}

func validIndex(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && name == strings.ToLower(name) &&
		!strings.ContainsAny(name, ` "\/*?<>|,#:`) && !strings.ContainsRune("-_+", rune(name[0]))
}

// parse reads a request. The server refuses the whole of one that is not made of pairs of lines.
func parse(body []byte) (all []Document, err error) {
	if len(body) == 0 || body[len(body)-1] != '\n' {
		return nil, errors.New("The bulk request must be terminated by a newline [\\n]") //nolint:staticcheck // as it is there
	}
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	if len(body) == 1 {
		return nil, errors.New("request body is required")
	}
	for i := 0; i < len(lines); i += 2 {
		var action struct {
			Create *struct {
				Index    string `json:"_index"`
				ID       string `json:"_id"`
				Pipeline string `json:"pipeline"`
			} `json:"create"`
		}
		d := json.NewDecoder(bytes.NewReader(lines[i]))
		d.DisallowUnknownFields()
		if err := d.Decode(&action); err != nil || action.Create == nil || i+1 == len(lines) || len(action.Create.ID) > 512 {
			return nil, fmt.Errorf("Malformed action/metadata line [%d]", i+1) //nolint:staticcheck // as it is there
		}
		document := Document{Index: action.Create.Index, ID: action.Create.ID, Pipeline: action.Create.Pipeline}
		if err := json.Unmarshal(lines[i+1], &document.Fields); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		if text, ok := document.Fields["@timestamp"].(string); ok {
			if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
				delete(document.Fields, "@timestamp")
			}
		}
		all = append(all, document)
	}
	return all, nil
}

func fault(w http.ResponseWriter, status int, kind, reason string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": status, "error": map[string]any{"type": kind, "reason": reason, "root_cause": []map[string]string{{"type": kind, "reason": reason}}},
	})
}
