package routertest

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secret"
)

// SocketSetup is a router of a protocol without answers, and its receiver.
type SocketSetup struct {
	Receiver *SocketReceiver
	Router   router.Router
	Config   router.Config
	Encoders []router.Encoder // of the containers one and two
}

// StartSocketRouter starts a receiver, and a router of this kind that sends to it. Both end with the test. The address and the
// timeout are given to the router; options are the others. A socket file is made in a directory of the test.
func StartSocketRouter(t testing.TB, kind router.Kind, o SocketOptions, options map[string]string, secrets map[string]secret.Source) *SocketSetup {
	t.Helper()
	if strings.HasPrefix(o.Network, "unix") {
		o.Address = filepath.Join(t.TempDir(), "s")
	}
	s := &SocketSetup{Receiver: StartSocket(t, o)}
	scheme := o.Network
	if o.TLS != nil {
		scheme += "+tls"
	}
	all := router.Options{Plain: map[string]string{kind.Name + "-timeout": "5s"}, Secrets: secrets}
	for _, option := range kind.Options {
		if option.Address {
			all.Plain[option.Name] = scheme + "://" + s.Receiver.Address()
		}
	}
	maps.Copy(all.Plain, options)
	var err error
	if s.Config, err = kind.New(all); err != nil {
		t.Fatal(err)
	}
	s.Router = s.Config.Router()
	t.Cleanup(func() { _ = s.Router.Close() })
	for _, name := range []string{"one", "two"} {
		e, err := s.Config.Encoder(t.Context(), Session(name))
		if err != nil {
			t.Fatal(err)
		}
		s.Encoders = append(s.Encoders, e)
	}
	return s
}

// SocketBuffer is a receiver's buffer for Run: much less than the records for which Send waits, and more than a few segments: with
// less the sender's host waits for its timer before it sends the next one.
const SocketBuffer = 64 << 10

// Subject is s for Run. received returns the lines that have arrived.
func (s *SocketSetup) Subject(received func() []string) *Subject {
	set := func(f SocketFault) func() { return func() { s.Receiver.SetFault(f) } }
	x := &Subject{
		Router: s.Router, Encoders: s.Encoders, Received: received, Cut: s.Receiver.Cut, Fill: 20_000,
		Hang: set(SocketHangs), Heal: set(SocketWell),
		Faults: []Fault{{Name: "nobody listens", Break: set(SocketAway), Want: router.ClassRetry}},
	}
	if s.Receiver.options.Network != "unixgram" { // has no connections
		x.Faults = append(x.Faults, Fault{Name: "who listens ends each connection", Break: set(SocketEnds), Want: router.ClassRetry, Lines: x.Fill})
	}
	return x
}
