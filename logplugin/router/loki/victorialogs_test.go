//go:build integration

package loki

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// TestVictoriaLogs sends 20,000 lines of two containers to a receiver that we did not write, and asks it for them.
func TestVictoriaLogs(t *testing.T) {
	const lines, perBatch = 20_000, 1000
	for _, encoding := range []string{encodingProtobuf, encodingJSON} {
		t.Run(encoding, func(t *testing.T) {
			v := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
			c, err := Kind().New(router.Options{Plain: map[string]string{"loki-url": v.URL() + "/insert", "loki-encoding": encoding, "loki-external-labels": `job=a "job"`}})
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
			base := time.Now().Add(-time.Minute).UnixNano()
			for from := 0; from < lines; from += perBatch {
				b := &router.Batch{}
				for i := range perBatch {
					b.Append(encoders[i%2], &router.Record{TimeNano: base + int64(from+i), Source: []byte([]string{"stdout", "stderr"}[i%3%2]), Line: fmt.Appendf(nil, "é \"line\" %06d", from+i)})
				}
				if err := r.Send(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			records, err := v.Query(t.Context(), `* | sort by (_time)`)
			if err != nil || len(records) != lines {
				t.Fatalf("%d records, %v; want %d", len(records), err, lines)
			}
			for i, record := range records {
				name := []string{"one", "two"}[i%2]
				stream := fmt.Sprintf(`{container_name=%q,host="h",job="a \"job\"",source=%q}`, name, []string{"stdout", "stderr"}[i%perBatch%3%2])
				if line := fmt.Sprintf("é \"line\" %06d", i); record["_msg"] != line || record["_stream"] != stream || record["container_id"] != strings.Repeat(name[:1], 64) {
					t.Fatalf("record %d is %v, want %s of %s", i, record, line, stream)
				}
				if at, err := time.Parse(time.RFC3339Nano, record["_time"]); err != nil || at.UnixNano() != base+int64(i) {
					t.Fatalf("record %d is of %s, %v; want %d", i, record["_time"], err, base+int64(i))
				}
			}
		})
	}
}

func TestKilledReceiver(t *testing.T) {
	const path = "/insert"
	first, second := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{}), rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
	routertest.KilledReceiver(t, Kind(), map[string]string{"loki-url": first.URL() + path + "," + second.URL() + path}, first, second)
}
