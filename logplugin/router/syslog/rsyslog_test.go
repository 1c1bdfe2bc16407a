//go:build integration

package syslog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

// template is what rsyslog writes: for a line of the container one, that is what written returns.
const template = "%hostname% %app-name% %syslogseverity% %msg%"

func written(severity int, line string) string {
	return fmt.Sprintf("host %s %d %s", strings.Repeat("o", 12), severity, line)
}

// rsyslog reads messages over TLS, with a client's certificate that it asks for.
func TestRsyslogMutualTLS(t *testing.T) {
	ca := newCA(t)
	r := routertest.StartRsyslog(t, routertest.RsyslogOptions{Template: template, Authority: ca.PEM(), Issue: ca.Issue})
	clientCert, clientKey := ca.client(t)
	lines := []string{"plain", "two\nlines", "<34>1 a message in a message", strings.Repeat("x", 64<<10)}
	for _, of := range []string{"rfc5424", "rfc5424micro"} {
		c, err := Parse(router.Options{Plain: map[string]string{address: secure + "://" + r.Address(), format: of, "syslog-tls-ca-cert": ca.pem()},
			Secrets: map[string]secret.Source{"syslog-tls-cert": routertest.NewSource(clientCert), "syslog-tls-key": routertest.NewSource(clientKey)}})
		if err != nil {
			t.Fatal(err)
		}
		sendAll(t, c, lines)
	}
	without, err := Parse(router.Options{Plain: map[string]string{address: secure + "://" + r.Address(), "syslog-tls-ca-cert": ca.pem()}})
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
	r.Has(t, want)
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
