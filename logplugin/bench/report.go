package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/measure"
)

// table is one of the report, and of the page.
type table struct {
	name string // of its place in the page
	head []string
	rows [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) text(w io.Writer) error {
	out := measure.Table(w)
	for _, r := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(out, strings.Join(r, "\t"))
	}
	fmt.Fprintln(out)
	return out.Flush()
}

func (t *table) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	b.WriteString(strings.Repeat("|---", len(t.head)) + "|\n")
	for _, r := range t.rows {
		line(r)
	}
	return b.String()
}

// write writes the whole report.
func (r *results) write(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s\n%s\n\n", r.machine, r.command()); err != nil {
		return err
	}
	for _, t := range r.tables() {
		if err := t.text(w); err != nil {
			return err
		}
	}
	return nil
}

// tables are those of all parts that were measured.
func (r *results) tables() (all []*table) {
	for _, t := range []*table{
		r.goals(), r.containers(), r.compared(), r.driverAlone(), r.otherVersion(), r.docker(), r.rates(), r.tenDestinations(), r.manySessions(),
	} {
		if len(t.rows) > 0 {
			all = append(all, t)
		}
	}
	return all
}

func cell(s measure.Spread) string { return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Low, s.High) }

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func (r *results) containers() *table {
	t := &table{name: "containers", head: []string{
		"One container, lines of 100 bytes", "lines", "wall, ms", "CPU, µs a line: dockerd", "driver or collector", "both", "bytes written to disk a line", "rounds",
	}}
	for _, s := range r.setups {
		c := r.runs[s.name]
		figure := func(of func(spent) float64, digits int) string {
			return strconv.FormatFloat(spread(c, of).Median, 'f', digits, 64)
		}
		plugin := "-"
		if s.plugin != nil || s.collects {
			plugin = figure(spent.ours, 2)
		}
		t.row(s.name, strconv.Itoa(c[0].lines), figure(spent.whole, 0), figure(spent.dockerd, 2), plugin, figure(spent.both, 2), figure(spent.bytes, 0), strconv.Itoa(len(c)))
	}
	return t
}

// compared has the ratios of ours to peers, in the same rounds.
func (r *results) compared() *table {
	t := &table{name: "ratios", head: []string{"Ours against a peer, in the same rounds", "wall", "CPU, both together", "bytes to disk"}}
	for _, x := range targets {
		for _, p := range []struct{ name, peer string }{
			{jsonFile, jsonFile}, {collected, collected}, {discarding, discarding}, {"Docker's own", dockersOwn + x.String()},
		} {
			ours, peers := r.runs[secretrefFor+x.String()], r.runs[p.peer]
			both, ok := ratio(ours, peers, spent.both)
			if !ok || (x.way == intoVictoriaLogs) != (p.peer == collected) {
				continue
			}
			wall, _ := ratio(ours, peers, spent.time)
			disk := "-"
			if d, _ := ratio(ours, peers, spent.bytes); p.peer == jsonFile {
				disk = cell(d)
			}
			t.row(x.String()+" / "+p.name, cell(wall), cell(both), disk)
		}
	}
	return t
}

// driverAlone shows our driver without the daemon, and beside it what Docker's own takes inside of the daemon: the
// difference to a container whose output nobody logs. So cutting the output into lines is in Docker's figure; ours
// has the writing to disk in it.
func (r *results) driverAlone() *table {
	t := &table{name: "alone", head: []string{
		"The driver alone", "CPU, µs a line", "goal", "allocations a line", "goal 0", "under a daemon, µs", "Docker's own, inside of dockerd, µs",
	}}
	perLine := func(f float64) string { return fmt.Sprintf("%.2f", f) }
	for _, x := range targets {
		if len(r.fed[x]) == 0 {
			continue
		}
		took, often := spreads(r.fed[x])
		goal := "-"
		if most := maxCPU(x); most > 0 {
			goal = fmt.Sprintf("<= %.1f %s", most, measure.Verdict(took.Median <= most))
		}
		ours, dockers := "-", "-"
		if with := r.runs[secretrefFor+x.String()]; len(with) > 0 {
			ours = perLine(spread(with, spent.ours).Median)
		}
		if with, without := r.runs[dockersOwn+x.String()], r.runs[none]; len(with) > 0 && len(without) > 0 {
			dockers = perLine(spread(with, spent.both).Median - spread(without, spent.both).Median)
		}
		t.row(x.String(), cell(took), goal, fmt.Sprintf("%.3f", often.Median), measure.Verdict(often.Median < maxAllocs), ours, dockers)
	}
	if c := r.runs[collected]; len(t.rows) > 0 && len(c) > 0 {
		t.row("vlagent, beside json-file", "-", "-", "-", "-", perLine(spread(c, spent.ours).Median), "-")
	}
	return t
}

func spreads(runs []alone) (cpu, allocs measure.Spread) {
	var c, a []float64
	for _, x := range runs {
		c, a = append(c, x.cpu), append(a, x.allocs)
	}
	return measure.SpreadOf(c), measure.SpreadOf(a)
}

// otherVersion compares our driver with another version of it, in the same rounds.
func (r *results) otherVersion() *table {
	t := &table{name: "other", head: []string{
		"The other version, alone", "µs a line", "least", "allocations a line", "ours / other, in the same round", "least of ours / least of the other",
	}}
	for _, x := range targets {
		if len(r.other[x]) == 0 {
			continue
		}
		cpu, allocs := spreads(r.other[x])
		var ratios []float64
		least := [2]float64{math.Inf(1), math.Inf(1)}
		for i, a := range r.other[x] {
			ratios = append(ratios, r.fed[x][i].cpu/a.cpu)
			least[0], least[1] = min(least[0], r.fed[x][i].cpu), min(least[1], a.cpu)
		}
		t.row(x.String(), cell(cpu), fmt.Sprintf("%.2f", least[1]), fmt.Sprintf("%.3f", allocs.Median), cell(measure.SpreadOf(ratios)), fmt.Sprintf("%.2f", least[0]/least[1]))
	}
	return t
}

func (r *results) docker() *table {
	t := &table{name: "docker-logs", head: []string{
		fmt.Sprintf("docker logs of %d lines", r.lines), "ms", "ours / it, in the same rounds", "docker logs -f, from the write to the first byte: median", "99 %",
	}}
	ours := r.reading[secretrefFor+"splunk"]
	for _, name := range []string{secretrefFor + "splunk", jsonFile, prepared} {
		took := r.reading[name]
		if len(took) == 0 {
			continue
		}
		against, median, p99 := "-", "-", "-"
		if name != secretrefFor+"splunk" {
			against = cell(paired(ours, took))
		}
		if f, ok := r.followed[name]; ok {
			median, p99 = fmt.Sprintf("%.1f ms", f.median), fmt.Sprintf("%.1f ms", f.p99)
		}
		s := measure.SpreadOf(took)
		t.row(name, fmt.Sprintf("%.0f (%.0f-%.0f)", s.Median, s.Low, s.High), against, median, p99)
	}
	return t
}

// paired is the ratio of figures of the same rounds.
func paired(ours, peers []float64) measure.Spread {
	all := make([]float64, len(ours))
	for i := range ours {
		all[i] = ours[i] / peers[i]
	}
	return measure.SpreadOf(all)
}

func (r *results) rates() *table {
	t := &table{name: "rates", head: []string{
		"bytes a line", "lines a second", "log driver", "CPU of a core, dockerd and it", "it alone", "its memory", "wire bytes a line", "to the receiver: median", "99 %", "lost", "twice",
	}}
	for _, p := range r.paced {
		percent := func(f float64) string { return fmt.Sprintf("%.1f %%", 100*f) }
		t.row(fmt.Sprint(p.size), fmt.Sprint(p.rate), p.name, percent(p.core), percent(p.plugin), mib(p.anon), fmt.Sprintf("%.0f", p.wire),
			milliseconds(p.marks.Median), milliseconds(p.marks.P99), p.missing(), fmt.Sprint(p.marks.Duplicates))
	}
	return t
}

func (r *results) tenDestinations() *table {
	h := r.hanging
	t := &table{name: "hanging", head: []string{
		fmt.Sprintf("%d sessions of a line a second, ten destinations", h.sessions), "from the write to the receiver, the worst of nine destinations: median", "99 %", "lines missing of these nine",
	}}
	if h.sessions == 0 {
		return t
	}
	for _, x := range []struct {
		what string
		worst
	}{{"all answer", h.well}, {"the tenth takes connections and answers nothing", h.ill}} {
		t.row(x.what, milliseconds(x.median), milliseconds(x.p99), fmt.Sprint(x.missing))
	}
	return t
}

func (r *results) manySessions() *table {
	t := &table{name: "sessions", head: []string{"Many sessions of one router", "figure", "goal", ""}}
	for i, q := range r.quiet {
		of := fmt.Sprintf("%d sessions", q.sessions)
		if i > 0 {
			of += " of the other version"
		}
		t.row(of+", all idle: anonymous memory ("+mib(q.before)+" without any)", mib(q.anon), "<= "+mib(maxAnon), measure.Verdict(q.anon <= maxAnon))
		t.row("the same after they have talked", mib(q.lastAnon), "-", "")
		t.row("requests a second, each says a line a second", fmt.Sprintf("%.1f", q.requests), fmt.Sprintf("<= %.0f", maxRequests), measure.Verdict(q.requests <= maxRequests))
		t.row("CPU, the same", fmt.Sprintf("%.1f %% of a core", 100*q.cpu.Seconds()), "-", "")
		t.row("all log pipes open after kill -9, from the start", fmt.Sprintf("%.2f s", q.reopened.Seconds()), fmt.Sprintf("<= %.0f s", maxReopen.Seconds()),
			measure.Verdict(cmp.Compare(q.reopened, maxReopen) <= 0))
	}
	return t
}
