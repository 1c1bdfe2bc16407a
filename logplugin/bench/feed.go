package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/frame"
)

// fifo is a log pipe that is opened as the daemon opens it.
type fifo struct {
	path string
	f    *os.File
}

// call makes a call of the daemon.
func (d *driver) call(ctx context.Context, what string, args any) error {
	body := []byte{}
	if args != nil {
		var err error
		if body, err = json.Marshal(args); err != nil {
			return err
		}
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socketOf(d.name))
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://driver/"+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct{ Err string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Err != "" {
		return fmt.Errorf("%s: %s", what, answer.Err)
	}
	return nil
}

// startLogging is the daemon's call, as far as our driver looks at it. StopLogging has the file alone.
type startLogging struct {
	File string
	Info info
}

type info struct {
	ContainerID, ContainerName string
	Config                     map[string]string
}

// begin makes a log pipe and starts a session of the driver for it, as the daemon does for the nth container.
func (d *driver) begin(ctx context.Context, n int, options map[string]string) (*fifo, error) {
	id := strings.Repeat(fmt.Sprintf("%08x", n), 8)
	p := &fifo{path: filepath.Join(d.dir, fmt.Sprintf("fifo-%d", n))}
	if err := unix.Mkfifo(p.path, 0o700); err != nil {
		return nil, err
	}
	var err error
	if p.f, err = os.OpenFile(p.path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	c := info{ContainerID: id, ContainerName: fmt.Sprintf("/bench-%d", n), Config: options}
	return p, d.call(ctx, "LogDriver.StartLogging", startLogging{p.path, c})
}

// stop ends the session, as the daemon does: StopLogging, and then the end of the pipe.
func (p *fifo) stop(ctx context.Context, d *driver) error {
	err := d.call(ctx, "LogDriver.StopLogging", startLogging{File: p.path})
	err = errors.Join(err, p.f.Close())
	p.f = nil
	return err
}

// feed writes n lines as fast as they are taken, each with a write of its own as the daemon does.
func (p *fifo) feed(lines [][]byte, n int) error {
	var buf []byte
	e := frame.Entry{Source: []byte("stdout")}
	for i := range n {
		e.Line, e.TimeNano = lines[i%len(lines)], time.Now().UnixNano()
		buf = frame.AppendFrame(buf[:0], &e)
		if _, err := p.f.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// alone is what our driver takes for one line.
type alone struct{ cpu, allocs float64 } // microseconds; how often memory was allocated

// fed measures a driver alone, with n lines of one session after its first.
func (w *world) fed(ctx context.Context, d *driver, number, n int, t target, forgets bool) (a alone, err error) {
	if err := w.ask(ctx, "reset", nil); err != nil {
		return a, err
	}
	options := w.ourOptions(t)
	if forgets {
		options["cache-disabled"] = "true"
	}
	p, err := d.begin(ctx, number, options)
	if err != nil {
		return a, err
	}
	defer func() {
		if p.f != nil { // something has failed
			err = errors.Join(err, p.stop(ctx, d))
		}
	}()
	// The first line makes the connection, and has what AWS was asked for.
	if err := errors.Join(p.feed(w.lines, 1), w.arrived(ctx, 1)); err != nil {
		return a, err
	}
	earlier, err := d.mallocs(ctx)
	if err != nil {
		return a, err
	}
	start, err := d.mallocs(ctx)
	if err != nil {
		return a, err
	}
	before, err := cpuOf(d.pid())
	if err == nil {
		err = p.feed(w.lines, n)
	}
	if err = errors.Join(err, p.stop(ctx, d)); err != nil {
		return a, err
	}
	if err := w.arrived(ctx, 1+n); err != nil {
		return a, err
	}
	after, err := cpuOf(d.pid())
	if err != nil {
		return a, err
	}
	end, err := d.mallocs(ctx)
	asking := start - earlier // what the metrics themselves take
	a = alone{micros(after-before) / float64(n), max(0, end-start-asking) / float64(n)}
	return a, errors.Join(err, d.idle(ctx))
}

// fedAll feeds a session of each target to each driver by turns, some times over.
func (w *world) fedAll(ctx context.Context, r *results) error {
	all := map[fedBy][]alone{}
	for round := range r.feedings {
		for i, t := range targets {
			if t.way == intoVictoriaLogs || !r.alone.MatchString(t.String()) {
				continue
			}
			for _, d := range w.drivers() {
				by := fedBy{d, t}
				a, err := w.fed(ctx, d, round*len(targets)+i, r.effort.fed, t, r.forgets)
				if err != nil {
					return fmt.Errorf("%v: %w", t, err)
				}
				all[by] = append(all[by], a)
			}
		}
	}
	if r.fed = byTarget(all, w.driver); w.other != nil {
		r.other = byTarget(all, w.other)
	}
	return nil
}

// fedBy is a driver and where it has sent lines.
type fedBy struct {
	*driver
	target
}

func byTarget(all map[fedBy][]alone, d *driver) map[target][]alone {
	of := map[target][]alone{}
	for by, a := range all {
		if by.driver == d {
			of[by.target] = a
		}
	}
	return of
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func splitLines(text string) [][]byte {
	return bytes.Split(bytes.TrimSuffix([]byte(text), []byte("\n")), []byte("\n"))
}
