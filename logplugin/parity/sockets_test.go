//go:build integration

package parity

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// streamOf is a message of a protocol without answers: what it says, and the stream that it tells.
type streamOf func(message string) (stream string)

// bySocket is what a container of two drivers sends to one receiver.
type bySocket struct {
	t        *testing.T
	host     *host
	driver   string // "syslog"
	receiver *routertest.SocketReceiver
	// whole puts together what has arrived; nil means that each piece is a message.
	whole  func([][]byte) []string
	stream streamOf
}

// messages runs c, and waits for all that it has to give. What they say of the container is masked.
func (s bySocket) messages(c container, ours bool) []string {
	s.t.Helper()
	want := 0
	for _, l := range c.lines {
		for _, r := range l.Pieces(c.tty) {
			if theirs, here := isSent(r); here || theirs && !ours {
				want++
			}
		}
	}
	all := func() []string {
		if s.whole != nil {
			return s.whole(s.receiver.Messages())
		}
		var out []string
		for _, m := range s.receiver.Messages() {
			out = append(out, string(m))
		}
		return out
	}
	before := len(all())
	id := s.host.run(s.t, c, s.driver, ours)
	var got []string
	routertest.Await(s.t, "all messages are there", func() bool {
		got = all()[before:]
		return len(got) >= want
	})
	for i := range got {
		got[i] = masked(got[i], id)
	}
	return got
}

// isSent reports whether these two send a piece of a line: Docker's driver leaves out one without bytes, and ours looks after it has
// removed the carriage return at the end of a line, which is one of the differences of all routers.
func isSent(r router.Record) (docker, here bool) {
	docker = len(r.Line) > 0
	return docker, docker && !(isEnd(r) && string(r.Line) == "\r")
}

// isEnd reports whether a piece is a line's last.
func isEnd(r router.Record) bool { return !r.Partial || r.Last }

// pairs calls compare with what the two drivers have sent for each piece of lines that both send.
func (s bySocket) pairs(c container, stream string, docker, here []string, compare func(r router.Record, docker, here string)) {
	s.t.Helper()
	theirs, ours := s.of(docker, stream), s.of(here, stream)
	for _, l := range c.of(stream) {
		for _, r := range l.Pieces(false) {
			if c.tty && isEnd(r) {
				r.Line = append(r.Line, '\r')
			}
			inTheirs, inOurs := isSent(r)
			if !inTheirs {
				continue
			}
			if len(theirs) == 0 || inOurs && len(ours) == 0 {
				s.t.Fatalf("%d messages, Docker's driver has sent %d; both are too few", len(here), len(docker))
			}
			if inOurs {
				compare(r, theirs[0], ours[0])
				ours = ours[1:]
			}
			theirs = theirs[1:]
		}
	}
	if len(theirs) > 0 || len(ours) > 0 {
		s.t.Errorf("more messages than pieces of lines: %d of Docker's driver, %d of ours: %.300q, %.300q", len(theirs), len(ours), theirs, ours)
	}
}

// of returns the messages of one stream, in order.
func (s bySocket) of(messages []string, stream string) []string {
	return slices.DeleteFunc(slices.Clone(messages), func(m string) bool { return s.stream(m) != stream })
}

// start starts a receiver on a network, and returns its address with its scheme.
func startSocket(t *testing.T, h *host, network string, split bufio.SplitFunc) (r *routertest.SocketReceiver, address string, ca string) {
	t.Helper()
	o := routertest.SocketOptions{Network: network, Split: split, Buffer: 8 << 20}
	switch network {
	case "unix", "unixgram":
		o.Address = filepath.Join(t.TempDir(), "s")
	case "tcp+tls":
		o.Network = "tcp"
		authority, err := rig.NewCA()
		if err == nil {
			o.TLS, err = authority.ServerConfig("127.0.0.1")
		}
		if err != nil {
			t.Fatal(err)
		}
		ca = filepath.Join(h.files, filepath.Base(t.TempDir())+".pem")
		if err := os.WriteFile(ca, authority.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r = routertest.StartSocket(t, o)
	return r, network + "://" + r.Address(), ca
}

// splitAt splits a stream at a byte, and takes nothing else away.
func splitAt(end byte) bufio.SplitFunc {
	return func(data []byte, _ bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, end); i >= 0 {
			return i + 1, data[:i], nil
		}
		return 0, nil, nil
	}
}

// splitCounted splits a stream in which the length of each message stands before it.
func splitCounted(data []byte, _ bool) (int, []byte, error) {
	digits, rest, ok := bytes.Cut(data, []byte(" "))
	if !ok {
		return 0, nil, nil
	}
	n, err := strconv.Atoi(string(digits))
	if err != nil || len(rest) < n {
		return 0, nil, err
	}
	return len(digits) + 1 + n, rest[:n], nil
}
