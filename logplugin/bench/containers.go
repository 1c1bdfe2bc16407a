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
	name    string
	driver  string            // of docker run
	options map[string]string // nil = none
	logs    bool              // `docker logs` works: out of our history, or of the daemon's cache for other drivers
	plugin  *process          // that takes the log; nil = the daemon does that itself
	arrives bool              // at the receiver
}

// spent is what one container has taken.
type spent struct {
	wall           time.Duration // from its start to its end, by the daemon's clock
	daemon, plugin time.Duration // CPU time until the last line was where it belongs
}

// Names of setups, or the beginning or the end of one. The first two are also those of the drivers.
const (
	none         = "none"
	jsonFile     = "json-file"
	discarding   = "a plugin that discards"
	withLogs     = ", docker logs"
	dockersOwn   = "Docker's "
	secretrefFor = "secretref, "
)

// setups returns all ways that are compared. With gzip what `docker logs` reads costs what it costs without, and is left out.
func (w *world) setups() []setup {
	all := []setup{
		{name: none, driver: none},
		{name: jsonFile, driver: jsonFile},
		{name: discarding, driver: w.name + "discard", plugin: w.discard},
		{name: discarding + withLogs, driver: w.name + "discard", plugin: w.discard, logs: true},
	}
	for _, t := range targets {
		if !t.contained() {
			continue
		}
		both := []setup{{name: secretrefFor + t.String(), driver: w.name, options: w.ourOptions(t), plugin: w.driver.process, arrives: true}}
		if t.docker() {
			both = append(both, setup{name: dockersOwn + t.String(), driver: t.router, options: w.dockerOptions(t), arrives: true})
		}
		for _, s := range both {
			all = append(all, s)
			if t.encoding == "" {
				s.name, s.logs = s.name+withLogs, true
				all = append(all, s)
			}
		}
	}
	return all
}

// run runs one container that writes n lines.
func (w *world) run(ctx context.Context, s setup, n int) (c spent, err error) {
	if err := w.ask(ctx, "reset", nil); err != nil {
		return c, err
	}
	const name = "bench"
	args := []string{"create", "--name", name, "--network", "none", "--log-driver", s.driver}
	for _, o := range slices.Sorted(maps.Keys(s.options)) {
		args = append(args, "--log-opt", o+"="+s.options[o])
	}
	if !s.logs && s.driver != none && s.driver != jsonFile {
		args = append(args, "--log-opt", "cache-disabled=true")
	}
	if _, err := w.dockerd.Docker(ctx, append(args, image, strconv.Itoa(n))...); err != nil {
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
	c.daemon, c.plugin = after.daemon-before.daemon, after.plugin-before.plugin
	if c.wall, err = w.ran(ctx, name, s, n); err == nil && s.plugin == w.driver.process {
		err = w.driver.idle(ctx)
	}
	return c, err
}

// used is the CPU time so far of the daemon with its containerd, and of the plugin.
func (w *world) used(s setup) (u spent, err error) {
	for _, pid := range w.daemon {
		d, err := cpuOf(pid)
		if err != nil {
			return u, err
		}
		u.daemon += d
	}
	if s.plugin != nil {
		u.plugin, err = cpuOf(s.plugin.pid())
	}
	return u, err
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

// contest runs all setups by turns, some times over.
func (w *world) contest(ctx context.Context, setups []setup, lines, rounds int) (map[string][]spent, error) {
	all := map[string][]spent{}
	for range rounds {
		for _, s := range setups {
			c, err := w.run(ctx, s, lines)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			all[s.name] = append(all[s.name], c)
		}
	}
	return all, nil
}

// median returns that of one figure of some runs.
func median(runs []spent, of func(spent) time.Duration) time.Duration {
	return time.Duration(measure.SpreadOf(numbers(runs, of)).Median)
}

func numbers(runs []spent, of func(spent) time.Duration) []float64 {
	out := make([]float64, len(runs))
	for i, c := range runs {
		out[i] = float64(of(c))
	}
	return out
}

// ratio compares the runs of one round each.
func ratio(ours, peers []spent, of func(spent) time.Duration) measure.Spread {
	a, b := numbers(ours, of), numbers(peers, of)
	for i := range a {
		a[i] /= b[i]
	}
	return measure.SpreadOf(a)
}

func (c spent) time() time.Duration { return c.wall }
func (c spent) both() time.Duration { return c.daemon + c.plugin }
