// Package metrics shows the numbers of the log driver to Prometheus.
//
// Use Handler with the sessions of the process. What stands in a label is a router's name, its address, a container's
// name and id, or a word of a closed set: never an option's value, a reference or a line.
package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/volume"
	"github.com/secretref/secretref/shared/fault"
)

// Sessions is where the numbers come from.
type Sessions interface {
	Status() []session.Status
	Tallies() (tallies []session.Tally, refused uint64)
	Store() spool.StoreStats
	StateFailures() int64
}

// Health is what the process says of itself.
type Health interface {
	// Broken reports whether the configuration cannot be used.
	Broken() bool
	// Attention returns why a person should look, one line each.
	Attention() []string
}

// Volumes is where the numbers of volumes come from.
type Volumes interface {
	Status() []volume.Status
	Space() (free, all uint64) // of the tmpfs, in bytes
}

// Requests is where the numbers of requests for secrets come from.
type Requests interface {
	Requests() (given, refused int64) // since the start
}

// Variables is where the numbers of containers of secretref-runtime come from.
type Variables interface {
	Requests
	Containers() int
}

// Options of Handler. All but Volumes, Swarm and Variables must be set.
type Options struct {
	Version      string // of the program
	Sessions     Sessions
	Health       Health
	Resolves     *Resolves
	Volumes      Volumes     // nil = the host has none
	Swarm        Requests    // nil = no swarm can ask this host
	Variables    Variables   // nil = secretref-runtime cannot ask
	PerContainer func() bool // whether each session and each volume has metrics of its own; asked for each scrape
	Log          *slog.Logger
}

// Handler answers a scrape. It logs what goes wrong, and shows the rest all the same.
func Handler(o Options) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{o},
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4,
	})
}

// metric is one of ours.
type metric struct {
	name   string
	labels []string
	desc   *prometheus.Desc
}

func desc(name, help string, labels ...string) metric {
	name = "secretref_" + name
	return metric{name, labels, prometheus.NewDesc(name, help, labels, nil)}
}

// Labels returns the names of the labels of each of our own metrics, by the metric's name.
func Labels() map[string][]string {
	all := map[string][]string{}
	for _, m := range []metric{
		buildInfo, broken, attention, refused, sessions, lines, requests, took, waiting, age, failing, success, sentBytes, containerLines, containerWaiting, containerAge,
		spoolDisk, spoolLimit, spoolMemory, spoolMemoryLimit, spoolLow, spoolModes, spoolFiles, spoolFailures, pipes, stateFailures, resolved,
		volumes, volumeWaiting, volumeSize, volumeFree, volumeMissing, volumeFailing, volumeChanged, volumeRead, volumeVersion, swarmRequests, variableRequests, variableContainers,
	} {
		all[m.name] = m.labels
	}
	return all
}

// The metrics. A router is known by its name and its address; the address is empty where a reference gives it.
var (
	buildInfo = desc("build_info", "Always 1; the version of the program and of Go.", "version", "goversion")
	broken    = desc("config_broken", "1 = the configuration cannot be used: logs are read and kept, and nothing is sent.")
	attention = desc("log_attention_reasons", "Reasons for a person to look, as status shows them; 0 = all is well.")

	refused   = desc("log_containers_refused_total", "Containers that were refused by StartLogging.")
	sessions  = desc("log_sessions", "FIFOs that are read, and spools that are still to be delivered.", "router", "address")
	lines     = desc("log_lines_total", "Lines: sent, rejected for good by the router, dropped for lack of space, filtered by a pattern, limited by a rate.", "router", "address", "outcome")
	requests  = desc("log_requests_total", "Requests to the router: taken, or the class of the failure.", "router", "address", "result")
	took      = desc("log_request_seconds_total", "Time that these requests took.", "router", "address")
	waiting   = desc("log_waiting_bytes", "Bytes in spools that the router has not taken.", "router", "address")
	age       = desc("log_waiting_seconds", "Age of the oldest of them.", "router", "address")
	failing   = desc("log_router_failing", "1 = a session of this router has an error at present.", "router", "address")
	success   = desc("log_last_success_timestamp_seconds", "Time of the last request that the router took; missing before the first.", "router", "address")
	sentBytes = desc("log_sent_bytes_total", "Bytes of encoded lines that the router took, before compression.", "router", "address")

	ofContainer      = []string{"container_id", "container_name", "router"}
	containerLines   = desc("log_container_lines_total", "Lines of one session, as in secretref_log_lines_total.", append(ofContainer, "session", "outcome")...)
	containerWaiting = desc("log_container_waiting_bytes", "Bytes of one session that the router has not taken.", append(ofContainer, "session")...)
	containerAge     = desc("log_container_waiting_seconds", "Age of the oldest of them.", append(ofContainer, "session")...)

	spoolDisk        = desc("spool_disk_bytes", "Bytes of log on disk, with what is about to be removed.")
	spoolLimit       = desc("spool_limit_bytes", "What they may be at most.")
	spoolMemory      = desc("spool_memory_bytes", "Bytes of log in memory, because the disk takes none.")
	spoolMemoryLimit = desc("spool_memory_limit_bytes", "What they may be at most.")
	spoolFiles       = desc("spool_open_files", "Files that are open for spools: segments, cursors, and what waits for FIFOs.")
	spoolFailures    = desc("spool_failures_total", "Calls for spools that the file system refused; each is made again.")
	spoolLow         = desc("spool_low_space", "1 = the file system has less free space than it should.")
	spoolModes       = desc("spool_sessions", "Sessions by how their bytes reach the spool: splice, copy, memory.", "mode")
	pipes            = desc("spool_pipe_bytes", "Size of all pipes that have been enlarged.")

	stateFailures = desc("log_state_failures_total", "Calls for the state of sessions that the file system refused; each is made again.")

	volumes       = desc("volumes", "Volumes of secrets: mounted or not, as far as is known, failing if the last try to bring the files up to date failed.", "mounted", "failing")
	volumeWaiting = desc("volume_waiting_containers", "Containers whose start waits for a volume.")
	volumeSize    = desc("volume_space_bytes", "Size of the tmpfs of all volumes; 0 = it is not mounted.")
	volumeFree    = desc("volume_space_free_bytes", "What is free of it.")

	volumeMissing      = desc("volume_missing_files", "Files of a mounted volume that wait for AWS.", "volume")
	volumeFailing      = desc("volume_failing_seconds", "For how long the files of a volume cannot be brought up to date; 0 = they can.", "volume")
	volumeChanged      = desc("volume_changed_timestamp_seconds", "When a file of a volume last changed; missing before it has files.", "volume")
	volumeRead         = desc("volume_read_timestamp_seconds", "When all values of a volume were last read; missing before the first time since the start.", "volume")
	variableRequests   = desc("variable_requests_total", "Requests of secretref-runtime for the variables of a container: ok, or refused.", "result")
	variableContainers = desc("variable_containers", "Containers that were given variables and are remembered.")

	swarmRequests = desc("swarm_secret_requests_total", "Requests of a swarm's manager for a secret: ok, or refused.", "result")
	volumeVersion = desc("volume_version_info", "Always 1; the version of the secret that a file has.", "volume", "file", "version")

	resolved = desc("resolve_total", "Secrets and parameters that AWS was asked for: ok, or the kind of the failure.", "result")
)

type collector struct{ o Options }

// Describe sends nothing: which routers there are is not known before.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// output takes metrics with the values that they have now.
type output chan<- prometheus.Metric

func (o output) gauge(m metric, v float64, labels ...string) {
	o <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, v, clean(labels)...)
}

func (o output) counter(m metric, v float64, labels ...string) {
	o <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, v, clean(labels)...)
}

// Collect sends the present numbers.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	o := output(ch)
	o.gauge(buildInfo, 1, c.o.Version, runtime.Version())
	o.gauge(broken, bit(c.o.Health.Broken()))
	o.gauge(attention, float64(len(c.o.Health.Attention())))
	tallies, n := c.o.Sessions.Tallies()
	o.counter(refused, float64(n))
	for _, t := range tallies {
		o.destination(t)
	}
	c.collectSessions(o)
	o.store(c.o.Sessions.Store())
	o.counter(stateFailures, float64(c.o.Sessions.StateFailures()))
	if c.o.Volumes != nil {
		o.volumes(c.o.Volumes, c.o.PerContainer())
	}
	if c.o.Swarm != nil {
		o.requests(swarmRequests, c.o.Swarm)
	}
	if c.o.Variables != nil {
		o.requests(variableRequests, c.o.Variables)
		o.gauge(variableContainers, float64(c.o.Variables.Containers()))
	}
	count := c.o.Resolves.counts()
	o.counter(resolved, count[""], "ok")
	for _, k := range fault.Kinds() {
		o.counter(resolved, count[k], k.Label())
	}
}

func (o output) destination(t session.Tally) {
	o.gauge(sessions, float64(t.Sessions), t.Router, t.Address)
	o.counter(lines, float64(t.Sent), t.Router, t.Address, "sent")
	o.counter(lines, float64(t.Rejected), t.Router, t.Address, "rejected")
	o.counter(lines, float64(t.Dropped), t.Router, t.Address, "dropped")
	o.counter(lines, float64(t.Filtered), t.Router, t.Address, "filtered")
	o.counter(lines, float64(t.Limited), t.Router, t.Address, "limited")
	o.counter(requests, float64(t.Requests[""]), t.Router, t.Address, "ok")
	for _, class := range router.Classes() {
		o.counter(requests, float64(t.Requests[class]), t.Router, t.Address, string(class))
	}
	o.counter(took, t.RequestTime.Seconds(), t.Router, t.Address)
	o.counter(sentBytes, float64(t.Bytes), t.Router, t.Address)
	if !t.LastSuccess.IsZero() {
		o.gauge(success, float64(t.LastSuccess.UnixMilli())/1000, t.Router, t.Address)
	}
	o.gauge(waiting, float64(t.WaitingBytes), t.Router, t.Address)
	o.gauge(age, t.WaitingFor.Seconds(), t.Router, t.Address)
	o.gauge(failing, bit(t.Failing), t.Router, t.Address)
}

// collectSessions sends the modes of all sessions and, if the configuration says so, the numbers of each.
func (c *collector) collectSessions(o output) {
	modes := map[spool.Mode]int{}
	perContainer := c.o.PerContainer()
	for _, s := range c.o.Sessions.Status() {
		modes[s.Mode]++
		if !perContainer {
			continue
		}
		labels := []string{s.ContainerID, s.ContainerName, s.Router, s.Session}
		for outcome, v := range map[string]int64{
			"sent": s.SentLines, "rejected": s.RejectedLines, "dropped": s.DroppedLines, "filtered": s.FilteredLines, "limited": s.LimitedLines,
		} {
			o.counter(containerLines, float64(v), append(labels, outcome)...)
		}
		o.gauge(containerWaiting, float64(s.WaitingBytes), labels...)
		o.gauge(containerAge, s.WaitingFor.Seconds(), labels...)
	}
	for _, m := range []spool.Mode{spool.Splice, spool.Copy, spool.Memory} {
		o.gauge(spoolModes, float64(modes[m]), string(m))
	}
}

func (o output) store(st spool.StoreStats) {
	o.gauge(spoolDisk, float64(st.DiskBytes))
	o.gauge(spoolLimit, float64(st.MaxBytes))
	o.gauge(spoolMemory, float64(st.RAMBytes))
	o.gauge(spoolMemoryLimit, float64(st.MaxRAM))
	o.gauge(spoolFiles, float64(st.OpenFiles))
	o.counter(spoolFailures, float64(st.Failures))
	o.gauge(spoolLow, bit(st.LowSpace))
	o.gauge(pipes, float64(st.PipeBytes))
}

func (o output) requests(m metric, from Requests) {
	given, refused := from.Requests()
	o.counter(m, float64(given), "ok")
	o.counter(m, float64(refused), "refused")
}

func (o output) volumes(from Volumes, each bool) {
	free, size := from.Space()
	o.gauge(volumeSize, float64(size))
	o.gauge(volumeFree, float64(free))
	waiting, count := 0, map[[2]bool]int{}
	for _, s := range from.Status() {
		waiting += s.Waiting
		count[[2]bool{s.Mounted, s.LastError != ""}]++
		if each {
			o.volume(s)
		}
	}
	o.gauge(volumeWaiting, float64(waiting))
	for _, mounted := range []bool{false, true} {
		for _, fails := range []bool{false, true} {
			o.gauge(volumes, float64(count[[2]bool{mounted, fails}]), strconv.FormatBool(mounted), strconv.FormatBool(fails))
		}
	}
}

func (o output) volume(s volume.Status) {
	o.gauge(volumeMissing, float64(len(s.Missing)), s.Name)
	o.gauge(volumeFailing, s.FailingFor.Seconds(), s.Name)
	if !s.Written.IsZero() {
		o.gauge(volumeChanged, float64(s.Written.UnixMilli())/1000, s.Name)
	}
	if !s.Checked.IsZero() {
		o.gauge(volumeRead, float64(s.Checked.UnixMilli())/1000, s.Name)
	}
	for file, version := range s.Versions {
		o.gauge(volumeVersion, 1, s.Name, file, version)
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
