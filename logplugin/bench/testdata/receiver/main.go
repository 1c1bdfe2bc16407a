// Command receiver is a Splunk HTTP Event Collector, a receiver of the Forward protocol and, at /datadog and so on, of other
// protocols over HTTP, that take everything, count the lines of 100 bytes in it and throw it away: receiver CERTIFICATE KEY. It is a process of its own, so that what
// it costs is in nobody's account. Its first output is its addresses as JSON; it ends with its standard input.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

func main() {
	pair, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		panic(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	var s sink
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.collect(event, http.StatusOK, "application/json", `{"text":"Success","code":0}`))
	mux.HandleFunc("/datadog/", s.collect(id, http.StatusAccepted, "application/json", "{}"))
	mux.HandleFunc("/newrelic/", s.collect(id, http.StatusAccepted, "application/json", `{"requestId":"0"}`))
	mux.HandleFunc("/newrelic", s.collect(id, http.StatusAccepted, "application/json", `{"requestId":"0"}`))
	mux.HandleFunc("/http", s.collect(id, http.StatusOK, "text/plain", ""))
	mux.HandleFunc("/otlp/", s.collect(id, http.StatusOK, "application/x-protobuf", ""))
	mux.HandleFunc("/loki/", s.collect(id, http.StatusNoContent, "", ""))
	mux.HandleFunc("/bench/counts", s.tell)
	mux.HandleFunc("/bench/reset", s.reset)
	addresses := map[string]string{}
	listen := func(name string, secure bool, serve func(net.Listener)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		addresses[name] = l.Addr().String()
		if secure {
			l = tls.NewListener(l, c)
		}
		go serve(l)
	}
	hec := func(l net.Listener) { _ = http.Serve(l, mux) }
	listen("hec", false, hec)
	listen("hecTLS", true, hec)
	listen("forward", false, s.forward)
	listen("forwardTLS", true, s.forward)
	if err := json.NewEncoder(os.Stdout).Encode(addresses); err != nil {
		panic(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

var (
	event = []byte(`{"event":`)       // begins one of HEC's events
	id    = []byte(" id=")            // is once in every line, however it is quoted
	entry = []byte("\xa3log\xd9\x64") // the key log and the head of a text of 100 bytes, in msgpack
)

// sink counts what has arrived.
type sink struct {
	mu     sync.Mutex
	counts counts
	packed []packed // bodies that are counted when somebody asks
}

// packed is a compressed body, and what begins each of its lines.
type packed struct {
	encoding string
	body     []byte
	line     []byte
}

type counts struct{ Lines, Requests, Bytes int }

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// collect takes what is posted. Each line is counted by something that is in it once.
func (s *sink) collect(line []byte, status int, media, answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body := bodies.Get().(*bytes.Buffer)
		defer bodies.Put(body)
		body.Reset()
		body.Grow(max(int(r.ContentLength), 0) + bytes.MinRead)
		if _, err := body.ReadFrom(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		encoding := r.Header.Get("Content-Encoding")
		if strings.HasPrefix(r.URL.Path, "/loki/") {
			encoding = "snappy" // of its protobuf messages, and no header says so
		}
		s.mu.Lock()
		if body.Len() > 0 { // the question whether there is a collector has no body
			s.counts.Requests++
		}
		s.counts.Bytes += body.Len()
		if encoding != "" {
			s.packed = append(s.packed, packed{encoding, bytes.Clone(body.Bytes()), line})
		} else {
			s.counts.Lines += bytes.Count(body.Bytes(), line)
		}
		s.mu.Unlock()
		if media != "" {
			w.Header().Set("Content-Type", media)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}
}

func (p packed) text() ([]byte, error) {
	switch p.encoding {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(p.body))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(p.body), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	case "snappy":
		return snappy.Decode(nil, p.body)
	}
	return nil, fmt.Errorf("a body with encoding %q", p.encoding)
}

func (s *sink) tell(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.packed {
		text, err := p.text()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.counts.Lines += bytes.Count(text, p.line)
	}
	s.packed = nil
	_ = json.NewEncoder(w).Encode(s.counts)
}

func (s *sink) reset(http.ResponseWriter, *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts, s.packed = counts{}, nil
}

func (s *sink) forward(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go s.read(c)
	}
}

// read counts entries in a stream: in messages of one as in messages of many.
func (s *sink) read(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 1<<20)
	keep := 0 // bytes at the start of buf that may begin an entry
	for {
		n, err := c.Read(buf[keep:])
		have := buf[:keep+n]
		s.mu.Lock()
		s.counts.Bytes += n
		s.counts.Lines += bytes.Count(have, entry)
		s.mu.Unlock()
		if err != nil {
			return
		}
		keep = copy(buf, have[max(len(have)-len(entry)+1, 0):])
	}
}
