package size

import (
	"errors"
	"math"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "0B": 0, "1": 1, "64": 64, "64b": 64, "64 B": 64, " 64 ": 64,
		"1k": 1 << 10, "1K": 1 << 10, "1kb": 1 << 10, "1KB": 1 << 10, "1KiB": 1 << 10, "1kib": 1 << 10,
		"10m": 10 << 20, "10MB": 10 << 20, "10MiB": 10 << 20, "2g": 2 << 30, "2G": 2 << 30, "3 TiB": 3 << 40, "3t": 3 << 40, " 1 g ": 1 << 30,
		"9223372036854775807": math.MaxInt64,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, tooLarge := range map[string]bool{
		"": false, " ": false, "b": false, "k": false, "MiB": false, "-1": false, "+1": false, "1.5g": false, "1,5g": false, "0x10": false,
		"1ki": false, "1i": false, "1ib": false, "1bb": false, "1mk": false, "1kbb": false, "1 k b": false, "1p": false, "1 2": false, "ten": false,
		"1e3": false, `"1k"`: false, "1_000": false, "١": false,
		"9223372036854775808": true, "99999999999999999999999": true, "9000000TiB": true, "8388608t": true,
	} {
		got, err := Parse(text)
		if err == nil || errors.Is(err, ErrTooLarge) != tooLarge {
			t.Errorf("Parse(%q) = %d, %v, want an error, too large %v", text, got, err, tooLarge)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1", "1k", "10MiB", "3 TiB", "9223372036854775807", "1kk"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := Parse(text); n < 0 || err != nil && n != 0 {
			t.Errorf("Parse(%q) = %d, %v", text, n, err)
		}
	})
}
