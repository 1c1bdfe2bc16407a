package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// mirror is a registry that wants no password: it passes on to the other one with that one's password, and notes
// whether a client has sent one.
type mirror struct {
	l            net.Listener
	srv          *http.Server
	done         sync.WaitGroup
	password     atomic.Pointer[rig.Canary] // for the registry behind it
	credentials  atomic.Bool                // a client has sent some
	transport    *http.Transport
	servingError error // read after done
}

func startMirror(r *rig.Registry, ca *rig.CA) (*mirror, error) {
	behind, err := url.Parse(r.URL())
	if err != nil {
		return nil, err
	}
	config, err := ca.ServerConfig(public)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", r.IP()+":0")
	if err != nil {
		return nil, err
	}
	m := &mirror{l: l, transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	proxy := &httputil.ReverseProxy{
		Transport: m.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(behind)
			p.Out.SetBasicAuth(user, m.password.Load().Value())
		},
	}
	m.srv = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "" {
			m.credentials.Store(true)
		}
		proxy.ServeHTTP(w, q)
	})}
	m.done.Go(func() { m.servingError = m.srv.Serve(tls.NewListener(l, config)) })
	return m, nil
}

func (m *mirror) port() string {
	_, port, _ := net.SplitHostPort(m.l.Addr().String())
	return port
}

func (m *mirror) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := m.srv.Shutdown(ctx)
	m.done.Wait()
	m.transport.CloseIdleConnections()
	if !errors.Is(m.servingError, http.ErrServerClosed) {
		err = errors.Join(err, m.servingError)
	}
	return err
}
