//go:build integration

package syslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// VictoriaLogs reads messages of each format of RFC 5424 and each framing, with what stands in their heads. It is killed in the middle, and
// another has the other lines, in order.
func TestVictoriaLogs(t *testing.T) {
	first, second := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{}), rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
	base := time.Now().Add(-time.Minute).Truncate(time.Second)
	sent := 0
	send := func(r router.Router, c Config) {
		e, err := c.Encoder(t.Context(), routertest.Session("one"))
		if err != nil {
			t.Fatal(err)
		}
		b := &router.Batch{}
		for range 100 {
			source := []byte([]string{"stdout", "stderr"}[sent%2])
			b.Append(e, &router.Record{TimeNano: base.Add(time.Duration(sent) * time.Millisecond).UnixNano(), Source: source, Line: fmt.Appendf(nil, "line %06d", sent)})
			sent++
		}
		routertest.Await(t, "a batch is delivered", func() bool { return r.Send(t.Context(), b) == nil })
	}
	has := func(v *rig.VictoriaLogs, from int) {
		t.Helper()
		var records []map[string]string
		routertest.Await(t, "the messages are stored", func() (ok bool) {
			var err error
			records, err = v.Query(t.Context(), `* | sort by (_msg)`)
			return err == nil && len(records) >= sent-from
		})
		for i, record := range records {
			want := [4]string{fmt.Sprintf("line %06d", from+i), "host", "oooooooooooo", []string{"6", "3"}[(from+i)%2]}
			// With octet counting the line break at the end counts, as with Docker's driver.
			if got := [4]string{strings.TrimSuffix(record["_msg"], "\n"), record["hostname"], record["app_name"], record["severity"]}; got != want {
				t.Fatalf("record %d is %q, want %q", i, got, want)
			}
		}
	}
	for _, of := range []string{"rfc5424", "rfc5424micro"} {
		for _, by := range []string{"octet-counting", "lf"} {
			c, err := Parse(router.Options{Plain: map[string]string{address: "tcp://" + first.Syslog(), format: of, framing: by}})
			if err != nil {
				t.Fatal(err)
			}
			r := c.Router()
			send(r, c)
			_ = r.Close()
		}
	}
	c, err := Parse(router.Options{Plain: map[string]string{address: "tcp://" + first.Syslog() + ",tcp://" + second.Syslog(), format: "rfc5424micro"}})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	send(r, c)
	has(first, 0)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	killed := sent
	for range 3 {
		send(r, c)
	}
	has(second, killed)
}
