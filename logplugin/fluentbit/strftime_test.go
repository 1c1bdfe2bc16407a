package fluentbit

import (
	"strings"
	"testing"
)

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
