package msgpack

import (
	"bytes"
	"strings"
	"testing"
)

// Each value has the shortest form that the format has for it.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string // how it begins
		size int
	}{
		{"array", AppendArray(nil, 2), "\x92", 1}, {"map", AppendMap(nil, 15), "\x8f", 1}, {"map of 16", AppendMap(nil, 16), "\xde\x00\x10", 3},
		{"large map", AppendMap(nil, 1<<16), "\xdf\x00\x01\x00\x00", 5}, {"text", AppendStr(nil, "abc"), "\xa3abc", 4},
		{"text of 32 bytes", AppendStr(nil, bytes.Repeat([]byte("x"), 32)), "\xd9\x20x", 34}, {"text of 256", AppendStr(nil, strings.Repeat("x", 256)), "\xda\x01\x00x", 259},
		{"large text", AppendStr(nil, strings.Repeat("x", 1<<16)), "\xdb\x00\x01\x00\x00x", 1<<16 + 5}, {"bytes", AppendBinHead(nil, 255), "\xc4\xff", 2},
		{"256 bytes", AppendBinHead(nil, 256), "\xc5\x01\x00", 3}, {"many bytes", AppendBinHead(nil, 1<<16), "\xc6\x00\x01\x00\x00", 5},
		{"number", AppendUint(nil, 127), "\x7f", 1}, {"large number", AppendUint(nil, 128), "\xce\x00\x00\x00\x80", 5},
	} {
		if !strings.HasPrefix(string(c.got), c.want) || len(c.got) != c.size {
			t.Errorf("%s: %d bytes, %.12q, want %d bytes that begin with %q", c.name, len(c.got), c.got, c.size, c.want)
		}
	}
}
