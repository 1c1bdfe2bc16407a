package logplugin

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router/firelens"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/rig"
)

// socketTarget is a router without acknowledgements, and its receiver.
type socketTarget struct {
	name    string
	server  routertest.SocketOptions
	options map[string]string // ADDRESS, HOST and PORT in a value are the receiver's
	mayLose int               // bytes that an outage may lose: what the receiver's buffer holds
}

const (
	socketLines  = 10_000 // of each container
	fireLensRows = 2000   // likewise, where the router itself has a row of its own
)

// What the kernel keeps for a receiver that has asked for a buffer of receiverBuffer: it doubles that, and takes a segment more.
const (
	receiverBuffer = 32 << 10
	receiverKeeps  = 4 * receiverBuffer
)

func socketTargets() []socketTarget {
	lf := bufio.ScanLines
	return []socketTarget{
		{"syslog tcp", routertest.SocketOptions{Network: "tcp", Split: lf, Buffer: receiverBuffer}, map[string]string{"logDriver": "syslog", "syslog-address": "tcp://ADDRESS", "syslog-format": "rfc5424"}, receiverKeeps},
		{"gelf tcp", routertest.SocketOptions{Network: "tcp", Split: splitAtZero, Buffer: receiverBuffer}, map[string]string{"logDriver": "gelf", "gelf-address": "tcp://ADDRESS"}, receiverKeeps},
		{"syslog unix", routertest.SocketOptions{Network: "unix", Split: lf}, map[string]string{"logDriver": "syslog", "syslog-address": "unix://ADDRESS", "syslog-format": "rfc5424"}, 0},
		{"syslog unixgram", routertest.SocketOptions{Network: "unixgram"}, map[string]string{"logDriver": "syslog", "syslog-address": "unixgram://ADDRESS", "syslog-format": "rfc5424"}, 0},
		{"tcp", routertest.SocketOptions{Network: "tcp", Split: lf, Buffer: receiverBuffer}, map[string]string{"logDriver": "tcp", "tcp-address": "tcp://ADDRESS"}, receiverKeeps},
		{"syslog udp", routertest.SocketOptions{Network: "udp"}, map[string]string{"logDriver": "syslog", "syslog-address": "udp://ADDRESS", "syslog-format": "rfc5424"}, 0},
		{"gelf udp", routertest.SocketOptions{Network: "udp"}, map[string]string{"logDriver": "gelf", "gelf-address": "udp://ADDRESS", "gelf-compression-type": "none"}, 0},
	}
}

// fireLensSockets are the outputs of FireLens that are served by routers without acknowledgements, in each of their modes.
func fireLensSockets() (all []socketTarget) {
	lf := bufio.ScanLines
	for _, x := range []struct {
		output, mode string
		split        bufio.SplitFunc
		options      map[string]string
	}{
		{"tcp", "", lf, map[string]string{"raw_message_key": "$log"}},
		{"tcp", "tls", lf, map[string]string{"Format": "json_lines", "tls": "on", "secretOptions.tls.ca_file": "AUTHORITY"}},
		{"syslog", "tcp", lf, map[string]string{"Mode": "tcp", "syslog_message_key": "log"}},
		{"syslog", "tls", lf, map[string]string{"Mode": "tls", "syslog_format": "rfc5424", "secretOptions.tls.ca_file": "AUTHORITY"}},
		{"syslog", "udp", nil, map[string]string{"Mode": "udp"}},
		{"gelf", "tcp", splitAtZero, map[string]string{"Mode": "tcp"}},
		{"gelf", "tls", splitAtZero, map[string]string{"Mode": "tls", "gelf_short_message_key": "log", "secretOptions.tls.ca_file": "AUTHORITY"}},
		{"gelf", "udp", nil, map[string]string{"Mode": "udp", "compress": "Off"}},
	} {
		t := socketTarget{strings.TrimSpace("FireLens " + x.output + " " + x.mode), routertest.SocketOptions{Network: "tcp", Split: x.split, Buffer: receiverBuffer}, x.options, receiverKeeps}
		switch x.mode {
		case "udp":
			t.server, t.mayLose = routertest.SocketOptions{Network: "udp"}, 0
		case "tls": // which reads ahead
			t.mayLose += receiverBuffer
		}
		maps.Copy(t.options, map[string]string{"logDriver": firelens.Name, "Name": x.output, "Host": "HOST", "Port": "PORT"})
		all = append(all, t)
	}
	return all
}

// As TestRoutersLoseNothing, for routers whose receivers acknowledge nothing: two kills of the driver lose nothing. An outage
// of three seconds, after the receiver has hung with a full buffer, loses at most what that buffer held.
func TestSocketsLoseNothing(t *testing.T) {
	for _, x := range slices.Concat(socketTargets(), fireLensSockets()) {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			n := socketLines
			if x.options["logDriver"] == firelens.Name { // the router itself has its own row
				n = fireLensRows
			}
			if strings.HasPrefix(x.server.Network, "unix") {
				x.server.Address = filepath.Join(t.TempDir(), "s")
			}
			k := startKillable(t)
			var authority string
			if x.options["secretOptions.tls.ca_file"] != "" {
				x.server.TLS, authority = secureSocket(t, k)
			}
			(&socketRun{socketTarget: x, authority: authority, receiver: routertest.StartSocket(t, x.server), k: k, n: n, files: map[string]*os.File{}}).run(t)
		})
	}
}

// secureSocket makes the certificate of a receiver, and a secret with that of its authority.
func secureSocket(t *testing.T, k *killable) (server *tls.Config, authority string) {
	t.Helper()
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	if server, err = ca.ServerConfig("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	return server, k.aws.PutSecret(fakeaws.Secret{Name: "logs/authority", String: string(ca.PEM())})
}

// The driver is killed while the receiver has read a part of a batch and reads no more: no line is missing afterwards, and no more
// come twice than are in one batch.
func TestKillWithinBatch(t *testing.T) {
	const (
		lines     = 2500
		lineBytes = 1000
		batch     = 768 << 10 // the largest
		read      = 1100      // of the receiver before the kill: of a later batch than the first, which may be a small one
	)
	for _, x := range socketTargets() {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			n, read, size := lines, read, lineBytes
			if strings.HasPrefix(x.server.Network, "unix") {
				x.server.Address = filepath.Join(t.TempDir(), "s")
			}
			if x.server.Network == "udp" { // so few that the kernel keeps all of them
				n, read, size = 70, 65, 100 // more than go without a pause, each in one datagram
			}
			k := startKillable(t)
			s := &socketRun{socketTarget: x, receiver: routertest.StartSocket(t, x.server), k: k, files: map[string]*os.File{}, padding: strings.Repeat("x", size)}
			s.begin(t, "c1")
			held := s.receiver.HoldAfter(read)
			done := s.put(t, 0, n)
			<-held
			if x.server.Network != "udp" && !s.waits(t) {
				t.Error("the batch was delivered before the kill")
			}
			k.kill()
			s.receiver.Release()
			k.launch(t)
			done()
			s.arrives(t, n)
			polltest.Until(t, 60*time.Second, "nothing waits any more", func() bool { return !s.waits(t) })
			again := len(s.lines()) - n
			if most := batch/lineBytes + 1; again > most || x.server.Network != "udp" && again == 0 {
				t.Errorf("%d lines came again, want some, and at most the %d of a batch", again, most)
			}
		})
	}
}

func splitAtZero(data []byte, _ bool) (int, []byte, error) {
	i := bytes.IndexByte(data, 0)
	if i < 0 {
		return 0, nil, nil
	}
	return i + 1, data[:i], nil
}

type socketRun struct {
	socketTarget
	n         int    // lines of each container
	authority string // the reference to the certificate of the receiver's
	receiver  *routertest.SocketReceiver
	k         *killable
	files     map[string]*os.File
	padding   string // behind each line
}

var socketNames = []string{"c1", "c2"}

// begin starts a session for each of the containers.
func (s *socketRun) begin(t *testing.T, names ...string) {
	t.Helper()
	options := s.optionsFor(s.receiver.Address())
	if s.authority != "" {
		options["secretOptions.tls.ca_file"] = s.authority
	}
	for _, name := range names {
		s.files[name] = s.k.fifo(t, name)
		if a := s.k.startWith(t, name, options); a != `{"Err":""}` {
			t.Fatalf("StartLogging: %s", a)
		}
	}
}

func (s *socketRun) run(t *testing.T) {
	s.begin(t, socketNames...)
	if s.server.Network == "udp" {
		s.datagrams(t)
		return
	}
	quarter := s.n / 4
	for i := range 2 {
		done := s.put(t, i*quarter, (i+1)*quarter)
		s.arrives(t, 2*i*quarter+quarter/2)
		s.k.kill()
		s.k.launch(t)
		done()
		s.arrives(t, 2*(i+1)*quarter)
	}
	killed := s.lines()
	s.inOrder(t, killed)

	s.receiver.SetFault(routertest.SocketHangs)
	s.put(t, 2*quarter, 3*quarter)()
	s.receiver.SetFault(routertest.SocketAway)
	s.put(t, 3*quarter, s.n)()
	down := time.Now()
	polltest.Until(t, 30*time.Second, "three seconds, and status shows the outage", func() bool {
		code, _ := s.k.run(t, "status")
		return code != 0 && time.Since(down) > 3*time.Second
	})
	s.receiver.SetFault(routertest.SocketWell)
	s.settles(t)
	s.inOrder(t, s.lines()[len(killed):])
	lost := 2 * s.n
	longest := 0
	for range s.distinct() {
		lost--
	}
	for _, m := range s.receiver.Messages() {
		longest = max(longest, len(m)+1) // with what ends it
	}
	t.Logf("%d lines came again after two kills; an outage of %v has lost %d lines, %d bytes of %d that it may, and %d came again",
		len(killed)-4*quarter, time.Since(down).Round(time.Second), lost, lost*longest, s.mayLose, len(s.lines())-2*s.n+lost-(len(killed)-4*quarter))
	if bytes := lost * longest; bytes > s.mayLose {
		t.Errorf("the outage has lost %d lines, %d bytes, want at most %d", lost, bytes, s.mayLose)
	}
}

// datagrams is run for UDP: so few lines at a time that any buffer holds them, because what a full one drops nobody says. The driver is
// killed twice while lines are under way. A host that says that nobody listens is believed, and so an outage loses nothing.
func (s *socketRun) datagrams(t *testing.T) {
	const part, parts = 50, 10
	for i := range parts {
		done := s.put(t, i*part, (i+1)*part)
		if i%5 == 4 {
			s.k.kill()
			s.k.launch(t)
		}
		done()
		s.arrives(t, 2*(i+1)*part)
	}
	s.inOrder(t, s.lines())
	s.receiver.SetFault(routertest.SocketAway)
	s.put(t, parts*part, (parts+1)*part)()
	polltest.Until(t, 30*time.Second, "status shows the outage", func() bool { code, _ := s.k.run(t, "status"); return code != 0 })
	s.receiver.SetFault(routertest.SocketWell)
	s.arrives(t, 2*(parts+1)*part)
}

// put writes the lines from from to to-1 of each container.
func (s *socketRun) put(t *testing.T, from, to int) (done func()) {
	var wg sync.WaitGroup
	base := time.Now().UnixNano()
	for name, file := range s.files {
		wg.Go(func() {
			for i := from; i < to; i++ {
				e := frame.Entry{Source: []byte("stdout"), TimeNano: base + int64(i), Line: fmt.Appendf(nil, "%s %06d%s", name, i, s.padding)}
				if _, err := file.Write(frame.AppendFrame(nil, &e)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return wg.Wait
}

// lines are the whole lines of ours that have arrived: one that was cut by the end of a connection is none.
func (s *socketRun) lines() (lines []string) {
	size := len("c1 000000")
	for _, m := range s.receiver.Messages() {
		if line, whole := messageLine(m); whole && len(line) == size+len(s.padding) {
			lines = append(lines, line[:size])
		}
	}
	return lines
}

func (s *socketRun) distinct() map[string]bool {
	seen := map[string]bool{}
	for _, l := range s.lines() {
		seen[l] = true
	}
	return seen
}

func (s *socketRun) arrives(t *testing.T, n int) {
	t.Helper()
	polltest.Until(t, 60*time.Second, fmt.Sprintf("%d lines arrive", n), func() bool { return len(s.distinct()) >= n })
}

// waits reports whether lines are in the spool that were not delivered.
func (s *socketRun) waits(t *testing.T) bool {
	return slices.ContainsFunc(s.k.sessions(t), func(x session.Status) bool { return x.WaitingBytes > 0 })
}

// settles waits until the driver has sent all lines, and the receiver has read them.
func (s *socketRun) settles(t *testing.T) {
	t.Helper()
	polltest.Until(t, 60*time.Second, "nothing waits any more", func() bool {
		if s.waits(t) {
			return false
		}
		seen := s.distinct()
		for _, name := range socketNames {
			if !seen[fmt.Sprintf("%s %06d", name, s.n-1)] {
				return false
			}
		}
		return true
	})
}

// inOrder wants the lines of each container in order: it goes back only where lines come again, and ahead only where an outage has
// lost some.
func (s *socketRun) inOrder(t *testing.T, lines []string) {
	t.Helper()
	last := map[string]int{}
	steps := 0
	for _, l := range lines {
		name, digits, _ := strings.Cut(l, " ")
		var n int
		if _, err := fmt.Sscanf(digits, "%d", &n); err != nil {
			t.Fatalf("line %q", l)
		}
		if before, ok := last[name]; ok && n != before+1 {
			steps++
		}
		last[name] = n
	}
	if steps > 12 { // of both containers: two kills or one outage with some tries
		t.Errorf("the lines of the containers are out of order %d times", steps)
	}
}
