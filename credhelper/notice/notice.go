// Package notice writes one line to the log of the host: to journald, or to the syslog socket.
//
// Use it for the audit lines and the failures of the credential helper: clients often hide what it says (dockerd and cron keep no standard error).
// It takes at most Patience, never waits for a reader, and gives up in silence: a failure itself is reported to the client in
// any case. It links no network package, because the front of the helper has none.
package notice

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Patience is how long sending may take.
const Patience = 5 * time.Millisecond

// The sockets that are tried in turn.
const (
	journal = "/run/systemd/journal/socket"
	syslog  = "/dev/log"
)

// Line is what is logged.
type Line struct {
	Program, Action, Registry string
	Text                      string // one line without a value
	Info                      bool   // severity info; else err
}

// Send sends l to the log of the host, or to the syslog socket at path if that is not "".
func Send(path string, l Line) bool {
	end := time.Now().Add(Patience)
	if path != "" {
		return send(path, l.syslog(), end)
	}
	return send(journal, l.journal(), end) || send(syslog, l.syslog(), end)
}

// facilityUser is syslog's facility for programs of users.
const facilityUser = 1

// severity is syslog's number for info or err.
func (l Line) severity() int {
	if l.Info {
		return 6
	}
	return 3
}

// syslog is the form of RFC 3164 without time, which the reader of a local socket adds; the facility is user.
func (l Line) syslog() []byte {
	return []byte("<" + strconv.Itoa(facilityUser*8+l.severity()) + ">" + l.Program + "[" + strconv.Itoa(os.Getpid()) + "]: " + l.Action + ": " + l.Text)
}

// journal is journald's native form.
func (l Line) journal() []byte {
	var b bytes.Buffer
	for _, f := range [][2]string{
		{"PRIORITY", strconv.Itoa(l.severity())}, {"SYSLOG_FACILITY", strconv.Itoa(facilityUser)}, {"SYSLOG_IDENTIFIER", l.Program},
		{"SECRETREF_ACTION", l.Action}, {"SECRETREF_REGISTRY", l.Registry}, {"MESSAGE", l.Action + ": " + l.Text},
	} {
		if !strings.Contains(f[1], "\n") {
			b.WriteString(f[0] + "=" + f[1] + "\n")
			continue
		}
		b.WriteString(f[0] + "\n")
		_ = binary.Write(&b, binary.LittleEndian, uint64(len(f[1]))) // to memory
		b.WriteString(f[1] + "\n")
	}
	return b.Bytes()
}

// send sends one datagram before end.
func send(path string, text []byte, end time.Time) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd) //nolint:errcheck // a datagram is sent or it is not
	if unix.Connect(fd, &unix.SockaddrUnix{Name: path}) != nil {
		return false
	}
	for {
		err := unix.Sendto(fd, text, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
		left := time.Until(end)
		if err != unix.EAGAIN && err != unix.EINTR || left <= 0 {
			return err == nil
		}
		ts := unix.NsecToTimespec(left.Nanoseconds())
		if n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, &ts, nil); n == 0 && err == nil {
			return false
		}
	}
}
