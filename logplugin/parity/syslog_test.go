//go:build integration

package parity

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/syslog"
)

// The declared differences that show in messages.
const (
	timeOfSending = "the time of a message is that at which it was sent"
	processID     = "the process id is the daemon's"
	timeOfPieces  = "a line that has been cut has the time of each piece"
	breakInTag    = "a line break in the tag"
	sentOnceMore  = "each message is a write of its own"
	foundSocket   = "without syslog-address"
	skipsAnyway   = "syslog-tls-skip-verify skips the check"
	withoutTLS    = "the options of TLS are ignored"
	keepsFrom     = "a receiver that is away keeps the container from starting"
)

func testSyslog(t *testing.T, h *host) {
	known := newDifferences(t, syslog.Differences)
	full, short := tricky(t), routertest.Input(t, "short")
	for _, c := range []struct {
		name, network, format string
		container
	}{
		{"datagrams", "udp", "", container{lines: short}},
		{"default over TCP", "tcp", "", container{lines: full, labels: labels, env: env, options: with(picks, map[string]string{"syslog-facility": "local3"})}},
		{"rfc3164 over a datagram socket", "unixgram", "rfc3164", container{lines: full, options: map[string]string{"syslog-facility": "mail", "tag": ""}}},
		{"rfc5424 over TLS", "tcp+tls", "rfc5424", container{lines: full, options: map[string]string{"tag": "{{.ImageName}}/{{.Name}}/{{.ID}} é", "syslog-facility": "23"}}},
		{"rfc5424micro over TCP", "tcp", "rfc5424micro", container{lines: full}},
		{"a stream socket on a terminal", "unix", "", container{lines: short, tty: true}},
		{"a line break in the tag", "unixgram", "rfc5424", container{lines: short, options: map[string]string{"tag": "one\ntwo"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			split := splitAt('\n')
			if c.network == "tcp+tls" && strings.HasPrefix(c.format, "rfc5424") {
				split = splitCounted
			}
			r, address, ca := startSocket(t, h, c.network, split)
			c.options = with(map[string]string{"syslog-address": address, "syslog-format": c.format}, c.options)
			if ca != "" {
				c.options["syslog-tls-ca-cert"] = ca
			}
			s := bySocket{t: t, host: h, driver: "syslog", receiver: r, stream: syslogStream}
			docker, here := s.messages(c.container, false), s.messages(c.container, true)
			p := &syslogPair{t: t, host: h, known: known, format: c.format, tag: c.options["tag"]}
			for _, stream := range []string{"stdout", "stderr"} {
				s.pairs(c.container, stream, docker, here, p.compare)
			}
		})
	}
	t.Run("a receiver that is away", func(t *testing.T) { awaySyslog(t, h, known) })
	t.Run("skip-verify", func(t *testing.T) { skipVerify(t, h, known) })
	t.Run("options of TLS without it", func(t *testing.T) {
		_, address, _ := startSocket(t, h, "tcp", splitAt('\n'))
		c := container{options: map[string]string{"syslog-address": address, "syslog-tls-skip-verify": "true"}}
		h.run(t, c, "syslog", false)
		if out, err := h.try(t, c, "syslog", true); err == nil || !strings.Contains(out, "syslog-tls-skip-verify needs") {
			t.Errorf("ours takes options of TLS without it: %v, %s", err, out)
		}
		known.shows(withoutTLS)
	})
	if !t.Failed() {
		known.complete(sentOnceMore, foundSocket) // matters of a connection that breaks, and of files of the machine
	}
}

// syslogStream tells the stream by the severity.
func syslogStream(message string) string {
	var priority int
	if _, err := fmt.Sscanf(message, "<%d>", &priority); err == nil && priority%8 == 3 {
		return "stderr"
	}
	return "stdout"
}

// syslogPair compares what two drivers have sent for the same lines.
type syslogPair struct {
	t           *testing.T
	host        *host
	known       *differences
	format, tag string
	first       [2]string // heads of the line's first piece, Docker's and ours
}

// The head of a message up to its time. The process id is behind the tag, which may have a line break in it.
var syslogHead = regexp.MustCompile(`^<\d+>(1 )?([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?(Z|[+-]\d\d:\d\d))`)

func (p *syslogPair) compare(r router.Record, docker, here string) {
	p.t.Helper()
	p.times(r, docker, here)
	want, got := strings.TrimSuffix(p.hidden(docker, p.host.dockerd.PID()), "\n"), strings.TrimSuffix(p.hidden(here, p.host.pid), "\n")
	if isEnd(r) { // one of the differences of all routers
		want = strings.TrimSuffix(want, "\r")
	}
	if strings.Contains(p.tag, "\n") && strings.Contains(want, p.tag) {
		p.known.shows(breakInTag)
		want = strings.ReplaceAll(want, p.tag, strings.ReplaceAll(p.tag, "\n", "#012"))
	}
	if got != want {
		p.t.Errorf("an undeclared difference:\ngot      %.400q\nDocker's %.400q", got, want)
	}
}

// hidden hides the time and the process id, both of which must be there.
func (p *syslogPair) hidden(message string, pid int) string {
	p.t.Helper()
	at := syslogHead.FindStringSubmatchIndex(message)
	id := fmt.Sprintf("[%d]: ", pid)
	if strings.HasPrefix(p.format, "rfc5424") {
		id = fmt.Sprintf(" %d ", pid)
	}
	if at == nil || !strings.Contains(message, id) {
		p.t.Fatalf("no time, or not the process id%s: %.200q", id, message)
	}
	message = message[:at[4]] + strings.Map(zeros, message[at[4]:at[5]]) + message[at[5]:]
	p.known.shows(processID)
	return strings.Replace(message, id, strings.Replace(id, fmt.Sprint(pid), "PID", 1), 1)
}

// zeros writes 0 for each digit, and for the blank before one.
func zeros(r rune) rune {
	if '0' <= r && r <= '9' || r == ' ' {
		return '0'
	}
	return r
}

// times compares the time of a piece with that of the first piece of its line, in microseconds.
func (p *syslogPair) times(r router.Record, docker, here string) {
	if p.format != "rfc5424micro" || !r.Partial {
		return
	}
	now := [2]string{syslogHead.FindString(docker), syslogHead.FindString(here)}
	if r.Ordinal == 1 {
		p.first = now
	}
	if now[0] != p.first[0] {
		p.known.shows(timeOfPieces)
	}
	if now[1] != p.first[1] {
		p.t.Errorf("the pieces of one line have the times %q and %q", p.first[1], now[1])
	}
}

// awaySyslog has a container of ours end while the receiver is away: its line has the time at which it was written.
func awaySyslog(t *testing.T, h *host, known *differences) {
	r, address, _ := startSocket(t, h, "tcp", splitAt('\n'))
	r.SetFault(routertest.SocketAway)
	c := container{lines: []routertest.InputLine{{Stream: "stdout", Line: []byte("line"), Newline: true}},
		options: map[string]string{"syslog-address": address, "syslog-format": "rfc5424micro"}}
	if out, err := h.try(t, c, "syslog", false); err == nil || !strings.Contains(out, "connection refused") {
		t.Errorf("Docker's driver without a receiver: %v, %s; want a refusal", err, out)
	}
	h.run(t, c, "syslog", true)
	ended := time.Now()
	known.shows(keepsFrom)
	r.SetFault(routertest.SocketWell)
	routertest.Await(t, "the line arrives", func() bool { return len(r.Messages()) == 1 })
	text := syslogHead.FindStringSubmatch(string(r.Messages()[0]))
	if at, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", text[2]); err != nil || at.After(ended) {
		t.Errorf("the line has the time %v, %v, want one before its container's end at %v", at, err, ended)
		return
	}
	known.shows(timeOfSending) // Docker's shows it in the pieces of a line
}

// skipVerify asks for a check of the receiver's certificate, which no known authority has signed.
func skipVerify(t *testing.T, h *host, known *differences) {
	r, address, _ := startSocket(t, h, "tcp+tls", splitAt('\n'))
	c := container{lines: []routertest.InputLine{{Stream: "stdout", Line: []byte("line"), Newline: true}}, options: map[string]string{"syslog-address": address}}
	run := func(value string, ours bool) {
		c.options = with(c.options, map[string]string{"syslog-tls-skip-verify": value})
		h.run(t, c, "syslog", ours)
	}
	run("false", false)
	routertest.Await(t, "Docker's driver sends without a check", func() bool { return len(r.Messages()) == 1 })
	run("true", true)
	routertest.Await(t, "ours sends when it is told not to check", func() bool { return len(r.Messages()) == 2 })
	run("false", true)
	routertest.Await(t, "ours checks", func() bool { return strings.Contains(h.driverLog(), "certificate is signed by an unknown authority") })
	if n := len(r.Messages()); n != 2 {
		t.Errorf("%d messages, want 2: ours sends to nobody whose certificate it has not checked", n)
		return
	}
	known.shows(skipsAnyway)
}
