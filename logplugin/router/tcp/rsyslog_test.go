//go:build integration

package tcp

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// rsyslog's input over TCP, which we did not write, takes each line of what comes as a message.
func TestRsyslog(t *testing.T) {
	rsyslog := routertest.StartRsyslog(t, routertest.RsyslogOptions{Template: "%rawmsg%"})
	c, err := Kind().New(router.Options{Plain: map[string]string{address: "tcp://" + rsyslog.Address()}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encoder(t.Context(), routertest.Session("web"))
	if err != nil {
		t.Fatal(err)
	}
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	b, want := &router.Batch{}, []string{"plain", "", "é€😀", `"quoted" \ back`, "\x01\t", "<34>1 looks like a message", strings.Repeat("x", 60_000)}
	for _, line := range want {
		b.Append(e, &router.Record{TimeNano: 1, Source: []byte("stdout"), Line: []byte(line)})
	}
	if e := routertest.Send(t, r, b); e != nil {
		t.Fatal(e)
	}
	var got []string
	routertest.Await(t, "rsyslog has all messages", func() bool {
		got = nil
		for _, m := range rsyslog.Lines() {
			var r struct{ Log string }
			if json.Unmarshal([]byte(m), &r) == nil {
				got = append(got, r.Log)
			}
		}
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("rsyslog has %.300q, want %.300q", got, want)
	}
}
