package logplugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/secretref/secretref/logplugin/api"
	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/metrics"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/resolve"
)

// serve listens before all else: a daemon that starts at the same time waits half a second for the socket.
func (p Program) serve(ctx context.Context, f flags) error {
	listener, err := api.Listen(f.socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	log := slog.New(slog.NewTextHandler(p.Stderr, nil))
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	dir, err := state.Open(ctx, cfg.Logs.StateDir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	var resolves metrics.Resolves
	// Not closed: its calls would hold up the end for as long as one may take, and nobody waits for them any more.
	resolver := p.resolver(cfg, &resolves)
	sessions, err := session.New(session.Config{State: dir, Config: cfg, Resolver: resolver, Kinds: Routers(), Log: log})
	if err != nil {
		return err
	}
	if cfg.Logs.AllowReferences == nil {
		log.Warn("a container may name any reference that this host can read: set allow_references under [logs]")
	}
	if err := sessions.Attach(); err != nil {
		return errors.Join(err, sessions.Close())
	}
	stop, err := p.answer(cfg, dir, sessions, metrics.Handler(p.Version, sessions, &resolves, log))
	if err != nil {
		return errors.Join(err, sessions.Close())
	}
	log.Info("ready", "version", p.Version, "socket", listener.Addr().String(), "stateDir", dir.Path())
	err = api.New(sessions, api.Options{Logger: log, CloseTimeout: 2 * time.Second}).Serve(ctx, listener)
	return errors.Join(err, stop(), sessions.Close())
}

func (p Program) resolver(cfg *config.Config, resolves *metrics.Resolves) *resolve.Resolver {
	return resolve.New(awsconf.New(cfg.AWS, Name, p.Version), resolve.Options{
		Policy: cfg.Cache.Policy, Timeout: cfg.AWS.Timeout, Observe: resolves.Observe,
	})
}

// answer begins to answer people: on the socket in the state directory, and with metrics alone on the address of the
// configuration, if there is one.
func (p Program) answer(cfg *config.Config, dir *state.Dir, sessions *session.Sessions, numbers http.Handler) (stop func() error, err error) {
	l, err := control.Listen(dir.Path())
	if err != nil {
		return nil, fmt.Errorf("listen for status: %w", err)
	}
	stopStatus := control.Serve(l, control.Handler(sessions, numbers))
	if cfg.Logs.MetricsAddress == "" {
		return stopStatus, nil
	}
	l, err = net.Listen("tcp", cfg.Logs.MetricsAddress)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for metrics, metrics_address under [logs]: %w", err), stopStatus())
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", numbers)
	stopMetrics := control.Serve(l, mux)
	return func() error { return errors.Join(stopStatus(), stopMetrics()) }, nil
}
