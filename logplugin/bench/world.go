package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

const (
	region = "eu-west-1"
	token  = "correct-horse-battery-staple"
	image  = "talker"
)

// world is a machine with a daemon, the log drivers that are plugins, receivers and AWS. All but AWS, which is asked
// once for each session, are processes of their own (many fields, reason: each is one of these parts).
type world struct {
	dir      string
	name     string // of our driver, and the beginning of the other's
	aws      *fakeaws.Server
	arn      string
	receiver *process
	address  map[string]string // of the receiver, by what listens there
	driver   *driver
	other    *driver // nil = none is measured beside it
	victoria *rig.VictoriaLogs
	discard  *process
	prepared *process     // see testdata/discard
	dockerd  *rig.Dockerd // nil = no containers are run
	daemon   []int        // its process and that of its containerd
	lines    [][]byte     // what talker writes
	client   http.Client
}

func newWorld(ctx context.Context, e effort) (w *world, err error) {
	w = &world{name: fmt.Sprintf("srbench%d", os.Getpid()), client: http.Client{Timeout: 10 * time.Second}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if e.collects() { // a missing program is named before minutes have passed
		if _, err := rig.Tool(collector); err != nil {
			return w, fmt.Errorf("%w bench", err)
		}
	}
	if w.dir, err = os.MkdirTemp("", "sr-bench-"); err != nil {
		return w, err
	}
	for _, pkg := range []string{"./logplugin/cmd/secretref-logdriver", "./logplugin/bench/testdata/talker",
		"./logplugin/bench/testdata/discard", "./logplugin/bench/testdata/receiver"} {
		if _, err := rig.Build(ctx, w.dir+"/", pkg); err != nil {
			return w, err
		}
	}
	if w.aws, err = fakeaws.Start(fakeaws.Options{Region: region}); err != nil {
		return w, err
	}
	w.arn = w.aws.PutSecret(fakeaws.Secret{Name: "prod/splunk", String: `{"token":"` + token + `"}`})
	if w.victoria, err = rig.StartVictoriaLogs(ctx, rig.VictoriaLogsOptions{}); err != nil {
		return w, err
	}
	if err := w.startReceiver(); err != nil {
		return w, err
	}
	// The authority of the receiver lies in the directory of the measurement. An older version reads it without being allowed to.
	if w.driver, err = w.startDriver(ctx, w.name, w.path("secretref-logdriver"), "allow_files = [\""+w.dir+"\"]\n"); err != nil {
		return w, err
	}
	if e.against != "" {
		if w.other, err = w.startDriver(ctx, w.name+"other", e.against, ""); err != nil {
			return w, err
		}
	}
	if err := w.readLines(ctx); err != nil || !e.runsContainers() {
		return w, err
	}
	err = w.startDaemon(ctx)
	return w, err
}

// startDaemon starts what containers need.
func (w *world) startDaemon(ctx context.Context) (err error) {
	if w.discard, err = start(w.path("discard.log"), nil, w.path("discard"), socketOf(w.name+"discard")); err != nil {
		return err
	}
	if w.prepared, err = start(w.path("prepared.log"), nil, w.path("discard"), socketOf(w.name+"prepared"), "keep"); err != nil {
		return err
	}
	if w.dockerd, err = rig.StartDockerd(ctx, rig.DockerdOptions{}); err != nil {
		return err
	}
	w.daemon = append(children(w.dockerd.PID()), w.dockerd.PID())
	// Docker's awslogs finds credentials in the daemon's home.
	aws := filepath.Join(w.dockerd.Dir(), ".aws")
	if err := os.Mkdir(aws, 0o700); err != nil {
		return err
	}
	const credentials = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = none\n"
	if err := os.WriteFile(filepath.Join(aws, "credentials"), []byte(credentials), 0o600); err != nil {
		return err
	}
	return w.dockerd.Import(ctx, image, w.path("talker"))
}

// drivers are ours and, if there is one, the other.
func (w *world) drivers() []*driver {
	if w.other == nil {
		return []*driver{w.driver}
	}
	return []*driver{w.driver, w.other}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func socketOf(name string) string { return "/run/docker/plugins/" + name + ".sock" }

func (w *world) startReceiver() error {
	ca, err := rig.NewCA()
	if err != nil {
		return err
	}
	cert, key, err := ca.Issue("127.0.0.1")
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{"ca.pem": ca.PEM(), "cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(w.path(name), b, 0o600); err != nil {
			return err
		}
	}
	if w.receiver, err = start(w.path("receiver.log"), nil, w.path("receiver"), w.path("cert.pem"), w.path("key.pem"), w.victoria.URL()); err != nil {
		return err
	}
	return json.NewDecoder(w.receiver.out).Decode(&w.address)
}

// readLines takes the lines for fed FIFOs from the program that containers run.
func (w *world) readLines(ctx context.Context) error {
	r, err := rig.Cmd{Args: []string{w.path("talker"), "5000"}}.Run(ctx)
	if err != nil {
		return err
	}
	w.lines = splitLines(r.Stdout)
	return nil
}

// counts is what the receiver has got since the last reset.
type counts struct {
	Lines, Requests, Bytes int
	Wire                   int64 // bytes of connections, with what is around the bodies
}

func (w *world) counts(ctx context.Context) (c counts, err error) {
	err = w.ask(ctx, "counts", &c)
	return c, err
}

func (w *world) ask(ctx context.Context, what string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address["hec"]+"/bench/"+what, nil)
	if err != nil {
		return err
	}
	res, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if into == nil || res.StatusCode != http.StatusOK {
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("the receiver answers %s", res.Status)
		}
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// marks are the numbers and times of lines that the receiver has read in them.
type marks struct {
	Distinct, Duplicates int
	Median, P99, Max     time.Duration // from the line's time to its arrival
}

// marks returns those of each receiver: "" is the usual one.
func (w *world) marks(ctx context.Context) (all map[string]marks, err error) {
	err = w.ask(ctx, "marks", &all)
	return all, err
}

// arrived waits until the receiver has all lines. More than there were is an error: then something is not what it
// seems.
func (w *world) arrived(ctx context.Context, lines int) error {
	var c counts
	err := until(ctx, 30*time.Second, "all lines", func() (err error) {
		if c, err = w.counts(ctx); err == nil && c.Lines < lines {
			err = fmt.Errorf("%d of %d lines have arrived", c.Lines, lines)
		}
		return err
	})
	if err == nil && c.Lines > lines {
		err = fmt.Errorf("%d lines have arrived, and only %d were sent", c.Lines, lines)
	}
	return err
}

// until polls what until it says nil.
func until(ctx context.Context, limit time.Duration, what string, poll func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := poll()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: not in time: %w", what, err)
		}
	}
}

// close takes everything away.
func (w *world) close() error {
	var errs []error
	if w.dockerd != nil {
		errs = append(errs, w.dockerd.Stop())
	}
	for _, d := range []*driver{w.driver, w.other} {
		if d != nil {
			errs = append(errs, d.end())
		}
	}
	for _, p := range []*process{w.discard, w.prepared, w.receiver} {
		if p != nil {
			errs = append(errs, p.end())
		}
	}
	if w.victoria != nil {
		errs = append(errs, w.victoria.Stop())
	}
	if w.aws != nil {
		w.aws.Close()
	}
	for _, name := range []string{w.name, w.name + "other", w.name + "discard", w.name + "prepared"} {
		_ = os.Remove(socketOf(name)) // gone, if its owner has ended as it should
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}
