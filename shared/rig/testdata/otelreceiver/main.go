// Command otelreceiver is the OpenTelemetry Collector's fluentforward receiver alone, without the rest of a collector: a
// receiver of the Forward protocol that we did not write.
//
// Usage: otelreceiver ADDRESS REFUSALS. It listens on host:port or unix:///path, prints {}, then one JSON line for each
// record, and refuses the first REFUSALS deliveries as an exporter that is full would. It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"strconv"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/fluentforwardreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
)

// line is one record. Texts are bytes, because they need not be UTF-8.
type line struct {
	Nano   uint64
	Body   []byte
	Values map[string][]byte
}

func main() {
	refusals, err := strconv.Atoi(os.Args[2])
	check(err)
	out := bufio.NewWriter(os.Stdout)
	enc := json.NewEncoder(out)
	next, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
		if refusals > 0 {
			refusals--
			return errors.New("refused, as the test wants it")
		}
		return errors.Join(write(enc, logs), out.Flush())
	})
	check(err)
	factory := fluentforwardreceiver.NewFactory()
	config, _ := factory.CreateDefaultConfig().(*fluentforwardreceiver.Config)
	config.ListenAddress = os.Args[1]
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	r, err := factory.CreateLogs(context.Background(), settings, config, next)
	check(err)
	check(r.Start(context.Background(), componenttest.NewNopHost()))
	_, err = os.Stdout.WriteString("{}\n")
	check(err)
	_, _ = io.Copy(io.Discard, os.Stdin)
	check(r.Shutdown(context.Background()))
}

func write(enc *json.Encoder, logs plog.Logs) error {
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				l := line{Nano: uint64(record.Timestamp()), Body: []byte(record.Body().AsString()), Values: map[string][]byte{}}
				for k, v := range record.Attributes().All() {
					l.Values[k] = []byte(v.AsString())
				}
				if err := enc.Encode(l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
