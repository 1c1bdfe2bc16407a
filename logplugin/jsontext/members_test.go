package jsontext

import (
	"bytes"
	"testing"
)

func TestMembers(t *testing.T) {
	var m Members
	taken := func(name []byte) bool { return string(name) == "service" }
	for line, want := range map[string]struct{ message, text string }{
		`{"msg":"a\nb","n": 1,"o":{"x": [1, 2]}}`: {"a\nb", `,"n":1,"o":{"x":[1,2]}`},
		`{"message":"m","msg":"x"}`:               {"m", `,"msg":"x"`},
		`{"message":1,"service":"s"}`:             {`{"message":1,"service":"s"}`, `,"message":1,"line.service":"s"`},
		"plain":                                   {"plain", ""},
		`{"a":1`:                                  {`{"a":1`, ""},
		"{}":                                      {"{}", ""},
	} {
		if message := m.Read([]byte(line), taken); string(message) != want.message || string(m.Text) != want.text {
			t.Errorf("%s: message %q, members %q, want %q, %q", line, message, m.Text, want.message, want.text)
		}
	}
}

func TestAppendCut(t *testing.T) {
	cut := func(line []byte, max int) ([]byte, string) {
		if len(line) <= max {
			return line, ""
		}
		return line[:max-3], "..."
	}
	for _, c := range []struct {
		line string
		max  int
		want string
	}{
		{"short", 10, "short"}, {"0123456789", 10, "0123456789"}, {"0123456789a", 10, "0123456..."}, {"\"\"\"", 24, `\"\"\"`},
		{"\x01\x01\x01\x01\x01\x01", 24, `\u0001...`}, {"", 10, ""},
	} {
		if got := AppendCut([]byte("x"), []byte(c.line), c.max, cut); !bytes.Equal(got, []byte("x"+c.want)) {
			t.Errorf("%q in %d bytes: %q, want %q", c.line, c.max, got[1:], c.want)
		}
	}
}
