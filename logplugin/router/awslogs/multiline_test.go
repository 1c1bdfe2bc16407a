package awslogs

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

// Where an event begins is said as for Docker's driver.
func TestMultiline(t *testing.T) {
	for name, c := range map[string]struct {
		options map[string]string
		first   string // a line that begins an event
		other   string // one that does not
		fails   string
	}{
		"neither":   {},
		"a pattern": {options: map[string]string{multiline: `^\d+ `}, first: "12 x", other: " 12 x"},
		"a date":    {options: map[string]string{datetimeFormat: "%Y-%m-%d %H:%M:%S"}, first: "[2026-11-28 09:05:59]", other: "2026-13-28 09:05:59"},
		"letters": {options: map[string]string{datetimeFormat: `\[%a %A %w %b %B %j %y %I %p %f%L %z %Z\]`},
			first: "[Sat Saturday 6 Nov November 332 26 09 AM 000001.123 +0100 UTC]", other: "[Sat Someday 6 Nov November 332 26 09 AM 000001.123 +0100 UTC]"},
		"both":               {options: map[string]string{multiline: "a", datetimeFormat: "%Y"}, fails: "both say where an event begins"},
		"a pattern, metrics": {options: map[string]string{multiline: "a", format: embeddedMetrics}, fails: "takes each line as an event"},
		"a date, metrics":    {options: map[string]string{datetimeFormat: "%Y", format: embeddedMetrics}, fails: "takes each line as an event"},
		"no such letter":     {options: map[string]string{datetimeFormat: "%Q"}, fails: "without one of the letters"},
		"nothing behind it":  {options: map[string]string{datetimeFormat: "%Y%"}, fails: "without one of the letters"},
	} {
		all := maps.Clone(good)
		maps.Copy(all, c.options)
		v := router.Options{Plain: all}.Unresolved()
		pattern := looking().Multiline(v)
		if err := v.Err(); (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v, want %q", name, err, c.fails)
		}
		if c.first == "" {
			if pattern != "" && c.fails == "" {
				t.Errorf("%s: pattern %q, want none", name, pattern)
			}
			continue
		}
		re, err := regexp.Compile(pattern)
		if err != nil || !re.MatchString(c.first) || re.MatchString(c.other) {
			t.Errorf("%s: pattern %q, %v, want that it matches %q and not %q", name, pattern, err, c.first, c.other)
		}
	}
}
