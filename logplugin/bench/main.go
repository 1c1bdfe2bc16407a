// Command bench measures the log driver against peers on the same machine: `make bench`.
//
// Containers of a real daemon write lines with one log driver after the other, by turns, and what counts is the median
// of the rounds: the container's own wall time, the CPU time of daemon and driver by the kernel's account, and what both write to
// files. The receiver is a process of its own, takes everything, and counts: a run of which a line does not arrive does not count.
// The driver alone is measured with pipes that this process fills as the daemon does, and so are many sessions at once.
// The exit status is 1 when something could not be measured; a goal that is missed is a line in the table. With -out the
// report, charts and the figures of the page about performance are written to files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/secretref/secretref/shared/measure"
	"github.com/secretref/secretref/shared/rig"
)

const limit = 25 * time.Minute

func main() {
	ctx, out, stop := rig.Interruptible(os.Stdout)
	code := run(ctx, os.Args[1:], out, os.Stderr)
	stop()
	os.Exit(code)
}

// Parts of the bench.
const (
	partSessions   = "sessions"
	partHanging    = "hanging"
	partAlone      = "alone"
	partContainers = "containers"
	partReading    = "reading"
	partRates      = "rates"
)

// effort says how much is measured.
type effort struct {
	lines, rounds, sessions, seconds int
	fed, feedings                    int // lines for the driver alone, and how often
	settle, window                   time.Duration
	parts                            *regexp.Regexp
	only                             *regexp.Regexp // of the containers' log drivers
	alone                            *regexp.Regexp // of the routers to which the driver alone sends
	paces                            *regexp.Regexp // sizes and rates of lines, as 1024/100
	forgets                          bool           // pipes are fed with cache-disabled=true: no history is kept
	against                          string         // another program to measure beside ours; "" = none
	out                              string         // directory for the page, the report and the charts; "" = none
}

// takes reports whether containers are run with the setup.
func (e effort) takes(s setup) bool { return e.only.MatchString(s.name) }

func (e effort) has(part string) bool { return e.parts.MatchString(part) }

func (e effort) runsContainers() bool {
	return e.has(partContainers) || e.has(partReading) || e.has(partRates)
}

// collects reports whether vlagent is needed.
func (e effort) collects() bool {
	return (e.has(partContainers) || e.has(partRates)) && e.only.MatchString(collected)
}

// command is how the bench is run again.
func (e effort) command() string {
	return fmt.Sprintf("go run ./logplugin/bench -lines %d -rounds %d -fed %d -feedings %d -sessions %d -seconds %d -settle %v -window %v -parts '%v' -only '%v' -routers '%v' -paces '%v' -cache-disabled=%t -against '%s'",
		e.lines, e.rounds, e.fed, e.feedings, e.sessions, e.seconds, e.settle, e.window, e.parts, e.only, e.alone, e.paces, e.forgets, e.against)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	e, err := parse(args, stderr)
	if errors.Is(err, errUsage) {
		return 2
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	}
	return measure.Run(ctx, limit, stderr, func(ctx context.Context) error { return bench(ctx, e, stdout, stderr) })
}

// errUsage says that flag has already said what is wrong.
var errUsage = errors.New("usage")

func parse(args []string, stderr io.Writer) (e effort, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&e.lines, "lines", 500_000, "lines of one container")
	flags.IntVar(&e.rounds, "rounds", 7, "containers with each log driver, and readings of `docker logs`")
	flags.IntVar(&e.fed, "fed", 200_000, "lines for the driver alone")
	flags.IntVar(&e.feedings, "feedings", 3, "runs of the driver alone")
	flags.IntVar(&e.sessions, "sessions", 1000, "sessions at once")
	flags.IntVar(&e.seconds, "seconds", 10, "how long these say a line a second each")
	flags.DurationVar(&e.settle, "settle", 10*time.Second, "how long sessions are idle before their memory is looked at")
	flags.DurationVar(&e.window, "window", 1500*time.Millisecond, "how long each rate of lines is looked at")
	flags.StringVar(&e.out, "out", "", "directory of the page performance.md, whose figures are replaced; the report and the charts go to performance/ in it")
	flags.BoolVar(&e.forgets, "cache-disabled", false, "the driver alone keeps no history for docker logs, as with the log-opt of this name")
	flags.StringVar(&e.against, "against", "", "program of another version of the log driver, which is measured alone beside this one, by turns")
	var words [4]string
	flags.StringVar(&words[0], "parts", "", "regular expression: what is measured, of sessions, hanging, alone, containers, reading and rates")
	flags.StringVar(&words[1], "only", "", "regular expression: the log drivers that containers are run with, as the report names them")
	flags.StringVar(&words[2], "routers", "", "regular expression: the routers to which the driver alone sends, as the report names them")
	flags.StringVar(&words[3], "paces", "", "regular expression: the sizes and rates of lines that are looked at, as 1024/100")
	if flags.Parse(args) != nil {
		return e, errUsage
	}
	for i, into := range []**regexp.Regexp{&e.parts, &e.only, &e.alone, &e.paces} {
		if *into, err = regexp.Compile(words[i]); err != nil {
			return e, err
		}
	}
	if e.out != "" && (words[0] != "" || e.against != "") {
		return e, errors.New("-out goes without -parts and -against: the page has the figures of one run")
	}
	if min(e.lines, e.rounds, e.fed, e.feedings, e.sessions, e.seconds) < 1 || e.window <= 0 || flags.NArg() > 0 {
		return e, errors.New("all numbers are 1 or more, and there are no other arguments")
	}
	return e, nil
}

// results are all that was measured. Parts that were left out are empty.
type results struct {
	effort
	machine  string
	quiet    []quiet // of our driver, and of the other
	hanging  hanging
	fed      map[target][]alone
	other    map[target][]alone
	setups   []setup
	runs     map[string][]spent
	reading  map[string][]float64
	followed map[string]followed
	paced    []paced
}

func bench(ctx context.Context, e effort, out, progress io.Writer) (err error) {
	r := results{effort: e, machine: measure.Machine(time.Now())} // before our own build raises the load
	w, err := newWorld(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	began := time.Now()
	for _, p := range []struct {
		name    string
		measure func(context.Context, *results) error
	}{ // sessions first: later the driver's memory is not that of idle sessions alone
		{partSessions, w.measureSessions}, {partHanging, w.hang}, {partAlone, w.fedAll}, {partContainers, w.contest}, {partReading, w.reading}, {partRates, w.paceAll},
	} {
		if !e.has(p.name) {
			continue
		}
		fmt.Fprintf(progress, "bench: %v after the start: %s\n", time.Since(began).Round(time.Second), p.name)
		if err := p.measure(ctx, &r); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	fmt.Fprintf(progress, "bench: %v after the start: the end\n", time.Since(began).Round(time.Second))
	if err := r.write(out); err != nil || e.out == "" {
		return err
	}
	return r.publish(e.out)
}

// measureSessions measures many sessions of each driver.
func (w *world) measureSessions(ctx context.Context, r *results) error {
	for _, d := range w.drivers() {
		q, err := w.quiet(ctx, d, r.effort)
		if err != nil {
			return err
		}
		r.quiet = append(r.quiet, q)
	}
	return nil
}
