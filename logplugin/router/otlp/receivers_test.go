//go:build integration

package otlp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// sendTo sends n lines of two containers to url, and returns the time of the first. Each comes a nanosecond after the last.
func sendTo(t *testing.T, url, encoding string, n int) (base int64) {
	t.Helper()
	const perBatch = 1000
	c, err := Kind().New(router.Options{Plain: map[string]string{endpoint: url, compression: encoding, resource: "deployment.environment.name=test"}})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := c.Router().(*Router)
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Verify(t.Context()); err != nil {
		t.Errorf("Verify: %v", err)
	}
	var encoders []router.Encoder
	for _, name := range []string{"one", "two"} {
		e, err := c.Encoder(t.Context(), router.Session{ContainerName: "/" + name, ContainerID: strings.Repeat(name[:1], 64), Host: "h"})
		if err != nil {
			t.Fatal(err)
		}
		encoders = append(encoders, e)
	}
	base = time.Now().Add(-time.Minute).UnixNano()
	for from := 0; from < n; from += perBatch {
		b := &router.Batch{}
		for i := range perBatch {
			b.Append(encoders[i%2], &router.Record{TimeNano: base + int64(from+i), Source: []byte([]string{"stdout", "stderr"}[i%2]), Line: []byte(lineOf(from + i))})
		}
		err := r.Send(t.Context(), b)
		for router.ClassOf(err) == router.ClassRetry { // the receiver is asked to refuse some requests
			err = r.Send(t.Context(), b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return base
}

func lineOf(i int) string { return fmt.Sprintf("é \"line\" \xff %06d", i) }

// TestVictoriaLogs sends 20,000 lines to a database that we did not write, and asks it for them.
func TestVictoriaLogs(t *testing.T) {
	const lines = 20_000
	for _, encoding := range []string{router.Gzip, router.Zstd, "none"} {
		t.Run(encoding, func(t *testing.T) {
			v := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
			base := sendTo(t, v.URL()+"/insert/opentelemetry", encoding, lines)
			records, err := v.Query(t.Context(), `* | sort by (_time)`)
			if err != nil || len(records) != lines {
				t.Fatalf("%d records, %v; want %d", len(records), err, lines)
			}
			for i, record := range records {
				name, level := []string{"one", "two"}[i%2], []string{"INFO", "ERROR"}[i%2]
				if record["_msg"] != string([]rune(lineOf(i))) || record["service.name"] != name || record["deployment.environment.name"] != "test" || record["severity_text"] != level {
					t.Fatalf("record %d is %v, want %s of %s", i, record, lineOf(i), name)
				}
				if at, err := time.Parse(time.RFC3339Nano, record["_time"]); err != nil || at.UnixNano() != base+int64(i) {
					t.Fatalf("record %d is of %s, %v; want %d", i, record["_time"], err, base+int64(i))
				}
			}
		})
	}
}

// TestCollector sends 20,000 lines to the OpenTelemetry Collector's receiver, which refuses a few requests first.
func TestCollector(t *testing.T) {
	const lines = 20_000
	for _, encoding := range []string{router.Gzip, router.Zstd, "none"} {
		t.Run(encoding, func(t *testing.T) {
			c := rig.Use(t, rig.StartCollector, rig.CollectorOptions{})
			base := uint64(sendTo(t, c.URL(), encoding, lines))
			records, err := c.Records()
			if err != nil || len(records) != lines {
				t.Fatalf("%d records, %v; want %d", len(records), err, lines)
			}
			for _, r := range records {
				i := int(r.Nano - base)
				name, level, source := []string{"one", "two"}[i%2], []string{"9 INFO", "17 ERROR"}[i%2], []string{"stdout", "stderr"}[i%2]
				if string(r.Body) != string([]rune(lineOf(i))) || r.Observed != r.Nano || r.Severity != level || r.Scope != scope || string(r.Values["log.iostream"]) != source ||
					string(r.Resource["service.name"]) != name || string(r.Resource["container.id"]) != strings.Repeat(name[:1], 64) {
					t.Fatalf("record %d is %+v", i, r)
				}
			}
		})
	}
	t.Run("refusals", func(t *testing.T) {
		c := rig.Use(t, rig.StartCollector, rig.CollectorOptions{Refusals: 3})
		sendTo(t, c.URL(), router.Gzip, 1000)
		if records, err := c.Records(); err != nil || len(records) != 1000 {
			t.Errorf("%d records, %v; want 1000", len(records), err)
		}
	})
}

func TestKilledReceiver(t *testing.T) {
	const path = "/insert/opentelemetry"
	first, second := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{}), rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
	routertest.KilledReceiver(t, Kind(), map[string]string{endpoint: first.URL() + path + "," + second.URL() + path}, first, second)
}
