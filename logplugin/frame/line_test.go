package frame

import (
	"bytes"
	"testing"
	"time"
)

func TestAppendLine(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC).UnixNano()
	for _, row := range []struct {
		name string
		in   Entry
		line string
	}{
		{"line", Entry{Line: []byte("hello")}, "hello\n"},
		{"empty line", Entry{}, "\n"},
		{"terminal", Entry{Line: []byte("hello\r")}, "hello\r\n"},
		{"NUL", Entry{Line: []byte("a\x00b")}, "a\x00b\n"},
		{"piece", Entry{Line: []byte("hello"), Partial: true, PartialID: []byte("id"), Ordinal: 1}, "hello"},
		{"last piece", Entry{Line: []byte("hello"), Partial: true, PartialID: []byte("id"), Ordinal: 2, Last: true}, "hello\n"},
		{"last piece without bytes", Entry{Partial: true, PartialID: []byte("id"), Ordinal: 2, Last: true}, "\n"},
		{"one byte more of length", Entry{Line: bytes.Repeat([]byte("x"), 127)}, string(bytes.Repeat([]byte("x"), 127)) + "\n"},
	} {
		row.in.Source, row.in.TimeNano = []byte("stderr"), now
		b := AppendLine([]byte("before"), &row.in)
		var out Entry
		n, err := Decode(b[len("before"):], &out)
		if err != nil || n != len(b)-len("before") {
			t.Errorf("%s: Decode(AppendLine) = %d, %v, want the whole of %d bytes", row.name, n, err, len(b)-len("before"))
			continue
		}
		if string(out.Line) != row.line || string(out.Source) != "stderr" || out.TimeNano != now {
			t.Errorf("%s: got line %q of %s at %d, want %q of stderr at %d", row.name, out.Line, out.Source, out.TimeNano, row.line, now)
		}
	}
}

func TestAppendLineAllocs(t *testing.T) {
	e := Entry{Source: []byte("stdout"), TimeNano: 1, Line: []byte("hello")}
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(1000, func() { buf = AppendLine(buf[:0], &e) }); n != 0 {
		t.Errorf("AppendLine allocates %v times per line, want 0", n)
	}
}

func BenchmarkDecodeAppendLine(b *testing.B) {
	raw := AppendFrame(nil, &Entry{Source: []byte("stdout"), TimeNano: time.Now().UnixNano(), Line: bytes.Repeat([]byte("x"), 100)})
	buf := make([]byte, 0, 256)
	var e Entry
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(raw, &e); err != nil {
			b.Fatal(err)
		}
		buf = AppendLine(buf[:0], &e)
	}
}
