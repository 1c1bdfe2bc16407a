package secret

import "testing"

func TestCutLineEnding(t *testing.T) {
	for in, want := range map[string]struct {
		text string
		had  bool
	}{
		"":        {"", false},
		"p":       {"p", false},
		"p\n":     {"p", true},
		"p\r\n":   {"p", true},
		"p\n\n":   {"p\n", true},
		"p\r\r\n": {"p\r", true},
		"p\r":     {"p\r", false},
		"\n":      {"", true},
		"a\nb":    {"a\nb", false},
		"p \n":    {"p ", true},
	} {
		if got, had := CutLineEnding(in); got != want.text || had != want.had {
			t.Errorf("CutLineEnding(%q) = %q, %v, want %q, %v", in, got, had, want.text, want.had)
		}
	}
}
