package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// machine describes in two lines where and when this was measured.
func machine(now time.Time) string {
	var u unix.Utsname
	kernel := "unknown kernel"
	if err := unix.Uname(&u); err == nil {
		kernel = "Linux " + unix.ByteSliceToString(u.Release[:])
	}
	load, _ := os.ReadFile("/proc/loadavg")
	load1, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%s, %d cores, %s/%s, %s, %s\n%s, load at the start %s",
		cpuModel(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, kernel, runtime.Version(), now.UTC().Format("2006-01-02 15:04 MST"), load1)
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU" // arm64 does not tell
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "NOT met"
}

// verdict tells which of the two ratios is within the goal.
func (o outcome) verdict() string {
	wall, cpu := o.wall.median <= o.goal, o.cpu.median <= o.goal
	switch {
	case wall && !cpu:
		return "wall met, CPU NOT met"
	case cpu && !wall:
		return "CPU met, wall NOT met"
	}
	return verdict(wall)
}

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func reportDuels(w io.Writer, outcomes []outcome) error {
	t := table(w)
	fmt.Fprintln(t, "Ours against a peer\twall\t\tCPU\t\tgoal\t\tours: wall, CPU\tpeer: wall, CPU\tpairs")
	for _, o := range outcomes {
		goal, said := "-", ""
		if o.goal > 0 {
			goal, said = fmt.Sprintf("<= %.1f", o.goal), o.verdict()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s, %s\t%s, %s\t%d\n", o.what, o.wall, o.cpu, goal, said,
			ms(o.ourCost.wall), ms(o.ourCost.cpu), ms(o.peerCost.wall), ms(o.peerCost.cpu), o.pairs)
	}
	return t.Flush()
}

// String has two columns: the median, then the quartiles.
func (s spread) String() string { return fmt.Sprintf("%.2f\t(%.2f-%.2f)", s.median, s.low, s.high) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }

func reportCrowd(w io.Writer, n int, walls []time.Duration, calls []int) error {
	most := 0
	for _, c := range calls {
		most = max(most, c)
	}
	text := make([]string, len(walls))
	for i, d := range walls {
		text[i] = fmt.Sprintf("%.0f", float64(d)/float64(time.Millisecond))
	}
	t := table(w)
	fmt.Fprintf(t, "%d helpers at once, cold cache\tAWS calls\tgoal\t\twall, ms, %d times\n", n, len(walls))
	fmt.Fprintf(t, "\t%d\t1\t%s\t%s\n", most, verdict(most == 1), strings.Join(text, " "))
	return t.Flush()
}

// maxSize is the goal for a program's size.
const maxSize = 13_000_000

func reportSizes(w io.Writer, world *world) error {
	t := table(w)
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
			goal = fmt.Sprintf("< %.0f\t%s", maxSize/1e6, verdict(info.Size() < maxSize))
		}
		fmt.Fprintf(t, "%s\t%.2f\t%s\n", p.name, float64(info.Size())/1e6, goal)
	}
	fmt.Fprintf(t, "both of ours\t%.2f\t-\n", float64(sum)/1e6)
	return t.Flush()
}
