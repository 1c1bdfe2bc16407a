package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Sizes of lines in bytes, and rates in lines a second.
var (
	sizes = []int{100, 512, 1 << 10, 5 << 10, 10 << 10}
	rates = []int{100, 1000, 10_000}
)

// paced is what a container costs that writes lines of one size at one rate.
type paced struct {
	name       string // of the setup
	size, rate int
	core       float64 // part of a core that daemon and plugin take
	plugin     float64 // part of a core that the plugin takes
	anon       int64   // bytes of memory of the plugin
	wire       float64 // bytes of connections to the receiver, for one line
	marks      marks
	lost       int // lines that have not arrived
	dropped    int // of them, because the spool was full
}

// missing says how many lines have not arrived, and why, as far as it is known.
func (p paced) missing() string {
	if p.dropped == 0 {
		return strconv.Itoa(p.lost)
	}
	return fmt.Sprintf("%d, of which %d were dropped: the spool was full", p.lost, p.dropped)
}

// pacers are the setups that are compared.
func (w *world) pacers() []setup {
	into := target{router: "splunk", way: intoVictoriaLogs}
	return []setup{
		{name: secretrefFor + into.String(), driver: w.name, options: w.ourOptions(into), plugin: w.driver.process},
		{name: collected, driver: jsonFile, collects: true},
	}
}

// paceAll measures every size at every rate.
func (w *world) paceAll(ctx context.Context, r *results) error {
	for _, size := range sizes {
		for _, rate := range rates {
			for _, s := range w.pacers() {
				if !r.takes(s) || !r.paces.MatchString(fmt.Sprintf("%d/%d", size, rate)) {
					continue
				}
				p, err := w.pace(ctx, s, size, rate, r.window)
				if err != nil {
					return fmt.Errorf("%s, %d bytes, %d lines a second: %w", s.name, size, rate, err)
				}
				r.paced = append(r.paced, p)
			}
		}
	}
	return nil
}

// pace runs one container, and looks at what is taken in a window that begins a second after its start.
func (w *world) pace(ctx context.Context, s setup, size, rate int, window time.Duration) (p paced, err error) {
	const name, before, after = "paced", time.Second, 500 * time.Millisecond
	n := int(float64(rate) * (before + window + after).Seconds())
	if err := w.ask(ctx, "reset", nil); err != nil {
		return p, err
	}
	droppedBefore, err := w.driver.dropped(ctx)
	if err != nil {
		return p, err
	}
	if s.collects {
		if s.plugin, err = w.startCollector(ctx); err != nil {
			return p, err
		}
		defer func() { err = errors.Join(err, s.plugin.end()) }()
	}
	if err := w.create(ctx, s, name, strconv.Itoa(n), strconv.Itoa(size), strconv.Itoa(rate)); err != nil {
		return p, err
	}
	defer func() {
		_, failed := w.dockerd.Docker(ctx, "rm", "-f", name)
		err = errors.Join(err, failed)
	}()
	p = paced{name: s.name, size: size, rate: rate}
	if _, err := w.dockerd.Docker(ctx, "start", name); err != nil {
		return p, err
	}
	if err := w.watch(ctx, s, before, window, &p); err != nil {
		return p, err
	}
	if _, err := w.dockerd.Docker(ctx, "wait", name); err != nil {
		return p, err
	}
	if err := w.collect(ctx, n, &p); err != nil || s.collects {
		return p, err
	}
	if err := w.driver.idle(ctx); err != nil { // then no line is under way any more
		return p, err
	}
	if err := w.received(ctx, n, &p); err != nil {
		return p, err
	}
	dropped, err := w.driver.dropped(ctx)
	p.dropped = dropped - droppedBefore
	return p, err
}

func (w *world) watch(ctx context.Context, s setup, before, window time.Duration, p *paced) error {
	if err := pause(ctx, before); err != nil {
		return err
	}
	began := time.Now()
	start, err := w.used(s)
	if err != nil {
		return err
	}
	if err := pause(ctx, window); err != nil {
		return err
	}
	end, err := w.used(s)
	if err != nil {
		return err
	}
	took := float64(time.Since(began))
	daemon, plugin := float64(end.daemon-start.daemon), float64(end.plugin-start.plugin)
	p.core, p.plugin = (daemon+plugin)/took, plugin/took
	p.anon, err = anonOf(s.plugin.pid())
	return err
}

// collect waits until all lines have arrived, or until it is clear that some do not.
func (w *world) collect(ctx context.Context, n int, p *paced) error {
	const patience = 10 * time.Second
	err := until(ctx, patience, "all lines", func() error {
		err := w.received(ctx, n, p)
		if err == nil && p.lost > 0 {
			err = fmt.Errorf("%d of %d lines have arrived", p.marks.Distinct, n)
		}
		return err
	})
	if err != nil && (ctx.Err() != nil || p.marks.Distinct == 0) {
		return err
	}
	return nil
}

// received notes what has arrived of n lines.
func (w *world) received(ctx context.Context, n int, p *paced) error {
	all, err := w.marks(ctx)
	if err != nil {
		return err
	}
	c, err := w.counts(ctx)
	p.marks = all[""]
	p.lost, p.wire = n-p.marks.Distinct, float64(c.Wire)/float64(n)
	return err
}
