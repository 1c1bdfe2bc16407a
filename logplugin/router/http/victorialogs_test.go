//go:build integration

package http

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/rig"
)

// TestVictoriaLogs sends 20,000 lines of two containers to a receiver that we did not write, and asks it for them.
func TestVictoriaLogs(t *testing.T) {
	const lines, perBatch = 20_000, 1000
	for _, encoding := range []string{router.Gzip, router.Zstd, noneEncoding} {
		t.Run(encoding, func(t *testing.T) {
			v := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
			c, err := Parse(router.Options{Plain: map[string]string{address: v.URL() + "/insert/jsonline?_time_field=date&_msg_field=message", compress: encoding, fields: "env=test"}})
			if err != nil {
				t.Fatal(err)
			}
			r := New(c)
			t.Cleanup(func() { _ = r.Close() })
			var encoders []router.Encoder
			for _, name := range []string{"one", "two"} {
				e, err := c.Encoder(t.Context(), router.Session{ContainerName: "/" + name, ContainerID: strings.Repeat(name[:1], 64), Host: "h"})
				if err != nil {
					t.Fatal(err)
				}
				encoders = append(encoders, e)
			}
			base := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
			for from := 0; from < lines; from += perBatch {
				b := &router.Batch{}
				for i := range perBatch {
					at := base.Add(time.Duration(from+i) * time.Millisecond)
					b.Append(encoders[i%2], &router.Record{TimeNano: at.UnixNano(), Source: []byte([]string{"stdout", "stderr"}[i%2]), Line: fmt.Appendf(nil, "é \"line\" %06d", from+i)})
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
				line, at := fmt.Sprintf("é \"line\" %06d", i), base.Add(time.Duration(i)*time.Millisecond)
				if record["_msg"] != line || record["host"] != "h" || record["container_name"] != name || record["env"] != "test" {
					t.Fatalf("record %d is %v, want %s of %s", i, record, line, name)
				}
				if got, err := time.Parse(time.RFC3339Nano, record["_time"]); err != nil || !got.Equal(at) {
					t.Fatalf("record %d is of %s, %v; want %v", i, record["_time"], err, at)
				}
			}
		})
	}
}
