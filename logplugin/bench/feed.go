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
func (w *world) call(ctx context.Context, what string, args any) error {
	body := []byte{}
	if args != nil {
		var err error
		if body, err = json.Marshal(args); err != nil {
			return err
		}
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", w.socket(w.name))
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

// begin makes a log pipe and starts a session of our driver for it, as the daemon does for the nth container.
func (w *world) begin(ctx context.Context, n int, options map[string]string) (*fifo, error) {
	id := strings.Repeat(fmt.Sprintf("%08x", n), 8)
	p := &fifo{path: w.path(fmt.Sprintf("fifo-%d", n))}
	if err := unix.Mkfifo(p.path, 0o700); err != nil {
		return nil, err
	}
	var err error
	if p.f, err = os.OpenFile(p.path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	c := info{ContainerID: id, ContainerName: fmt.Sprintf("/bench-%d", n), Config: options}
	return p, w.call(ctx, "LogDriver.StartLogging", startLogging{p.path, c})
}

// stop ends the session, as the daemon does: StopLogging, and then the end of the pipe.
func (p *fifo) stop(ctx context.Context, w *world) error {
	err := w.call(ctx, "LogDriver.StopLogging", startLogging{File: p.path})
	return errors.Join(err, p.f.Close())
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

// fed measures our driver alone, with n lines of one session.
func (w *world) fed(ctx context.Context, number, n int, t target) (a alone, err error) {
	if err := w.ask(ctx, "reset", nil); err != nil {
		return a, err
	}
	allocsBefore, err := w.mallocs(ctx)
	if err != nil {
		return a, err
	}
	p, err := w.begin(ctx, number, w.ourOptions(t))
	if err != nil {
		return a, err
	}
	before, err := cpuOf(w.driver.pid())
	if err == nil {
		err = p.feed(w.lines, n)
	}
	if err = errors.Join(err, p.stop(ctx, w)); err != nil {
		return a, err
	}
	if err := w.arrived(ctx, n); err != nil {
		return a, err
	}
	after, err := cpuOf(w.driver.pid())
	if err != nil {
		return a, err
	}
	allocs, err := w.mallocs(ctx)
	a = alone{micros(after-before) / float64(n), (allocs - allocsBefore) / float64(n)}
	return a, errors.Join(err, w.idle(ctx))
}

// fedAll feeds a session of each target by turns, some times over.
func (w *world) fedAll(ctx context.Context, lines, rounds int) (map[target][]alone, error) {
	all := map[target][]alone{}
	for r := range rounds {
		for i, t := range targets {
			a, err := w.fed(ctx, r*len(targets)+i, lines, t)
			if err != nil {
				return nil, fmt.Errorf("pipes, %v: %w", t, err)
			}
			all[t] = append(all[t], a)
		}
	}
	return all, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func splitLines(text string) [][]byte {
	return bytes.Split(bytes.TrimSuffix([]byte(text), []byte("\n")), []byte("\n"))
}
