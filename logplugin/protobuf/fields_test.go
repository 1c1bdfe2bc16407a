package protobuf

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestFields(t *testing.T) {
	message := AppendVarint(nil, 1, 300)
	message = AppendFixed64(message, 2, 7)
	message = AppendString(message, 3, "text")
	message = protowire.AppendFixed32(protowire.AppendTag(message, 4, protowire.Fixed32Type), 1)
	message = AppendHead(message, 100, 2)
	message = append(message, "ab"...)
	read := func(m []byte) (seen []string, ok bool) {
		ok = Fields(m, func(f Field) { seen = append(seen, string(f.Bytes)); _ = f.Varint })
		return seen, ok
	}
	if seen, ok := read(message); !ok || strings.Join(seen, ",") != ",text,ab" {
		t.Errorf("fields %q, %v", seen, ok)
	}
	var number uint64
	if !Fields(message, func(f Field) {
		if f.Number == 1 {
			number = f.Varint
		}
	}) || number != 300 {
		t.Errorf("number %d, want 300", number)
	}
	for _, bad := range []string{"\x0a\x05ab", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x08", "\x00", "\x0b\x0a", "\x09abc", "\x07"} {
		if _, ok := read([]byte(bad)); ok {
			t.Errorf("%q is read as a message", bad)
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add([]byte("\x08\x01\x12\x02ab"))
	f.Add([]byte("\x0a\x05ab"))
	f.Fuzz(func(t *testing.T, message []byte) {
		sum := 0
		Fields(message, func(f Field) { sum += len(f.Bytes) })
		if sum > len(message) {
			t.Errorf("%d bytes of fields in %d", sum, len(message))
		}
	})
}
