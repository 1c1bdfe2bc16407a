//go:build integration

package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Lines arrive as they were written, byte for byte, once and in order, whatever is in them.
func TestShapes(t *testing.T) {
	w := newWorld(t, worldOptions{})
	long := strings.Repeat
	want := map[string][]string{
		"stdout": {
			long("a", 16<<10), long("b", 16<<10+1), long("c", 1<<20),
			// A line is joined up to 1 MiB; a longer one comes in pieces of that.
			long("d", 1<<20), long("d", 1<<20), long("d", 1<<20), long("d", 1<<20), long("d", 1<<20),
			long("d", 1<<20), long("d", 1<<20), long("d", 1<<20), long("d", 1<<20), long("d", 1<<20),
			"", "nul \x00 nul", "bad \ufffd\ufffd utf-8 \ufffd", "quotes \" \\ \t \u2028 \x1b[0m", "ü 日本 🙂", // without the \r that was behind it
			long("x", 80<<10), "the tail has no end",
		},
		"stderr": {long("y", 80<<10)},
	}
	w.run("shapes", nil, "-shapes")
	n := len(want["stdout"]) + len(want["stderr"])
	until(t, time.Minute, "all lines", func() bool { return w.hec.Count() >= n })
	w.gone()
	got := map[string][]string{}
	for _, e := range w.hec.Events() {
		var ev struct{ Event event }
		if err := json.Unmarshal([]byte(e.Text), &ev); err != nil || !utf8.ValidString(e.Text) {
			t.Fatalf("event %.200q: %v, valid UTF-8: %v", e.Text, err, utf8.ValidString(e.Text))
		}
		got[ev.Event.Source] = append(got[ev.Event.Source], ev.Event.Line)
	}
	for source, lines := range want {
		if slices.Equal(got[source], lines) {
			continue
		}
		t.Errorf("%s: %d lines, want %d", source, len(got[source]), len(lines))
		for i := range min(len(lines), len(got[source])) {
			if g := got[source][i]; g != lines[i] {
				t.Errorf("%s, line %d: %.60q of %d bytes, want %.60q of %d", source, i, g, len(g), lines[i], len(lines[i]))
			}
		}
	}
	// `docker logs` shows the bytes as they were written.
	if out := w.mustDocker("logs", "shapes"); !strings.Contains(out, "bad \xff\xfe utf-8 \xc3\n") {
		t.Errorf("docker logs shows %d bytes, and not the lines as they were written", len(out))
	}

	// And quickly: nothing comes twice when nothing goes wrong.
	w.run("quick", nil, "-n", "50000", "-both")
	if _, twice := w.arrived("quick", time.Minute, "stdout", "stderr"); twice != 0 {
		t.Errorf("%d lines came twice", twice)
	}
	w.gone()
}
