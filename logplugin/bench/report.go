package main

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/secretref/secretref/shared/measure"
)

// Goals.
const (
	maxWall     = 1.0 // of a container, against json-file
	maxAllocs   = 0.5 // for a line: those of a request are shared by its lines
	maxAnon     = 64 << 20
	maxRequests = 5.0 // a second
	maxReopen   = time.Second
)

// maxCPU is the goal for our driver alone, in microseconds a line.
func maxCPU(t target) float64 {
	switch {
	case t.tls:
		return 0
	case t.encoding != "":
		return 1.5
	case t.contained():
		return 0.7
	}
	return 1.0
}

func reportContainers(w io.Writer, setups []setup, runs map[string][]spent, lines int) error {
	t := measure.Table(w)
	fmt.Fprintf(t, "One container, %d lines of 100 bytes\twall\tCPU, µs a line: dockerd\tdriver\tboth\n", lines)
	for _, s := range setups {
		c := runs[s.name]
		perLine := func(of func(spent) time.Duration) float64 { return micros(median(c, of)) / float64(lines) }
		plugin := "-"
		if s.plugin != nil {
			plugin = fmt.Sprintf("%.2f", perLine(func(c spent) time.Duration { return c.plugin }))
		}
		fmt.Fprintf(t, "%s\t%.0f ms\t%.2f\t%s\t%.2f\n", s.name, float64(median(c, spent.time))/float64(time.Millisecond),
			perLine(func(c spent) time.Duration { return c.daemon }), plugin, perLine(spent.both))
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// reportRatios compares ours with json-file, whose containers it must not be slower than, and with Docker's own drivers.
func reportRatios(w io.Writer, runs map[string][]spent) error {
	t := measure.Table(w)
	fmt.Fprintln(t, "Ours against a peer, in the same round\twall\t\tCPU, dockerd and driver\t\tgoal for wall")
	row := func(what string, ours, peers []spent, goal float64) {
		said := "-"
		wall := ratio(ours, peers, spent.time)
		if goal > 0 {
			said = fmt.Sprintf("<= %.1f\t%s", goal, measure.Verdict(wall.Median <= goal))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", what, wall, ratio(ours, peers, spent.both), said)
	}
	for _, x := range targets {
		for _, logs := range []string{"", withLogs} {
			name := x.String() + logs
			for _, p := range []struct {
				name, peer string
				goal       float64
			}{
				{"json-file", jsonFile, maxWall}, {discarding + logs, discarding + logs, 0}, {"Docker's own", dockersOwn + name, 0},
			} {
				if ours, peers := runs[secretrefFor+name], runs[p.peer]; len(ours) > 0 && len(peers) > 0 {
					row(name+" / "+p.name, ours, peers, p.goal)
				}
			}
		}
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// reportAlone shows our driver without the daemon, and beside it what Docker's own takes inside of the daemon: the
// difference to a container whose output nobody logs. So cutting the output into lines is in Docker's figure; ours
// has the writing to disk in it.
func reportAlone(w io.Writer, fed map[target][]alone, runs map[string][]spent, lines int) error {
	t := measure.Table(w)
	fmt.Fprintln(t, "The driver alone, CPU\tµs a line\t\tgoal\t\tallocations a line\tgoal\t\tunder a daemon, µs\tDocker's own, inside of dockerd, µs")
	for _, x := range targets {
		if len(fed[x]) == 0 {
			continue
		}
		var cpu, allocs []float64
		for _, a := range fed[x] {
			cpu, allocs = append(cpu, a.cpu), append(allocs, a.allocs)
		}
		took, goal := measure.SpreadOf(cpu), "-\t"
		if most := maxCPU(x); most > 0 {
			goal = fmt.Sprintf("<= %.1f\t%s", most, measure.Verdict(took.Median <= most))
		}
		often := measure.SpreadOf(allocs).Median
		ours, dockers := "-", "-"
		if with := runs[secretrefFor+x.String()]; len(with) > 0 {
			ours = fmt.Sprintf("%.2f", micros(median(with, func(c spent) time.Duration { return c.plugin }))/float64(lines))
		}
		if with, without := runs[dockersOwn+x.String()], runs[none]; len(with) > 0 && len(without) > 0 {
			dockers = fmt.Sprintf("%.2f", micros(median(with, spent.both)-median(without, spent.both))/float64(lines))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.3f\t0\t%s\t%s\t%s\n", x, took, goal, often, measure.Verdict(often < maxAllocs), ours, dockers)
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// reportOther compares our driver with another version of it, in the same rounds.
func reportOther(w io.Writer, ours, other map[target][]alone) error {
	t := measure.Table(w)
	fmt.Fprintln(t, "The other version, alone\tµs a line\tleast\tallocations a line\tours / other, in the same round\tleast of ours / least of the other")
	for _, x := range targets {
		if len(other[x]) == 0 {
			continue
		}
		var cpu, allocs, ratios []float64
		least := [2]float64{math.Inf(1), math.Inf(1)}
		for i, a := range other[x] {
			cpu, allocs, ratios = append(cpu, a.cpu), append(allocs, a.allocs), append(ratios, ours[x][i].cpu/a.cpu)
			least[0], least[1] = min(least[0], ours[x][i].cpu), min(least[1], a.cpu)
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%.3f\t%s\t%.2f\n", x, measure.SpreadOf(cpu), least[1], measure.SpreadOf(allocs).Median, measure.SpreadOf(ratios), least[0]/least[1])
	}
	fmt.Fprintln(t)
	return t.Flush()
}

func reportQuiet(w io.Writer, q quiet) error {
	t := measure.Table(w)
	mib := func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
	fmt.Fprintf(t, "%d sessions of one router\t\tgoal\n", q.sessions)
	fmt.Fprintf(t, "anonymous memory, all idle (%s without any)\t%s\t<= 64 MiB\t%s\n", mib(q.before), mib(q.anon), measure.Verdict(q.anon <= maxAnon))
	fmt.Fprintf(t, "the same after they have talked\t%s\t-\n", mib(q.lastAnon))
	fmt.Fprintf(t, "requests a second, each says a line a second\t%.1f\t<= %.0f\t%s\n", q.requests, maxRequests, measure.Verdict(q.requests <= maxRequests))
	fmt.Fprintf(t, "CPU, the same\t%.1f %% of a core\t-\n", 100*q.cpu.Seconds())
	fmt.Fprintf(t, "all log pipes open after kill -9, from the start\t%.2f s\t<= %.0f s\t%s\n", q.reopened.Seconds(), maxReopen.Seconds(), measure.Verdict(q.reopened <= maxReopen))
	return t.Flush()
}
