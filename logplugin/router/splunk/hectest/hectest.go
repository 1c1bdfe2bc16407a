// Package hectest is a Splunk HTTP Event Collector in memory, for tests, benchmarks and the demo.
//
// It checks tokens, channels and events as HEC does and answers with its codes, keeps what it has accepted, acknowledges
// if asked to, and fails on demand: any status and code, no answer, half an answer, a web page. It refuses to be a
// mock: a batch that HEC would refuse is refused here without being told to.
package hectest

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Codes are HEC's answers by code: status and text.
var Codes = map[int]struct {
	Status int
	Text   string
}{
	0: {200, "Success"}, 1: {403, "Token disabled"}, 2: {401, "Token is required"}, 3: {401, "Invalid authorization"},
	4: {403, "Invalid token"}, 5: {400, "No data"}, 6: {400, "Invalid data format"}, 7: {400, "Incorrect index"},
	8: {500, "Internal server error"}, 9: {503, "Server is busy"}, 10: {400, "Data channel is missing"},
	11: {400, "Invalid data channel"}, 12: {400, "Event field is required"}, 13: {400, "Event field cannot be blank"},
	14: {400, "ACK is disabled"}, 15: {400, "Error in handling indexed fields"},
	16: {400, "Query string authorization is not enabled"}, 17: {200, "HEC is healthy"},
	18: {503, "HEC is unhealthy, queues are full"}, 19: {503, "HEC is unhealthy, ack service unavailable"},
	20: {503, "HEC is unhealthy, queues are full, ack service unavailable"}, 21: {400, "Invalid token"},
	22: {400, "Token disabled"}, 23: {503, "Server is shutting down"}, 24: {200, "Queue near capacity"},
	25: {200, "Acknowledgment channel near capacity"}, 26: {429, "Queue at capacity"},
	27: {429, "Acknowledgment channel at capacity"},
}

// Options say what kind of receiver it is. The zero value takes everything over plain HTTP.
type Options struct {
	TLS      *tls.Config
	Tokens   []string // nil = every token is good
	Indexes  []string // nil = every index is good
	Ack      bool     // the token wants a channel, and batches get an ackId
	NeverAck bool     // the ackId never comes true
	MaxBytes int64    // larger bodies, decompressed, are answered 413; 0 = 800 MiB
	Count    bool     // keep no requests and events, only their numbers
}

// Event is one event that was accepted.
type Event struct {
	Text    string // as it was sent
	Channel string
}

// Request is one request that arrived, accepted or not. Its token is not kept.
type Request struct {
	Method, Path string
	Header       http.Header // without Authorization
	Body         []byte      // decompressed
	Wire         int         // bytes of the body as they were sent
	Status       int
}

// Server is a running receiver.
type Server struct {
	server   *http.Server
	listener net.Listener
	served   chan struct{}
	gone     chan struct{} // Close was called
	url      string

	mu       sync.Mutex
	options  Options
	faults   []Fault
	always   *Fault
	events   []Event
	requests []Request
	count    int
	conns    int
	nextAck  map[string]int64
	acks     map[string]map[int64]bool // channel, id, whether it is still there to be asked for
}

// Start starts a receiver on a port of the loopback address.
func Start(o Options) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it cannot block
	if err != nil {
		return nil, err
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 838860800
	}
	s := &Server{listener: l, options: o, served: make(chan struct{}), gone: make(chan struct{}),
		nextAck: map[string]int64{}, acks: map[string]map[int64]bool{}}
	s.url = "http://" + l.Addr().String()
	if o.TLS != nil {
		s.url = "https://" + l.Addr().String()
		l = tls.NewListener(l, o.TLS)
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // aborted requests are meant
		ConnState: func(_ net.Conn, st http.ConnState) {
			if st == http.StateNew {
				s.mu.Lock()
				s.conns++
				s.mu.Unlock()
			}
		}}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(l) // ends with Close
	}()
	return s, nil
}

// Close ends the receiver, hanging requests too.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.gone:
	default:
		close(s.gone)
	}
	s.mu.Unlock()
	_ = s.server.Close()
	<-s.served
}

// URL is the base URL, for splunk-url.
func (s *Server) URL() string { return s.url }

// SetTokens makes these the only good tokens.
func (s *Server) SetTokens(tokens ...string) {
	s.mu.Lock()
	s.options.Tokens = tokens
	s.mu.Unlock()
}

// SetNeverAck switches acknowledgements off and on; ids given out meanwhile come true afterwards.
func (s *Server) SetNeverAck(never bool) {
	s.mu.Lock()
	s.options.NeverAck = never
	s.mu.Unlock()
}

// Fail makes the next requests fail, one fault each.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	s.faults = append(s.faults, faults...)
	s.mu.Unlock()
}

// FailAlways makes every request fail until it is called with nil; faults of Fail come first.
func (s *Server) FailAlways(f *Fault) {
	s.mu.Lock()
	s.always = f
	s.mu.Unlock()
}

// Events returns what was accepted, in order.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Count is the number of accepted events.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Requests returns what has arrived, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Connections is how many were opened.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

func (s *Server) fault() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) > 0 {
		f := s.faults[0]
		s.faults = s.faults[1:]
		return f
	}
	if s.always != nil {
		return *s.always
	}
	return Fault{}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := s.fault()
	if f.Early { // the connection is closed, as by a server that does not want the rest
		w.Header().Set("Connection", "close")
		s.answer(w, f)
		return
	}
	body, wire, err := s.read(r)
	status := s.handle(w, r, f, body, err)
	if s.options.Count {
		return
	}
	h := r.Header.Clone()
	h.Del("Authorization")
	s.mu.Lock()
	s.requests = append(s.requests, Request{Method: r.Method, Path: r.URL.RequestURI(), Header: h, Body: body, Wire: wire, Status: status})
	s.mu.Unlock()
}

var errTooLarge = errors.New("too large")

func (s *Server) read(r *http.Request) (body []byte, wire int, err error) {
	counted := &counter{r: r.Body}
	var from io.Reader = counted
	if r.Header.Get("Content-Encoding") == "gzip" {
		if from, err = gzip.NewReader(counted); err != nil {
			return nil, counted.n, err
		}
	}
	body, err = io.ReadAll(io.LimitReader(from, s.options.MaxBytes+1))
	if err == nil && int64(len(body)) > s.options.MaxBytes {
		err = errTooLarge
	}
	return body, counted.n, err
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// handle answers and returns the status, 0 for none.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, f Fault, body []byte, readErr error) int {
	if f.Delay > 0 && !s.wait(r.Context(), time.After(f.Delay)) {
		return 0
	}
	if status, done := s.fail(w, r, f); done {
		return status
	}
	switch {
	case readErr != nil && errors.Is(readErr, errTooLarge):
		return s.plain(w, http.StatusRequestEntityTooLarge)
	case r.Method == http.MethodOptions && r.URL.Path == "/services/collector/event/1.0":
		return s.plain(w, http.StatusOK)
	}
	switch r.URL.Path {
	case "/services/collector/health", "/services/collector/health/1.0":
		switch code := s.checkToken(r); code {
		case 0:
			return s.code(w, 17, nil, 0, false)
		case 1:
			return s.code(w, 22, nil, 0, false)
		default:
			return s.code(w, 21, nil, 0, false)
		}
	case "/services/collector", "/services/collector/event", "/services/collector/event/1.0":
	case "/services/collector/ack":
		return s.serveAck(w, r, body)
	default:
		return s.plain(w, http.StatusNotFound)
	}
	if r.Method != http.MethodPost {
		return s.plain(w, http.StatusMethodNotAllowed)
	}
	if code := s.checkToken(r); code != 0 {
		return s.code(w, code, nil, 0, false)
	}
	if readErr != nil {
		return s.code(w, 6, nil, 0, false)
	}
	return s.take(w, r, body)
}

func (s *Server) plain(w http.ResponseWriter, status int) int {
	w.WriteHeader(status)
	return status
}

func (s *Server) code(w http.ResponseWriter, code int, bad *int, ack int64, hasAck bool) int {
	a := struct {
		Text string `json:"text"`
		Code int    `json:"code"`
		Bad  *int   `json:"invalid-event-number,omitempty"`
		Ack  *int64 `json:"ackId,omitempty"`
	}{Codes[code].Text, code, bad, nil}
	if hasAck {
		a.Ack = &ack
	}
	text, _ := json.Marshal(a) // cannot fail
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(Codes[code].Status)
	_, _ = w.Write(text)
	return Codes[code].Status
}

func (s *Server) checkToken(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := r.Header.Get("Authorization")
	token, ok := strings.CutPrefix(h, "Splunk ")
	switch {
	case s.options.Tokens == nil:
		return 0
	case h == "":
		return 2
	case !ok:
		return 3
	case !slices.Contains(s.options.Tokens, token):
		return 4
	}
	return 0
}

// take checks the events of one body. HEC keeps those before a bad one.
func (s *Server) take(w http.ResponseWriter, r *http.Request, body []byte) int {
	channel := r.Header.Get("X-Splunk-Request-Channel")
	if channel == "" {
		channel = r.URL.Query().Get("channel")
	}
	if s.options.Ack && channel == "" {
		return s.code(w, 10, nil, 0, false)
	}
	if channel != "" && !isGUID(channel) {
		return s.code(w, 11, nil, 0, false)
	}
	events, code := s.parse(body, channel)
	s.mu.Lock()
	s.count += len(events)
	if !s.options.Count {
		s.events = append(s.events, events...)
	}
	var id int64
	if code == 0 && s.options.Ack {
		id = s.nextAck[channel]
		s.nextAck[channel]++
		if s.acks[channel] == nil {
			s.acks[channel] = map[int64]bool{}
		}
		s.acks[channel][id] = true
	}
	s.mu.Unlock()
	if code != 0 {
		bad := len(events)
		if code == 7 {
			bad++ // HEC counts these from 1
		}
		if code == 5 {
			return s.code(w, code, nil, 0, false)
		}
		return s.code(w, code, &bad, 0, false)
	}
	return s.code(w, 0, nil, id, s.options.Ack)
}

// parse returns the events before the first bad one, and what is wrong with that.
func (s *Server) parse(body []byte, channel string) (events []Event, code int) {
	dec := json.NewDecoder(bytes.NewReader(body))
	for {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return events, 6
		}
		var e struct {
			Event json.RawMessage `json:"event"`
			Index string          `json:"index"`
			Time  json.RawMessage `json:"time"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return events, 6
		}
		switch {
		case e.Event == nil:
			return events, 12
		case string(e.Event) == `""` || string(e.Event) == "null":
			return events, 13
		case s.options.Indexes != nil && e.Index != "" && !slices.Contains(s.options.Indexes, e.Index):
			return events, 7
		}
		if s.options.Count {
			events = append(events, Event{})
		} else {
			events = append(events, Event{string(raw), channel})
		}
	}
	if len(events) == 0 {
		return nil, 5
	}
	return events, 0
}

func (s *Server) serveAck(w http.ResponseWriter, r *http.Request, body []byte) int {
	if code := s.checkToken(r); code != 0 {
		return s.code(w, code, nil, 0, false)
	}
	channel := r.URL.Query().Get("channel")
	var ask struct {
		Acks []int64 `json:"acks"`
	}
	switch {
	case !s.options.Ack:
		return s.code(w, 14, nil, 0, false)
	case channel == "":
		return s.code(w, 10, nil, 0, false)
	case json.Unmarshal(body, &ask) != nil:
		return s.code(w, 6, nil, 0, false)
	}
	s.mu.Lock()
	acks := map[string]bool{}
	for _, id := range ask.Acks {
		acks[fmt.Sprint(id)] = s.acks[channel][id] && !s.options.NeverAck
		if !s.options.NeverAck {
			delete(s.acks[channel], id) // it is told once
		}
	}
	s.mu.Unlock()
	text, _ := json.Marshal(map[string]any{"acks": acks}) // cannot fail
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = w.Write(text)
	return http.StatusOK
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdefABCDEF", c) {
			return false
		}
	}
	return true
}
