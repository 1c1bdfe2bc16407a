package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// quiet is what many sessions cost that have little to say.
type quiet struct {
	sessions int
	before   int64         // bytes, with none
	anon     int64         // bytes, with all of them idle
	requests float64       // a second, with one line a second from each
	cpu      time.Duration // a second, of the driver
	lastAnon int64         // bytes, at the end of that
	reopened time.Duration // from the driver's start after kill -9 until it has all pipes open
}

// quiet starts many sessions for one router, which have all said something once and then are idle, and afterwards say
// one line a second each for some seconds.
func (w *world) quiet(ctx context.Context, d *driver, e effort) (q quiet, err error) {
	q.sessions = e.sessions
	if q.before, err = anonOf(d.pid()); err != nil {
		return q, err
	}
	if err := w.ask(ctx, "reset", nil); err != nil {
		return q, err
	}
	fifos := make([]*fifo, 0, e.sessions)
	defer func() {
		for _, p := range fifos {
			err = errors.Join(err, p.stop(ctx, d))
		}
		err = errors.Join(err, d.idle(ctx))
	}()
	options := w.ourOptions(target{router: "splunk"})
	for n := range e.sessions {
		p, err := d.begin(ctx, n, options)
		if err != nil {
			return q, err
		}
		fifos = append(fifos, p)
		if err := p.feed(w.lines, 1); err != nil {
			return q, err
		}
	}
	if err := w.arrived(ctx, e.sessions); err != nil {
		return q, err
	}
	// The time that the runtime takes to give memory back is not the sessions'.
	if err := pause(ctx, e.settle); err != nil {
		return q, err
	}
	if q.anon, err = anonOf(d.pid()); err != nil {
		return q, err
	}
	if err = w.talk(ctx, d, &q, fifos, e.seconds); err != nil {
		return q, err
	}
	q.reopened, err = d.reopen(ctx, len(fifos))
	return q, err
}

// talk lets each session say one line a second, evenly spread.
func (w *world) talk(ctx context.Context, d *driver, q *quiet, fifos []*fifo, seconds int) error {
	if err := w.ask(ctx, "reset", nil); err != nil {
		return err
	}
	before, err := cpuOf(d.pid())
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	start, sent, want := time.Now(), 0, len(fifos)*seconds
	var buf []byte
	for sent < want {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for due := int(time.Since(start).Seconds() * float64(len(fifos))); sent < min(due, want); sent++ {
			e := frame.Entry{Source: []byte("stdout"), TimeNano: time.Now().UnixNano(), Line: w.lines[sent%len(w.lines)]}
			buf = frame.AppendFrame(buf[:0], &e)
			if _, err := fifos[sent%len(fifos)].f.Write(buf); err != nil {
				return err
			}
		}
	}
	if err := w.arrived(ctx, want); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	after, err := cpuOf(d.pid())
	if err != nil {
		return err
	}
	c, err := w.counts(ctx)
	if err != nil {
		return err
	}
	q.requests, q.cpu = float64(c.Requests)/took, time.Duration(float64(after-before)/took)
	q.lastAnon, err = anonOf(d.pid())
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	}
}
