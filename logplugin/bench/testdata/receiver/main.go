// Command receiver is a Splunk HTTP Event Collector and a receiver of the Forward protocol that take everything, count
// the lines of 100 bytes in it and throw it away: receiver CERTIFICATE KEY. It is a process of its own, so that what
// it costs is in nobody's account. Its first output is its addresses as JSON; it ends with its standard input.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/klauspost/compress/gzip"
)

func main() {
	pair, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		panic(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	var s sink
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.collect)
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
	entry = []byte("\xa3log\xd9\x64") // the key log and the head of a text of 100 bytes, in msgpack
)

// sink counts what has arrived.
type sink struct {
	mu      sync.Mutex
	counts  counts
	gzipped [][]byte // bodies that are counted when somebody asks
}

type counts struct{ Lines, Requests, Bytes int }

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// collect is HEC.
func (s *sink) collect(w http.ResponseWriter, r *http.Request) {
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	body.Reset()
	body.Grow(max(int(r.ContentLength), 0) + bytes.MinRead)
	if _, err := body.ReadFrom(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	if body.Len() > 0 { // the question whether there is a collector has no body
		s.counts.Requests++
	}
	s.counts.Bytes += body.Len()
	if r.Header.Get("Content-Encoding") == "gzip" {
		s.gzipped = append(s.gzipped, bytes.Clone(body.Bytes()))
	} else {
		s.counts.Lines += bytes.Count(body.Bytes(), event)
	}
	s.mu.Unlock()
	_, _ = io.WriteString(w, `{"text":"Success","code":0}`)
}

func (s *sink) tell(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, body := range s.gzipped {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		text, err := io.ReadAll(z)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.counts.Lines += bytes.Count(text, event)
	}
	s.gzipped = nil
	_ = json.NewEncoder(w).Encode(s.counts)
}

func (s *sink) reset(http.ResponseWriter, *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts, s.gzipped = counts{}, nil
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
