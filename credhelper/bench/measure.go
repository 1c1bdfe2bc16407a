package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/secretref/secretref/shared/measure"
)

// A program is killed after this time: whatever is slower is broken.
const runLimit = 20 * time.Second

// warmUps are pairs that do not count: they bring the programs into the page cache.
const warmUps = 3

// program is a command line with all that it needs.
type program struct {
	name  string
	args  []string // the first is the program's path
	env   []string // all of it
	input string   // its standard input
	want  string   // must be in its output, or the run does not count as one

	// reset brings about the state in which the program is to be measured, and is not part of the measurement. nil = it is
	// in that state already.
	reset func(context.Context) error
}

// cost is what one run takes.
type cost struct {
	wall time.Duration // from before the fork to after the wait
	cpu  time.Duration // user and system, of all threads, by the kernel's account
}

// run runs p once. Input and output are pipes without a goroutine behind them, so that this process sleeps while
// the program runs; what the programs read and write fits into a pipe.
func (p *program) run(ctx context.Context) (cost, error) {
	if p.reset != nil {
		if err := p.reset(ctx); err != nil {
			return cost{}, fmt.Errorf("prepare %s: %w", p.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	in, err := filled(p.input)
	if err != nil {
		return cost{}, err
	}
	defer in.Close()
	out, end, err := os.Pipe()
	if err != nil {
		return cost{}, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.env, in, end, end
	start := time.Now()
	err = cmd.Run()
	wall := time.Since(start)
	end.Close()
	text, _ := io.ReadAll(out)
	switch {
	case err != nil:
		return cost{}, fmt.Errorf("%s: %w: %s", p.name, err, text)
	case !strings.Contains(string(text), p.want):
		return cost{}, fmt.Errorf("%s has not given the answer: %s", p.name, text)
	}
	return cost{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// filled returns the reading end of a pipe that holds text and then ends.
func filled(text string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(w, text)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		r.Close()
	}
	return r, err
}

// duel is two programs that do the same, or of which one does the least that there is.
type duel struct {
	what       string
	ours, peer *program
	pairs      int
	goal       float64 // the ratio is to be at most this; 0 = there is no goal, the ratio is for information
}

// outcome is what a duel shows. The ratios are those of the pairs, not of the medians: what disturbs the machine for a
// while disturbs both halves of a pair.
type outcome struct {
	duel
	ourCost, peerCost cost // medians
	wall, cpu         measure.Spread
}

// fight runs the two by turns.
func (d duel) fight(ctx context.Context) (outcome, error) {
	var ours, peer []cost
	for i := range warmUps + d.pairs {
		a, err := d.ours.run(ctx)
		if err != nil {
			return outcome{}, fmt.Errorf("%s: %w", d.what, err)
		}
		b, err := d.peer.run(ctx)
		if err != nil {
			return outcome{}, fmt.Errorf("%s: %w", d.what, err)
		}
		if i >= warmUps {
			ours, peer = append(ours, a), append(peer, b)
		}
	}
	wall, cpu := make([]float64, len(ours)), make([]float64, len(ours))
	for i := range ours {
		wall[i] = float64(ours[i].wall) / float64(peer[i].wall)
		cpu[i] = float64(ours[i].cpu) / float64(peer[i].cpu)
	}
	return outcome{d, typical(ours), typical(peer), measure.SpreadOf(wall), measure.SpreadOf(cpu)}, nil
}

func typical(costs []cost) cost {
	wall, cpu := make([]float64, len(costs)), make([]float64, len(costs))
	for i, c := range costs {
		wall[i], cpu[i] = float64(c.wall), float64(c.cpu)
	}
	return cost{time.Duration(measure.SpreadOf(wall).Median), time.Duration(measure.SpreadOf(cpu).Median)}
}

// together runs n of p at once, and returns the time from the first start to the last end.
func together(ctx context.Context, p *program, n int) (time.Duration, error) {
	if p.reset != nil {
		if err := p.reset(ctx); err != nil {
			return 0, fmt.Errorf("prepare %s: %w", p.name, err)
		}
	}
	one := *p
	one.reset = nil
	errs := make([]error, n)
	var all sync.WaitGroup
	start := time.Now()
	for i := range n {
		all.Go(func() { _, errs[i] = one.run(ctx) })
	}
	all.Wait()
	wall := time.Since(start)
	for _, err := range errs {
		if err != nil {
			return 0, fmt.Errorf("%d at once: %w", n, err)
		}
	}
	return wall, nil
}
