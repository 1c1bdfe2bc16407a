// Package forwardtest is a receiver of the Forward protocol in memory, for tests, benchmarks and the demo.
//
// It does the handshake as Fluentd does it or as Fluent Bit does it, takes all modes of the protocol, acknowledges, and
// fails on demand. It checks digests and shapes as those do, and closes the connection on what they would not take.
package forwardtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
)

// Options say what kind of receiver it is. The zero value has no handshake.
type Options struct {
	Network     string // "tcp" by default, or "unix"
	Address     string // "127.0.0.1:0" by default
	TLS         *tls.Config
	SharedKey   string            // with one there is a handshake
	Users       map[string]string // names and passwords; nil = no users
	FluentBit   bool              // the handshake of Fluent Bit's in_forward; else Fluentd's
	NoKeepalive bool              // closes after each message
	MaxMessage  int               // closes the connection on a longer one; 0 = 6,000,000 like Fluent Bit
	Count       bool              // keep no entries, only their number
}

// Fault is what happens to everything from now on.
type Fault string

// The faults.
const (
	None       Fault = ""
	Hang       Fault = "hang"        // read nothing, answer nothing
	NeverAck   Fault = "never ack"   // take messages, acknowledge none
	WrongAck   Fault = "wrong ack"   // acknowledge another chunk
	Garbage    Fault = "garbage"     // answer with bytes that are not msgpack
	Close      Fault = "close"       // close each connection at once
	CloseAfter Fault = "close after" // close after a message, without an acknowledgement
	WrongProof Fault = "wrong proof" // answer the handshake without knowing the key
	Page       Fault = "page"        // answer as a web server
)

// Entry is one record that was accepted.
type Entry struct {
	Tag    string
	Time   any // int64, uint64 or Ext
	Record []Pair
}

// Get returns a string of the record.
func (e Entry) Get(key string) string { s, _ := get(e.Record, key).(Str); return string(s) }

// Message is what is known of one message.
type Message struct {
	Tag        string
	Mode       string // "Message", "Forward", "PackedForward", "CompressedPackedForward"
	Entries    int
	Bytes      int // of the entries as they were sent
	Size       any
	Chunk      bool
	Connection int
}

// Server is a running receiver.
type Server struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex
	healed   chan struct{} // closed when a fault ends
	closed   bool
	options  Options
	fault    Fault
	script   Script
	conns    map[net.Conn]bool
	opened   int
	entries  []Entry
	messages []Message
	count    int
}

// Start starts a receiver.
func Start(o Options) (*Server, error) {
	if o.Network == "" {
		o.Network = "tcp"
	}
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = 6_000_000
	}
	l, err := net.Listen(o.Network, o.Address) //nolint:noctx // it cannot block
	if err != nil {
		return nil, err
	}
	s := &Server{listener: l, options: o, conns: map[net.Conn]bool{}, healed: make(chan struct{})}
	s.wg.Go(s.accept)
	return s, nil
}

// Address is the value of fluentd-address.
func (s *Server) Address() string {
	scheme := s.options.Network
	if s.options.TLS != nil {
		scheme = "tls"
	}
	return scheme + "://" + s.listener.Addr().String()
}

// Close ends the receiver and waits for it.
func (s *Server) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.SetFault(None)
	s.Disconnect()
	s.wg.Wait()
}

// SetFault makes f happen from now on, also on connections that are there.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	s.fault = f
	close(s.healed)
	s.healed = make(chan struct{})
	s.mu.Unlock()
}

// SetSharedKey changes the key for new connections.
func (s *Server) SetSharedKey(key string) {
	s.mu.Lock()
	s.options.SharedKey = key
	s.mu.Unlock()
}

// SetUsers changes the users for new connections.
func (s *Server) SetUsers(users map[string]string) {
	s.mu.Lock()
	s.options.Users = users
	s.mu.Unlock()
}

// Disconnect closes all connections.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Entries returns what was accepted, in order.
func (s *Server) Entries() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries)
}

// Messages returns the messages that were accepted, in order.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Count is the number of accepted entries.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Connections is how many were opened.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.opened++
		n := s.opened
		if s.closed {
			_ = c.Close()
		}
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(c, n)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// now returns what is in force, and the fault; it waits as long as that is Hang.
func (s *Server) now() (Options, Fault) {
	for {
		s.mu.Lock()
		o, f, healed := s.options, s.fault, s.healed
		s.mu.Unlock()
		if f != Hang {
			return o, f
		}
		<-healed
	}
}

func (s *Server) serve(raw net.Conn, n int) {
	o, f := s.now()
	switch f {
	case Close:
		return
	case Page:
		_, _ = io.WriteString(raw, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html></html>")
		return
	}
	c := raw
	if o.TLS != nil {
		c = tls.Server(raw, o.TLS)
	}
	r := bufio.NewReader(c)
	script := s.scripted()
	if o.SharedKey != "" || script.Hello != nil {
		if err := s.greet(c, r, o, script); err != nil {
			return
		}
	}
	for {
		if _, err := r.Peek(1); err != nil {
			return
		}
		if _, f := s.now(); f == Close {
			return
		}
		v, err := Decode(r)
		if err != nil {
			return
		}
		chunk, err := s.take(v, n, o)
		if err != nil || !s.acknowledge(c, chunk, script) || o.NoKeepalive {
			return
		}
	}
}

// acknowledge answers a message, and reports whether the connection stays.
func (s *Server) acknowledge(w io.Writer, chunk string, script Script) bool {
	_, f := s.now() // a hanging receiver has taken it, and does not say so
	switch {
	case f == CloseAfter, f == Close:
		return false
	case script.Ack != nil:
		script.Ack(w, chunk)
	case f == Garbage:
		_, _ = w.Write([]byte{0xc1, 0xc1})
	case chunk == "" || f == NeverAck:
	case f == WrongAck:
		_, _ = w.Write(Encode([]Pair{{Str("ack"), Str("AAAA")}}))
	default:
		_, _ = w.Write(Encode([]Pair{{Str("ack"), Str(chunk)}}))
	}
	return true
}

// take keeps the entries of a message, and returns its chunk.
func (s *Server) take(v any, conn int, o Options) (chunk string, err error) {
	m, ok := v.([]any)
	if !ok || len(m) < 2 {
		return "", errors.New("no message")
	}
	tag, ok := m[0].(Str)
	if !ok {
		return "", errors.New("no tag")
	}
	msg := Message{Tag: string(tag), Connection: conn}
	var list, options any
	switch body := m[1].(type) {
	case []any:
		msg.Mode, list = "Forward", body
		options = append(m, nil)[2]
	case Bin, Str:
		options = append(m, nil)[2]
		if list, err = packed(&msg, text(body), get(options, "compressed"), o); err != nil {
			return "", err
		}
	default:
		msg.Mode = "Message"
		if len(m) < 3 {
			return "", errors.New("no record")
		}
		list = []any{[]any{m[1], m[2]}}
		options = append(m, nil)[3]
	}
	entries, err := s.check(list, string(tag))
	if err != nil {
		return "", err
	}
	chunk = text(get(options, "chunk"))
	msg.Entries, msg.Size, msg.Chunk = len(entries), get(options, "size"), chunk != ""
	s.mu.Lock()
	s.count += len(entries)
	if !o.Count {
		s.entries = append(s.entries, entries...)
		s.messages = append(s.messages, msg)
	}
	s.mu.Unlock()
	return chunk, nil
}

// packed returns the entries of a message in which they are bytes.
func packed(m *Message, body string, compressed any, o Options) (list any, err error) {
	m.Mode, m.Bytes = "PackedForward", len(body)
	if len(body) > o.MaxMessage {
		return nil, errors.New("too large")
	}
	if compressed == Str("gzip") {
		m.Mode = "Compressed" + m.Mode
		z, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(z, maxLen))
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	return entriesOf(body)
}

func entriesOf(packed string) (list []any, err error) {
	r := bufio.NewReader(strings.NewReader(packed))
	for {
		v, err := Decode(r)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

func (s *Server) check(list any, tag string) ([]Entry, error) {
	var out []Entry
	for _, v := range list.([]any) {
		e, ok := v.([]any)
		if !ok || len(e) != 2 {
			return nil, errors.New("an entry that is none")
		}
		record, ok := e[1].([]Pair)
		if !ok {
			return nil, errors.New("a record that is none")
		}
		switch t := e[0].(type) {
		case int64, uint64:
		case Ext:
			if t.Type != 0 || len(t.Data) != 8 {
				return nil, fmt.Errorf("time %v", t)
			}
		default:
			return nil, fmt.Errorf("time %v", t)
		}
		out = append(out, Entry{tag, e[0], record})
	}
	return out, nil
}

func text(v any) string {
	switch s := v.(type) {
	case Str:
		return string(s)
	case Bin:
		return string(s)
	}
	return ""
}

func sum(parts ...string) string {
	h := sha512.Sum512([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(h[:])
}

// Encode encodes what a receiver answers: short texts, booleans, small arrays and maps.
func Encode(v any) []byte {
	var b bytes.Buffer
	switch v := v.(type) {
	case bool:
		if v {
			return []byte{0xc3}
		}
		return []byte{0xc2}
	case Str:
		return append([]byte{0xda, byte(len(v) >> 8), byte(len(v))}, v...)
	case Bin:
		return append([]byte{0xc4, byte(len(v))}, v...)
	case []any:
		b.WriteByte(0x90 | byte(len(v)))
		for _, e := range v {
			b.Write(Encode(e))
		}
	case []Pair:
		b.WriteByte(0x80 | byte(len(v)))
		for _, p := range v {
			b.Write(Encode(p.Key))
			b.Write(Encode(p.Value))
		}
	}
	return b.Bytes()
}
