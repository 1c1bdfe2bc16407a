package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// destinations is how many there are, of which the last hangs in the second run.
const destinations = 10

// hanging is from the write of a line to its arrival, at the nine destinations that always answer.
type hanging struct {
	sessions  int
	well, ill worst // while the tenth answers, and while it does not
}

// worst are the highest figures of nine destinations.
type worst struct {
	median, p99 time.Duration
	missing     int // lines
}

// hang measures many sessions, a tenth of them for each destination, that say one line a second each.
func (w *world) hang(ctx context.Context, r *results) (err error) {
	h := &r.hanging
	h.sessions = r.sessions
	for _, run := range []struct {
		last string // path of the last destination
		into *worst
	}{{"http", &h.well}, {"hang", &h.ill}} {
		if *run.into, err = w.hangOnce(ctx, r.effort, run.last); err != nil {
			return fmt.Errorf("ten destinations, the last is %s: %w", run.last, err)
		}
	}
	return nil
}

func (w *world) hangOnce(ctx context.Context, e effort, last string) (x worst, err error) {
	d, err := w.startDriver(ctx, w.name+last, w.path("secretref-logdriver"), "")
	if err != nil {
		return x, err
	}
	var fifos []*fifo
	defer func() { // the driver is killed: what the destination that hangs has not taken is not waited for
		for _, p := range fifos {
			err = errors.Join(err, p.f.Close())
		}
		err = errors.Join(err, d.kill(), os.Remove(socketOf(d.name)))
	}()
	if err := w.ask(ctx, "reset", nil); err != nil {
		return x, err
	}
	for n := range e.sessions {
		path := "http/" + strconv.Itoa(n%destinations)
		if n%destinations == destinations-1 {
			path = last + "/9"
		}
		p, err := d.begin(ctx, n, map[string]string{"logDriver": "http", "http-url": w.http(path), "http-format": "raw"})
		if err != nil {
			return x, err
		}
		fifos = append(fifos, p)
	}
	if err := w.say(ctx, fifos, e.seconds); err != nil {
		return x, err
	}
	return w.lateness(ctx, e.sessions*e.seconds)
}

// say writes one line a second to each pipe, evenly spread, with its number and its time.
func (w *world) say(ctx context.Context, fifos []*fifo, seconds int) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	start, want := time.Now(), len(fifos)*seconds
	var buf, line []byte
	for sent := 0; sent < want; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for due := int(time.Since(start).Seconds() * float64(len(fifos))); sent < min(due, want); sent++ {
			now := time.Now().UnixNano()
			line = fmt.Appendf(line[:0], "seq=%09d t=%019d a line of a container", sent, now)
			buf = frame.AppendFrame(buf[:0], &frame.Entry{Source: []byte("stdout"), TimeNano: now, Line: line})
			if _, err := fifos[sent%len(fifos)].f.Write(buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// lateness waits for the lines of nine destinations.
func (w *world) lateness(ctx context.Context, sent int) (x worst, err error) {
	each := sent / destinations
	err = until(ctx, 10*time.Second, "all lines", func() error {
		all, err := w.marks(ctx)
		if err != nil {
			return err
		}
		x = worst{}
		for i := range destinations - 1 {
			m := all[strconv.Itoa(i)]
			x.median, x.p99, x.missing = max(x.median, m.Median), max(x.p99, m.P99), x.missing+each-m.Distinct
		}
		if x.missing > 0 {
			return fmt.Errorf("%d lines are missing", x.missing)
		}
		return nil
	})
	if ctx.Err() == nil && x.median > 0 {
		err = nil // the report says what is missing
	}
	return x, err
}
