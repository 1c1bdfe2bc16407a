// Command otelreceiver is the OpenTelemetry Collector's receivers for Forward and for OTLP over HTTP, without the rest of
// a collector: receivers that we did not write.
//
// Usage: otelreceiver PROTOCOL ADDRESS REFUSALS. PROTOCOL is fluentforward or otlp. It listens on host:port, or with
// fluentforward on unix:///path, prints {}, then one JSON line for each record, and refuses the first REFUSALS deliveries
// as an exporter that is full would. It ends on SIGTERM, and with fluentforward also with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/fluentforwardreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

// line is one record. Texts are bytes, because they need not be UTF-8.
type line struct {
	Nano     uint64
	Observed uint64
	Severity string // the number and the text
	Body     []byte
	Values   map[string][]byte
	Resource map[string][]byte
	Scope    string
}

func main() {
	protocol, address := os.Args[1], os.Args[2]
	refusals, err := strconv.Atoi(os.Args[3])
	check(err)
	var mu sync.Mutex
	out := bufio.NewWriter(os.Stdout)
	enc := json.NewEncoder(out)
	next, err := consumer.NewLogs(func(_ context.Context, logs plog.Logs) error {
		mu.Lock()
		defer mu.Unlock()
		if refusals > 0 {
			refusals--
			return errors.New("refused, as the test wants it")
		}
		return errors.Join(write(enc, logs), out.Flush())
	})
	check(err)
	factory, config, err := configure(protocol, address)
	check(err)
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	r, err := factory.CreateLogs(context.Background(), settings, config, next)
	check(err)
	check(r.Start(context.Background(), componenttest.NewNopHost()))
	_, err = os.Stdout.WriteString("{}\n")
	check(err)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	if protocol == "fluentforward" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	<-ctx.Done()
	check(r.Shutdown(context.Background()))
}

func configure(protocol, address string) (receiver.Factory, component.Config, error) {
	switch protocol {
	case "fluentforward":
		factory := fluentforwardreceiver.NewFactory()
		config, _ := factory.CreateDefaultConfig().(*fluentforwardreceiver.Config)
		config.ListenAddress = address
		return factory, config, nil
	case "otlp":
		factory := otlpreceiver.NewFactory()
		config, _ := factory.CreateDefaultConfig().(*otlpreceiver.Config)
		http := config.Protocols.HTTP.GetOrInsertDefault()
		http.ServerConfig.NetAddr.Endpoint = address
		config.Protocols.GRPC = configoptional.None[configgrpc.ServerConfig]()
		return factory, config, nil
	}
	return nil, nil, fmt.Errorf("%q is not fluentforward or otlp", protocol)
}

func write(enc *json.Encoder, logs plog.Logs) error {
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				l := line{
					Nano: uint64(record.Timestamp()), Observed: uint64(record.ObservedTimestamp()), Body: []byte(record.Body().AsString()),
					Severity: fmt.Sprintf("%d %s", record.SeverityNumber(), record.SeverityText()),
					Values:   texts(record.Attributes()), Resource: texts(resource.Resource().Attributes()), Scope: scope.Scope().Name(),
				}
				if err := enc.Encode(l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func texts(m pcommon.Map) map[string][]byte {
	all := map[string][]byte{}
	for k, v := range m.All() {
		all[k] = []byte(v.AsString())
	}
	return all
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
