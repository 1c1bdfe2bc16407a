package protobuf

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "é€😀": "é€😀", "\xff": "\ufffd", "a\xffb\xfe\xfd": "a\ufffdb\ufffd\ufffd", "\xe2\x82": "\ufffd\ufffd",
		"\ufffd\xff": "\ufffd\ufffd", "cut é\xc3": "cut é\ufffd", "\xed\xa0\x80": "\ufffd\ufffd\ufffd", "\x00\n": "\x00\n",
	} {
		b := AppendString([]byte("x"), 3, in)
		_, kind, n := protowire.ConsumeTag(b[1:])
		text, m := protowire.ConsumeString(b[1+n:])
		if kind != protowire.BytesType || text != want || 1+n+m != len(b) {
			t.Errorf("AppendString(%q) = %q, want the text %q", in, b, want)
		}
		if got := FieldLen(3, TextLen([]byte(in))); got != len(b)-1 {
			t.Errorf("FieldLen of %q = %d, want %d", in, got, len(b)-1)
		}
	}
}
