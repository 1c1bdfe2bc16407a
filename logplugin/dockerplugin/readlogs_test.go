package dockerplugin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/readlogs"
)

// fakeLogs is Logs, and its Answer.
type fakeLogs struct {
	open  func(q readlogs.Query) error
	write func(ctx context.Context, w readlogs.Writer) error
}

func (f *fakeLogs) ReadLogs(_ context.Context, _ Info, q readlogs.Query) (Answer, error) {
	if f.open != nil {
		if err := f.open(q); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *fakeLogs) WriteTo(ctx context.Context, w readlogs.Writer) error { return f.write(ctx, w) }
func (f *fakeLogs) Close()                                               {}

const readBody = `{"Info":{"ContainerID":"0123456789abcdef","ContainerEnv":["TOKEN=` + canary + `"]},` +
	`"Config":{"Since":"2026-01-02T03:04:05.000000006Z","Until":"0001-01-01T00:00:00Z","Tail":-1,"Follow":true}}`

// read begins a ReadLogs.
func (d *daemon) read(t *testing.T, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://plugin/LogDriver.ReadLogs", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	w, err := d.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Body.Close() })
	return w
}

// The daemon takes what comes with status 200 for frames, and their first bytes for a length of up to 4 GiB.
func TestReadLogsErrorsHaveAnotherStatus(t *testing.T) {
	panics := &fakeLogs{open: func(readlogs.Query) error { panic(canary) }}
	fails := &fakeLogs{open: func(readlogs.Query) error { return errors.New("the disk is away") }}
	for _, row := range []struct {
		name string
		logs Logs
		body string
		want string
	}{
		{"error", fails, readBody, "secretref: the disk is away"},
		{"panic", panics, readBody, "internal error"},
		{"garbage", fails, "<html>", "is not the JSON"},
		{"no body", fails, "", "without the body"},
		{"no container", fails, "{}", "names no container"},
		{"nobody answers", nil, readBody, "there is no call"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := serve(t, &fake{}, Options{Logs: row.logs})
			w := d.read(t, row.body) //nolint:bodyclose // read closes it
			b, err := io.ReadAll(w.Body)
			if w.StatusCode != http.StatusInternalServerError || err != nil || !strings.Contains(string(b), row.want) {
				t.Errorf("status %d, body %q, %v; want 500 and %q", w.StatusCode, b, err, row.want)
			}
			if strings.Contains(d.log.String()+string(b), canary) {
				t.Errorf("the environment, or what was thrown, is in the log or the answer: %s %s", d.log, b)
			}
		})
	}
}

func TestReadLogsStreams(t *testing.T) {
	more, asked := make(chan string), make(chan readlogs.Query, 1)
	d := serve(t, &fake{}, Options{Logs: &fakeLogs{
		open: func(q readlogs.Query) error { asked <- q; return nil },
		write: func(_ context.Context, w readlogs.Writer) error {
			for text := range more {
				if _, err := io.WriteString(w, text); err != nil {
					return err
				}
				if err := w.Flush(); err != nil {
					return err
				}
			}
			return nil
		},
	}})
	w := d.read(t, readBody)           //nolint:bodyclose // read closes it
	if w.StatusCode != http.StatusOK { // it has come before any byte
		t.Fatalf("status %d", w.StatusCode)
	}
	if q := <-asked; q.Since.UnixNano() != 1767323045000000006 || !q.Until.IsZero() || q.Tail != -1 || !q.Follow {
		t.Errorf("asked for %+v", q)
	}
	in := bufio.NewReader(w.Body)
	for _, text := range []string{"one\n", "two\n"} {
		more <- text
		if got, err := in.ReadString('\n'); got != text || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
	}
	close(more)
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("the end is %q, %v", rest, err)
	}
}

// An answer that breaks off must not look like one that has come to its end.
func TestReadLogsIsCut(t *testing.T) {
	for name, end := range map[string]func() error{
		"error": func() error { return errors.New("the disk is away") },
		"panic": func() error { panic("x") },
	} {
		d := serve(t, &fake{}, Options{Logs: &fakeLogs{write: func(_ context.Context, w readlogs.Writer) error {
			_, _ = io.WriteString(w, "one\n")
			_ = w.Flush()
			return end()
		}}})
		b, err := io.ReadAll(d.read(t, readBody).Body) //nolint:bodyclose // read closes it
		if string(b) != "one\n" || err == nil {
			t.Errorf("%s: got %q, %v, want one line and an error", name, b, err)
		}
		if !strings.Contains(d.log.String(), "docker logs was cut") {
			t.Errorf("%s: the log does not say so: %s", name, d.log)
		}
	}
}

// Those who follow a log end before all else, also one whose client reads nothing.
func TestReadLogsEndsAtShutdown(t *testing.T) {
	started := make(chan struct{}, 2)
	d := serve(t, &fake{}, Options{Logs: &fakeLogs{write: func(ctx context.Context, w readlogs.Writer) error {
		started <- struct{}{}
		big := make([]byte, 1<<20)
		for ctx.Err() == nil {
			if _, err := w.Write(big); err != nil { // until the client, which reads nothing, holds it up
				return err
			}
		}
		return context.Cause(ctx)
	}}})
	for range 2 {
		_ = d.read(t, readBody) //nolint:bodyclose // read closes it
		<-started
	}
	if err := d.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// What reads logs takes no place from the calls that containers wait for, and the number of readers has a bound.
func TestReadLogsPlaces(t *testing.T) {
	d := serve(t, &fake{}, Options{Connections: 1, Readers: 2, ReadLogs: true, Logs: &fakeLogs{
		write: func(ctx context.Context, _ readlogs.Writer) error { <-ctx.Done(); return context.Cause(ctx) },
	}})
	first := d.read(t, readBody)
	d.read(t, readBody) //nolint:bodyclose // read closes it
	if got := d.call(t, "LogDriver.Capabilities", ""); got != `{"Cap":{"ReadLogs":true},"Err":""}` {
		t.Errorf("capabilities: %s", got)
	}
	w := d.read(t, readBody) //nolint:bodyclose // read closes it
	b, err := io.ReadAll(w.Body)
	if w.StatusCode == http.StatusOK || err != nil || !strings.Contains(string(b), "too many docker logs") {
		t.Errorf("the third has status %d, body %q, %v; want a refusal", w.StatusCode, b, err)
	}
	_ = first.Body.Close()
	for {
		if w := d.read(t, readBody); w.StatusCode == http.StatusOK { //nolint:bodyclose // read closes it
			return // the place of the first is free
		}
	}
}
