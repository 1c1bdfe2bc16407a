package syslog

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Differences lists where this router does not send what Docker's syslog driver sends, and why. What a message says is the same but
// for these, and tested against captures of Docker's.
var Differences = []struct{ Docker, Here string }{
	{"the time of a message is that at which it was sent",
		"it is that at which the daemon has read the line: a line that has waited for the receiver keeps its time"},
	{"the process id is the daemon's",
		"it is the log driver's"},
	{"a line that has been cut has the time of each piece",
		"all pieces of a line have the time of the first"},
	{"a line break in the tag ends the message, and what follows is one of its own",
		"it is written as #012"},
	{"each message is a write of its own, and one that fails is sent again once and then lost",
		"messages go together, and again until the receiver's host has acknowledged them"},
	{"without syslog-address one of /dev/log, /var/run/syslog and /var/run/log is found",
		"it is unixgram:///dev/log"},
	{"syslog-tls-skip-verify skips the check whatever its value is, false too",
		"true skips it, false does not"},
	{"the options of TLS are ignored where syslog-address does not begin with tcp+tls://",
		"a container with both does not start, because its lines would not be protected"},
	{"a receiver that is away keeps the container from starting",
		"the container starts, and its lines wait in the spool"},
}

const (
	severityError = 3
	severityInfo  = 6
)

// escapedBreak stands for a line break within a line or a tag, which would end the message. rsyslog writes it so too.
const escapedBreak = "#012"

// Encoder writes records of one session as messages that end with a line break, as those of Docker's driver do.
type Encoder struct {
	info, err []byte // <PRIORITY>, and for RFC 5424 the version
	layout    string // of the time, in whole seconds
	micro     bool   // six more digits behind the seconds, then the zone
	rest      []byte // what stands between the time and the line

	second int64  // since 1970, that stamp is for
	stamp  []byte // of the time with its layout
	zone   int    // where the zone begins in stamp
}

func newEncoder(s style, of router.Session) *Encoder {
	tag := of.Tag
	if tag == "" {
		tag = of.ContainerID[:min(12, len(of.ContainerID))]
	}
	tag = strings.ReplaceAll(tag, "\n", escapedBreak) // a label may stand in it: what comes after would be a message of its own
	pid := strconv.Itoa(os.Getpid())
	e := &Encoder{layout: time.Stamp, second: -1 << 63}
	version := ""
	switch s.format {
	case "rfc5424", "rfc5424micro":
		version, e.layout, e.micro = "1 ", time.RFC3339, s.format == "rfc5424micro"
		e.rest = []byte(" " + of.Host + " " + tag + " " + pid + " " + tag + " - ")
	case "rfc3164":
		e.rest = []byte(" " + of.Host + " " + tag + "[" + pid + "]: ")
	default:
		e.rest = []byte(" " + tag + "[" + pid + "]: ")
	}
	priority := func(severity int) []byte { return []byte("<" + strconv.Itoa(s.facility*8+severity) + ">" + version) }
	e.info, e.err = priority(severityInfo), priority(severityError)
	return e
}

// AppendRecord implements router.Encoder. An empty line is left out, as by Docker's driver.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	if len(r.Line) == 0 {
		return dst
	}
	if string(r.Source) == "stderr" {
		dst = append(dst, e.err...)
	} else {
		dst = append(dst, e.info...)
	}
	dst = e.appendTime(dst, r.TimeNano)
	dst = append(dst, e.rest...)
	line := r.Line
	for {
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			return append(append(dst, line...), '\n')
		}
		dst = append(append(dst, line[:i]...), escapedBreak...)
		line = line[i+1:]
	}
}

// appendTime appends the local time. The text of a second is made once.
func (e *Encoder) appendTime(dst []byte, nano int64) []byte {
	second, rest := nano/1e9, nano%1e9
	if rest < 0 {
		second--
		rest += 1e9
	}
	if second != e.second {
		e.stamp = time.Unix(second, 0).AppendFormat(e.stamp[:0], e.layout)
		e.second, e.zone = second, len(e.stamp)
		if e.micro {
			e.zone = len("2006-01-02T15:04:05")
		}
	}
	dst = append(dst, e.stamp[:e.zone]...)
	if e.micro {
		digits := len(dst) + 1
		dst = append(dst, ".000000"...)
		for i, n := digits+5, rest/1000; n > 0; i, n = i-1, n/10 {
			dst[i] = byte('0' + n%10)
		}
	}
	return append(dst, e.stamp[e.zone:]...)
}
