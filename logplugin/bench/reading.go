package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/measure"
)

// readers are the setups whose `docker logs` is measured.
func (w *world) readers() []setup {
	return []setup{
		{name: jsonFile, driver: jsonFile},
		{name: secretrefFor + "splunk", driver: w.name, options: w.ourOptions(target{router: "splunk"}), plugin: w.driver.process, arrives: true},
		{name: prepared, driver: w.name + "prepared", plugin: w.prepared},
	}
}

// reading measures `docker logs` of containers that have written all lines and ended, by turns, and `docker logs -f`. The files were just
// written and lie in memory; they are synced first, so that no disk decides.
func (w *world) reading(ctx context.Context, r *results) (err error) {
	r.reading = map[string][]float64{}
	defer func() {
		for _, s := range w.readers() {
			_, failed := w.dockerd.Docker(ctx, "rm", "-f", s.reading())
			err = errors.Join(err, failed)
		}
	}()
	for _, s := range w.readers() {
		if err := w.written(ctx, s, s.reading(), r.lines); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	unix.Sync()
	for round := range r.rounds + 1 { // the first is not counted
		for _, s := range w.readers() {
			ms, lines, err := w.readLogs(ctx, s.reading())
			if err == nil && lines != r.lines {
				err = fmt.Errorf("%d of %d lines", lines, r.lines)
			}
			if err != nil {
				return fmt.Errorf("docker logs, %s: %w", s.name, err)
			}
			if round > 0 {
				r.reading[s.name] = append(r.reading[s.name], ms)
			}
		}
	}
	return w.followAll(ctx, r)
}

// reading is the name of the container whose log is read.
func (s setup) reading() string { return "reading-" + s.driver }

// written runs a container to its end, and waits until the log driver has its lines.
func (w *world) written(ctx context.Context, s setup, name string, n int) error {
	if err := w.ask(ctx, "reset", nil); err != nil {
		return err
	}
	if err := w.create(ctx, s, name, strconv.Itoa(n)); err != nil {
		return err
	}
	for _, args := range [][]string{{"start", name}, {"wait", name}} {
		if _, err := w.dockerd.Docker(ctx, args...); err != nil {
			return err
		}
	}
	if s.arrives {
		if err := w.arrived(ctx, n); err != nil {
			return err
		}
		return w.driver.idle(ctx)
	}
	return until(ctx, 30*time.Second, "docker logs", func() error {
		_, lines, err := w.readLogs(ctx, name)
		if err == nil && lines != n {
			err = fmt.Errorf("%d of %d lines", lines, n)
		}
		return err
	})
}

// docker makes a call of the CLI whose output is read while it runs.
func (w *world) docker(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/usr/bin/docker", args...)
	cmd.Env = w.dockerd.Env()
	return cmd
}

// readLogs returns how long `docker logs` takes, and how many lines it shows.
func (w *world) readLogs(ctx context.Context, name string) (ms float64, lines int, err error) {
	cmd := w.docker(ctx, "logs", name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	buf := make([]byte, 64<<10)
	for {
		k, failed := out.Read(buf)
		lines += bytes.Count(buf[:k], []byte("\n"))
		if failed != nil {
			if !errors.Is(failed, io.EOF) {
				err = failed
			}
			break
		}
	}
	err = errors.Join(err, cmd.Wait())
	return float64(time.Since(start)) / float64(time.Millisecond), lines, err
}

// followed is from a line's time to its first byte out of `docker logs -f`, in milliseconds.
type followed struct{ median, p99 float64 }

// follow measures `docker logs -f` of a container that writes twenty lines a second.
func (w *world) follow(ctx context.Context, s setup, seconds int) (f followed, err error) {
	const name, rate = "followed", 20
	n := seconds * rate
	if err := w.create(ctx, s, name, strconv.Itoa(n), "100", strconv.Itoa(rate)); err != nil {
		return f, err
	}
	defer func() {
		_, failed := w.dockerd.Docker(ctx, "rm", "-f", name)
		err = errors.Join(err, failed)
	}()
	if _, err := w.dockerd.Docker(ctx, "start", name); err != nil {
		return f, err
	}
	cmd := w.docker(ctx, "logs", "-f", "--tail", "0", name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return f, err
	}
	if err := cmd.Start(); err != nil {
		return f, err
	}
	var late []float64
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		now := time.Now()
		var number int
		var nano int64
		if _, err := fmt.Sscanf(lines.Text(), "seq=%d t=%d", &number, &nano); err != nil {
			return f, errors.Join(err, cmd.Cancel(), cmd.Wait())
		}
		late = append(late, float64(now.Sub(time.Unix(0, nano)))/float64(time.Millisecond))
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return f, err
	}
	if len(late) < n/2 {
		return f, fmt.Errorf("docker logs -f shows %d of %d lines", len(late), n)
	}
	slices.Sort(late)
	return followed{measure.SpreadOf(late).Median, late[(len(late)-1)*99/100]}, nil
}

// followAll measures each way but that of the plugin which can show nothing before the end.
func (w *world) followAll(ctx context.Context, r *results) error {
	r.followed = map[string]followed{}
	for _, s := range w.readers()[:2] {
		f, err := w.follow(ctx, s, r.seconds)
		if err != nil {
			return fmt.Errorf("docker logs -f, %s: %w", s.name, err)
		}
		r.followed[s.name] = f
	}
	return nil
}
