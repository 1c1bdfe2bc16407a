package logplugin

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/filebudget"
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
	log := p.newLog(f)
	files := raiseFiles(log)
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
	sessions, err := session.New(session.Config{State: dir, Config: cfg, Resolver: resolver, Kinds: Routers(), Log: log, Broken: broken, Files: files})
	if err != nil {
		return err
	}
	if cfg.Logs.AllowReferences == nil {
		log.Warn("a container may name any reference that this host can read: set allow_references under [logs]")
	}
	if err := sessions.Attach(); err != nil {
		return errors.Join(err, sessions.Close())
	}
	d := &service{version: p.Version, sessions: sessions, resolver: resolver, resolves: &resolves, config: cfg, broken: broken}
	stop := listeners{files, log}.answer(cfg.Logs.MetricsAddress, dir.Path(), d, metrics.Handler(metrics.Options{
		Version: p.Version, Sessions: sessions, Health: d, Resolves: &resolves, PerContainer: d.perContainer, Log: log,
	}))
	log.Info("ready", "version", p.Version, "socket", listener.Addr().String(), "stateDir", dir.Path(), "files", files.Limit)
	err = dockerplugin.New(sessions, dockerplugin.Options{Logger: log, CloseTimeout: 2 * time.Second, Connections: files.Daemon}).Serve(ctx, listener)
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

// raiseFiles raises the limit of open files and shares them out.
func raiseFiles(log *slog.Logger) filebudget.Budget {
	limit, err := filebudget.Raise()
	if err != nil {
		log.Warn("the limit of open files cannot be raised", "limit", limit, "error", err)
	}
	return filebudget.For(limit)
}
