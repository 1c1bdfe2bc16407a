package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/measure"
)

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		wall, cpu float64
		want      string
	}{
		{1.2, 1.2, "met"},
		{1.3, 1.3, "NOT met"},
		{1.1, 1.3, "wall met, CPU NOT met"},
		{1.3, 1.1, "CPU met, wall NOT met"},
	} {
		o := outcome{duel: duel{goal: 1.2}, wall: measure.Spread{Median: c.wall}, cpu: measure.Spread{Median: c.cpu}}
		if got := o.verdict(); got != c.want {
			t.Errorf("wall %v, CPU %v, goal 1.2: %q, want %q", c.wall, c.cpu, got, c.want)
		}
	}
}

// A run that did not do what is measured must not count as one.
func TestRunRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		script string
		reset  error
		want   string // in the error; "" = none
	}{
		{"the answer", "cat", nil, ""},
		{"another answer", "echo no", nil, "has not given the answer: no"},
		{"the answer, and an error", "cat; exit 3", nil, "exit status 3: ping"},
		{"no state to start from", "cat", errors.New("disk full"), "prepare script: disk full"},
	} {
		p := &program{name: "script", args: []string{"/bin/sh", "-c", c.script}, input: "ping", want: "ping"}
		if c.reset != nil {
			p.reset = func(context.Context) error { return c.reset }
		}
		spent, err := p.run(t.Context())
		switch {
		case c.want == "" && (err != nil || spent.wall <= 0 || spent.cpu <= 0):
			t.Errorf("%s: %+v, %v, want a cost", c.name, spent, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestFightTakesTurns(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	turn := func(name string) *program {
		return &program{name: name, args: []string{"/bin/sh", "-c", "echo -n " + name + " >>" + log}}
	}
	o, err := duel{what: "a / b", ours: turn("a"), peer: turn("b"), pairs: 2}.fight(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(log)
	if want := strings.Repeat("ab", warmUps+2); err != nil || string(got) != want {
		t.Errorf("ran %q, %v, want %q", got, err, want)
	}
	if o.wall.Low <= 0 || o.cpu.Low <= 0 || o.ourCost.wall <= 0 || o.peerCost.cpu <= 0 {
		t.Errorf("outcome %+v has a figure that is not positive", o)
	}
}

func TestTogether(t *testing.T) {
	dir := t.TempDir()
	// Each ends only when all are there.
	p := &program{name: "one of many", args: []string{"/bin/sh", "-c",
		"touch " + dir + "/$$; until [ $(ls " + dir + " | wc -l) = 8 ]; do sleep 0.01; done"}}
	if wall, err := together(t.Context(), p, 8); err != nil || wall <= 0 {
		t.Errorf("together = %v, %v", wall, err)
	}
	p.args[2] = "exit 1"
	if _, err := together(t.Context(), p, 8); err == nil {
		t.Error("together: no error, though all have failed")
	}
}

func TestReports(t *testing.T) {
	var out strings.Builder
	o := outcome{
		duel:    duel{what: "warm get / hello-world", pairs: 7, goal: 3},
		ourCost: cost{1500 * time.Microsecond, time.Millisecond}, peerCost: cost{time.Millisecond, time.Millisecond},
		wall: measure.Spread{Low: 1.4, Median: 1.5, High: 1.6}, cpu: measure.Spread{Low: 0.9, Median: 1, High: 1.1},
	}
	if err := errors.Join(reportDuels(&out, []outcome{o}), reportCrowd(&out, 50, []time.Duration{90 * time.Millisecond, time.Second}, []int{1, 2})); err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"warm get / hello-world 1.50 (1.40-1.60) 1.00 (0.90-1.10) <= 3.0 met 1.50 ms, 1.00 ms 1.00 ms, 1.00 ms 7",
		"50 helpers at once", "2 1 NOT met 90 1000",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-warm", "0"}, {"-pairs", "3"}, {"more"}} {
		if got := run(t.Context(), args, io.Discard, io.Discard); got != 2 {
			t.Errorf("bench %q: status %d, want 2", args, got)
		}
	}
}
