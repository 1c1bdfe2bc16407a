package logplugin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/session"
)

// Patterns and rates hold for every router, and every output of FireLens: what they leave out does not arrive, is counted, and what the rate
// leaves out is named in its place. Of a router whose receiver shows its lines to nobody the counts are right.
func TestFiltersOfRouters(t *testing.T) {
	d := startDriver(t, "")
	all, _, files := d.everywhere(t, map[string]string{"include-pattern": "^keep", "exclude-pattern": "no$", "max-rate": "3", "max-rate-mode": "drop"})
	second := time.Now().Add(-10 * time.Second).Truncate(time.Second)
	for _, f := range files {
		put(t, f, second, "keep 1", "other", "keep no", "keep 2", "keep 3", "keep 4", "keep 5")
		put(t, f, second.Add(time.Second), "keep 6")
	}
	want := []string{"keep 1", "keep 2", "keep 3", "secretref: 2 lines are missing here: the container wrote more than max-rate=3 allows", "keep 6"}
	for name, x := range all {
		if x.lines == nil {
			continue
		}
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
