// Package metrics shows the numbers of the log driver to Prometheus.
//
// Use Handler with the sessions of the process. What stands in a label is a router's name, its address, a container's
// name and id, or a word of a closed set: never an option's value, a reference or a line.
package metrics

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/shared/fault"
)

// Sessions is where the numbers come from.
type Sessions interface {
	Status() []session.Status
	Tallies() (tallies []session.Tally, refused uint64)
	Store() spool.StoreStats
}

// Resolves counts what came of asking AWS. Its zero value is ready.
type Resolves struct {
	mu    sync.Mutex
	count map[fault.Kind]float64
}

// Observe is for resolve.Options.
func (r *Resolves) Observe(k fault.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil {
		r.count = map[fault.Kind]float64{}
	}
	r.count[k]++
}

// Handler answers a scrape. It logs what goes wrong, and shows the rest all the same.
func Handler(version string, sessions Sessions, resolves *Resolves, log *slog.Logger) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{version, sessions, resolves},
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4,
	})
}

// metric is one of ours.
type metric struct {
	name string
	desc *prometheus.Desc
}

func desc(name, help string, labels ...string) metric {
	name = "secretref_" + name
	return metric{name, prometheus.NewDesc(name, help, labels, nil)}
}

// Names lists our own metrics.
func Names() []string {
	var names []string
	for _, m := range []metric{
		info, refused, sessions, lines, requests, took, waiting, age, failing, containerLines, containerWaiting, containerAge,
		spoolDisk, spoolLimit, spoolMemory, spoolLow, spoolModes, pipes, resolved,
	} {
		names = append(names, m.name)
	}
	return names
}

// The metrics. A router is known by its name and its address; the address is empty where a reference gives it.
var (
	info     = desc("log_driver_info", "Always 1; the version of the program.", "version")
	refused  = desc("log_containers_refused_total", "Containers that were refused by StartLogging.")
	sessions = desc("log_sessions", "FIFOs that are read, and spools that are still to be delivered.", "router", "address")
	lines    = desc("log_lines_total", "Lines: sent, rejected for good by the router, dropped for want of space.", "router", "address", "outcome")
	requests = desc("log_requests_total", "Requests to the router: taken, or the class of the failure.", "router", "address", "result")
	took     = desc("log_request_seconds_total", "Time that these requests took.", "router", "address")
	waiting  = desc("log_waiting_bytes", "Bytes in spools that the router has not taken.", "router", "address")
	age      = desc("log_waiting_seconds", "Age of the oldest of them.", "router", "address")
	failing  = desc("log_router_failing", "1 = a session of this router has an error at present.", "router", "address")

	ofContainer      = []string{"container_id", "container_name", "router"}
	containerLines   = desc("log_container_lines_total", "Lines of one session, as in secretref_log_lines_total.", append(ofContainer, "session", "outcome")...)
	containerWaiting = desc("log_container_waiting_bytes", "Bytes of one session that the router has not taken.", append(ofContainer, "session")...)
	containerAge     = desc("log_container_waiting_seconds", "Age of the oldest of them.", append(ofContainer, "session")...)

	spoolDisk   = desc("spool_disk_bytes", "Bytes of log on disk, with what is about to be removed.")
	spoolLimit  = desc("spool_limit_bytes", "What they may be at most.")
	spoolMemory = desc("spool_memory_bytes", "Bytes of log in memory, because the disk takes none.")
	spoolLow    = desc("spool_low_space", "1 = the file system has less free space than it should.")
	spoolModes  = desc("spool_sessions", "Sessions by the way their bytes take: splice, copy, memory.", "mode")
	pipes       = desc("spool_pipe_bytes", "Size of all pipes that have been enlarged.")

	resolved = desc("resolve_total", "Secrets and parameters that AWS was asked for: ok, or the kind of the failure.", "result")
)

type collector struct {
	version  string
	sessions Sessions
	resolves *Resolves
}

// Describe sends nothing: which routers there are is not known before.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the present numbers.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(m metric, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, v, clean(labels)...)
	}
	counter := func(m metric, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, v, clean(labels)...)
	}
	gauge(info, 1, c.version)
	tallies, n := c.sessions.Tallies()
	counter(refused, float64(n))
	for _, t := range tallies {
		gauge(sessions, float64(t.Sessions), t.Router, t.Address)
		counter(lines, float64(t.Sent), t.Router, t.Address, "sent")
		counter(lines, float64(t.Rejected), t.Router, t.Address, "rejected")
		counter(lines, float64(t.Dropped), t.Router, t.Address, "dropped")
		counter(requests, float64(t.Requests[""]), t.Router, t.Address, "ok")
		for _, class := range router.Classes() {
			counter(requests, float64(t.Requests[class]), t.Router, t.Address, string(class))
		}
		counter(took, t.RequestTime.Seconds(), t.Router, t.Address)
		gauge(waiting, float64(t.WaitingBytes), t.Router, t.Address)
		gauge(age, t.WaitingFor.Seconds(), t.Router, t.Address)
		gauge(failing, bit(t.Failing), t.Router, t.Address)
	}
	modes := map[spool.Mode]int{}
	for _, s := range c.sessions.Status() {
		modes[s.Mode]++
		labels := []string{s.ContainerID, s.ContainerName, s.Router, s.Session}
		for outcome, v := range map[string]int64{"sent": s.SentLines, "rejected": s.RejectedLines, "dropped": s.DroppedLines} {
			counter(containerLines, float64(v), append(labels, outcome)...)
		}
		gauge(containerWaiting, float64(s.WaitingBytes), labels...)
		gauge(containerAge, s.WaitingFor.Seconds(), labels...)
	}
	for _, m := range []spool.Mode{spool.Splice, spool.Copy, spool.Memory} {
		gauge(spoolModes, float64(modes[m]), string(m))
	}
	st := c.sessions.Store()
	gauge(spoolDisk, float64(st.DiskBytes))
	gauge(spoolLimit, float64(st.MaxBytes))
	gauge(spoolMemory, float64(st.RAMBytes))
	gauge(spoolLow, bit(st.LowSpace))
	gauge(pipes, float64(st.PipeBytes))
	c.resolves.mu.Lock()
	defer c.resolves.mu.Unlock()
	counter(resolved, c.resolves.count[""], "ok")
	for _, k := range fault.Kinds() {
		counter(resolved, c.resolves.count[k], string(k))
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// clean makes labels of texts that come from a container's options: Prometheus takes valid UTF-8 only.
func clean(labels []string) []string {
	out := make([]string, len(labels))
	for i, l := range labels {
		out[i] = strings.ToValidUTF8(l, "?")
	}
	return out
}
