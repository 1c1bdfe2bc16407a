package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// step is one numbered paragraph. A part that comes later adds its own before the search.
type step struct {
	title string // what is done and why, in one line
	do    func(context.Context, *host) error
}

func story() []step {
	return []step{
		{"Start a Docker daemon, a registry with a password and an AWS endpoint, all our own: the host of this story.", start},
		{"Push a small image, as its owner and from elsewhere: it is what the host will pull.", push},
		{"Pull without secretref: the registry wants a password, and the host has none.", pullWithout},
		{"Put the password into Secrets Manager, and only its reference onto the host: this is all of the configuration.", configure},
		{"Point docker at the helper, resolve everything once for real, and ask which rule answers: no value is shown.", check},
		{"Pull: docker asks the helper, the helper asks AWS as the instance's role, and the password stays in memory.", pull},
		{"Pull again: the sealed cache answers, and AWS is not asked.", pullCached},
		{"Rotate the password; docker logout drops the cached one at once (else it goes with its ttl), and pull works.", rotate},
		{"Take the role's permission away: the pull fails with the cause and the fix in one line; then give it back.", deny},
		{"Ask the helper for every registry: one without a rule stays anonymous, and is sent no password.", anonymous},
		{"Start the log driver, with a Splunk event collector that wants a token: it too is in Secrets Manager alone.", logStart},
		{"Run a container with --log-driver: its lines reach the collector, and docker inspect shows only the reference.", logRun},
		{"Rotate the token while the container runs: the driver is refused, asks AWS again, and sends the same lines.", logRotate},
		{"Kill the driver with -9 and start it again: the container notices nothing, and no line is missing.", logKill},
		{"Give a container its database password as a file: docker inspect and docker volume inspect show only the reference.", fileRun},
		{"Rotate that password while the container runs: the file changes, nothing is restarted, and no disk has the value.", fileRotate},
		{"Give a container that password as a variable: the application and docker exec have it, and docker inspect shows only the reference.", variable},
		{"Search the host: files, environments and command lines hold no password and no token, neither old nor new.", search},
		{"Clean up, and see that nothing is left.", end},
	}
}

// tell carries the steps out, up to the first that does not come out as it says.
func tell(ctx context.Context, h *host, steps []step) error {
	for i, s := range steps {
		h.out.title(i+1, s.title)
		if err := s.do(ctx, h); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx) // what it has made of the step is of no interest
			}
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

// teller writes the story. That nobody reads it any more ends the demo's context.
type teller struct {
	w    io.Writer
	bold bool
}

func (t teller) title(n int, text string) {
	if t.bold {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	fmt.Fprintf(t.w, "\n%2d. %s\n", n, text)
}

func (t teller) command(line string) { fmt.Fprintf(t.w, "    $ %s\n", line) }

func (t teller) lines(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(t.w, "    %s\n", strings.TrimRight(line, " \r\n"))
	}
}

// say is for what no command shows.
func (t teller) say(format string, args ...any) { fmt.Fprintf(t.w, "    ("+format+")\n", args...) }
