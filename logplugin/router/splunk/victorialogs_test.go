//go:build integration

package splunk

import (
	"fmt"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// TestVictoriaLogs sends 20,000 lines of two containers to a collector that is not Splunk's, and asks it for them.
func TestVictoriaLogs(t *testing.T) {
	const lines, perBatch = 20_000, 1000
	for _, c := range []struct {
		name, path string
		options    map[string]string
	}{
		{"plain", "", nil},
		{"gzip, below a prefix", "/insert/splunk", map[string]string{"splunk-gzip": "true"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
			options := map[string]string{"splunk-url": v.URL() + c.path, "splunk-token": token}
			for k, o := range c.options {
				options[k] = o
			}
			config, err := Kind().New(router.Options{Plain: options})
			if err != nil {
				t.Fatal(err)
			}
			r, _ := config.Router().(*Router)
			t.Cleanup(func() { _ = r.Close() })
			if err := r.Verify(t.Context()); err != nil {
				t.Errorf("Verify: %v", err)
			}
			encoders := (&setup{config: config}).encoders(t)
			base := time.Now().UnixNano()
			for from := 0; from < lines; from += perBatch {
				b := &router.Batch{}
				for i := range perBatch {
					b.Append(encoders[i%2], &router.Record{TimeNano: base + int64(from+i)*1e6, Source: []byte("stdout"), Line: fmt.Appendf(nil, "line %06d", from+i)})
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
				if line, tag := fmt.Sprintf("line %06d", i), []string{"one", "two"}[i%2]; record["_msg"] != line || record["event.tag"] != tag {
					t.Fatalf("record %d is %v, want %s of %s", i, record, line, tag)
				}
			}
		})
	}
}

func TestKilledReceiver(t *testing.T) {
	const path = "/insert/splunk"
	first, second := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{}), rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
	routertest.KilledReceiver(t, Kind(), map[string]string{"splunk-url": first.URL() + path + "," + second.URL() + path, "splunk-token": token}, first, second)
}
