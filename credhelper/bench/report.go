package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/measure"
)

// verdict tells which of the two ratios is within the goal.
func (o outcome) verdict() string {
	wall, cpu := o.wall.Median <= o.goal, o.cpu.Median <= o.goal
	switch {
	case wall && !cpu:
		return "wall met, CPU NOT met"
	case cpu && !wall:
		return "CPU met, wall NOT met"
	}
	return measure.Verdict(wall)
}

func reportDuels(w io.Writer, outcomes []outcome) error {
	t := measure.Table(w)
	fmt.Fprintln(t, "Ours against a peer\twall\t\tCPU\t\tgoal\t\tours: wall, CPU\tpeer: wall, CPU\tpairs")
	for _, o := range outcomes {
		goal, said := "-", ""
		if o.goal > 0 {
			goal, said = fmt.Sprintf("<= %.1f", o.goal), o.verdict()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s, %s\t%s, %s\t%d\n", o.what, o.wall, o.cpu, goal, said,
			measure.MS(o.ourCost.wall), measure.MS(o.ourCost.cpu), measure.MS(o.peerCost.wall), measure.MS(o.peerCost.cpu), o.pairs)
	}
	return t.Flush()
}

func reportCrowd(w io.Writer, n int, walls []time.Duration, calls []int) error {
	most := 0
	for _, c := range calls {
		most = max(most, c)
	}
	text := make([]string, len(walls))
	for i, d := range walls {
		text[i] = fmt.Sprintf("%.0f", float64(d)/float64(time.Millisecond))
	}
	t := measure.Table(w)
	fmt.Fprintf(t, "%d helpers at once, cold cache\tAWS calls\tgoal\t\twall, ms, %d times\n", n, len(walls))
	fmt.Fprintf(t, "\t%d\t1\t%s\t%s\n", most, measure.Verdict(most == 1), strings.Join(text, " "))
	return t.Flush()
}

// maxSize is the goal for a program's size.
const maxSize = 13_000_000

func reportSizes(w io.Writer, world *world) error {
	t := measure.Table(w)
	fmt.Fprintln(t, "Stripped size\tMB\tgoal")
	sum := int64(0)
	for _, p := range []struct {
		name, path string
		ours       bool
	}{
		{"docker-credential-secretref", world.front, true},
		{"secretref-resolve", world.resolver, true},
		{ecrLogin + " " + world.ecrVersion, world.ecr, false},
		{"bare SDK program", world.bareSDK, false},
		{"hello-world", world.hello, false},
	} {
		info, err := os.Stat(p.path)
		if err != nil {
			return err
		}
		goal := "-"
		if p.ours {
			sum += info.Size()
			goal = fmt.Sprintf("< %.0f\t%s", maxSize/1e6, measure.Verdict(info.Size() < maxSize))
		}
		fmt.Fprintf(t, "%s\t%.2f\t%s\n", p.name, float64(info.Size())/1e6, goal)
	}
	fmt.Fprintf(t, "both of ours\t%.2f\t-\n", float64(sum)/1e6)
	return t.Flush()
}
