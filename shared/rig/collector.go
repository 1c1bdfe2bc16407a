package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/porttest"
)

// CollectorOptions says how a Collector is to be.
type CollectorOptions struct {
	Refusals int // the first requests that it answers with 503, as for an exporter that is full
}

// Collector is the OpenTelemetry Collector's OTLP receiver, over HTTP, which we did not write. It accepts every credential.
type Collector struct {
	addr string
	port *porttest.Reservation
	dir  string
	proc *process
}

// CollectorRecord is one log record as the receiver has decoded it. Values that are not texts are printed as JSON.
type CollectorRecord struct {
	Nano     uint64 // since 1970
	Observed uint64
	Severity string // the number and the text: "9 INFO"
	Body     []byte
	Values   map[string][]byte // the attributes of the record
	Resource map[string][]byte // those of its resource
	Scope    string
}

// StartCollector starts the receiver and returns once it listens.
func StartCollector(ctx context.Context, o CollectorOptions) (*Collector, error) {
	dir, err := tempDir("otel")
	if err != nil {
		return nil, err
	}
	c := &Collector{dir: dir}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Collector) start(ctx context.Context, o CollectorOptions) (err error) {
	if c.port, err = porttest.Reserve("tcp", loopback); err != nil {
		return err
	}
	c.addr = c.port.Address()
	c.proc, err = startProcess("otelreceiver", c.dir, Env(c.dir), "otelreceiver", "otlp", c.addr, strconv.Itoa(o.Refusals))
	if err != nil {
		return err
	}
	return c.proc.ready(ctx, func(context.Context) error {
		if !strings.HasPrefix(c.Log(), "{}\n") {
			return errors.New("it does not listen yet")
		}
		return nil
	})
}

// URL is http://host:port, without the path /v1/logs.
func (c *Collector) URL() string { return "http://" + c.addr }

// Records returns the records that the receiver has accepted, in the order in which it has.
func (c *Collector) Records() ([]CollectorRecord, error) {
	var records []CollectorRecord
	for line := range strings.Lines(strings.TrimPrefix(c.Log(), "{}\n")) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var r CollectorRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("the collector's output %.200q: %w", line, err)
		}
		records = append(records, r)
	}
	return records, nil
}

// Log returns the receiver's output.
func (c *Collector) Log() string { return c.proc.log() }

// Stop ends the receiver.
func (c *Collector) Stop() error {
	var err error
	if c.proc != nil {
		err = c.proc.stop(5 * time.Second)
	}
	return errors.Join(err, c.port.Close(), os.RemoveAll(c.dir))
}
