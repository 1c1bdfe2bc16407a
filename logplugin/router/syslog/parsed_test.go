package syslog

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gosyslog "github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/nontransparent"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// whatever passes a stream on as it comes.
func whatever(data []byte, _ bool) (int, []byte, error) {
	if len(data) == 0 {
		return 0, nil, nil
	}
	return len(data), data, nil
}

// A parser that we did not write finds the same messages in a stream, however they are framed, and in each its parts.
func TestAnotherParserReadsStreams(t *testing.T) {
	at := time.Date(2026, 11, 23, 19, 51, 11, 123456000, time.UTC)
	lines := []string{"plain", "two\nlines", "<34>1 - - - - - - a message in a message", "12 <34>1 a count", "\xff\x00\x1b", " ", strings.Repeat("é", 32<<10)}
	for _, c := range []struct {
		name     string
		tls      bool
		framing  string
		octets   bool
		readable []string // the lines that the other framing cannot tell from a break
	}{
		{name: "octets", framing: "octet-counting", octets: true, readable: lines},
		{name: "TLS", tls: true, octets: true, readable: lines},
		{name: "line breaks", framing: "lf", readable: lines[:1]},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, given := routertest.SocketOptions{Network: "tcp", Split: whatever}, map[string]string{format: "rfc5424micro", facility: "local3"}
			if c.framing != "" {
				given[framing] = c.framing
			}
			if c.tls {
				ca := newCA(t)
				o.TLS, given["syslog-tls-ca-cert"] = ca.server(t), ca.pem()
			}
			s := start(t, o, given, nil)
			b, size := &router.Batch{}, 0
			for i, line := range c.readable {
				b.Append(s.Encoders[0], &router.Record{TimeNano: at.UnixNano(), Source: []byte([]string{"stdout", "stderr"}[i%2]), Line: []byte(line)})
			}
			if e := routertest.Send(t, s.Router, b); e != nil {
				t.Fatal(e)
			}
			var stream []byte
			routertest.Await(t, "all bytes", func() bool {
				stream = bytes.Join(s.Receiver.Messages(), nil)
				size = len(b.Body)
				return len(stream) >= size && bytes.HasSuffix(stream, b.Body[b.Start(b.Len()-1):])
			})
			var got []*rfc5424.SyslogMessage
			listen := gosyslog.WithListener(func(r *gosyslog.Result) {
				m, ok := r.Message.(*rfc5424.SyslogMessage)
				if r.Error != nil || !ok {
					t.Errorf("message %d: %v", len(got), r.Error)
					return
				}
				got = append(got, m)
			})
			if c.octets {
				octetcounting.NewParser(listen, gosyslog.WithMaxMessageLength(1<<20)).Parse(bytes.NewReader(stream))
			} else {
				nontransparent.NewParser(listen).Parse(bytes.NewReader(stream))
			}
			if len(got) != len(c.readable) {
				t.Fatalf("%d messages, want %d", len(got), len(c.readable))
			}
			for i, m := range got {
				sameMessage(t, m, c.readable[i], []uint8{6, 3}[i%2], 19, at)
			}
		})
	}
}

func sameMessage(t *testing.T, m *rfc5424.SyslogMessage, line string, severity, facility uint8, at time.Time) {
	t.Helper()
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	got := []string{fmt.Sprint(*m.Severity, *m.Facility), m.Timestamp.UTC().Format(time.RFC3339Nano), text(m.Hostname), text(m.Appname), text(m.ProcID), text(m.MsgID), strings.TrimSuffix(text(m.Message), "\n")}
	tag := strings.Repeat("o", 12)
	want := []string{fmt.Sprint(severity, facility), at.Format(time.RFC3339Nano), "host", tag, fmt.Sprint(os.Getpid()), tag, strings.ReplaceAll(line, "\n", escapedBreak)}
	if !slices.Equal(got, want) {
		t.Errorf("got %.300q, want %.300q", got, want)
	}
}

// The format of RFC 3164 has no frame of its own; each message is read alone.
func TestAnotherParserReadsRFC3164(t *testing.T) {
	t.Setenv("TZ", "UTC")
	e := encoder(t, routertest.Session("web"), map[string]string{format: "rfc3164"})
	message := e.AppendRecord(nil, &router.Record{TimeNano: time.Date(2026, 11, 23, 19, 51, 11, 0, time.UTC).UnixNano(), Line: []byte("hello: [world]")})
	m, err := rfc3164.NewParser(rfc3164.WithYear(rfc3164.Year{YYYY: 2026})).Parse(bytes.TrimSuffix(message, []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := m.(*rfc3164.SyslogMessage)
	if !ok || *got.Message != "hello: [world]" || *got.Hostname != "host" || *got.Appname != strings.Repeat("w", 12) || *got.Severity != severityInfo {
		t.Errorf("%q is read as %+v", message, m)
	}
}

// FuzzMessage gives the encoder any line and any tag: what it writes is one message, whose head nobody but the encoder has made, and
// another parser finds the line in it.
func FuzzMessage(f *testing.F) {
	for _, line := range []string{"plain", "a\nb\n", "\x00\xff", "x\n<0>1 2026-11-23T19:51:11Z forged root 1 - - text", strings.Repeat("x", 64<<10), "\xef\xbb\xbf\xff", "é"} {
		f.Add([]byte(line), "-", int64(0), false)
		f.Add([]byte(line), "web", int64(1795463301547679123), true)
		f.Add([]byte(line), "web\n<0>Nov 23 19:51:11 forged: text", int64(-1), false)
	}
	parser := rfc5424.NewParser()
	f.Fuzz(func(t *testing.T, line []byte, tag string, nano int64, stderr bool) {
		source := []byte("stdout")
		severity := severityInfo
		if stderr {
			source, severity = []byte("stderr"), severityError
		}
		for _, of := range formats {
			s := routertest.Session("web")
			s.Tag = tag
			got := newEncoder(style{facility: 3, format: of}, s).AppendRecord(nil, &router.Record{TimeNano: nano, Source: source, Line: line})
			if len(line) == 0 {
				if len(got) > 0 {
					t.Errorf("format %q: an empty line gives %q", of, got)
				}
				continue
			}
			head := fmt.Sprintf("<%d>", 24+severity)
			want := strings.ReplaceAll(string(line), "\n", escapedBreak) + "\n"
			if !strings.HasPrefix(string(got), head) || !strings.HasSuffix(string(got), want) || bytes.Count(got, []byte("\n")) != 1 {
				t.Errorf("format %q, tag %q, line %.200q: %.300q", of, tag, line, got)
			}
			if !strings.HasPrefix(of, "rfc5424") || !printable(tag) || !isYear(nano) {
				continue
			}
			m, err := parser.Parse(got[:len(got)-1])
			if err != nil {
				t.Fatalf("format %q: %.300q: %v", of, got, err)
			}
			if p, ok := m.(*rfc5424.SyslogMessage); !ok || p.Message == nil || *p.Message+"\n" != want || *p.Appname != tag {
				t.Errorf("format %q: %.300q is read as %+v", of, got, m)
			}
		}
	})
}

// printable reports whether a tag is one that RFC 5424 allows as a name and as the id of a message. Others are sent as they are, as
// by Docker's driver. "-" stands for none.
func printable(tag string) bool {
	return tag != "" && tag != "-" && len(tag) <= 32 && !strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// isYear reports whether the year has the four digits of RFC 3339.
func isYear(nano int64) bool {
	y := time.Unix(0, nano).Year()
	return y >= 1900 && y < 2262
}
