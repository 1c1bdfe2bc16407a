package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// What is in every line once, or begins a record.
var (
	event = []byte(`{"event":`)       // begins one of HEC's events
	id    = []byte(" id=")            // is in every line, however it is quoted
	data  = []byte(`"Data":`)         // of a record whose text is in base64
	entry = []byte("\xa3log\xd9\x64") // the key log and the head of a text of 100 bytes, in msgpack
)

// sink counts what has arrived.
type sink struct {
	wire   atomic.Int64 // bytes of connections, with what is around the bodies
	mu     sync.Mutex
	counts counts
	packed []packed          // bodies that are read when somebody asks
	marks  map[string]*marks // by where they were sent
}

// packed is a compressed body, what begins each of its lines, where it was sent and when it came.
type packed struct {
	encoding string
	body     []byte
	line     []byte
	group    string
	at       time.Time
}

type counts struct {
	Lines, Requests, Bytes int
	Wire                   int64
}

// answer is what a service says to a request that it takes.
type answer struct {
	line   []byte // is in each line of a request once
	status int
	media  string
	text   func(body []byte) string // nil = nothing
}

func text(s string) func([]byte) string { return func([]byte) string { return s } }

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// collect takes what is posted.
func (s *sink) collect(a answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body := bodies.Get().(*bytes.Buffer)
		defer bodies.Put(body)
		if err := read(body, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.take(r, body.Bytes(), a.line, time.Now())
		if a.media != "" {
			w.Header().Set("Content-Type", a.media)
		}
		w.WriteHeader(a.status)
		if a.text != nil {
			_, _ = io.WriteString(w, a.text(body.Bytes()))
		}
	}
}

func read(body *bytes.Buffer, r *http.Request) error {
	body.Reset()
	body.Grow(max(int(r.ContentLength), 0) + bytes.MinRead)
	_, err := body.ReadFrom(r.Body)
	return err
}

// take counts the lines of a body that came at a time, and keeps it for later when it is compressed.
func (s *sink) take(r *http.Request, body, line []byte, at time.Time) {
	p := packed{encodingOf(r, body), body, line, groupOf(r), at}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(body) > 0 { // the question whether there is a collector has no body
		s.counts.Requests++
	}
	s.counts.Bytes += len(body)
	if p.encoding != "" {
		p.body = bytes.Clone(body)
		s.packed = append(s.packed, p)
		return
	}
	s.count(p, body)
}

func (s *sink) count(p packed, plain []byte) {
	s.counts.Lines += bytes.Count(plain, p.line)
	if s.marks[p.group] == nil {
		s.marks[p.group] = new(marks)
	}
	s.marks[p.group].read(plain, p.at)
}

// encodingOf says how a body is compressed. Not every sender says it.
func encodingOf(r *http.Request, body []byte) string {
	switch {
	case strings.HasPrefix(r.URL.Path, "/loki/"):
		return "snappy" // of its protobuf messages
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		return "gzip"
	case bytes.HasPrefix(body, []byte("\x28\xb5\x2f\xfd")):
		return "zstd"
	}
	return r.Header.Get("Content-Encoding")
}

// groupOf is the number of one of several receivers below /http/.
func groupOf(r *http.Request) string {
	group, _ := strings.CutPrefix(r.URL.Path, "/http/")
	if group == r.URL.Path {
		return ""
	}
	return group
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

// unpack reads what was kept for later. Call it under mu.
func (s *sink) unpack() error {
	for _, p := range s.packed {
		text, err := p.text()
		if err != nil {
			return err
		}
		s.count(p, text)
	}
	s.packed = nil
	return nil
}

// tell answers with what has arrived so far: the counts, or the marks of each receiver.
func (s *sink) tell(marked bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.unpack(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if !marked {
			s.counts.Wire = s.wire.Load()
			_ = json.NewEncoder(w).Encode(s.counts)
			return
		}
		all := map[string]summary{}
		for group, m := range s.marks {
			all[group] = m.summary()
		}
		_ = json.NewEncoder(w).Encode(all)
	}
}

func (s *sink) reset(http.ResponseWriter, *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts, s.packed, s.marks = counts{}, nil, map[string]*marks{}
	s.wire.Store(0)
}

// streams counts lines in what connections send.
func (s *sink) streams(line []byte) func(net.Listener) {
	return func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.read(c, line)
		}
	}
}

// read counts lines in a stream: in messages of one as in messages of many.
func (s *sink) read(c net.Conn, line []byte) {
	defer c.Close()
	buf := make([]byte, 1<<20)
	keep := 0 // bytes at the start of buf that may begin a line
	for {
		n, err := c.Read(buf[keep:])
		have := buf[:keep+n]
		s.mu.Lock()
		s.counts.Bytes += n
		s.counts.Lines += bytes.Count(have, line)
		s.mu.Unlock()
		if err != nil {
			return
		}
		keep = copy(buf, have[max(len(have)-len(line)+1, 0):])
	}
}

// datagrams counts datagrams, one for each line, and returns the address. The socket holds what comes while nothing reads.
func (s *sink) datagrams() (string, error) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return "", err
	}
	const room = 256 << 20
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) }) // without root it stays small
	go func() {                                                                                                       // ends with the process
		buf := make([]byte, 64<<10)
		for {
			n, _, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.counts.Bytes += n
			s.counts.Lines++
			s.mu.Unlock()
		}
	}()
	return c.LocalAddr().String(), nil
}
