package fluentd

import (
	"bufio"
	"bytes"
	"cmp"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/msgpack"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func encoder(t testing.TB, s router.Session, options map[string]string) *Encoder {
	t.Helper()
	c, err := Parse(router.Options{Plain: options})
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEncoder(t.Context(), c, s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func decode(t testing.TB, p []byte) any {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(p))
	v, err := forwardtest.Decode(r)
	if err != nil || r.Buffered() != 0 {
		t.Fatalf("%.100x: %v, %d bytes after it", p, err, r.Buffered())
	}
	return v
}

func str(v any) string { s, _ := v.(forwardtest.Str); return string(s) }

func keysOf(record any) map[string]any {
	m := map[string]any{}
	for _, p := range record.([]forwardtest.Pair) {
		m[str(p.Key)] = p.Value
	}
	return m
}

// TestDockerRecords gives the encoder the pieces that the daemon gave Docker's driver, and wants its records: types and
// bytes of all values, in any order of keys.
func TestDockerRecords(t *testing.T) {
	for _, c := range routertest.Captures(t, "fluentd") {
		t.Run(c.ID, func(t *testing.T) {
			e := encoder(t, c.Session(), map[string]string{"fluentd-sub-second-precision": cmp.Or(c.Options["fluentd-sub-second-precision"], "false")})
			if len(c.Messages) != len(c.Pieces) {
				t.Fatalf("%d messages for %d pieces", len(c.Messages), len(c.Pieces))
			}
			for i, p := range c.Pieces {
				docker := decode(t, c.Messages[i]).([]any)
				if e.tag != str(docker[0]) {
					t.Errorf("tag %q, Docker's %q", e.tag, docker[0])
				}
				want := keysOf(docker[2])
				p.PartialID = []byte(str(want["partial_id"]))
				switch at := docker[1].(type) {
				case int64:
					p.TimeNano = at*1e9 + 123
				case forwardtest.Ext:
					p.TimeNano = int64(be(at.Data[:4]))*1e9 + int64(be(at.Data[4:]))
				}
				if strings.HasPrefix(c.ID, "fluentd-collision") { // declared: labels named like the driver's own keys
					want["log"], want["source"], want["container_id"] = forwardtest.Str(p.Line), forwardtest.Str(p.Source), forwardtest.Str(c.ContainerID)
					if !p.Partial {
						delete(want, "partial_message")
					}
				}
				entry := decode(t, e.AppendRecord(nil, &p)).([]any)
				if got := keysOf(entry[1]); !maps.Equal(got, want) || len(got) != len(entry[1].([]forwardtest.Pair)) {
					t.Errorf("record %d: %.300v\nDocker's %.300v", i, got, want)
				}
				if !reflect.DeepEqual(entry[0], docker[1]) {
					t.Errorf("time %v, Docker's %v", entry[0], docker[1])
				}
			}
		})
	}
}

func be(s string) (n uint32) {
	for _, c := range []byte(s) {
		n = n<<8 | uint32(c)
	}
	return n
}

func TestAppendTime(t *testing.T) {
	for _, c := range []struct {
		name      string
		subSecond bool
		nano      int64
		want      string
	}{
		{"int32", false, 1795463449951611461, "\xd2\x6b\x04\x99\x19"},
		{"EventTime", true, 1795463449951611461, "\xd7\x00\x6b\x04\x99\x19\x38\xb8\x70\x45"},
		{"zero", true, 0, "\xd7\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"before 1970", true, -1, "\xd2\xff\xff\xff\xff"},
		{"before 1970, whole", false, -1500000000, "\xd2\xff\xff\xff\xfe"},
		{"after 2038", false, (math.MaxInt32 + 1) * 1e9, "\xce\x80\x00\x00\x00"},
		{"last EventTime", true, math.MaxUint32*1e9 + 999999999, "\xd7\x00\xff\xff\xff\xff\x3b\x9a\xc9\xff"},
		{"after 2106", true, (math.MaxUint32 + 1) * 1e9, "\xd3\x00\x00\x00\x01\x00\x00\x00\x00"},
		{"before 1901", false, math.MinInt64, "\xd3\xff\xff\xff\xfd\xda\x3e\x82\xfb"},
	} {
		e := &Encoder{subSecond: c.subSecond}
		if got := string(e.appendTime(nil, c.nano)); got != c.want {
			t.Errorf("%s: % x, want % x", c.name, got, c.want)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000} {
		s := strings.Repeat("x", n)
		if got := decode(t, msgpack.AppendStr(nil, s)); got != forwardtest.Str(s) {
			t.Errorf("str of %d bytes", n)
		}
		if got := decode(t, append(msgpack.AppendBinHead(nil, n), s...)); got != forwardtest.Bin(s) {
			t.Errorf("bin of %d bytes", n)
		}
		m := msgpack.AppendMap(nil, n)
		for range n {
			m = append(m, 1, 2)
		}
		if got, _ := decode(t, m).([]forwardtest.Pair); len(got) != n {
			t.Errorf("map of %d", n)
		}
		got := decode(t, msgpack.AppendUint(nil, n))
		if i, _ := got.(int64); n < 128 && i != int64(n) {
			t.Errorf("number %d is %v", n, got)
		}
		if u, _ := got.(uint64); n >= 128 && u != uint64(n) {
			t.Errorf("number %d is %v", n, got)
		}
	}
}

func TestOwnKeysWin(t *testing.T) {
	attrs := map[string]string{"other": "1"}
	for _, k := range ownKeys {
		attrs[k] = "evil"
	}
	e := encoder(t, router.Session{ContainerID: "0123456789abcdef", ContainerName: "/n", Attrs: attrs}, nil)
	r := &router.Record{Source: []byte("stdout"), Line: []byte("line"), Partial: true, PartialID: []byte("p"), Ordinal: 2, Last: true}
	entry := decode(t, e.AppendRecord(nil, r)).([]any)
	var keys []string
	for _, p := range entry[1].([]forwardtest.Pair) {
		keys = append(keys, str(p.Key))
		if str(p.Value) == "evil" {
			t.Errorf("%s is the label's", str(p.Key))
		}
	}
	want := []string{"container_id", "container_name", "source", "log", "other", "partial_message", "partial_id", "partial_ordinal", "partial_last"}
	if !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	if e.tag != "0123456789ab" {
		t.Errorf("default tag %q", e.tag)
	}
	if len(Differences) == 0 {
		t.Error("the table of differences is empty")
	}
}

func TestEncoderAllocs(t *testing.T) {
	e := encoder(t, router.Session{ContainerID: strings.Repeat("a", 64), ContainerName: "/n", Tag: "t", Attrs: map[string]string{"a": "1"}},
		map[string]string{"fluentd-sub-second-precision": "true"})
	buf := make([]byte, 0, 4096)
	for _, r := range []*router.Record{
		{TimeNano: 1795463301547679123, Source: []byte("stderr"), Line: []byte("hello")},
		{TimeNano: -5, Source: []byte("stdout"), Line: []byte(strings.Repeat("x", 300)), Partial: true, PartialID: []byte("id"), Ordinal: 12345},
	} {
		if n := testing.AllocsPerRun(200, func() { buf = e.AppendRecord(buf[:0], r) }); n != 0 {
			t.Errorf("AppendRecord allocates %v times, want 0", n)
		}
	}
}

func BenchmarkEncoder(b *testing.B) {
	e := encoder(b, router.Session{ContainerID: strings.Repeat("a", 64), ContainerName: "/name", Tag: "t"}, map[string]string{"fluentd-sub-second-precision": "true"})
	r := &router.Record{TimeNano: 1795463301547679123, Source: []byte("stdout"), Line: []byte(strings.Repeat("x", 100))}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = e.AppendRecord(buf[:0], r)
	}
}

// FuzzReadValue feeds what a receiver might send.
func FuzzReadValue(f *testing.F) {
	f.Add([]byte("\x92\xa4HELO\x83\xa5nonce\xc4\x02ab\xa4auth\xa0\xa9keepalive\xc3"))
	f.Add([]byte("\x95\xa4PONG\xc2\xb3shared_key mismatch\xa1s\xa0"))
	f.Add([]byte("\x81\xa3ack\xb8MTIzNDU2Nzg5MDEyMzQ1Ng=="))
	f.Add([]byte("\x91\x91\x91\x91\x91\x91\x01"))
	f.Add([]byte("\xdf\xff\xff\xff\xff"))
	f.Add([]byte("\xdb\xff\xff\xff\xff"))
	f.Add([]byte("\xd1\xff\xfe"))
	f.Fuzz(func(t *testing.T, p []byte) {
		r := bufio.NewReader(bytes.NewReader(p))
		v, err := readMessage(r, ofHandshake)
		if err != nil {
			return
		}
		if _, err := parseHello(v); err == nil && !isHello(v) {
			t.Errorf("%x is taken for a HELO", p)
		}
		if err := newProofs(hello{nonce: "n"}, identity{redact: none}).check(v, identity{redact: none}); err == nil {
			t.Errorf("%x passes for a PONG", p)
		}
		// A decoder that knows more must see the same.
		if other, err := forwardtest.Decode(bufio.NewReader(bytes.NewReader(p))); err != nil || reflect.TypeOf(other) == nil != (v == nil) {
			t.Errorf("%x: %v, and forwardtest says %v, %v", p, v, other, err)
		}
	})
}
