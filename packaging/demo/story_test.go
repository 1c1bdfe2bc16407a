package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/rig"
)

// The demo is a test of its own: a step that fails must end it, and say which one and why.
func TestTellStopsAtTheFirstFailure(t *testing.T) {
	var out strings.Builder
	var done []string
	note := func(name string, err error) func(context.Context, *host) error {
		return func(context.Context, *host) error { done = append(done, name); return err }
	}
	broken := errors.New("no such luck")
	err := tell(t.Context(), &host{out: teller{w: &out}}, []step{
		{"First.", note("first", nil)}, {"Second.", note("second", broken)}, {"Third.", note("third", nil)},
	})
	if !errors.Is(err, broken) || err.Error() != "step 2: no such luck" || strings.Join(done, " ") != "first second" {
		t.Errorf("tell = %v after %q", err, done)
	}
	if want := "\n 1. First.\n\n 2. Second.\n"; out.String() != want {
		t.Errorf("told %q, want %q", out.String(), want)
	}
}

func TestTakeDownIsOnceAndInReverse(t *testing.T) {
	var h host
	var order []string
	for _, name := range []string{"first", "second"} {
		h.later(func() error { order = append(order, name); return errors.New(name) })
	}
	if errs := h.takeDown(); len(errs) != 2 || strings.Join(order, " ") != "second first" {
		t.Errorf("takeDown: %v in the order %q", errs, order)
	}
	if errs := h.takeDown(); len(errs) != 0 {
		t.Errorf("a second takeDown did something: %v", errs)
	}
}

func TestJudge(t *testing.T) {
	killed := errors.New("killed")
	for _, c := range []struct {
		name    string
		command command
		result  rig.Result
		err     error
		want    string // in the error; "" = none
	}{
		{"as wanted", command{want: []string{"a", "b"}}, rig.Result{Output: "a and b"}, nil, ""},
		{"fails as wanted", command{fails: true, want: []string{"denied"}}, rig.Result{Output: "denied", Code: 1}, errors.New("exit"), ""},
		{"succeeds and should not", command{fails: true}, rig.Result{}, nil, "should have failed"},
		{"fails and should not", command{}, rig.Result{Code: 3}, errors.New("exit"), "exit status 3, want 0"},
		{"other output", command{want: []string{"a", "c"}}, rig.Result{Output: "a and b"}, nil, `no "c"`},
		{"killed is never a wanted failure", command{fails: true}, rig.Result{Code: -1}, killed, "killed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.command.judge(c.result, c.err)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("judge = %v, want %q", err, c.want)
			}
		})
	}
}

func TestShown(t *testing.T) {
	output := "Using default tag: latest\nlatest: Pulling from hello\n\nabc: Pulling fs layer\nStatus: done\n"
	if got, want := (command{drop: progress}).shown(output), "latest: Pulling from hello\nStatus: done\n"; got != want {
		t.Errorf("shown = %q, want %q", got, want)
	}
	if got := (command{}).shown("a\n\nb\n"); got != "a\n\nb\n" {
		t.Errorf("shown without drop = %q, want all of it", got)
	}
}

// What goes into a file or a pipe has no escape sequences.
func TestBoldIsForTerminals(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if isTerminal(f) || isTerminal(&strings.Builder{}) {
		t.Error("a file is taken for a terminal")
	}
	for bold, want := range map[bool]string{true: "\n 1. \x1b[1mTitle.\x1b[0m\n", false: "\n 1. Title.\n"} {
		var out strings.Builder
		teller{w: &out, bold: bold}.title(1, "Title.")
		if out.String() != want {
			t.Errorf("bold %v: %q, want %q", bold, out.String(), want)
		}
	}
}
