package jsontext

import (
	"bytes"
	"slices"
	"testing"
)

// Each byte at each place, with others behind it that are not plain either, or zero.
func TestPlainBytes(t *testing.T) {
	for _, filling := range []byte{'a', '"', 0, 0xff, ' ', 0x7f} {
		for c := range 256 {
			for at := range 20 {
				s := bytes.Repeat([]byte{'a'}, 20)
				for i := at + 1; i < len(s); i++ {
					s[i] = filling
				}
				s[at] = byte(c)
				got := plainBytes(s)
				want := slices.IndexFunc(s, func(c byte) bool { return !plainByte[c] })
				if want < 0 || want > 16 {
					want = 16
				}
				if got != want {
					t.Fatalf("plainBytes(%q) = %d, want %d", s, got, want)
				}
			}
		}
	}
}

func TestCompactRefuses(t *testing.T) {
	for _, line := range []string{
		"", " ", "{", "}", "[", "]", "{]", "[}", `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[,1]`, `{,}`, `{"a" 1}`, `{1:2}`,
		"01", "-", "1.", ".5", "1e", "1e+", "+1", "NaN", "tru", "nulL", "truefalse", "1 2", `"a" "b"`, `"`, `"\x"`, `"\u12g4"`, `"\u123`,
		"\"tab\there\"", "\"\x00\"", `{"a":1}x`, "\ufeff{}", "[1]]", "{}}", `"\`,
	} {
		if got, ok := AppendCompact([]byte("before"), []byte(line)); ok || string(got) != "before" {
			t.Errorf("AppendCompact(%q) = %q, %v; want it refused and nothing appended", line, got, ok)
		}
	}
}
