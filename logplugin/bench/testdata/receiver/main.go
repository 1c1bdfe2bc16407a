// Command receiver takes what log drivers send, in many protocols, counts the lines in it and throws it away: receiver CERTIFICATE KEY
// [URL]. It is a Splunk HTTP Event Collector, a receiver of the Forward protocol, of syslog and of GELF, and below paths such as
// /datadog one of other protocols over HTTP; what comes below /victorialogs is passed on to URL. It is a process of its own, so
// that what it costs is in nobody's account. Its first output is its addresses as JSON; it ends with its standard input.
package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
)

func main() {
	pair, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		panic(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	s := sink{marks: map[string]*marks{}}
	upstream := ""
	if len(os.Args) > 3 {
		upstream = os.Args[3]
	}
	mux := s.routes(upstream)
	addresses := map[string]string{}
	listen := func(name string, secure bool, serve func(net.Listener)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		addresses[name] = l.Addr().String()
		l = counted{l, &s.wire}
		if secure {
			l = tls.NewListener(l, c)
		}
		go serve(l)
	}
	hec := func(l net.Listener) { _ = http.Serve(l, mux) }
	listen("hec", false, hec)
	listen("hecTLS", true, hec)
	listen("forward", false, s.streams(entry))
	listen("forwardTLS", true, s.streams(entry))
	listen("syslog", false, s.streams(id))
	udp, err := s.datagrams()
	if err != nil {
		panic(err)
	}
	addresses["gelf"] = udp
	if err := json.NewEncoder(os.Stdout).Encode(addresses); err != nil {
		panic(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// counted counts the bytes that come in on all connections of a listener.
type counted struct {
	net.Listener
	bytes *atomic.Int64
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countedConn{c, l.bytes}, err
}

type countedConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}
