package main

import (
	"fmt"
	"time"

	"github.com/secretref/secretref/shared/measure"
)

// Goals that hold for all.
const (
	maxAllocs   = 0.5 // for a line: those of a request are shared by its lines
	maxAnon     = 40 << 20
	maxRequests = 5.0 // a second
	maxReopen   = time.Second

	maxDisk      = 1.1  // bytes, against json-file
	maxCollector = 0.65 // CPU with the daemon, against json-file and vlagent with the daemon
	maxPrepared  = 1.1  // time of docker logs, against a plugin that has nothing to do
	maxReading   = 0.8  // the same against json-file
	maxFollow    = 50.0 // milliseconds
	maxSyslog    = 0.5  // microseconds a line, of the driver
	maxDockers   = 0.5  // CPU, against Docker's own awslogs and gelf
)

// against are the goals for containers in comparison with json-file: CPU of daemon and driver, and wall time; 0 = none.
func against(t target) (cpu, wall float64) {
	switch {
	case t.way == intoVictoriaLogs || !t.logged():
		return 0, 0
	case t.way == overTLS && t.encoding == "":
		return 1.0, 0
	case t.way == overTLS:
		return 1.15, 0 // compressing is what costs, and it has the goal of gzip
	case t.encoding != "":
		return 1.15, 0.9
	case t.router == "fluentd":
		return 0.8, 0.75
	}
	return 0.95, 0.75
}

// maxCPU is the goal for our driver alone, in microseconds a line; 0 = none.
func maxCPU(t target) float64 {
	switch {
	case t.way == overTLS, t.router == "gelf" && t.encoding != "": // it compresses each line
		return 0
	case t.router == "syslog":
		return maxSyslog
	case t.encoding != "":
		return 1.5
	case t.logged():
		return 0.7
	}
	return 1.0
}

// goals has all goals in which our driver is compared with something.
func (r *results) goals() *table {
	t := &table{name: "goals", head: []string{"In the same rounds, docker logs works", "figure", "goal", ""}}
	row := func(what string, s measure.Spread, most float64) {
		t.row(what, cell(s), fmt.Sprintf("<= %.2f", most), measure.Verdict(s.Median <= most))
	}
	for _, x := range targets {
		ours := r.runs[secretrefFor+x.String()]
		cpu, wall := against(x)
		if s, ok := ratio(ours, r.runs[jsonFile], spent.both); ok && cpu > 0 {
			row(x.String()+": CPU of dockerd and driver / json-file", s, cpu)
		}
		if s, ok := ratio(ours, r.runs[jsonFile], spent.time); ok && wall > 0 {
			row(x.String()+": the container's wall time / json-file", s, wall)
		}
		if s, ok := ratio(ours, r.runs[jsonFile], spent.bytes); ok && wall > 0 {
			row(x.String()+": bytes written to disk / json-file", s, maxDisk)
		}
		if s, ok := ratio(ours, r.runs[collected], spent.both); ok && x.way == intoVictoriaLogs {
			row(x.String()+": CPU of dockerd and driver / dockerd and vlagent", s, maxCollector)
		}
		if s, ok := ratio(ours, r.runs[dockersOwn+x.String()], spent.both); ok && !x.logged() && x.router != "syslog" {
			row(x.String()+": CPU of dockerd and driver / Docker's own", s, maxDockers)
		}
	}
	if ours := r.reading[secretrefFor+"splunk"]; len(ours) > 0 {
		row("docker logs / a plugin that sends what it has prepared", paired(ours, r.reading[prepared]), maxPrepared)
		row("docker logs / json-file", paired(ours, r.reading[jsonFile]), maxReading)
		t.row("docker logs of a plugin that sends what it has prepared / json-file: the least that a plugin can take", cell(paired(r.reading[prepared], r.reading[jsonFile])), "-", "")
	}
	if f, ok := r.followed[secretrefFor+"splunk"]; ok {
		t.row("docker logs -f: from the write to the first byte, median", fmt.Sprintf("%.1f ms", f.median), fmt.Sprintf("<= %.0f ms", maxFollow), measure.Verdict(f.median <= maxFollow))
	}
	return t
}
