// Package otlptest is a receiver of OTLP over HTTP in memory, for tests and benchmarks.
//
// It decodes requests with OpenTelemetry's own messages, answers as the protocol says, in protocol buffers or JSON, and
// keeps what it has accepted. It refuses what a collector refuses: https://opentelemetry.io/docs/specs/otlp/#otlphttp
package otlptest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

// Options say what kind of receiver it is. The zero value takes every credential.
type Options struct {
	routertest.ReceiverOptions                        // all but Handle
	Auth                       []string               // values of the Authorization header that are good; nil = every one is
	JSON                       bool                   // the answers are JSON
	Reject                     func(line string) bool // records that are rejected while others are taken; nil = none
}

// Record is one record that was accepted.
type Record struct {
	*logs.LogRecord
	Line     string
	Values   map[string]string // its attributes
	Resource map[string]string // those of its resource
	Scope    string
	Schema   string
}

// Server is a running receiver.
type Server struct {
	*routertest.Receiver

	mu      sync.Mutex
	options Options
	records []Record
}

// Start starts a receiver on a port of the loopback address.
func Start(o Options) *Server {
	s := &Server{options: o}
	o.Handle = s.export
	s.Receiver = routertest.StartReceiver(o.ReceiverOptions)
	return s
}

// SetAuth makes these the only good values of the Authorization header.
func (s *Server) SetAuth(values ...string) {
	s.mu.Lock()
	s.options.Auth = values
	s.mu.Unlock()
}

// Records returns what was accepted, in order.
func (s *Server) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

func (s *Server) export(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var request collector.ExportLogsServiceRequest
	switch {
	case !strings.HasSuffix(r.URL.Path, "/v1/logs"):
		http.NotFound(w, r)
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case s.options.Auth != nil && !slices.Contains(s.options.Auth, r.Header.Get("Authorization")):
		w.WriteHeader(http.StatusUnauthorized)
	case r.Header.Get("Content-Type") != "application/x-protobuf":
		w.WriteHeader(http.StatusUnsupportedMediaType)
	case proto.Unmarshal(body, &request) != nil:
		w.WriteHeader(http.StatusBadRequest)
	default:
		s.answer(w, s.store(&request))
	}
}

func (s *Server) answer(w http.ResponseWriter, rejected int64) {
	response := &collector.ExportLogsServiceResponse{}
	if rejected > 0 {
		response.PartialSuccess = &collector.ExportLogsPartialSuccess{RejectedLogRecords: rejected, ErrorMessage: "some records are not wanted"}
	}
	if !s.options.JSON {
		text, _ := proto.Marshal(response) // cannot fail
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(text)
		return
	}
	// The JSON of protocol buffers, which the slim messages do not bring: a number of 64 bits is a string.
	text := []byte("{}")
	if rejected > 0 {
		text, _ = json.Marshal(map[string]any{"partialSuccess": map[string]string{"rejectedLogRecords": fmt.Sprint(rejected)}}) // cannot fail
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

func (s *Server) store(request *collector.ExportLogsServiceRequest) (rejected int64) {
	for _, resource := range request.GetResourceLogs() {
		for _, scope := range resource.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				line := Text(record.GetBody())
				if s.options.Reject != nil && s.options.Reject(line) {
					rejected++
					continue
				}
				s.records = append(s.records, Record{LogRecord: record, Line: line, Values: texts(record.GetAttributes()),
					Resource: texts(resource.GetResource().GetAttributes()), Scope: scope.GetScope().GetName(), Schema: resource.GetSchemaUrl()})
			}
		}
	}
	return rejected
}

func texts(pairs []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		m[p.GetKey()] = Text(p.GetValue())
	}
	return m
}

// Text prints a value: a text as it is, others with their kind in front.
func Text(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return fmt.Sprint("int ", v.IntValue)
	case *common.AnyValue_DoubleValue:
		return fmt.Sprint("double ", v.DoubleValue)
	case *common.AnyValue_BoolValue:
		return fmt.Sprint("bool ", v.BoolValue)
	}
	return fmt.Sprintf("%v", v)
}
