//go:build integration

package router_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/gelf"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/syslog"
	"github.com/secretref/secretref/logplugin/router/tcp"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

// throughRsyslog are the routers over TCP whose messages rsyslog can tell apart. Those of GELF end with a NUL.
var throughRsyslog = []struct {
	kind    router.Kind
	options map[string]string
	module  string
	find    *regexp.Regexp // the line in what rsyslog has written
}{
	{syslog.Kind(), map[string]string{"syslog-format": "rfc5424"}, "", regexp.MustCompile(` - (.*)$`)},
	{gelf.Kind(), nil, `addtlFrameDelimiter="0"`, regexp.MustCompile(`^\{.*"short_message":"(.*?)".*\}$`)},
	{tcp.Kind(), map[string]string{"tcp-format": "raw"}, "", regexp.MustCompile(`^(.*)$`)},
}

// series sends numbered lines to some rsyslogs.
type series struct {
	router  router.Router
	encoder router.Encoder
	find    *regexp.Regexp
}

func startSeries(t *testing.T, kind router.Kind, find *regexp.Regexp, o router.Options) *series {
	t.Helper()
	c, err := kind.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &series{router: c.Router(), find: find}
	t.Cleanup(func() { _ = s.router.Close() })
	if s.encoder, err = c.Encoder(t.Context(), routertest.Session("one")); err != nil {
		t.Fatal(err)
	}
	return s
}

// batch has the lines from from to to-1.
func (s *series) batch(from, to int) *router.Batch {
	b := &router.Batch{}
	for i := from; i < to; i++ {
		b.Append(s.encoder, &router.Record{TimeNano: 1795463301547679123, Source: []byte("stdout"), Line: []byte(lineNumber(i))})
	}
	return b
}

func lineNumber(i int) string { return fmt.Sprintf("line %06d %s", i, strings.Repeat("x", 200)) }

// has waits until r has the lines from from to to-1 and no others behind the first before lines.
func (s *series) has(t *testing.T, r *routertest.Rsyslog, before, from, to int) {
	t.Helper()
	var got []string
	routertest.Await(t, "rsyslog has the lines", func() bool {
		got = r.Lines()[min(before, len(r.Lines())):]
		return len(got) >= to-from
	})
	for i, text := range got {
		m := s.find.FindStringSubmatch(text)
		if len(got) != to-from || m == nil || m[1] != lineNumber(from+i) {
			t.Fatalf("line %d of %d is %.300q, want %d lines, and this to be %.30q", i, len(got), text, to-from, lineNumber(from+i))
		}
	}
}

// Of two rsyslogs the first reads no more, and is killed within a batch that its buffer does not hold: the second has all of that batch, no
// line is missing and none comes twice. Once the first listens again and a minute has passed, lines go to it as before.
func TestRsyslogIsKilled(t *testing.T) {
	const small, large = 200, 5000
	for _, x := range throughRsyslog {
		t.Run(x.kind.Name, func(t *testing.T) {
			t.Parallel()
			start := func() *routertest.Rsyslog {
				return routertest.StartRsyslog(t, routertest.RsyslogOptions{Template: "%rawmsg%", Module: x.module})
			}
			first, second := start(), start()
			o := router.Options{Plain: map[string]string{x.kind.Name + "-address": "tcp://" + first.Address() + ",tcp://" + second.Address()}}
			for name, value := range x.options {
				o.Plain[name] = value
			}
			s := startSeries(t, x.kind, x.find, o)
			if failed := routertest.Send(t, s.router, s.batch(0, small)); failed != nil {
				t.Fatal(failed)
			}
			s.has(t, first, 0, 0, small)

			first.Stop(t)
			b := s.batch(small, small+large)
			killed := make(chan *router.Error, 1)
			go func() { killed <- routertest.Send(t, s.router, b) }()
			routertest.Await(t, "lines wait that rsyslog has not read", func() bool { return first.Unread(t) > 0 })
			first.Kill()
			if failed := <-killed; router.ClassOf(failed) != router.ClassRetry || failed.Delivered > 0 {
				t.Fatalf("%v, want class retry, and nothing delivered", failed)
			}
			routertest.Await(t, "the batch is delivered", func() bool { return routertest.Send(t, s.router, b) == nil })
			s.has(t, second, 0, small, small+large)
			s.has(t, first, 0, 0, small)

			first.Start(t)
			end := small + large
			next := func(r *routertest.Rsyslog, before int) {
				t.Helper()
				if failed := routertest.Send(t, s.router, s.batch(end, end+small)); failed != nil {
					t.Fatal(failed)
				}
				s.has(t, r, before, end, end+small)
				end += small
			}
			next(second, large)
			routertest.Await(t, "the first listens", first.Listens)
			socket, ok := s.router.(*router.Socket)
			if !ok {
				t.Fatalf("%T is not a Socket", s.router)
			}
			socket.LookAgain()
			next(first, small)
			next(first, 2*small)
		})
	}
}

// rsyslog takes the lines of a client with a certificate of its authority, and not of one without. Keys come by reference.
func TestRsyslogMutualTLS(t *testing.T) {
	const lines = 500
	for _, x := range throughRsyslog {
		t.Run(x.kind.Name, func(t *testing.T) {
			t.Parallel()
			ca, err := rig.NewCA()
			if err != nil {
				t.Fatal(err)
			}
			cert, key, err := ca.Issue("client")
			if err != nil {
				t.Fatal(err)
			}
			r := routertest.StartRsyslog(t, routertest.RsyslogOptions{Template: "%rawmsg%", Module: x.module, Authority: ca.PEM(), Issue: ca.Issue})
			name := x.kind.Name
			o := router.Options{Plain: map[string]string{name + "-address": "tcp+tls://" + r.Address(), name + "-tls-ca-cert": string(ca.PEM())}}
			for name, value := range x.options {
				o.Plain[name] = value
			}
			bare := startSeries(t, x.kind, x.find, o)
			if failed := routertest.Send(t, bare.router, bare.batch(0, lines)); router.ClassOf(failed) != router.ClassCredentials {
				t.Errorf("without a certificate: %v, want class credentials", failed)
			}
			o.Secrets = map[string]secret.Source{name + "-tls-cert": routertest.NewSource(string(cert)), name + "-tls-key": routertest.NewSource(string(key))}
			s := startSeries(t, x.kind, x.find, o)
			if failed := routertest.Send(t, s.router, s.batch(0, lines), string(key)); failed != nil {
				t.Fatal(failed)
			}
			s.has(t, r, 0, 0, lines)
		})
	}
}
