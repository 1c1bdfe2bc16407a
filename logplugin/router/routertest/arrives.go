package routertest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Arrives sends 20,000 lines of two containers to a receiver that we did not write, and asks it for them with a query of
// VictoriaLogs. fields are those that a record of the container name must have.
func Arrives(t *testing.T, kind router.Kind, options map[string]string, query func(ctx context.Context, query string) ([]map[string]string, error), fields func(name string) map[string]string) {
	t.Helper()
	const lines, perBatch = 20_000, 1000
	c, err := kind.New(router.Options{Plain: options})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	var encoders []router.Encoder
	for _, name := range []string{"one", "two"} {
		e, err := c.Encoder(t.Context(), router.Session{ID: name, ContainerName: "/" + name, ContainerID: strings.Repeat(name[:1], 64), Host: "h"})
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
			b.Append(encoders[i%2], &router.Record{
				TimeNano: at.UnixNano(), Position: int64(from + i), Source: []byte([]string{"stdout", "stderr"}[i%2]), Line: fmt.Appendf(nil, "é \"line\" %06d", from+i),
			})
		}
		if err := r.Send(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	records, err := query(t.Context(), `* | sort by (_time)`)
	if err != nil || len(records) != lines {
		t.Fatalf("%d records, %v; want %d", len(records), err, lines)
	}
	for i, record := range records {
		name := []string{"one", "two"}[i%2]
		line, at := fmt.Sprintf("é \"line\" %06d", i), base.Add(time.Duration(i)*time.Millisecond)
		if record["_msg"] != line {
			t.Fatalf("record %d is %v, want %s", i, record, line)
		}
		for field, want := range fields(name) {
			if record[field] != want {
				t.Fatalf("record %d is %v, want %s of %s", i, record, want, field)
			}
		}
		if got, err := time.Parse(time.RFC3339Nano, record["_time"]); err != nil || !got.Equal(at) {
			t.Fatalf("record %d is of %s, %v; want %v", i, record["_time"], err, at)
		}
	}
}
