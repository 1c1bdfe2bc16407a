package logplugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/session"
)

// Patterns and rates hold for every router whose receiver acknowledges, and every such output of FireLens: what they leave out does not
// arrive, is counted, and what the rate leaves out is named in its place.
func TestFiltersOfRouters(t *testing.T) {
	d := startDriver(t, "")
	all, names := map[string]target{}, map[string]string{} // names of containers
	second := time.Now().Add(-10 * time.Second).Truncate(time.Second)
	for i, name := range slices.Sorted(maps.Keys(targets())) {
		x := targets()[name]()
		t.Cleanup(x.close)
		x.setToken(token)
		all[name], names[name] = x, fmt.Sprintf("%02d", i)
		options := map[string]string{"include-pattern": "^keep", "exclude-pattern": "no$", "max-rate": "3", "max-rate-mode": "drop"}
		for option, value := range x.options {
			options[option] = strings.ReplaceAll(value, "SECRET", d.reference)
		}
		f := d.fifo(t, names[name])
		if a := d.startWith(t, names[name], options); a != `{"Err":""}` {
			t.Fatalf("%s: StartLogging: %s", name, a)
		}
		for n, line := range []string{"keep 1", "other", "keep no", "keep 2", "keep 3", "keep 4", "keep 5", "keep 6"} {
			at := second.UnixNano() + int64(n)
			if line == "keep 6" {
				at += int64(time.Second)
			}
			if _, err := f.Write(frame.AppendFrame(nil, &frame.Entry{Source: []byte("stdout"), TimeNano: at, Line: []byte(line)})); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []string{"keep 1", "keep 2", "keep 3", "secretref: 2 lines are missing here: the container wrote more than max-rate=3 allows", "keep 6"}
	for name, x := range all {
		await(t, "the lines of "+name, func() bool { return len(x.lines(0)) >= len(want) })
		got, want := x.lines(0), want
		if strings.HasSuffix(name, "loki") { // the line in place of others is of no stream of the container, and Loki keeps streams apart
			got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	await(t, "everything to be counted", func() bool {
		return !slices.ContainsFunc(d.sessions(t), func(s session.Status) bool { return s.SentLines < int64(len(want)) })
	})
	for _, s := range d.sessions(t) {
		if s.FilteredLines != 2 || s.LimitedLines != 2 || s.RejectedLines != 0 || s.DroppedLines != 0 {
			t.Errorf("container %s: %d lines filtered, %d over the rate, %d rejected, %d dropped; want 2, 2, 0, 0", s.ContainerName, s.FilteredLines, s.LimitedLines, s.RejectedLines, s.DroppedLines)
		}
	}
}
