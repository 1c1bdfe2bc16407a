package routertest

import (
	"maps"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secret"
)

// The credentials of a Setup: the one that it begins with, and the one that a test rotates to.
const (
	Key    = "first-key-0123456789abcdef"
	NewKey = "second-key-0123456789abcdef"
)

// Setup is a router whose credential is a secret, with what is made of the same options.
type Setup struct {
	Router   router.Router
	Config   router.Config
	Key      *Source
	Encoders []router.Encoder // of the containers one and two
}

// Start makes a router of this kind with options, of which credential is Key by reference. It is closed with the test.
func Start(t testing.TB, kind router.Kind, credential string, options ...map[string]string) *Setup {
	t.Helper()
	all := map[string]string{}
	for _, o := range options {
		maps.Copy(all, o)
	}
	s := &Setup{Key: NewSource(Key)}
	var err error
	if s.Config, err = kind.New(router.Options{Plain: all, Secrets: map[string]secret.Source{credential: s.Key}}); err != nil {
		t.Fatal(err)
	}
	s.Router = s.Config.Router()
	t.Cleanup(func() { _ = s.Router.Close() })
	for _, name := range []string{"one", "two"} {
		e, err := s.Config.Encoder(t.Context(), router.Session{
			ID: "session-" + name, ContainerName: "/" + name, ContainerID: strings.Repeat(name[:1], 64), Host: "h",
			About: router.About{Image: "nginx:1", Project: "shop"}, Attrs: map[string]string{"app": name, "service": "not this"},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Encoders = append(s.Encoders, e)
	}
	return s
}

// Send sends b, and shows neither of the keys.
func (s *Setup) Send(t *testing.T, b *router.Batch) *router.Error {
	t.Helper()
	return Send(t, s.Router, b, Key, NewKey)
}

// Subject is s with its receiver, for Run. accept says which credential the receiver takes from now on.
func (s *Setup) Subject(r *Receiver, received func() []string, accept func(key string)) *Subject {
	accept(Key)
	return &Subject{
		Router: s.Router, Encoders: s.Encoders, Secrets: []string{Key, NewKey}, Received: received, Faults: r.StatusFaults(Key),
		Hang:   func() { r.FailAlways(&Mishap{Hang: true}) },
		Heal:   func() { r.FailAlways(nil) },
		Rotate: func() { accept(NewKey); s.Key.Rotate(NewKey) },
	}
}

// Peer is s with its receiver, for Peers and Answers.
func (s *Setup) Peer(r *Receiver) *Peer {
	return &Peer{Router: s.Router, Receiver: r, Encoders: s.Encoders, Secret: Key, Source: s.Key}
}
