package awsrouter_test

import (
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

// inFront is a server with TLS in front of a receiver, and the PEM text of its certificate.
func inFront(t *testing.T, r *receiver) (address, certificate string) {
	t.Helper()
	to, err := url.Parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(to))
	front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // of refused certificates
	front.StartTLS()
	t.Cleanup(front.Close)
	return front.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
}

// A file of certificates that was renewed and cannot be used is a note of the router, and so is a clock that is wrong.
func TestNotes(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		home, receiver := awstest.NewHome(t), s.start("place")
		t.Cleanup(receiver.Close)
		ca, err := rig.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "ca.pem")
		write := func(text []byte) {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(ca.PEM())
		synctest.Test(t, func(t *testing.T) {
			options := s.options("place")
			options[s.name+"-ca-cert"], options[s.name+"-endpoint"] = file, "https://127.0.0.1:1" // nothing listens there
			encoders, r := routerOf(t, s.kind(awsrouter.NewHost(home.Session(receiver.URL()))), options)
			b, _ := routertest.Batch(encoders, 1)
			note := func(want string) {
				t.Helper()
				if err := r.Send(t.Context(), b); err == nil {
					t.Fatal("nothing listens, and lines are delivered")
				}
				if got := r.(router.Noter).Note(); !strings.Contains(got, want) || (got == "") != (want == "") {
					t.Errorf("the note is %q, want %q", got, want)
				}
			}
			note("")
			write([]byte("-----BEGIN CERTIFICATE-----\nbroken"))
			<-time.After(11 * time.Second) // the clock of the bubble
			note("the renewed certificate files cannot be used, the earlier ones stay in use: log-opt " + s.name + "-ca-cert")
			write(ca.PEM())
			<-time.After(11 * time.Second)
			note("")
		})
		u := s.with(t, config.AWS{}, nil)
		u.receiver.SetAhead(time.Hour)
		u.deliver(t, 1)
		if got := u.router.(router.Noter).Note(); !strings.Contains(got, "the clock of this host is 1h0m0s behind the receiver's") {
			t.Errorf("the note is %q, want one about the clock", got)
		}
	})
}

// An authority that comes by reference and was rotated is asked for again when the endpoint's certificate is refused.
func TestRotatedAuthority(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		home, receiver := awstest.NewHome(t), s.start("place")
		t.Cleanup(receiver.Close)
		address, certificate := inFront(t, receiver)
		other, err := rig.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		source := routertest.NewSource(string(other.PEM()))
		options := s.options("place")
		options[s.name+"-endpoint"] = address
		c, err := s.kind(awsrouter.NewHost(home.Session(receiver.URL()))).New(router.Options{
			Plain: options, Secrets: map[string]secret.Source{s.name + "-ca-cert": source},
		})
		if err != nil {
			t.Fatal(err)
		}
		session := routertest.Session("one")
		session.Tag = session.ContainerID
		e, err := c.Encoder(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		r := c.Router()
		t.Cleanup(func() { _ = r.Close() })
		b := &router.Batch{}
		b.Append(e, &router.Record{TimeNano: time.Now().UnixNano(), Source: []byte("stdout"), Line: []byte("line")})
		source.Rotate(certificate)
		if err := r.Send(t.Context(), b); router.ClassOf(err) != router.ClassConfig || !strings.Contains(err.Error(), "signed by an unknown authority") {
			t.Errorf("with another authority: %v", err)
		}
		if err := r.Send(t.Context(), b); err != nil {
			t.Errorf("once the authority was rotated: %v", err)
		}
		if n := source.Invalidated(); n != 1 {
			t.Errorf("the reference was asked for again %d times, want 1", n)
		}
	})
}
