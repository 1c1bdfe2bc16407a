package fluentbit

import (
	"strings"
	"testing"
)

// The second before leaves nothing in the next one, and nothing is allocated for a time.
func TestSecondsOfATimeFormat(t *testing.T) {
	f, err := ParseTimeFormat("%H:%M:%S.%3N %s", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		nano int64
		want string
	}{
		{0, "00:00:00.000 0"}, {999_999_999, "00:00:00.999 0"}, {1_000_000_000, "00:00:01.000 1"}, {-1, "23:59:59.999 -1"}, {61_500_000_000, "00:01:01.500 61"}, {61_600_000_000, "00:01:01.600 61"},
	} {
		if got := string(f.Append(nil, c.nano)); got != c.want {
			t.Errorf("%d gives %q, want %q", c.nano, got, c.want)
		}
	}
	var at int64
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(1000, func() { buf, at = f.Append(buf[:0], at), at+1e8 }); n != 0 {
		t.Errorf("Append allocates %v times, want 0", n)
	}
}

func TestTimeFormat(t *testing.T) {
	for format, want := range map[string]string{
		"%Y-%m-%dT%H:%M:%S":                      "2026-11-23T10:00:00",
		"%Y.%m.%d":                               "2026.11.23",
		"%Y-%m-%dT%H:%M:%S.%3N":                  "2026-11-23T10:00:00.123",
		"%s.%L|%6N|%9N":                          "1795428000.123|123456|123456789",
		"%a %A %b %B %e %j %y %I %p %F %T %D %R": "Mon Monday Nov November 23 327 26 10 AM 2026-11-23 10:00:00 11/23/26 10:00",
		"100%% Jan 2006 %z %Z":                   "100% Jan 2006 +0000 UTC",
		"":                                       "",
		"é":                                      "é",
	} {
		f, err := ParseTimeFormat(format, true)
		if err != nil {
			t.Errorf("ParseTimeFormat(%q): %v", format, err)
			continue
		}
		if got := string(f.Append(nil, 1795428000_123456789)); got != want {
			t.Errorf("%q gives %q, want %q", format, got, want)
		}
	}
	if f, err := ParseTimeFormat("%S.%3N", true); err != nil || string(f.Append(nil, -1)) != "59.999" {
		t.Errorf("before 1970: %q, %v", f.Append(nil, -1), err)
	}
	for format, want := range map[string]string{"%": "ends in a %", "%Q": "%Q is not supported", "%3": "%3 is not supported", `"%Y`: "would have to escape", strings.Repeat("x", 300): "more than 200 bytes"} {
		if _, err := ParseTimeFormat(format, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTimeFormat(%.20q): %v, want %q", format, err, want)
		}
	}
	if _, err := ParseTimeFormat("%3N", false); err == nil {
		t.Error("a part of a second is accepted where strftime has none")
	}
}
