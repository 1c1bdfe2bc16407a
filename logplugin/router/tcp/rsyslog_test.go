//go:build integration

package tcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// rsyslog's input over TCP, which we did not write, takes each line of what comes as a message.
func TestRsyslog(t *testing.T) {
	dir := t.TempDir()
	out, port, conf := filepath.Join(dir, "out"), filepath.Join(dir, "port"), filepath.Join(dir, "conf")
	text := fmt.Sprintf("global(workDirectory=%q maxMessageSize=\"128k\")\nmodule(load=\"imtcp\")\ntemplate(name=\"raw\" type=\"string\" string=\"%%rawmsg%%\\n\")\n"+
		"input(type=\"imtcp\" address=\"127.0.0.1\" port=\"0\" listenPortFileName=%q)\naction(type=\"omfile\" file=%q template=\"raw\")\n", dir, port, out)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command("rsyslogd", "-n", "-i", "NONE", "-f", conf)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if _ = cmd.Wait(); t.Failed() {
			t.Logf("rsyslogd: %s", said.String())
		}
	})
	listens := ""
	routertest.Await(t, "rsyslogd listens", func() bool {
		p, _ := os.ReadFile(port)
		listens = strings.TrimSpace(string(p))
		return listens != ""
	})
	c, err := Kind().New(router.Options{Plain: map[string]string{address: "tcp://127.0.0.1:" + listens}})
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
		data, _ := os.ReadFile(out)
		got = nil
		for m := range strings.Lines(string(data)) {
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
