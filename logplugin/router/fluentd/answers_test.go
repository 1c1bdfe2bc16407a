package fluentd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
)

type (
	word = forwardtest.Str
	blob = forwardtest.Bin
	pair = forwardtest.Pair
)

// raw returns a script's function that sends the bytes of each part.
func raw(parts ...string) func(io.Writer) {
	return func(w io.Writer) { _, _ = io.WriteString(w, strings.Join(parts, "")) }
}

// forever returns a script's function that sends first, and then part until the client has had enough.
func forever(first, part string) func(io.Writer) {
	parts := []byte(strings.Repeat(part, 1+4096/len(part)))
	return func(w io.Writer) {
		_, err := io.WriteString(w, first)
		for err == nil {
			_, err = w.Write(parts)
		}
	}
}

var (
	unasked  = forever("", "\x81\xa3ack\xa1x")
	wideAcks = forever("", wideArrays)
	hugeAck  = forever("\x81\xa3ack"+hugeText, "x")
)

// drip returns a script's function that sends one byte of text each pause, until the client has had enough.
func drip(text string, pause time.Duration) func(io.Writer) {
	return func(w io.Writer) {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for i := 0; ; i++ {
			if _, err := w.Write([]byte{text[i%len(text)]}); err != nil {
				return
			}
			<-tick.C
		}
	}
}

func ack(v any) func(io.Writer, string) {
	return func(w io.Writer, _ string) { say(v)(w) }
}

func helo(options ...pair) func(io.Writer) { return say([]any{word("HELO"), options}) }

// What of the answers below goes beyond what a receiver may send.
const (
	nestedArrays = "\x91"                 // arrays of one array of one array ...
	wideArrays   = "\xdd\x00\x00\x00\x20" // arrays of 32 arrays of 32 arrays ...
	wideMaps     = "\x8f\xa1k"            // maps of 15 maps ...
	hugeArray    = "\xdd\xff\xff\xff\xff" // of 4,294,967,295 elements
	hugeMap      = "\xdf\xff\xff\xff\xff" // the same
	hugeText     = "\xdb\xff\xff\xff\xff" // 4 GiB
	longTexts    = "\xda\x10\x00"         // 4 KiB each
	nothing      = "\xc0"
)

// answers are what a receiver may say at each step, and what becomes of that. A test's client knows a shared key, and asks
// for acknowledgements, unless its options say otherwise.
var answers = []struct {
	name    string
	script  forwardtest.Script
	options map[string]string
	want    router.Class
	says    string
}{
	{"HELO is not an array", forwardtest.Script{Hello: say(word("HELO"))}, nil, router.ClassConfig, "not a message"},
	{"HELO without options", forwardtest.Script{Hello: say([]any{word("HELO")})}, nil, router.ClassConfig, "not a message"},
	{"HELO with options that are not a map", forwardtest.Script{Hello: say([]any{word("HELO"), word("x")})}, nil, router.ClassConfig, "not a message"},
	{"HELO without nonce", forwardtest.Script{Hello: helo(pair{Key: word("auth"), Value: blob("")})}, nil, router.ClassConfig, "not a message"},
	{"HELO with a nonce that is not text", forwardtest.Script{Hello: helo(pair{Key: word("nonce"), Value: true})}, nil, router.ClassConfig, "not a message"},
	{"HELO with auth that is not text", forwardtest.Script{Hello: helo(pair{Key: word("nonce"), Value: blob("n")}, pair{Key: word("auth"), Value: true})}, nil, router.ClassConfig, "not a message"},
	{"HELO with keepalive that is not a boolean", forwardtest.Script{Hello: helo(pair{Key: word("nonce"), Value: blob("n")}, pair{Key: word("keepalive"), Value: word("x")})}, nil, router.ClassConfig, "not a message"},
	{"HELO with a key that is not text", forwardtest.Script{Hello: helo(pair{Key: true, Value: true})}, nil, router.ClassConfig, "not a message"},
	{"another word for HELO", forwardtest.Script{Hello: say([]any{word("HALO"), []pair{}})}, nil, router.ClassConfig, "not a message"},
	{"a web page for HELO", forwardtest.Script{Hello: raw("HTTP/1.1 400 Bad Request\r\n\r\n")}, nil, router.ClassConfig, "not a message"},
	{"an SSH server for HELO", forwardtest.Script{Hello: raw("SSH-2.0-OpenSSH_9.2\r\n")}, nil, router.ClassConfig, "not a message"},
	{"a float in HELO", forwardtest.Script{Hello: raw("\x92\xa4HELO\xcb\x00\x00\x00\x00\x00\x00\x00\x00")}, nil, router.ClassConfig, "not a message"},
	{"HELO of nested arrays", forwardtest.Script{Hello: forever("", nestedArrays)}, nil, router.ClassConfig, "too long or too deep"},
	{"HELO of wide arrays", forwardtest.Script{Hello: forever("", wideArrays)}, nil, router.ClassConfig, "too long or too deep"},
	{"HELO of wide maps", forwardtest.Script{Hello: forever("", wideMaps)}, nil, router.ClassConfig, "too long or too deep"},
	{"HELO is an array of 4 G elements", forwardtest.Script{Hello: forever(hugeArray, nothing)}, nil, router.ClassConfig, "too long or too deep"},
	{"HELO is a map of 4 G elements", forwardtest.Script{Hello: forever(hugeMap, nothing)}, nil, router.ClassConfig, "too long or too deep"},
	{"HELO has a text of 4 GiB", forwardtest.Script{Hello: forever("\x92\xa4HELO\x81\xa5nonce"+hugeText, "x")}, nil, router.ClassConfig, "too long or too deep"},
	{"HELO has many long texts", forwardtest.Script{Hello: forever("\xdc\x00\x20", longTexts+strings.Repeat("x", 4096))}, nil, router.ClassConfig, "too long or too deep"},
	{"HELO comes a byte at a time", forwardtest.Script{Hello: drip("\x92\xa4HELO\x81\xa5nonce\xdb\x00\x00\x0f\x00", 10*time.Millisecond)}, nil, router.ClassRetry, "handshake in time"},
	{"HELO never comes", forwardtest.Script{Hello: raw()}, nil, router.ClassRetry, "handshake in time"},
	{"HELO that was not expected", forwardtest.Script{Hello: helo(pair{Key: word("nonce"), Value: blob("n")})}, map[string]string{"fluentd-shared-key": "-"}, router.ClassConfig, "set fluentd-shared-key"},

	{"PONG is not an array", forwardtest.Script{Pong: say(word("PONG"))}, nil, router.ClassConfig, "not a message"},
	{"PONG says nothing", forwardtest.Script{Pong: say([]any{word("PONG")})}, nil, router.ClassConfig, "not a message"},
	{"PONG says neither yes nor no", forwardtest.Script{Pong: say([]any{word("PONG"), word("yes")})}, nil, router.ClassConfig, "not a message"},
	{"PONG without proof", forwardtest.Script{Pong: say([]any{word("PONG"), true})}, nil, router.ClassCredentials, "does not know the shared key"},
	{"PONG with a proof that is not text", forwardtest.Script{Pong: say([]any{word("PONG"), true, word(""), word("s"), true})}, nil, router.ClassCredentials, "does not know the shared key"},
	{"PONG with the proof of another key", forwardtest.Script{Pong: say([]any{word("PONG"), true, word(""), word("s"), word(strings.Repeat("0", 128))})}, nil, router.ClassCredentials, "does not know the shared key"},
	{"PONG refuses without a reason", forwardtest.Script{Pong: say([]any{word("PONG"), false})}, nil, router.ClassCredentials, "refuses the handshake; put what it wants"},
	{"PONG refuses with a reason that is not text", forwardtest.Script{Pong: say([]any{word("PONG"), false, true})}, nil, router.ClassCredentials, "refuses the handshake; put what it wants"},
	{"PONG refuses the key", forwardtest.Script{Pong: say([]any{word("PONG"), false, word("shared_key mismatch"), word("s"), word("")})}, nil, router.ClassCredentials, "mismatch; put the receiver's key"},
	{"PONG refuses the host", forwardtest.Script{Pong: say([]any{word("PONG"), false, word("anonymous source host '10.0.0.1' denied"), word("s"), word("")})}, nil, router.ClassConfig, "denied; allow this host at the receiver"},
	{"PONG refuses with a long reason", forwardtest.Script{Pong: say([]any{word("PONG"), false, word(strings.Repeat("no ", 1000))})}, nil, router.ClassCredentials, "no no no"},
	{"PONG refuses with a reason of two lines", forwardtest.Script{Pong: say([]any{word("PONG"), false, word("no\r\nlevel=error msg=forged\x1b[31m")})}, nil, router.ClassCredentials, "refuses the handshake: no"},
	{"PONG refuses with a reason of 64 KiB", forwardtest.Script{Pong: say([]any{word("PONG"), false, word(strings.Repeat("x", 60_000))})}, nil, router.ClassConfig, "too long or too deep"},
	{"PONG of wide arrays", forwardtest.Script{Pong: forever("\x95\xa4PONG\xc3", wideArrays)}, nil, router.ClassConfig, "too long or too deep"},
	{"PONG comes a byte at a time", forwardtest.Script{Pong: drip("\x95\xa4PONG\xc2\xdb\x00\x00\x0f\x00", 10*time.Millisecond)}, nil, router.ClassRetry, "handshake in time"},
	{"PONG never comes", forwardtest.Script{Pong: func(io.Writer) {}}, nil, router.ClassRetry, "handshake in time"},

	{"ack is a text", forwardtest.Script{Ack: ack(word("ack"))}, nil, router.ClassConfig, "not a message"},
	{"ack is an empty map", forwardtest.Script{Ack: ack([]pair{})}, nil, router.ClassConfig, "not a message"},
	{"ack of something that is not text", forwardtest.Script{Ack: ack([]pair{{Key: word("ack"), Value: true}})}, nil, router.ClassConfig, "not a message"},
	{"ack as bin", forwardtest.Script{Ack: func(w io.Writer, c string) { say([]pair{{Key: word("ack"), Value: blob(c)}})(w) }}, nil, "", ""},
	{"ack with more", forwardtest.Script{Ack: func(w io.Writer, c string) {
		say([]pair{{Key: word("x"), Value: []any{true}}, {Key: word("ack"), Value: word(c)}})(w)
	}}, nil, "", ""},
	{"ack twice", forwardtest.Script{Ack: func(w io.Writer, c string) {
		say([]pair{{Key: word("ack"), Value: word(c)}})(w)
		say([]pair{{Key: word("ack"), Value: word(c)}})(w)
	}}, nil, "", ""},
	{"ack of another message", forwardtest.Script{Ack: ack([]pair{{Key: word("ack"), Value: word("AAAA")}})}, nil, router.ClassRetry, "not acknowledged"},
	{"acks of what was not sent", forwardtest.Script{Ack: func(w io.Writer, _ string) { unasked(w) }}, nil, router.ClassConfig, "acknowledges what was not sent"},
	{"ack of wide arrays", forwardtest.Script{Ack: func(w io.Writer, _ string) { wideAcks(w) }}, nil, router.ClassConfig, "too long or too deep"},
	{"ack of 4 GiB", forwardtest.Script{Ack: func(w io.Writer, _ string) { hugeAck(w) }}, nil, router.ClassConfig, "too long or too deep"},
	{"ack comes a byte at a time", forwardtest.Script{Ack: func(w io.Writer, _ string) {
		drip("\x81\xa3ack\xda\x03\x00", 10*time.Millisecond)(w)
	}}, nil, router.ClassRetry, "not acknowledged"},
	{"an error page for ack", forwardtest.Script{Ack: func(w io.Writer, _ string) { raw("HTTP/1.1 400 Bad Request\r\n\r\n")(w) }}, nil, router.ClassConfig, "not a message"},
}

// TestAnswers has a live receiver say all that, with several sets of options. What a receiver says takes a bounded time and
// a bounded memory.
func TestAnswers(t *testing.T) {
	const (
		timeout = 300 * time.Millisecond
		slowest = 3 * time.Second // with a wait for HELO, for PONG and for an acknowledgement, on a machine with work to do
		most    = 1 << 20         // bytes allocated, forwardtest's included
	)
	for _, options := range []map[string]string{
		{"fluentd-request-ack": "true"},
		{"fluentd-request-ack": "true", "fluentd-compress": "gzip"},
		{"fluentd-request-ack": "true", "fluentd-username": "user", "fluentd-password": password},
	} {
		for _, c := range answers {
			t.Run(fmt.Sprint(c.name, len(options), options["fluentd-compress"]), func(t *testing.T) {
				all := maps.Clone(options)
				maps.Copy(all, c.options)
				all["fluentd-read-timeout"] = timeout.String()
				o := forwardtest.Options{SharedKey: sharedKey}
				if all["fluentd-shared-key"] == "-" {
					if len(options) > 2 {
						return // a user is a handshake too
					}
					o.SharedKey = ""
				}
				s := start(t, o, all)
				s.server.SetScript(c.script)
				s.router.timing.hello = timeout
				b := s.batch(20)
				before := allocated()
				began := time.Now()
				e := s.send(t, b)
				if took := time.Since(began); took > slowest {
					t.Errorf("it takes %v, want at most %v", took, slowest)
				}
				_ = s.router.Close()
				if n := allocated() - before; n > most && options["fluentd-compress"] == "" {
					t.Errorf("%d bytes were allocated, want at most %d", n, most)
				}
				if class(e) != c.want || e != nil && !strings.Contains(e.Error(), c.says) {
					t.Errorf("%v, want class %q, saying %q", e, c.want, c.says)
				}
				if e != nil && (len(e.Error()) > 600 || strings.ContainsAny(e.Error(), "\r\n\x1b")) {
					t.Errorf("the error is %q", e.Error())
				}
			})
		}
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestUnaskedAcknowledgements has a receiver acknowledge without end what was not sent, on a connection that is idle.
func TestUnaskedAcknowledgements(t *testing.T) {
	for _, options := range []map[string]string{nil, {"fluentd-request-ack": "true"}} {
		s := start(t, forwardtest.Options{SharedKey: sharedKey}, options)
		if e := s.verify(t); e != nil {
			t.Fatal(e)
		}
		c := s.router.conn
		for i := range maxUnasked + 1 {
			select {
			case <-c.gone:
				t.Fatalf("the connection ended after %d acknowledgements: %v", i, c.err)
			default:
			}
			err := c.readAck(bufio.NewReader(strings.NewReader(fmt.Sprintf("\x81\xa3ack\xd9\x04%04d", i))))
			if (err != nil) != (i == maxUnasked) {
				t.Fatalf("acknowledgement %d: %v", i, err)
			}
		}
		if acked, pending := c.take(); len(acked) != 0 || pending != 0 || len(c.pending) != 0 {
			t.Errorf("%d acknowledgements are kept", len(acked))
		}
	}
}

// boundsOf checks that a message is within what a receiver may send.
func boundsOf(t *testing.T, v any, nest int, left *bound) {
	left.items--
	if nest > maxNest || left.items < 0 || left.bytes < 0 {
		t.Fatalf("a message of %d levels, with %+v left", nest, *left)
	}
	switch v := v.(type) {
	case string:
		left.bytes -= len(v)
	case []any:
		for _, e := range v {
			boundsOf(t, e, nest+1, left)
		}
	case map[string]any:
		for k, e := range v {
			left.bytes -= len(k)
			boundsOf(t, e, nest+1, left)
		}
	}
}

// FuzzBounds reads what a receiver might send: no message takes more than its bound, nor more memory than some of it.
func FuzzBounds(f *testing.F) {
	for _, s := range []string{nestedArrays, wideArrays, wideMaps, hugeArray, hugeMap, hugeText, longTexts} {
		f.Add([]byte(strings.Repeat(s, 100)))
		f.Add([]byte("\x92\xa4HELO" + strings.Repeat(s, 100)))
	}
	f.Add([]byte("\xdc\x00\x20" + strings.Repeat(longTexts+strings.Repeat("x", 4096), 32)))
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, b := range []bound{ofHandshake, ofAck} {
			in := bytes.NewReader(p)
			before := allocated()
			v, err := readMessage(bufio.NewReaderSize(in, 16), b)
			if n := allocated() - before; n > 256<<10 {
				t.Errorf("%d bytes were allocated for a message of at most %d", n, b.bytes)
			}
			if read := len(p) - in.Len(); read > b.bytes+16 {
				t.Errorf("%d bytes were read, want at most %d", read, b.bytes)
			}
			if err == nil {
				boundsOf(t, v, 0, &b)
			}
		}
	})
}
