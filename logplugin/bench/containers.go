package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/secretref/secretref/shared/measure"
)

// setup is a way to log.
type setup struct {
	name     string
	driver   string            // of docker run
	options  map[string]string // nil = none
	plugin   *process          // that takes the log; nil = the daemon does that itself
	collects bool              // vlagent reads the log file, and its time counts as a plugin's
	arrives  bool              // at the receiver
	seldom   bool              // only in every other round: it takes long, or little depends on it
	part     int               // it is so slow that it gets one line of so many; 0 = all
}

// spent is what one container has taken.
type spent struct {
	round, lines   int
	wall           time.Duration // from its start to its end, by the daemon's clock
	daemon, plugin time.Duration // CPU time until the last line was where it belongs
	disk           int64         // bytes that both have written to files
}

// Names of setups, or the beginning of one. The first two are also those of the drivers.
const (
	none         = "none"
	jsonFile     = "json-file"
	collected    = "json-file and vlagent"
	discarding   = "a plugin that discards"
	prepared     = "a plugin that sends what it has prepared"
	dockersOwn   = "Docker's "
	secretrefFor = "secretref, "
)

// setups returns all ways that are compared. `docker logs` works with ours and with json-file; Docker's other drivers and the plugin
// that discards are spared the daemon's cache (cache-disabled=true), which is half of what a line costs with them.
func (w *world) setups() []setup {
	cheap := func(o map[string]string) map[string]string {
		o["cache-disabled"] = "true"
		return o
	}
	all := []setup{
		{name: none, driver: none},
		{name: jsonFile, driver: jsonFile},
		{name: discarding, driver: w.name + "discard", plugin: w.discard, options: cheap(map[string]string{})},
		{name: collected, driver: jsonFile, collects: true, arrives: true},
	}
	for _, t := range targets {
		if !t.contained() {
			continue
		}
		all = append(all, setup{name: secretrefFor + t.String(), driver: w.name, options: w.ourOptions(t), plugin: w.driver.process, arrives: true, seldom: !t.logged(), part: t.slow()})
		if t.docker() {
			all = append(all, setup{name: dockersOwn + t.String(), driver: t.router, options: cheap(w.dockerOptions(t)), arrives: true, seldom: true, part: t.slow()})
		}
	}
	return all
}

// create makes a container that runs talker.
func (w *world) create(ctx context.Context, s setup, name string, talker ...string) error {
	args := []string{"create", "--name", name, "--network", "none", "--log-driver", s.driver}
	for _, o := range slices.Sorted(maps.Keys(s.options)) {
		args = append(args, "--log-opt", o+"="+s.options[o])
	}
	_, err := w.dockerd.Docker(ctx, slices.Concat(args, []string{image}, talker)...)
	return err
}

// run runs one container that writes n lines, or its part of them.
func (w *world) run(ctx context.Context, s setup, n int) (c spent, err error) {
	if s.part > 0 {
		n = max(1, n/s.part)
	}
	c.lines = n
	if err := w.ask(ctx, "reset", nil); err != nil {
		return c, err
	}
	const name = "bench"
	if s.collects {
		if s.plugin, err = w.startCollector(ctx); err != nil {
			return c, err
		}
		defer func() { err = errors.Join(err, s.plugin.end()) }()
	}
	if err := w.create(ctx, s, name, strconv.Itoa(n)); err != nil {
		return c, err
	}
	defer func() {
		_, failed := w.dockerd.Docker(ctx, "rm", "-f", name)
		err = errors.Join(err, failed)
	}()
	before, err := w.used(s)
	if err != nil {
		return c, err
	}
	for _, args := range [][]string{{"start", name}, {"wait", name}} {
		if _, err := w.dockerd.Docker(ctx, args...); err != nil {
			return c, err
		}
	}
	if s.arrives {
		if err := w.arrived(ctx, n); err != nil {
			return c, err
		}
	}
	after, err := w.used(s)
	if err != nil {
		return c, err
	}
	c.daemon, c.plugin, c.disk = after.daemon-before.daemon, after.plugin-before.plugin, after.disk-before.disk
	if c.wall, err = w.ran(ctx, name, s, n); err == nil && s.plugin == w.driver.process {
		err = w.driver.idle(ctx)
	}
	return c, err
}

// used is what the daemon with its containerd, and the plugin, have taken so far.
func (w *world) used(s setup) (u spent, err error) {
	for _, pid := range w.daemon {
		d, err := cpuOf(pid)
		if err != nil {
			return u, err
		}
		u.daemon += d
	}
	pids := w.daemon
	if s.plugin != nil {
		if u.plugin, err = cpuOf(s.plugin.pid()); err != nil {
			return u, err
		}
		pids = append(slices.Clip(pids), s.plugin.pid())
	}
	for _, pid := range pids {
		n, err := writtenBy(pid)
		if err != nil {
			return u, err
		}
		u.disk += n
	}
	return u, nil
}

// ran returns how long the container ran. One that has failed, and a json-file that is not complete, are errors.
func (w *world) ran(ctx context.Context, name string, s setup, n int) (time.Duration, error) {
	r, err := w.dockerd.Docker(ctx, "inspect", name)
	if err != nil {
		return 0, err
	}
	var all []struct {
		State struct {
			ExitCode              int
			StartedAt, FinishedAt time.Time
		}
		LogPath string
	}
	if err := json.Unmarshal([]byte(r.Stdout), &all); err != nil || len(all) != 1 {
		return 0, fmt.Errorf("docker inspect shows %d containers: %w", len(all), err)
	}
	if all[0].State.ExitCode != 0 {
		return 0, fmt.Errorf("the container has ended with status %d", all[0].State.ExitCode)
	}
	if s.driver == jsonFile {
		if got, err := countLines(all[0].LogPath); err != nil || got != n {
			return 0, fmt.Errorf("%d of %d lines are in the log file: %w", got, n, err)
		}
	}
	return all[0].State.FinishedAt.Sub(all[0].State.StartedAt), nil
}

func countLines(path string) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for {
		k, err := f.Read(buf)
		n += bytes.Count(buf[:k], []byte("\n"))
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// contest runs the setups by turns, some times over.
func (w *world) contest(ctx context.Context, r *results) error {
	r.setups = slices.DeleteFunc(w.setups(), func(s setup) bool { return !r.takes(s) })
	r.runs = map[string][]spent{}
	for round := range r.rounds {
		for _, s := range r.setups {
			if s.seldom && round%2 > 0 {
				continue
			}
			c, err := w.run(ctx, s, r.lines)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			c.round = round
			r.runs[s.name] = append(r.runs[s.name], c)
		}
	}
	return nil
}

// spread returns that of one figure of some runs.
func spread(runs []spent, of func(spent) float64) measure.Spread {
	out := make([]float64, len(runs))
	for i, c := range runs {
		out[i] = of(c)
	}
	return measure.SpreadOf(out)
}

// ratio compares the runs of the rounds in which both were run with as many lines. ok is false when there was none.
func ratio(ours, peers []spent, of func(spent) float64) (s measure.Spread, ok bool) {
	var all []float64
	for _, a := range ours {
		if i := slices.IndexFunc(peers, func(b spent) bool { return a.round == b.round && a.lines == b.lines }); i >= 0 {
			all = append(all, of(a)/of(peers[i]))
		}
	}
	if len(all) == 0 {
		return s, false
	}
	return measure.SpreadOf(all), true
}

// Figures of a line. For a whole container the wall time is what counts, of all its lines.
func (c spent) each(d time.Duration) float64 { return micros(d) / float64(c.lines) }
func (c spent) time() float64                { return c.each(c.wall) }
func (c spent) both() float64                { return c.each(c.daemon + c.plugin) }
func (c spent) ours() float64                { return c.each(c.plugin) }
func (c spent) dockerd() float64             { return c.each(c.daemon) }
func (c spent) bytes() float64               { return float64(c.disk) / float64(c.lines) }
func (c spent) whole() float64               { return float64(c.wall) / float64(time.Millisecond) }
