package syslog

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func encoder(t testing.TB, s router.Session, options map[string]string) router.Encoder {
	t.Helper()
	c, err := Parse(router.Options{Plain: options})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encoder(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What differs between Docker's message and ours: the time, and the process id.
var (
	times = regexp.MustCompile(`(Nov 23 19:5\d:\d\d|2026-11-23T19:5\d:\d\d(\.\d{6})?Z)`)
	pids  = regexp.MustCompile(`(\[8243\]| 8243 )`)
)

// The encoder gets the pieces that the daemon gave Docker's driver, and writes its messages.
func TestDockerMessages(t *testing.T) {
	t.Setenv("TZ", "UTC")
	captures := routertest.Captures(t, "syslog")
	if len(captures) < 40 {
		t.Fatalf("%d captures", len(captures))
	}
	for _, c := range captures {
		t.Run(c.ID, func(t *testing.T) {
			given := map[string]string{}
			for _, name := range []string{facility, format} {
				if v, ok := c.Options[name]; ok {
					given[name] = v
				}
			}
			e := encoder(t, c.Session(), given)
			counted := strings.HasPrefix(c.ID, "syslog-tls-rfc5424")
			var got []string
			for _, p := range c.Pieces {
				p.TimeNano = time.Date(2026, 11, 23, 19, 51, 11, 123456789, time.UTC).UnixNano()
				if text := e.AppendRecord(nil, &p); len(text) > 0 {
					got = append(got, string(text))
				}
			}
			if len(got) != len(c.Messages) {
				t.Fatalf("%d messages, Docker's driver has sent %d", len(got), len(c.Messages))
			}
			for i, m := range c.Messages {
				if counted {
					_, rest, ok := bytes.Cut(m, []byte(" "))
					if !ok {
						t.Fatalf("message %d has no count", i)
					}
					m = rest
				}
				want := strings.TrimSuffix(string(m), "\n") + "\n"
				if c.TTY {
					want = strings.ReplaceAll(want, "\r\n", "\n")
					got[i] = strings.ReplaceAll(got[i], "\r\n", "\n") // the feed takes it away
				}
				if masked(want) != masked(got[i]) {
					t.Errorf("message %d is\n%.300q\nDocker's is\n%.300q", i, got[i], want)
				}
			}
		})
	}
}

func masked(text string) string {
	text = times.ReplaceAllStringFunc(text, func(s string) string { return strings.Map(digitsToZero, s) })
	text = strings.Replace(text, "["+fmt.Sprint(os.Getpid())+"]", "[8243]", 1)
	text = strings.Replace(text, fmt.Sprintf(" %d ", os.Getpid()), " 8243 ", 1)
	return pids.ReplaceAllString(text, "PID")
}

func digitsToZero(r rune) rune {
	if '0' <= r && r <= '9' {
		return '0'
	}
	return r
}

// The time is that of the line, in each format, whatever the line before had.
func TestTimes(t *testing.T) {
	at := func(sec, nano int64) int64 { return sec*1e9 + nano }
	for _, c := range []struct{ format, layout string }{
		{"", time.Stamp}, {"rfc3164", time.Stamp}, {"rfc5424", time.RFC3339}, {"rfc5424micro", "2006-01-02T15:04:05.000000Z07:00"},
	} {
		e := encoder(t, routertest.Session("web"), map[string]string{format: c.format})
		for _, nano := range []int64{at(1795463301, 547679123), at(1795463301, 0), at(1795463301, 999999999), at(1795463300, 1000), 0, -1, at(-3600, 5), at(253402300799, 0)} {
			got := string(e.AppendRecord(nil, &router.Record{TimeNano: nano, Line: []byte("x")}))
			second := nano / 1e9
			want := time.Unix(0, nano).Truncate(time.Microsecond).Format(c.layout)
			if nano < 0 || second > 9e9 {
				want = time.Unix(second, nano%1e9).Format(c.layout)
			}
			if !strings.Contains(got, ">"+want+" ") && !strings.Contains(got, ">1 "+want+" ") {
				t.Errorf("format %q, %d: %q, want %q in it", c.format, nano, got, want)
			}
		}
	}
}

// A line break in a line does not end the message, and nothing else is changed.
func TestLineBreaks(t *testing.T) {
	e := encoder(t, routertest.Session("web"), nil)
	for line, want := range map[string]string{"a\nb": "a#012b", "\n": "#012", "a\n\nb\n": "a#012#012b#012", "a\rb": "a\rb", "#012": "#012", "\xff\x00": "\xff\x00"} {
		got := string(e.AppendRecord(nil, &router.Record{Line: []byte(line)}))
		if !strings.HasSuffix(got, "]: "+want+"\n") || strings.Count(got, "\n") != 1 {
			t.Errorf("%q: %q, want %q at its end", line, got, want)
		}
	}
	if got := e.AppendRecord(nil, &router.Record{}); len(got) != 0 {
		t.Errorf("an empty line gives %q", got)
	}
}

func TestAllocs(t *testing.T) {
	for _, f := range formats {
		routertest.EncoderAllocs(t, Kind(), map[string]string{format: f}, "hello", "two\nlines", strings.Repeat("x", 1000))
	}
}
