package gelf

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

var stamp = regexp.MustCompile(`"timestamp":17954\d{5}(\.\d{1,3})?,`)

// The encoder gets the pieces that the daemon gave Docker's driver, and writes its messages.
func TestDockerMessages(t *testing.T) {
	captures := routertest.Captures(t, "gelf")
	if len(captures) < 12 {
		t.Fatalf("%d captures", len(captures))
	}
	for _, c := range captures {
		t.Run(c.ID, func(t *testing.T) {
			s := c.Session()
			e := newEncoder(s)
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
				want := string(m) + "\x00"
				if c.ID == "gelf-collision" { // declared: the driver's own fields win, and there is no _id
					want = strings.NewReplacer(`"_container_id":"evil"`, `"_container_id":"`+c.ContainerID+`"`, `"_tag":"evil"`, `"_tag":"`+s.Tag+`"`, `"_id":"evil",`, "").Replace(want)
				}
				if want, got := stamp.ReplaceAllString(want, "TIME"), stamp.ReplaceAllString(got[i], "TIME"); want != got {
					t.Errorf("message %d is\n%.600q\nDocker's is\n%.600q", i, got, want)
				}
			}
		})
	}
}

func TestTimes(t *testing.T) {
	e := newEncoder(routertest.Session("web"))
	for nano, want := range map[int64]string{1795463544900_000_000: "1795463544.9", 1795463544_000_999_999: "1795463544", 1795463544_001_000_000: "1795463544.001", 0: "0", -1500_000_000: "-1.5"} {
		got := string(e.AppendRecord(nil, &router.Record{TimeNano: nano, Line: []byte("x")}))
		if !strings.Contains(got, `"timestamp":`+want+`,`) {
			t.Errorf("%d: %s, want %s", nano, got, want)
		}
	}
}

// Seconds are written as encoding/json writes them for Docker's driver.
func TestSeconds(t *testing.T) {
	for i := range int64(20_000) {
		for _, milli := range []int64{i, -i, 1795463544_000 + i, math.MaxInt64/1_000_000 - i, math.MinInt64/1_000_000 + i} {
			got, want := appendSeconds(nil, milli), strconv.AppendFloat(nil, float64(milli)/1000, 'f', -1, 64)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d ms: %s, want %s", milli, got, want)
			}
		}
	}
}

func TestAllocs(t *testing.T) {
	routertest.EncoderAllocs(t, Kind(), map[string]string{address: "udp://127.0.0.1:1"}, "hello", "<&>\xff", strings.Repeat("x", 1000))
}

func TestOptions(t *testing.T) {
	const hidden = "h1dden"
	good := map[string]string{address: "udp://logs.example.com:12201"}
	stream := map[string]string{address: "tcp://logs.example.com"}
	with := func(base map[string]string, more ...string) map[string]string {
		m := maps.Clone(base)
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	for _, c := range []struct {
		name             string
		options, secrets map[string]string
		want             string
	}{
		{"Docker's", with(good, compression, "zlib", level, "9"), nil, ""},
		{"Docker's over TCP", with(stream, reconnects, "3", delay, "1"), nil, ""},
		{"TLS", map[string]string{address: "tcp+tls://logs.example.com", "gelf-tls-server-name": "x"}, nil, ""},
		{"compression over TCP", with(stream, compression, "gzip"), nil, "only datagrams are compressed"},
		{"level over TCP", with(stream, level, "1"), nil, "only datagrams are compressed"},
		{"reconnects over UDP", with(good, reconnects, "3"), nil, "begins with tcp://"},
		{"compression", with(good, compression, "lz4"), nil, "is not one of gzip, zlib, none"},
		{"level", with(good, level, "10"), nil, "not a number from -1 to 9"},
		{"negative reconnects", with(stream, reconnects, "-1"), nil, reconnects},
		{"scheme", map[string]string{address: "http://logs.example.com"}, nil, "its scheme is not one of"},
		{"TLS options without TLS", with(good, "gelf-tls-server-name", "x"), nil, "begins with tcp+tls://"},
		{"several", map[string]string{address: "tcp://a.example.com,tcp+tls://b.example.com"}, nil, ""},
		{"everything a secret", map[string]string{address: "-"}, map[string]string{address: "x", compression: "x", level: "x", timeout: "x", "gelf-tls-ca-cert": "x",
			"gelf-tls-cert": "x", "gelf-tls-key": "x", "gelf-tls-server-name": "x", "gelf-tls-skip-verify": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(), maps.Clone(good), c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestHiddenAddress(t *testing.T) {
	const host = "hidden-gelf.example"
	routertest.HiddenAddress(t, Kind(), map[string]string{address: "udp://127.0.0.1:1"}, address, []string{"tcp://" + host + ":1", "tcp+tls://" + host}, host)
}

func TestSecretValueIsNotShown(t *testing.T) {
	good := map[string]string{address: "tcp+tls://127.0.0.1:1"}
	packets := map[string]string{address: "udp://127.0.0.1:1"}
	with := map[string]map[string]string{compression: packets, level: packets,
		"gelf-tls-cert": {"gelf-tls-key": "/nonexistent"}, "gelf-tls-key": {"gelf-tls-cert": "/nonexistent"}}
	routertest.SecretsAreNotShown(t, Kind(), good, with, func(router.Option) bool { return false })
}

// zeros splits a stream at NULs.
func zeros(data []byte, _ bool) (int, []byte, error) {
	i := bytes.IndexByte(data, 0)
	if i < 0 {
		return 0, nil, nil
	}
	return i + 1, data[:i], nil
}

type setup struct{ *routertest.SocketSetup }

func start(t testing.TB, o routertest.SocketOptions, options map[string]string) setup {
	t.Helper()
	o.Split = zeros
	return setup{routertest.StartSocketRouter(t, Kind(), o, options, nil)}
}

// lines are the lines of the messages that have arrived whole, chunks put together.
func (s setup) lines(t testing.TB) []string {
	var out []string
	chunks := map[string][][]byte{}
	for _, m := range s.Receiver.Messages() {
		if bytes.HasPrefix(m, []byte{0x1e, 0x0f}) {
			id := string(m[2:10])
			if chunks[id] == nil {
				chunks[id] = make([][]byte, m[11])
			}
			chunks[id][m[10]] = m[chunkHead:]
			if len(m) > maxDatagram || slices.ContainsFunc(chunks[id], func(p []byte) bool { return p == nil }) {
				continue
			}
			m = bytes.Join(chunks[id], nil)
		}
		out = append(out, line(t, m))
	}
	return out
}

func line(t testing.TB, m []byte) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(m)
	var err error
	switch {
	case m[0] == 0x1f:
		r, err = gzip.NewReader(r)
	case m[0] == 0x78:
		r, err = zlib.NewReader(r)
	}
	var message struct {
		Version string
		Short   string `json:"short_message"`
	}
	if err == nil {
		err = json.NewDecoder(bufio.NewReader(r)).Decode(&message)
	}
	if err != nil || message.Version != "1.1" {
		t.Fatalf("%.100q: %v", m, err)
	}
	return message.Short
}

func TestSuite(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerConfig("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		server  routertest.SocketOptions
		options map[string]string
	}{
		{"tcp", routertest.SocketOptions{Network: "tcp"}, nil},
		{"tls", routertest.SocketOptions{Network: "tcp", TLS: server}, map[string]string{"gelf-tls-ca-cert": string(ca.PEM())}},
	} {
		c.server.Buffer = routertest.SocketBuffer
		t.Run(c.name, func(t *testing.T) {
			routertest.RunSideBySide(t, func(t *testing.T) *routertest.Subject {
				s := start(t, c.server, c.options)
				return s.Subject(func() []string { return s.lines(t) })
			})
		})
	}
}

// What a receiver that ends had not read is lost, at most what its buffer held.
func TestOutageLoses(t *testing.T) {
	s := start(t, routertest.SocketOptions{Network: "tcp", Buffer: routertest.SocketBuffer}, map[string]string{timeout: "1s"})
	routertest.OutageLoses(t, s.SocketSetup)
}

// UDP: datagrams of each compression, and chunks of what is too long for one; past 128 chunks the line is cut.
func TestDatagrams(t *testing.T) {
	noise := func(n int) string {
		var b strings.Builder
		for i := range n / 100 {
			b.Write(routertest.Lines(i%50 + 1)[i%50])
		}
		return b.String()
	}
	for _, kind := range compressions {
		t.Run(kind, func(t *testing.T) {
			s := start(t, routertest.SocketOptions{Network: "udp", Buffer: 4 << 20}, map[string]string{compression: kind})
			b, want := &router.Batch{}, []string{}
			send := func() { // so few that the kernel keeps them all for a receiver that is slow
				t.Helper()
				if e := routertest.Send(t, s.Router, b); e != nil {
					t.Fatal(e)
				}
				routertest.Await(t, "all messages", func() bool { return len(s.lines(t)) >= len(want) })
				b = &router.Batch{}
			}
			for i := range 300 {
				text := strings.Repeat("short ", i+1)
				b.Append(s.Encoders[i%2], &router.Record{Line: []byte(text)})
				if want = append(want, text); i%100 == 99 {
					send()
				}
			}
			for _, text := range []string{noise(16_000), strings.Repeat("\xff", 16_384), noise(100_000)} {
				b.Append(s.Encoders[0], &router.Record{Line: []byte(text)})
				want = append(want, strings.ToValidUTF8(text, "\ufffd"))
				if text[0] == 0xff {
					want[len(want)-1] = strings.Repeat("\ufffd", 16_384)
				}
				send()
			}
			if got := s.lines(t); !slices.Equal(got, want) {
				t.Errorf("%d messages, want %d, or they differ", len(got), len(want))
			}
		})
	}
	t.Run("too long", func(t *testing.T) {
		s := start(t, routertest.SocketOptions{Network: "udp", Buffer: 4 << 20}, map[string]string{compression: "none"})
		for i, unit := range []string{"x", "\x01", "é", `"`} {
			b := &router.Batch{}
			b.Append(s.Encoders[0], &router.Record{Line: []byte(strings.Repeat(unit, 250_000))})
			if e := routertest.Send(t, s.Router, b); e != nil {
				t.Fatal(e)
			}
			routertest.Await(t, "the message", func() bool { return len(s.lines(t)) == i+1 })
		}
		for i, text := range s.lines(t) {
			if !strings.HasSuffix(text, router.CutMark) || len(text) < 5_000 {
				t.Errorf("line %d has %d bytes, and no mark of the cut", i, len(text))
			}
		}
	})
}

func BenchmarkSend(b *testing.B) {
	routertest.BenchSocket(b, Kind(), 5000, []string{"plain"}, func(to, _ string) map[string]string {
		return map[string]string{address: "tcp://" + to}
	})
}

func BenchmarkDatagrams(b *testing.B) {
	e := newEncoder(routertest.Session("web"))
	message := e.AppendRecord(nil, &router.Record{TimeNano: 1795463301547679123, Line: routertest.Lines(1)[0]})
	for _, kind := range compressions {
		b.Run(kind, func(b *testing.B) {
			z := &compressor{}
			z.set(kind, 1)
			b.ReportAllocs()
			for b.Loop() {
				if err := z.datagrams(message, func([]byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestFluentBit(t *testing.T) {
	session := routertest.Session("web")
	session.Tag, session.Attrs = "t", map[string]string{"id": "i", "a b": "x"}
	record := &router.Record{TimeNano: 1795428000_123456789, Source: []byte("stdout"), Line: []byte(`"`)}
	for settings, want := range map[string]string{
		"output=gelf": `{"version":"1.1","host":"` + session.Host + `","short_message":"\"","timestamp":1795428000.123,"_source":"stdout","_container_id":"` + session.ContainerID + `","_container_name":"/web","_a_b":"x"}` + "\x00",
		"output=gelf,gelf_host_key=container_name,gelf_tag_key=tag": `{"version":"1.1","host":"/web","short_message":"\"","timestamp":1795428000.123,"_source":"stdout","_container_id":"` + session.ContainerID + `","_a_b":"x","_tag":"t"}` + "\x00",
	} {
		options := map[string]string{address: "udp://127.0.0.1", "gelf-fluent-bit": settings}
		c, err := Parse(router.Options{Plain: options})
		if err != nil {
			t.Fatal(err)
		}
		e, err := c.Encoder(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(e.AppendRecord(nil, record)); got != want {
			t.Errorf("%s:\n%q, want\n%q", settings, got, want)
		}
		routertest.EncoderAllocs(t, Kind(), options, "hello", "bad \xff bytes")
	}
}
