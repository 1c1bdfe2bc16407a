// Command bench measures the credential helper against peers on the same machine: `make bench`.
//
// Speed is a ratio of two programs that run by turns, A B A B, each time as a new process: the median of the pairs'
// ratios with the quartiles, of wall time and of CPU time. Wall time includes starting the process. All programs
// are built here with the same flags; AWS is shared/fakeaws, in this process. The exit status is 1 when something could
// not be measured; a goal that is missed is a line in the table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/secretref/secretref/shared/measure"
	"github.com/secretref/secretref/shared/rig"
)

const limit = 5 * time.Minute // with a build that finds nothing in Go's cache; otherwise it is well under one

func main() {
	ctx, out, stop := rig.Interruptible(os.Stdout)
	code := run(ctx, os.Args[1:], out, os.Stderr)
	stop()
	os.Exit(code)
}

// effort says how often is measured.
type effort struct{ warm, cold, crowd, rounds int }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var e effort
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&e.warm, "warm", 500, "pairs of runs with a warm cache")
	flags.IntVar(&e.cold, "cold", 100, "pairs of runs with a cold cache")
	flags.IntVar(&e.crowd, "crowd", 50, "helpers started at once")
	flags.IntVar(&e.rounds, "rounds", 5, "times that these are started")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if min(e.warm, e.cold, e.crowd, e.rounds) < 1 || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "bench: all numbers are 1 or more, and there are no other arguments")
		return 2
	}
	return measure.Run(ctx, limit, stderr, func(ctx context.Context) error { return bench(ctx, e, stdout) })
}

func bench(ctx context.Context, e effort, out io.Writer) (err error) {
	where := measure.Machine(time.Now()) // before our own build raises the load
	w, err := newWorld(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	fmt.Fprintf(out, "%s\nCGO_ENABLED=0 go run ./credhelper/bench -warm %d -cold %d -crowd %d -rounds %d\n\n", where, e.warm, e.cold, e.crowd, e.rounds)
	outcomes, err := w.duels(ctx, e)
	if err != nil {
		return err
	}
	if err := reportDuels(out, outcomes); err != nil {
		return err
	}
	fmt.Fprintln(out)
	walls, calls, err := w.crowd(ctx, e)
	if err != nil {
		return err
	}
	if err := reportCrowd(out, e.crowd, walls, calls); err != nil {
		return err
	}
	fmt.Fprintln(out)
	return reportSizes(out, w)
}

// duels runs all comparisons, the warm ones first: their cache is filled by the pairs that do not count.
func (w *world) duels(ctx context.Context, e effort) ([]outcome, error) {
	static := w.env(w.aws.Environ(), "config.toml", "ecr")
	instance := w.env(w.aws.EnvironIMDS(), "config.toml", "ecr-imds")
	onEC2 := w.env(append(w.awsTLS.EnvironIMDS(), "AWS_REGION="+region, "AWS_CA_BUNDLE="+w.path("ca.pem")), "config-tls.toml", "ecr-imds")
	hello := &program{name: "hello", args: []string{w.hello}, env: static, input: host, want: "Hello"}
	bare := func(env []string, arn string) *program {
		return &program{name: "baresdk", args: []string{w.bareSDK, arn}, env: env, input: host, want: password}
	}
	get, getECR, getECRInstance := w.helper(static, host), w.helper(static, ecrHost), w.helper(instance, ecrHost)
	ecr, ecrInstance := w.ecrHelper(static), w.ecrHelper(instance)

	var outcomes []outcome
	for _, d := range []struct {
		duel
		calls string // the operation that fills the cache, and that must not be called once it is full; "" = the cache is cold
	}{
		{duel{"warm get / hello-world", get, hello, e.warm, 3.0}, "GetSecretValue"},
		{duel{"warm get, ECR host / ecr-login, keys in the environment", getECR, ecr, e.warm, 0}, "GetAuthorizationToken"},
		{duel{"warm get, ECR host / ecr-login, instance role", getECRInstance, ecrInstance, e.warm, 0}, "GetAuthorizationToken"},
		{duel{"cold get / bare SDK program, keys in the environment", w.cold(get), bare(static, w.arn), e.cold, 1.2}, ""},
		{duel{"cold get / bare SDK program, instance role, TLS, answer after " + away.String(), w.cold(w.helper(onEC2, host)), bare(onEC2, w.arnTLS), e.cold, 1.2}, ""},
		{duel{"cold get, ECR host / ecr-login, instance role", w.cold(getECRInstance), w.coldECR(ecrInstance, "ecr-imds"), e.cold, 0}, ""},
	} {
		if d.calls != "" {
			if err := w.warm(ctx, d.duel, d.calls); err != nil {
				return nil, err
			}
		}
		o, err := d.fight(ctx)
		if err != nil {
			return nil, err
		}
		if n := w.aws.CountCalls(d.calls); d.calls != "" && n > 0 {
			return nil, fmt.Errorf("%s: AWS was called %d times with a warm cache; is there a kernel keyring? see docker-credential-secretref check", d.what, n)
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

// warm fills the caches of both sides, and then forgets the calls.
func (w *world) warm(ctx context.Context, d duel, op string) error {
	for _, p := range []*program{d.ours, d.peer} {
		if _, err := p.run(ctx); err != nil {
			return err
		}
	}
	if w.aws.CountCalls(op) == 0 {
		return fmt.Errorf("%s: AWS was not called with a cold cache", d.what)
	}
	w.aws.ResetCalls()
	return nil
}

// crowd starts many helpers on a cold cache, some times over, and returns for each time how long they took and how
// often AWS was called.
func (w *world) crowd(ctx context.Context, e effort) (walls []time.Duration, calls []int, err error) {
	p := w.cold(w.helper(w.env(w.aws.Environ(), "config.toml", "ecr"), host))
	for range e.rounds {
		w.aws.ResetCalls()
		wall, err := together(ctx, p, e.crowd)
		if err != nil {
			return nil, nil, err
		}
		walls, calls = append(walls, wall), append(calls, w.aws.CountCalls(""))
	}
	return walls, calls, nil
}
