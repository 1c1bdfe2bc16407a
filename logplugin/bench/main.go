// Command bench measures the log driver against peers on the same machine: `make bench`.
//
// Containers of a real daemon write lines with one log driver after the other, by turns, and what counts is the median
// of the rounds: the container's own wall time, and the CPU time of daemon and driver by the kernel's account. The
// receiver is a process of its own, takes everything, and counts: a run of which a line does not arrive does not count. The
// driver alone is measured with pipes that this process fills as the daemon does, and so are many sessions at once.
// The exit status is 1 when something could not be measured; a goal that is missed is a line in the table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/secretref/secretref/shared/measure"
	"github.com/secretref/secretref/shared/rig"
)

const limit = 15 * time.Minute

func main() {
	ctx, out, stop := rig.Interruptible(os.Stdout)
	code := run(ctx, os.Args[1:], out, os.Stderr)
	stop()
	os.Exit(code)
}

// effort says how much is measured.
type effort struct {
	lines, rounds, fed, sessions, seconds int
	settle                                time.Duration
	only                                  *regexp.Regexp // of the containers' log drivers
	alone                                 *regexp.Regexp // of the routers to which the driver alone sends
	forgets                               bool           // pipes are fed with cache-disabled=true: no history is kept
	against                               string         // another program to measure beside ours; "" = none
}

// takes reports whether containers are run with the setup.
func (e effort) takes(s setup) bool { return e.only.MatchString(s.name) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var e effort
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&e.lines, "lines", 500_000, "lines of one container")
	flags.IntVar(&e.rounds, "rounds", 3, "containers with each log driver")
	flags.IntVar(&e.fed, "fed", 5, "runs of the driver alone")
	flags.IntVar(&e.sessions, "sessions", 1000, "sessions at once")
	flags.IntVar(&e.seconds, "seconds", 10, "how long these say a line a second each")
	flags.DurationVar(&e.settle, "settle", 10*time.Second, "how long sessions are idle before their memory is looked at")
	only := flags.String("only", "", "regular expression: the log drivers that containers are run with, as the report names them")
	routers := flags.String("routers", "", "regular expression: the routers to which the driver alone sends, as the report names them")
	flags.BoolVar(&e.forgets, "cache-disabled", false, "the driver alone keeps no history for docker logs, as with the log-opt of this name")
	flags.StringVar(&e.against, "against", "", "program of another version of the log driver, which is measured alone beside this one, by turns")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	var err error
	e.only, err = regexp.Compile(*only)
	if err == nil {
		e.alone, err = regexp.Compile(*routers)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	}
	if min(e.lines, e.rounds, e.fed, e.sessions, e.seconds) < 1 || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "bench: all numbers are 1 or more, and there are no other arguments")
		return 2
	}
	return measure.Run(ctx, limit, stderr, func(ctx context.Context) error { return bench(ctx, e, stdout) })
}

func bench(ctx context.Context, e effort, out io.Writer) (err error) {
	where := measure.Machine(time.Now()) // before our own build raises the load
	w, err := newWorld(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	fmt.Fprintf(out, "%s\nCGO_ENABLED=0 go run ./logplugin/bench -lines %d -rounds %d -fed %d -sessions %d -seconds %d -settle %v -only '%v' -routers '%v' -cache-disabled=%t -against '%s'\n\n",
		where, e.lines, e.rounds, e.fed, e.sessions, e.seconds, e.settle, e.only, e.alone, e.forgets, e.against)
	var all []quiet
	for _, d := range w.drivers() { // first: later the driver's memory is not that of idle sessions alone
		q, err := w.quiet(ctx, d, e)
		if err != nil {
			return err
		}
		all = append(all, q)
	}
	fed, err := w.fedAll(ctx, e)
	if err != nil {
		return err
	}
	setups := slices.DeleteFunc(w.setups(), func(s setup) bool { return !e.takes(s) })
	runs, err := w.contest(ctx, setups, e.lines, e.rounds)
	if err != nil {
		return err
	}
	ours, other := byTarget(fed, w.driver), map[target][]alone(nil)
	if w.other != nil {
		other = byTarget(fed, w.other)
	}
	err = errors.Join(reportContainers(out, setups, runs, e.lines), reportRatios(out, runs), reportAlone(out, ours, runs, e.lines), reportQuiet(out, all[0]))
	if w.other != nil {
		err = errors.Join(err, reportOther(out, ours, other), reportQuiet(out, all[1]))
	}
	return err
}
