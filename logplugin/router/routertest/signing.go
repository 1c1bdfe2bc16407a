package routertest

import (
	"context"
	"maps"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// signer gives requests a header in place of a signature.
type signer struct {
	service string
	refused atomic.Int32
}

func (s *signer) Sign(_ context.Context, r *http.Request, hash string, _ time.Time) *router.Error {
	r.Header.Set("Authorization", "signed "+s.service)
	r.Header.Set("X-Hash", hash)
	return nil
}

func (s *signer) Refused()          { s.refused.Add(1) }
func (s *signer) Secrets() []string { return []string{"s1gner-s3cret"} }

// Signed wants a kind to sign its requests to r, which are the options with PREFIX-aws-auth=true, and to say that a signature was
// refused. Over http it signs for no other host. kind makes the kind with a router.Signing.
func Signed(t *testing.T, kind func(router.Signing) router.Kind, prefix, address string, options map[string]string, r *Receiver) {
	t.Helper()
	s := &signer{}
	signed := kind(func(_ *router.Values, optionsOf, service string) router.Signer {
		if s.service = service; optionsOf != prefix+"-aws" {
			t.Errorf("the options of the signature begin with %s", optionsOf)
		}
		return s
	})
	all := map[string]string{prefix + "-aws-auth": "true", prefix + "-aws-service": "aoss", address: r.URL()}
	maps.Copy(all, options)
	c, e := newEncoder(t, signed, all)
	sends := c.Router()
	t.Cleanup(func() { _ = sends.Close() })
	b, _ := Batch([]router.Encoder{e}, 2)
	r.Fail(Mishap{Status: 403, Body: "you have s1gner-s3cret"})
	if e := Send(t, sends, b, "s1gner-s3cret"); ClassOf(e) != router.ClassCredentials || s.refused.Load() != 1 {
		t.Errorf("%+v, and the signer is told %d times; want class credentials, 1", e, s.refused.Load())
	}
	if e := Send(t, sends, b); e != nil {
		t.Error(e)
	}
	if x := r.Exchanges(); s.service != "aoss" || len(x) != 2 || len(x[1].Header.Get("X-Hash")) != 64 {
		t.Errorf("%d requests for %s: %+v", len(x), s.service, x)
	}
	Refuses(t, signed, all, map[string]string{address: "http://logs.example.com"}, nil, prefix+"-allow-plaintext=true", "s1gner-s3cret")
	Refuses(t, signed, all, map[string]string{prefix + "-user": "u", prefix + "-password": "p"}, nil, "two ways to log in", "s1gner-s3cret")
	Refuses(t, kind(nil), all, nil, nil, "cannot be signed here", "s1gner-s3cret")
}
