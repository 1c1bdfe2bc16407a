package logplugin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/filebudget"
	"github.com/secretref/secretref/logplugin/metrics"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/logplugin/swarm"
	"github.com/secretref/secretref/logplugin/variables"
	"github.com/secretref/secretref/logplugin/volume"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/resolve"
)

// server is one `serve`, for the life of the process.
type server struct {
	program  Program
	flags    flags
	log      *slog.Logger
	files    filebudget.Budget
	socket   net.Listener
	volumes  net.Listener // nil = none, or the daemon asks for volumes on socket too
	runtime  net.Listener // nil = secretref-runtime cannot ask
	resolves metrics.Resolves
	instance instance
	looking  sync.WaitGroup // for instance
}

// serve listens before all else: a daemon that starts at the same time waits half a second for the socket.
func (p Program) serve(ctx context.Context, f flags) error {
	log := p.newLog(f)
	s := &server{program: p, flags: f, log: log, instance: instance{looked: make(chan struct{})}}
	defer s.looking.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	limit := raiseFiles(log)
	if err := s.listen(); err != nil {
		return err
	}
	defer s.close()
	s.files = filebudget.For(limit, s.volumes != nil, s.runtime != nil)
	cfg, broken := p.load(f)
	if broken != nil {
		cfg = p.fallback(f)
		log.Error("the configuration is broken: logs are read and kept, and nothing is sent before it is fixed", "error", broken)
	}
	for {
		next, err := s.with(ctx, cfg, broken)
		if next == nil || err != nil {
			return err
		}
		cfg, broken = next, nil
	}
}

// listen opens the sockets for the daemon, unless systemd has.
func (s *server) listen() error {
	passed, err := dockerplugin.Passed()
	if err != nil {
		return err
	}
	s.socket, s.volumes, s.runtime = passed.Logs, passed.Volumes, passed.Runtime
	if s.socket == nil {
		s.socket, err = dockerplugin.ListenLate(s.flags.sockets.logs, s.log)
	}
	if err == nil && s.volumes == nil && s.flags.sockets.volumes != "" && !s.flags.oneSocket() {
		s.volumes, err = dockerplugin.ListenLate(s.flags.sockets.volumes, s.log)
	}
	if err == nil && s.runtime == nil && s.flags.sockets.runtime != "" {
		s.runtime, err = dockerplugin.ListenLate(s.flags.sockets.runtime, s.log)
	}
	if err != nil {
		s.close()
	}
	return err
}

func (s *server) close() {
	for _, l := range []net.Listener{s.socket, s.volumes, s.runtime} {
		if l != nil {
			_ = l.Close() // the process is about to end
		}
	}
}

// mountTimeout is the limit of a Mount. The daemon waits for two minutes, a managed plugin's for 30 seconds.
const mountTimeout = volume.MountWait*5/4 - 2*time.Second

// serveVolumes answers the daemon's calls for volumes and for secrets of a swarm on their own socket until ctx ends.
func (s *server) serveVolumes(ctx context.Context, d *service) error {
	if s.volumes == nil {
		<-ctx.Done()
		return nil
	}
	s.log.Info("volumes are served", "socket", s.volumes.Addr().String())
	plugin := dockerplugin.NewVolumes(dockerplugin.Options{
		Logger: s.log, CloseTimeout: 2 * time.Second, MountTimeout: mountTimeout, Connections: s.files.Volumes,
		Volumes: d.volumes, Secrets: d.swarm,
	})
	return plugin.Serve(ctx, dockerplugin.Lend(s.volumes))
}

// serveVariables answers secretref-runtime until ctx ends.
func (s *server) serveVariables(ctx context.Context, d *service) error {
	if s.runtime == nil {
		<-ctx.Done()
		return nil
	}
	s.log.Info("variables are served", "socket", s.runtime.Addr().String())
	return d.variables.Serve(ctx, dockerplugin.Lend(s.runtime), s.files.Runtime)
}

// serveLogs answers the daemon's calls for logs until ctx ends, and with one socket for both also those for volumes.
func (s *server) serveLogs(ctx context.Context, d *service, readLogs bool) error {
	o := dockerplugin.Options{
		Logger: s.log, CloseTimeout: 2 * time.Second, Connections: s.files.Daemon, MountTimeout: mountTimeout,
		Logs: d.sessions, Readers: s.files.Readers, ReadLogs: readLogs,
	}
	if d.volumes != nil && s.volumes == nil {
		o.Volumes, o.Secrets = d.volumes, d.swarm
	}
	return dockerplugin.New(d.sessions, o).Serve(ctx, dockerplugin.Lend(s.socket))
}

// with serves with one configuration until ctx ends, or until there is another, which it returns. Between the two, as
// between two processes, all FIFOs keep what the daemon writes, and its calls wait in the socket.
func (s *server) with(ctx context.Context, cfg *config.Config, broken error) (next *config.Config, err error) {
	dir, err := state.Open(ctx, cfg.Logs.StateDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	// Not closed: its calls would hold up the end for as long as one may take, and nobody waits for them any more.
	aws := awsconf.New(cfg.AWS, Name, s.program.Version)
	resolver, kinds := newResolver(aws, cfg, &s.resolves, s.log), RoutersOf(aws)
	sessions, err := session.New(session.Config{
		State: dir, Config: cfg, Resolver: resolver, Kinds: kinds, Log: s.log, Broken: broken, Files: s.files, Instance: s.lookForInstance(ctx, cfg),
		Opened: s.program.Opened,
	})
	if err != nil {
		return nil, err
	}
	if cfg.Logs.AllowReferences == nil {
		s.log.Warn("a container may name any reference that this host can read: set allow_references under [logs]")
	}
	d := &service{version: s.program.Version, sessions: sessions, resolver: resolver, kinds: kinds, resolves: &s.resolves, config: cfg, broken: broken, unusable: broken != nil}
	// Before the sessions, which may need many files.
	numbers := metrics.Options{Version: s.program.Version, Sessions: sessions, Health: d, Resolves: &s.resolves, PerContainer: d.perContainer, Log: s.log}
	if s.volumes != nil || s.flags.oneSocket() {
		d.volumes = volume.New(volume.Config{StateDir: dir.Path(), Config: cfg, Resolver: resolver, Broken: broken, Log: s.log})
		defer d.volumes.Close()
		d.swarm = swarm.New(swarm.Config{Config: cfg, Resolver: resolver, Broken: broken, Log: s.log})
		numbers.Volumes, numbers.Swarm = d.volumes, d.swarm
	}
	if s.runtime != nil {
		o := variables.Config{StateDir: dir.Path(), Config: cfg, Resolver: resolver, Broken: broken, Log: s.log}
		if d.volumes != nil {
			o.Volumes = d.volumes
		}
		d.variables = variables.New(o)
		numbers.Variables = d.variables
	}
	stop := listeners{s.files, s.log}.answer(cfg.Logs.MetricsAddress, dir.Path(), d, metrics.Handler(numbers))
	sessions.Attach()
	ctx, end := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		defer end()
		next = s.awaitConfig(ctx, d)
	})
	s.log.Info("ready", "version", s.program.Version, "socket", s.socket.Addr().String(), "stateDir", dir.Path(), "files", s.files.Limit)
	var volumesErr, variablesErr error
	looking.Go(func() { defer end(); volumesErr = s.serveVolumes(ctx, d) })
	looking.Go(func() { defer end(); variablesErr = s.serveVariables(ctx, d) })
	err = s.serveLogs(ctx, d, cfg.Logs.ReadLogs)
	end()
	looking.Wait()
	return next, errors.Join(err, volumesErr, variablesErr, stop(), sessions.Close())
}

// lookForInstance returns what gives the EC2 instance of this process, or nil when the configuration does not want it. The first call
// begins to look for it.
func (s *server) lookForInstance(ctx context.Context, cfg *config.Config) func(context.Context) router.Instance {
	if !cfg.Logs.InstanceMetadata {
		return nil
	}
	s.instance.once.Do(func() { s.looking.Go(func() { s.instance.look(ctx, awsconf.DescribeInstance, s.log) }) })
	return s.instance.get
}

// fixPause is the time between two looks at a configuration that cannot be used.
const fixPause = 2 * time.Second

// awaitConfig returns the next configuration once there is one to be used, or nil when ctx ends. One that was broken
// from the start is looked at by itself; otherwise somebody has to ask for it.
func (s *server) awaitConfig(ctx context.Context, d *service) *config.Config {
	var again <-chan time.Time
	if d.unusable {
		tick := time.NewTicker(fixPause)
		defer tick.Stop()
		again = tick.C
	}
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case <-s.program.Reload:
			asked = true
		}
		cfg, err := s.program.load(s.flags)
		switch {
		case err == nil && d.unusable:
			s.log.Info("the configuration is fixed, and takes effect now")
			return cfg
		case err != nil && asked:
			d.setBroken(err)
			s.log.Error("the configuration is broken, and the one before it stays in use", "error", err)
		case err == nil && inMemory(d.sessions.Status()):
			s.log.Error("the configuration cannot be read again while lines are kept in memory: they would be lost; ask again when the disk takes them")
		case err == nil:
			s.reloaded(d, cfg)
			return cfg
		}
	}
}

// reloaded keeps what cannot change in a running process.
func (s *server) reloaded(d *service, cfg *config.Config) {
	old, _ := d.current()
	if keys := config.RestartNeeded(old, cfg); len(keys) > 0 {
		s.log.Warn("some keys take effect only with a restart", "keys", strings.Join(keys, " "))
	}
	cfg.Logs.StateDir, cfg.Logs.MetricsAddress = old.Logs.StateDir, old.Logs.MetricsAddress
	s.log.Info("the configuration is read again, and takes effect now")
}

func inMemory(all []session.Status) bool {
	for _, s := range all {
		if s.Mode == spool.Memory {
			return true
		}
	}
	return false
}

func newResolver(aws *awsconf.Session, cfg *config.Config, resolves *metrics.Resolves, log *slog.Logger) *resolve.Resolver {
	var audit func(resolve.Access)
	if cfg.AWS.Audit {
		audit = func(a resolve.Access) { log.Info("reference resolved", "access", a) }
	}
	return resolve.New(aws, resolve.Options{
		Policy: cfg.Cache.Policy, Timeout: cfg.AWS.Timeout, Observe: resolves.Observe, Audit: audit,
	})
}

// raiseFiles raises the limit of open files.
func raiseFiles(log *slog.Logger) int {
	limit, err := filebudget.Raise()
	if err != nil {
		log.Warn("the limit of open files cannot be raised", "limit", limit, "error", err)
	}
	return limit
}
