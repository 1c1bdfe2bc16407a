//go:build integration

package syslog

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

// rsyslog is a receiver that we did not write.
type rsyslog struct {
	cmd       *exec.Cmd
	out, port string // files
}

// startRsyslog starts rsyslogd with one input over TCP, whose parameters are input; global are those of the program.
func startRsyslog(t *testing.T, global, input string) *rsyslog {
	t.Helper()
	dir := t.TempDir()
	r := &rsyslog{out: filepath.Join(dir, "out"), port: filepath.Join(dir, "port")}
	text := fmt.Sprintf("global(workDirectory=%q maxMessageSize=\"128k\" %s)\nmodule(load=\"imtcp\" %s)\n"+
		"template(name=\"line\" type=\"string\" string=\"%%hostname%% %%app-name%% %%syslogseverity%% %%msg%%\\n\")\n"+
		"input(type=\"imtcp\" address=\"127.0.0.1\" port=\"0\" listenPortFileName=%q)\naction(type=\"omfile\" file=%q template=\"line\")\n", dir, global, input, r.port, r.out)
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	r.cmd = exec.Command("rsyslogd", "-n", "-i", "NONE", "-f", conf)
	r.cmd.Stdout, r.cmd.Stderr = &said, &said
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("rsyslogd: %s", said.String())
		}
	})
	routertest.Await(t, "rsyslogd listens", func() bool { p, _ := os.ReadFile(r.port); return len(p) > 0 })
	return r
}

func (r *rsyslog) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

func (r *rsyslog) address(t *testing.T, scheme string) string {
	t.Helper()
	p, err := os.ReadFile(r.port)
	if err != nil {
		t.Fatal(err)
	}
	return scheme + "://127.0.0.1:" + strings.TrimSpace(string(p))
}

// has waits until rsyslog has written as many messages, and compares them.
func (r *rsyslog) has(t *testing.T, want []string) {
	t.Helper()
	var got []string
	routertest.Await(t, "rsyslog has all messages", func() bool {
		text, _ := os.ReadFile(r.out)
		got = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		return len(text) > 0 && len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("rsyslog has %d messages, want %d: %.300q, want %.300q", len(got), len(want), got, want)
	}
}

// what rsyslog writes for a line of the container one.
func written(severity int, line string) string {
	return fmt.Sprintf("host %s %d %s", strings.Repeat("o", 12), severity, line)
}

// rsyslog reads messages over TLS, with a client's certificate that it asks for.
func TestRsyslogMutualTLS(t *testing.T) {
	ca := newCA(t)
	dir := t.TempDir()
	cert, key, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	global := "defaultNetstreamDriver=\"ossl\""
	for name, text := range map[string][]byte{"CAFile": ca.PEM(), "CertFile": cert, "KeyFile": key} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		global += fmt.Sprintf(" defaultNetstreamDriver%s=%q", name, file)
	}
	r := startRsyslog(t, global, `StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid"`)
	clientCert, clientKey := ca.client(t)
	lines := []string{"plain", "two\nlines", "<34>1 a message in a message", strings.Repeat("x", 64<<10)}
	for _, of := range []string{"rfc5424", "rfc5424micro"} {
		c, err := Parse(router.Options{Plain: map[string]string{address: r.address(t, secure), format: of, "syslog-tls-ca-cert": ca.pem()},
			Secrets: map[string]secret.Source{"syslog-tls-cert": routertest.NewSource(clientCert), "syslog-tls-key": routertest.NewSource(clientKey)}})
		if err != nil {
			t.Fatal(err)
		}
		sendAll(t, c, lines)
	}
	without, err := Parse(router.Options{Plain: map[string]string{address: r.address(t, secure), "syslog-tls-ca-cert": ca.pem()}})
	if err != nil {
		t.Fatal(err)
	}
	bare := without.Router()
	t.Cleanup(func() { _ = bare.Close() })
	b, _ := routertest.Batch([]router.Encoder{encoder(t, routertest.Session("one"), nil)}, 1)
	if e := routertest.Send(t, bare, b); routertest.ClassOf(e) != router.ClassCredentials {
		t.Errorf("without a certificate: %v, want class credentials", e)
	}
	var want []string
	for range 2 {
		for _, line := range lines {
			want = append(want, written(severityInfo, strings.ReplaceAll(line, "\n", escapedBreak)))
		}
	}
	r.has(t, want)
}

// Of two rsyslogs the first is killed between two batches: the second has the other lines, each once and in order.
func TestRsyslogTwice(t *testing.T) {
	first, second := startRsyslog(t, "", ""), startRsyslog(t, "", "")
	c, err := Parse(router.Options{Plain: map[string]string{address: first.address(t, "tcp") + "," + second.address(t, "tcp"), format: "rfc5424"}})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	e, err := c.Encoder(t.Context(), routertest.Session("one"))
	if err != nil {
		t.Fatal(err)
	}
	send := func(from, to int) (want []string) {
		for ; from < to; from += 100 {
			b := &router.Batch{}
			for i := from; i < from+100; i++ {
				line := fmt.Sprintf("line %06d", i)
				b.Append(e, &router.Record{TimeNano: 1795463301547679123, Line: []byte(line)})
				want = append(want, written(severityInfo, line))
			}
			routertest.Await(t, "a batch is delivered", func() bool { return r.Send(t.Context(), b) == nil })
		}
		return want
	}
	first.has(t, send(0, 1000))
	first.kill()
	second.has(t, send(1000, 2000))
}

func sendAll(t *testing.T, c Config, lines []string) {
	t.Helper()
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	e, err := c.Encoder(t.Context(), routertest.Session("one"))
	if err != nil {
		t.Fatal(err)
	}
	b := &router.Batch{}
	for _, line := range lines {
		b.Append(e, &router.Record{TimeNano: 1795463301547679123, Line: []byte(line)})
	}
	if e := routertest.Send(t, r, b, "PRIVATE KEY"); e != nil {
		t.Fatal(e)
	}
}
