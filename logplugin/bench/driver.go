package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/shared/rig"
)

// driver is a log driver that runs: ours, or another version of it.
type driver struct {
	*process
	name string // of its socket
	dir  string // of its state and its log pipes
	run  func() (*process, error)
}

// startDriver starts a log driver with more lines for [logs].
func (w *world) startDriver(ctx context.Context, name, program, more string) (*driver, error) {
	d := &driver{name: name, dir: w.path(name)}
	config := "[aws]\nregion = \"" + region + "\"\n[logs]\nstate_dir = \"" + d.state() + "\"\nallow_references = [\"*\"]\n" + more
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(d.dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	d.run = func() (*process, error) {
		return start(w.path(name+".log"), rig.Env(w.dir, w.aws.Environ()...), program, "serve", "--socket", socketOf(name), "--config", file)
	}
	var err error
	if d.process, err = d.run(); err != nil {
		return nil, err
	}
	err = until(ctx, 10*time.Second, "the log driver", func() error { return d.call(ctx, "Plugin.Activate", nil) })
	return d, err
}

func (d *driver) state() string { return filepath.Join(d.dir, "state") }

// reopen kills the driver and starts it again. It returns how long that takes to open so many log pipes.
func (d *driver) reopen(ctx context.Context, pipes int) (took time.Duration, err error) {
	if err := d.kill(); err != nil {
		return 0, err
	}
	began := time.Now()
	if d.process, err = d.run(); err != nil {
		return 0, err
	}
	err = until(ctx, 30*time.Second, "the log pipes", func() error {
		took = time.Since(began)
		if n := d.openPipes(); n < pipes {
			return fmt.Errorf("%d of %d are open", n, pipes)
		}
		return nil
	})
	return took, err
}

func (d *driver) kill() error {
	if err := d.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = d.cmd.Wait() // it was killed
	return nil
}

// openPipes counts the log pipes that the driver has open.
func (d *driver) openPipes() (n int) {
	dir := fmt.Sprintf("/proc/%d/fd", d.pid())
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(target, filepath.Join(d.dir, "fifo-")) {
			n++
		}
	}
	return n
}

// idle waits until the driver has no session: then it has nothing to do.
func (d *driver) idle(ctx context.Context) error {
	return until(ctx, 30*time.Second, "the sessions' end", func() error {
		r, err := control.NewClient(d.state()).Report(ctx)
		if err == nil && len(r.Sessions) > 0 {
			err = fmt.Errorf("%d sessions are left", len(r.Sessions))
		}
		return err
	})
}

// mallocs is how often the driver has allocated memory so far, by its own metrics.
func (d *driver) mallocs(ctx context.Context) (float64, error) {
	const name = "go_memstats_mallocs_total"
	sum, found, err := d.metric(ctx, name, "")
	if err == nil && !found {
		err = fmt.Errorf("the driver's metrics have no %s", name)
	}
	return sum, err
}

// dropped is how many lines the driver has dropped so far because a spool was full.
func (d *driver) dropped(ctx context.Context) (int, error) {
	sum, _, err := d.metric(ctx, "secretref_log_lines_total", `outcome="dropped"`)
	return int(sum), err
}

// metric returns the sum of the driver's own metrics of a name that have a label; "" means any.
func (d *driver) metric(ctx context.Context, name, label string) (sum float64, found bool, err error) {
	text, err := control.NewClient(d.state()).Metrics(ctx)
	if err != nil {
		return 0, false, err
	}
	return sumOf(text, name, label)
}

// sumOf is metric for the text of all metrics.
func sumOf(text, name, label string) (sum float64, found bool, err error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || !strings.ContainsAny(rest[:1], " {") || !strings.Contains(rest, label) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, " ")+1:]), 64)
		if err != nil {
			return 0, false, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+value, true
	}
	return sum, found, nil
}
