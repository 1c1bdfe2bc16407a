package logplugin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/metrics"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/resolve"
)

// serve listens before all else: a daemon that starts at the same time waits half a second for the socket.
func (p Program) serve(ctx context.Context, f flags) error {
	listener, err := dockerplugin.Listen(f.socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	log := slog.New(slog.NewTextHandler(p.Stderr, nil))
	cfg, broken := p.load(f)
	if broken != nil {
		cfg = p.fallback(f)
		log.Error("the configuration is broken: logs are read and kept, and nothing is sent before it is mended", "error", broken)
		var looking sync.WaitGroup
		defer looking.Wait()
		var mended context.CancelCauseFunc
		ctx, mended = context.WithCancelCause(ctx)
		defer mended(nil)
		looking.Go(func() { p.awaitMending(ctx, f, mended) })
	}
	dir, err := state.Open(ctx, cfg.Logs.StateDir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	var resolves metrics.Resolves
	// Not closed: its calls would hold up the end for as long as one may take, and nobody waits for them any more.
	resolver := p.resolver(cfg, &resolves)
	sessions, err := session.New(session.Config{State: dir, Config: cfg, Resolver: resolver, Kinds: Routers(), Log: log, Broken: broken})
	if err != nil {
		return err
	}
	if cfg.Logs.AllowReferences == nil {
		log.Warn("a container may name any reference that this host can read: set allow_references under [logs]")
	}
	if err := sessions.Attach(); err != nil {
		return errors.Join(err, sessions.Close())
	}
	stop := answer(cfg, dir, sessions, metrics.Handler(p.Version, sessions, &resolves, log), log)
	log.Info("ready", "version", p.Version, "socket", listener.Addr().String(), "stateDir", dir.Path())
	err = dockerplugin.New(sessions, dockerplugin.Options{Logger: log, CloseTimeout: 2 * time.Second}).Serve(ctx, listener)
	err = errors.Join(err, stop(), sessions.Close())
	if errors.Is(context.Cause(ctx), errMended) {
		return errors.Join(errMended, err)
	}
	return err
}

// mendPause is the time between two looks at a configuration that is broken.
const mendPause = 2 * time.Second

var errMended = errors.New("the configuration is mended; this process ends for one that uses it")

// awaitMending ends the process once its configuration can be read: whoever started it starts it again.
func (p Program) awaitMending(ctx context.Context, f flags, mended context.CancelCauseFunc) {
	again := time.NewTicker(mendPause)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		if _, err := p.load(f); err == nil {
			mended(errMended)
			return
		}
	}
}

func (p Program) resolver(cfg *config.Config, resolves *metrics.Resolves) *resolve.Resolver {
	return resolve.New(awsconf.New(cfg.AWS, Name, p.Version), resolve.Options{
		Policy: cfg.Cache.Policy, Timeout: cfg.AWS.Timeout, Observe: resolves.Observe,
	})
}

// answer begins to answer people: on the socket in the state directory, and with metrics alone on the address of the
// configuration, if there is one.
func answer(cfg *config.Config, dir *state.Dir, sessions *session.Sessions, numbers http.Handler, log *slog.Logger) (stop func() error) {
	stopStatus := keepAnswering("status", control.Handler(sessions, numbers), log, func() (net.Listener, error) { return control.Listen(dir.Path()) })
	if cfg.Logs.MetricsAddress == "" {
		return stopStatus
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", numbers)
	stopMetrics := keepAnswering("metrics_address", mux, log, func() (net.Listener, error) { return net.Listen("tcp", cfg.Logs.MetricsAddress) })
	return func() error { return errors.Join(stopStatus(), stopMetrics()) }
}

// listenPause is the time between two tries to listen.
const listenPause = 5 * time.Second

// keepAnswering answers on what listen opens until stop is called. If that fails, because the file system is read-only
// or the port is taken, it is tried again, and not waited for: a driver that ends leaves all containers without a reader.
func keepAnswering(what string, h http.Handler, log *slog.Logger, listen func() (net.Listener, error)) (stop func() error) {
	l, err := listen()
	if err == nil {
		return control.Serve(l, h)
	}
	log.Error("nobody is answered there; it is tried again", "what", what, "error", err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { // ends with stop
		again := time.NewTicker(listenPause)
		defer again.Stop()
		for {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-again.C:
			}
			if l, err := listen(); err == nil {
				stop := control.Serve(l, h)
				<-ctx.Done()
				ended <- stop()
				return
			}
		}
	}()
	return func() error { cancel(); return <-ended }
}
