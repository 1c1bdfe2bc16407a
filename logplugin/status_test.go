package logplugin

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/spool"
)

// watch shows the reasons first, then the sessions from the worst to the best, with the lines per second of each.
func TestWatchPage(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	page := func(sent int64) control.Report {
		return control.Report{Attention: []string{"one", "two"}, Sessions: []session.Status{
			{Session: "s1", ContainerName: "quiet", State: session.Reading, Mode: spool.Splice},
			{Session: "s2", ContainerName: "busy", State: session.Reading, Mode: spool.Splice, SentLines: sent},
			{Session: "s3", ContainerName: "memory", State: session.Reading, Mode: spool.Memory},
			{Session: "s4", ContainerName: "failing", State: session.Reading, Mode: spool.Splice, LastError: "HEC code 9", WaitingFor: time.Second},
			{Session: "s5", ContainerName: "worse", State: session.Reading, Mode: spool.Splice, LastError: "HEC code 9", WaitingFor: time.Minute},
			{Session: "s6", ContainerName: "parked", State: session.Parked, Mode: spool.Splice, LastError: "no token"},
		}}
	}
	var r rates
	if first := r.next(page(100).Sessions, at); len(first) != 0 {
		t.Errorf("rates before there is a second look: %v", first)
	}
	second := r.next(page(150).Sessions, at.Add(2*time.Second))
	if second["s2"] != 25 || second["s1"] != 0 {
		t.Errorf("rates %v, want 25 for s2", second)
	}
	if restarted := r.next(page(10).Sessions, at.Add(4*time.Second)); restarted["s2"] != 0 {
		t.Errorf("rates %v after a restart of the driver, want 0", restarted)
	}
	var out bytes.Buffer
	if err := writeWatch(&out, page(150), second); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var order []string
	for _, l := range lines[2:] {
		order = append(order, strings.Fields(l)[1])
	}
	if want := "parked worse failing memory busy quiet"; lines[0] != "attention: one; two" || strings.Join(order, " ") != want {
		t.Errorf("order %q, want %q, in\n%s", order, want, out.String())
	}
	if !strings.Contains(out.String(), "  25.0  ") {
		t.Errorf("no rate in\n%s", out.String())
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  string
	}{
		{"abc\nabcdef\n", 4, "abc\nabcd\n"},
		{"äöüß\nx", 2, "äö\nx"},
		{"abc\n", 0, "abc\n"},
		{"", 5, ""},
	} {
		if got := cut(tt.text, tt.width); got != tt.want {
			t.Errorf("cut(%q, %d) = %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}
