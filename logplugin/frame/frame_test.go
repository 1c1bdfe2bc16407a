package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func entry(source, line string) *Entry {
	return &Entry{Source: []byte(source), TimeNano: 1_790_000_000_123_456_789, Line: []byte(line)}
}

// message puts the length in front of a protobuf message.
func message(p string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
}

const idOf64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestDecode(t *testing.T) {
	piece := entry("stdout", "piece")
	piece.Partial, piece.PartialID, piece.Ordinal, piece.Last = true, []byte(idOf64), 3, true
	for _, c := range []struct {
		name  string
		frame []byte
		want  *Entry
		err   error
	}{
		{"whole line", AppendFrame(nil, entry("stdout", "hello")), entry("stdout", "hello"), nil},
		{"as the daemon writes it", message("\n\x06stderr\x10\x01\x1a\x01x"), &Entry{Source: []byte("stderr"), TimeNano: 1, Line: []byte("x")}, nil},
		{"empty line", AppendFrame(nil, entry("stdout", "")), entry("stdout", ""), nil},
		{"NUL and invalid UTF-8", AppendFrame(nil, entry("stdout", "\x00\xff\x00")), entry("stdout", "\x00\xff\x00"), nil},
		{"before 1970", AppendFrame(nil, &Entry{Source: []byte("stdout"), TimeNano: -1, Line: []byte("x")}), &Entry{Source: []byte("stdout"), TimeNano: -1, Line: []byte("x")}, nil},
		{"last piece", AppendFrame(nil, piece), piece, nil},
		{"metadata without id", message("\n\x06stdout\x10\x01\x20\x01\x2a\x02\x08\x01"), &Entry{Source: []byte("stdout"), TimeNano: 1, Partial: true, PartialID: []byte{}, Last: true}, nil},
		{"16 KiB", AppendFrame(nil, entry("stdout", strings.Repeat("a", 16<<10))), entry("stdout", strings.Repeat("a", 16<<10)), nil},
		{"1 MiB less the rest", AppendFrame(nil, entry("stdout", strings.Repeat("a", MaxBytes-30))), entry("stdout", strings.Repeat("a", MaxBytes-30)), nil},
		{"attrs of engine 29", message("\n\x06stdout\x10\x01\x1a\x01x\x32\x08\x0a\x03tag\x12\x01v"), &Entry{Source: []byte("stdout"), TimeNano: 1, Line: []byte("x")}, nil},
		{"unknown fields of every kind", message("\n\x06stdout\x38\x80\x01\x41abcdefgh\x4a\x02ab\x55abcd\x10\x01"), &Entry{Source: []byte("stdout"), TimeNano: 1}, nil},
		{"another stream", message("\n\x03foo\x10\x01"), &Entry{Source: []byte("foo"), TimeNano: 1}, nil},

		{"nothing", nil, nil, ErrShort},
		{"half a length", []byte{0, 0, 0}, nil, ErrShort},
		{"only a length", []byte{0, 0, 0, 9}, nil, ErrShort},
		{"half a message", AppendFrame(nil, entry("stdout", "hello"))[:20], nil, ErrShort},
		{"length 0", []byte{0, 0, 0, 0, 0, 0, 0, 0}, nil, ErrGarbage},
		{"length over 1 MiB", append([]byte{0, 0x10, 0, 1}, "\n\x06stdout\x10"...), nil, ErrGarbage},
		{"absurd length, of which one byte is here", []byte{0xff}, nil, ErrGarbage},
		{"text", []byte("hello, world"), nil, ErrGarbage},
		{"long, but of no stream", append([]byte{0, 1, 0, 0}, "\n\x03foo"...), nil, ErrGarbage},
		{"does not begin with a source", message("\x10\x01\n\x06stdout"), nil, ErrGarbage},
		{"field past the end", message("\n\x06stdout\x1a\x05ab"), nil, ErrGarbage},
		{"count past the end", message("\n\x06stdout\x1a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), nil, ErrGarbage},
		{"number without an end", message("\n\x06stdout\x10\x80\x80"), nil, ErrGarbage},
		{"number of 11 bytes", message("\n\x06stdout\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), nil, ErrGarbage},
		{"group", message("\n\x06stdout\x33\x34"), nil, ErrGarbage},
		{"field 0", message("\n\x06stdout\x00\x00"), nil, ErrGarbage},
		{"fixed past the end", message("\n\x06stdout\x39abc"), nil, ErrGarbage},
		{"bad metadata", message("\n\x06stdout\x2a\x02\x12\x09"), nil, ErrGarbage},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e Entry
			n, err := Decode(c.frame, &e)
			if !errors.Is(err, c.err) {
				t.Fatalf("Decode(%q) = %d, %v, want %v", c.frame, n, err, c.err)
			}
			if err != nil {
				return
			}
			if n != len(c.frame) || !same(&e, c.want) {
				t.Errorf("Decode(%q) = %d, %+v, want %d, %+v", c.frame, n, e, len(c.frame), *c.want)
			}
			if size, err := Size(c.frame); size != n || err != nil {
				t.Errorf("Size = %d, %v, want %d", size, err, n)
			}
			// Cut anywhere, it is a frame whose end is to come.
			for i := range c.frame {
				if n, err := Decode(c.frame[:i], &e); !errors.Is(err, ErrShort) {
					t.Fatalf("first %d bytes: %d, %v, want ErrShort", i, n, err)
				}
			}
		})
	}
}

func same(a, b *Entry) bool {
	return bytes.Equal(a.Source, b.Source) && a.TimeNano == b.TimeNano && bytes.Equal(a.Line, b.Line) && a.Partial == b.Partial &&
		bytes.Equal(a.PartialID, b.PartialID) && (a.PartialID == nil) == (b.PartialID == nil) && a.Ordinal == b.Ordinal && a.Last == b.Last
}

func TestResync(t *testing.T) {
	one := AppendFrame(nil, entry("stdout", "one"))
	two := AppendFrame(nil, entry("stderr", "two"))
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	fake := append([]byte{0, 0, 0, 40}, "\n\x06stdout\x10 not really"...)
	for _, c := range []struct {
		name  string
		buf   []byte
		skip  int
		found bool
	}{
		{"tail of the frame before", join([]byte("ne"), one, two), 2, true},
		{"inside the frame before", join(one[7:], two), len(one) - 7, true},
		{"zeros of a crash", join(make([]byte, 4096), one), 4096, true},
		{"frame before zeros", join([]byte("x"), one, make([]byte, 100)), 1, true},
		{"only the first fields are there", join([]byte("xyz"), one[:13]), 3, true},
		{"last frame of all", join([]byte("xyz"), one), 3, true},
		{"text that looks like a frame", join([]byte("say "), fake, one, two), 4 + len(fake), true},
		{"a frame in a line, without one behind it", join([]byte("say "), one, []byte("text"), two), 4 + len(one) + 4, true},
		{"nothing", []byte("text without any frame in it"), 28 - 12, false},
		{"too little to say", []byte("text"), 0, false},
		{"empty", nil, 0, false},
		{"cut inside the first fields", join([]byte("0123456789abcdef"), one[:11]), 16, false},
		{"cut inside the length", join([]byte("0123456789abcdef"), one[:2]), 18 - 12, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if skip, found := Resync(c.buf); skip != c.skip || found != c.found {
				t.Errorf("Resync(%q) = %d, %v, want %d, %v", c.buf, skip, found, c.skip, c.found)
			}
		})
	}
}

// decodeAll reads buf as a reader of a whole stream does, giving it step bytes more at a time.
func decodeAll(buf []byte, step int) (lines []string, skipped int) {
	var e Entry
	at, have, garbage := 0, 0, false
	for {
		var n int
		var err error
		if garbage {
			var found bool
			if n, found = Resync(buf[at:have]); found {
				garbage = false
			}
			at, skipped, err = at+n, skipped+n, nil
			if !found {
				err = ErrShort
			}
		} else if n, err = Decode(buf[at:have], &e); err == nil {
			lines = append(lines, string(e.Source)+":"+string(e.Line))
			at += n
		}
		switch {
		case errors.Is(err, ErrGarbage):
			garbage = true
		case err != nil && have == len(buf):
			return lines, skipped + have - at
		case err != nil:
			have = min(have+step, len(buf))
		}
	}
}

// A reader that starts at any byte of a stream finds every frame that starts at or after it.
func TestResyncFromEveryByte(t *testing.T) {
	var stream []byte
	var starts []int
	for i := range 12 {
		starts = append(starts, len(stream))
		e := entry("stdout", fmt.Sprintf("line %d %s", i, strings.Repeat("\x00\x00\x00\x10\n\x06", i)))
		if i%3 == 1 {
			e.Source, e.Partial, e.PartialID, e.Ordinal = []byte("stderr"), true, []byte(idOf64), int32(i)
		}
		stream = AppendFrame(stream, e)
	}
	for from := range stream {
		want := 0
		for _, s := range starts {
			if s >= from {
				want++
			}
		}
		for _, step := range []int{1, 7, len(stream)} {
			lines, skipped := decodeAll(stream[from:], step)
			if len(lines) != want {
				t.Fatalf("from byte %d, %d at a time: %d lines, want %d: %q", from, step, len(lines), want, lines)
			}
			next := len(stream)
			if want > 0 {
				next = starts[len(starts)-want]
			}
			if skipped != next-from {
				t.Fatalf("from byte %d: skipped %d, want %d", from, skipped, next-from)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendFrame(nil, entry("stdout", "hello")))
	f.Add(message("\n\x06stdout\x38\x80\x01\x41abcdefgh\x4a\x02ab\x55abcd\x10\x01"))
	f.Add(append([]byte("\x00\x00\x00\x10\n\x06std"), AppendFrame(nil, &Entry{Source: []byte("stderr"), TimeNano: 1, Partial: true, PartialID: []byte(idOf64), Ordinal: 9})...))
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, buf []byte) {
		var e Entry
		n, err := Decode(buf, &e)
		switch {
		case err == nil:
			if n <= HeaderBytes || n > len(buf) || n > HeaderBytes+MaxBytes {
				t.Fatalf("frame of %d bytes in %d", n, len(buf))
			}
			var again Entry
			if len(e.PartialID) > 64 {
				e.PartialID = e.PartialID[:64]
			}
			if len(e.Source) == 0 { // only then does a frame not begin with one
				e.Source = []byte("x")
			}
			if _, err := Decode(AppendFrame(nil, &e), &again); err != nil || !same(&e, &again) {
				t.Fatalf("decoded %+v, encoded and decoded again %+v, %v", e, again, err)
			}
		case n != 0:
			t.Fatalf("Decode returns %d with %v", n, err)
		case errors.Is(err, ErrGarbage):
			if skip, found := Resync(buf); found && skip == 0 {
				t.Fatalf("Resync finds a frame where Decode found none: %q", buf)
			}
		}
		// However the bytes come in, the same lines are read, and every byte is either read or skipped.
		lines, skipped := decodeAll(buf, len(buf))
		if len(lines) == 0 && skipped != len(buf) {
			t.Fatalf("no line, and %d of %d bytes skipped", skipped, len(buf))
		}
		if skip, found := Resync(buf); skip < 0 || skip > len(buf) || found && len(buf)-skip < HeaderBytes+streamBytes {
			t.Fatalf("Resync = %d, %v of %d bytes", skip, found, len(buf))
		}
	})
}

func TestAllocs(t *testing.T) {
	buf := AppendFrame(nil, entry("stdout", strings.Repeat("x", 100)))
	garbage := append(bytes.Repeat([]byte("garbage "), 20), buf...)
	dst := make([]byte, 0, 256)
	var e Entry
	for name, f := range map[string]func(){
		"Decode":      func() { _, _ = Decode(buf, &e) },
		"Size":        func() { _, _ = Size(buf) },
		"AppendFrame": func() { dst = AppendFrame(dst[:0], &e) },
		"Resync":      func() { _, _ = Resync(garbage) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s allocates %v times, want 0", name, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	buf := AppendFrame(nil, entry("stdout", strings.Repeat("x", 100)))
	var e Entry
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(buf, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSize(b *testing.B) {
	buf := AppendFrame(nil, entry("stdout", strings.Repeat("x", 100)))
	for b.Loop() {
		if _, err := Size(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	e := entry("stdout", strings.Repeat("x", 100))
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendFrame(dst[:0], e)
	}
}

func TestTrimReturn(t *testing.T) {
	for _, c := range []struct {
		name string
		in   Entry
		want string
	}{
		{"a terminal's line", Entry{Line: []byte("a\r")}, "a"},
		{"an empty one", Entry{Line: []byte("\r")}, ""},
		{"no line", Entry{}, ""},
		{"one return of two", Entry{Line: []byte("a\r\r")}, "a\r"},
		{"inside", Entry{Line: []byte("10%\r20%")}, "10%\r20%"},
		{"a piece", Entry{Line: []byte("a\r"), Partial: true}, "a\r"},
		{"the last piece", Entry{Line: []byte("a\r"), Partial: true, Last: true}, "a"},
	} {
		c.in.TrimReturn()
		if string(c.in.Line) != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.in.Line, c.want)
		}
	}
	line := []byte("hello\r")
	if n := testing.AllocsPerRun(100, func() { e := Entry{Line: line}; e.TrimReturn() }); n != 0 {
		t.Errorf("TrimReturn allocates %v times, want 0", n)
	}
}
