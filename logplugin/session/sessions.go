// Package session reads the logs of containers: one session for each FIFO that the daemon announces, from StartLogging
// until the last line is with the router, across restarts of the driver.
//
// It promises that every FIFO is read whatever the router does, that a container which was accepted once is never
// refused again, and that what a session knows on disk is references and names. It refuses a container, before it
// starts, for a mistake in its options or for a reference that cannot be read for a permanent reason.
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/api"
	"github.com/secretref/secretref/logplugin/delivery"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

// resolveWait is how long StartLogging waits for references: the daemon holds the container's lock meanwhile.
const resolveWait = time.Second

// deniedAgain is the pause before a denial counts: a policy that was attached a moment ago is not everywhere yet.
const deniedAgain = time.Second

// Config of Sessions. All fields must be set, but for Log.
type Config struct {
	State    *state.Dir
	Config   *config.Config
	Resolver *resolve.Resolver
	Kinds    []Kind
	Log      *slog.Logger // nil = nowhere
}

// Sessions is all FIFOs that are read. It is the api.Sessions.
type Sessions struct {
	dir      *state.Dir
	config   *config.Config
	resolver *resolve.Resolver
	kinds    map[string]*Kind
	rules    *options.Rules
	store    *spool.Store
	log      *slog.Logger
	hostname string

	ctx  context.Context // ends with Close; the goroutines of the sessions are its owner's
	stop context.CancelFunc
	wait sync.WaitGroup

	mu      sync.Mutex
	byFile  map[string]*session
	routers map[options.Connection]*shared
}

var _ api.Sessions = (*Sessions)(nil)

// shared is a router and those who use it.
type shared struct {
	delivery   *delivery.Delivery
	connection Connection
	users      int
}

// New returns Sessions without any session. Attach takes over what an earlier process has left.
func New(c Config) (*Sessions, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("read the host's name: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	logs := c.Config.Logs
	s := &Sessions{
		dir: c.State, config: c.Config, resolver: c.Resolver, log: c.Log, hostname: hostname,
		kinds: map[string]*Kind{}, byFile: map[string]*session{}, routers: map[options.Connection]*shared{},
		rules: &options.Rules{AllowReferences: logs.AllowReferences, AllowRouters: logs.AllowRouters, SpoolMaxBytes: logs.SpoolMaxBytes, Hostname: hostname},
		store: spool.NewStore(spool.Config{Dir: c.State.Path(), Total: logs.SpoolTotal, MinFree: logs.SpoolMinFree, Log: c.Log}),
	}
	for i, k := range c.Kinds {
		s.kinds[k.Table.Router] = &c.Kinds[i]
		s.rules.Tables = append(s.rules.Tables, k.Table)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Start is StartLogging.
func (s *Sessions) Start(ctx context.Context, file string, info api.Info) error {
	if s.knows(file) {
		return nil // the daemon repeats itself
	}
	o, err := s.rules.Parse(info.Config, info)
	if err == nil {
		_, err = s.kinds[o.Router].Parse(s.routerOptions(o))
	}
	if err == nil {
		err = s.admit(ctx, info.ContainerID, o)
	}
	if err != nil {
		s.unlink(file)
		return err
	}
	meta := state.Session{File: file, ContainerID: info.ContainerID, ContainerName: info.ContainerName, Started: time.Now(), Options: o}
	fifo, err := open(file)
	if err != nil {
		return fmt.Errorf("the container's log cannot be opened: %w", err)
	}
	if err := s.begin(meta, fifo, s.dir.Save); err != nil {
		_ = fifo.Close()
		s.unlink(file)
		return err
	}
	if err := s.dir.Accept(info.ContainerID); err != nil {
		s.log.Warn("an accepted container cannot be remembered", "error", err)
	}
	return nil
}

func (s *Sessions) knows(file string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byFile[file] != nil
}

// unlink removes a FIFO where the daemon does not: after an error, and when it went away itself.
func (s *Sessions) unlink(file string) {
	if info, err := os.Lstat(file); err == nil && filepath.IsAbs(file) && info.Mode().Type() == os.ModeNamedPipe {
		_ = os.Remove(file)
	}
}

// admit asks for the references of a container that was never accepted. One that was may come back for good reasons, a
// restart policy or `docker logs`, while AWS does not answer or a secret is being replaced.
func (s *Sessions) admit(ctx context.Context, containerID string, o options.Options) error {
	if len(o.References) == 0 || o.SecretFailure == options.SecretFailureStart || s.dir.Accepted(containerID) {
		return nil
	}
	err := s.tryReferences(ctx, o)
	if errors.Is(err, fault.Denied) {
		pause := time.NewTimer(deniedAgain)
		defer pause.Stop()
		select {
		case <-pause.C:
			for _, ref := range o.References {
				s.resolver.Source(s.request(ref)).Invalidate(secret.Value{}) // or the denial is answered from memory
			}
			err = s.tryReferences(ctx, o)
		case <-ctx.Done():
		}
	}
	if err == nil || fault.KindOf(err).Transient() && o.SecretFailure != options.SecretFailureFail {
		return nil
	}
	return err
}

func (s *Sessions) tryReferences(ctx context.Context, o options.Options) error {
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	names := slices.Sorted(maps.Keys(o.References))
	requests := make([]resolve.Request, len(names))
	for i, name := range names {
		requests[i] = s.request(o.References[name])
	}
	var transient error
	for i, r := range s.resolver.Resolve(ctx, requests...) {
		err := fmt.Errorf("log-opt %s: %w", names[i], r.Err)
		switch {
		case r.Err == nil:
		case !fault.KindOf(r.Err).Transient():
			return err
		default:
			transient = err
		}
	}
	return transient
}

func (s *Sessions) request(ref secretref.Ref) resolve.Request {
	return resolve.Request{Ref: ref, Region: s.config.AWS.Region, Role: s.config.RoleFor(ref.Account, config.Role{})}
}

func (s *Sessions) routerOptions(o options.Options) router.Options {
	r := router.Options{Plain: o.Plain, Secrets: map[string]secret.Source{}}
	for name, ref := range o.References {
		r.Secrets[name] = s.resolver.Source(s.request(ref))
	}
	if option := s.kinds[o.Router].Table.Address.Option; r.Secrets[option] != nil {
		r.Secrets[option] = addressSource{Source: r.Secrets[option], rules: s.rules, router: o.Router}
	}
	return r
}

// addressSource is the source of a router's address: what comes out is held against allow_routers, too.
type addressSource struct {
	secret.Source
	rules  *options.Rules
	router string
}

func (a addressSource) Get(ctx context.Context) (secret.Value, error) {
	v, err := a.Source.Get(ctx)
	if err != nil {
		return v, err
	}
	if _, err := a.rules.CheckAddress(a.router, v.Reveal()); err != nil { //nolint:forbidigo // the address is checked and not kept
		return secret.Value{}, &fault.Error{Kind: fault.BadValue, Op: "read the router's address", Cause: err.Error(), Err: err}
	}
	return v, nil
}

// open opens the reading end without waiting for a writer.
func open(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if info, err := f.Stat(); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		_ = f.Close()
		return nil, errors.New("it is not a FIFO")
	}
	return f, nil
}

// begin makes the session of meta and starts it, and then has the fifo. Without one there is only what its spool holds.
func (s *Sessions) begin(meta state.Session, fifo *os.File, save func(state.Session) error) error {
	x := &session{table: s, meta: meta, kind: s.kinds[meta.Options.Router], log: s.log, done: make(chan struct{})}
	if x.kind == nil {
		return fmt.Errorf("%q is no log router of this version", meta.Options.Router)
	}
	x.joiner = frame.NewJoiner(frame.JoinerOptions{}, x.emit)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return errors.New("the log driver is ending; try again")
	}
	if s.byFile[meta.File] != nil { // the daemon repeats itself
		if fifo != nil {
			_ = fifo.Close()
		}
		return nil
	}
	var err error
	if x.shared, err = s.share(meta.Options); err != nil {
		return err
	}
	if err := save(meta); err != nil {
		// It is read all the same; only a restart of the driver would not know it.
		s.log.Error("the state of a session cannot be kept: after a restart of the driver its log is not read", "error", err)
	}
	x.spool = s.store.Open(s.spoolDir(meta.File), spool.Options{
		MaxBytes: meta.Options.SpoolMaxBytes,
		Notify:   func() { x.shared.delivery.Ready(x) },
	})
	older := s.newest(meta.ContainerID)
	x.after = older
	s.byFile[meta.File] = x
	x.shared.delivery.Add(x)
	ctx, stop := context.WithCancel(s.ctx)
	x.stop, x.fifo = stop, fifo
	s.wait.Go(func() { x.run(ctx) })
	s.wait.Go(x.prepare)
	if older != nil && older.fifo != nil {
		s.wait.Go(older.supersede)
	}
	return nil
}

func (s *Sessions) spoolDir(file string) string {
	return filepath.Join(s.dir.Path(), "spool", state.ID(file))
}

// newest returns the session of a container that began last.
func (s *Sessions) newest(containerID string) *session {
	var found *session
	for _, x := range s.byFile {
		if x.meta.ContainerID == containerID && (found == nil || x.meta.Started.After(found.meta.Started)) {
			found = x
		}
	}
	return found
}

// share returns the router of a connection, which is made for the first session.
func (s *Sessions) share(o options.Options) (*shared, error) {
	key, err := s.rules.Connection(o)
	if err != nil {
		return nil, err
	}
	// The options of the encoder are the session's own: each session has its own Connection, the first one's makes the router.
	c, err := s.kinds[o.Router].Parse(s.routerOptions(o))
	if err != nil {
		return nil, err
	}
	sh := s.routers[key]
	if sh == nil {
		sh = &shared{delivery: delivery.New(c.Router(), delivery.Config{Log: s.log})}
		s.routers[key] = sh
	}
	sh.users++
	return &shared{delivery: sh.delivery, connection: c}, nil
}

// release gives the router back; the last one closes it.
func (s *Sessions) release(o options.Options) {
	key, err := s.rules.Connection(o)
	if err != nil {
		return
	}
	s.mu.Lock()
	sh := s.routers[key]
	sh.users--
	if sh.users == 0 {
		delete(s.routers, key)
	}
	s.mu.Unlock()
	if sh.users == 0 {
		_ = sh.delivery.Close()
	}
}

// Stop is StopLogging. There is nothing to do: the daemon closes the FIFO next, and its end is the session's.
func (s *Sessions) Stop(string) {}

// finish removes a session of which everything is delivered.
func (s *Sessions) finish(x *session) {
	x.shared.delivery.Remove(s.ctx, x)
	if s.ctx.Err() != nil {
		return
	}
	if err := x.spool.Remove(); err != nil {
		s.log.Warn("the spool of a session that has ended cannot be removed", "error", err)
	}
	if err := s.dir.Remove(x.meta.File); err != nil {
		s.log.Warn("the state of a session that has ended cannot be removed", "error", err)
	}
	s.unlink(x.meta.File)
	s.mu.Lock()
	delete(s.byFile, x.meta.File)
	var next []*session
	for _, o := range s.byFile {
		if o.meta.ContainerID == x.meta.ContainerID {
			next = append(next, o)
		}
	}
	s.mu.Unlock()
	close(x.done)
	for _, o := range next {
		o.shared.delivery.Ready(o)
	}
	s.release(x.meta.Options)
}

// Attach goes on with the sessions that an earlier process has left, also those whose FIFO is gone: their spool may hold
// lines. Call it once, before the first Start.
func (s *Sessions) Attach() error {
	sessions, damaged, err := s.dir.Load()
	if err != nil {
		return err
	}
	for _, d := range damaged {
		s.log.Error("a session is lost: its state cannot be read", "error", d)
	}
	slices.SortStableFunc(sessions, func(a, b state.Session) int { return a.Started.Compare(b.Started) })
	for _, meta := range sessions {
		fifo, err := open(meta.File)
		if err != nil {
			fifo = nil // the daemon has removed it: what is left is in the spool
		}
		if err := s.begin(meta, fifo, func(state.Session) error { return nil }); err != nil {
			s.log.Error("a session cannot go on", "container", meta.ContainerID, "error", err)
			if fifo != nil {
				_ = fifo.Close()
			}
		}
	}
	if len(sessions) > 0 {
		s.log.Info("sessions of an earlier process go on", "sessions", len(sessions))
	}
	return nil
}

// Close ends everything and leaves what is not delivered to the next process.
func (s *Sessions) Close() error {
	s.stop()
	s.mu.Lock()
	routers := slices.Collect(maps.Values(s.routers))
	s.mu.Unlock()
	errs := make([]error, len(routers))
	var closing sync.WaitGroup
	for i, r := range routers {
		closing.Go(func() { errs[i] = r.delivery.Close() })
	}
	closing.Wait()
	s.wait.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.byFile {
		x.mu.Lock()
		if x.timer != nil {
			x.timer.Stop()
		}
		x.mu.Unlock()
		errs = append(errs, x.spool.Close())
	}
	return errors.Join(errs...)
}

// Status is one line of `secretref-logdriver status`.
type Status struct {
	ContainerID   string
	ContainerName string
	Router        string
	Mode          string
	WaitingBytes  int64
	WaitingFor    time.Duration
	DroppedLines  int64
	Sent          uint64 // by all sessions of the router
	LastError     string
}

// Status returns the sessions, oldest first.
func (s *Sessions) Status() []Status {
	s.mu.Lock()
	sessions := slices.Collect(maps.Values(s.byFile))
	s.mu.Unlock()
	slices.SortFunc(sessions, func(a, b *session) int { return a.meta.Started.Compare(b.meta.Started) })
	all := make([]Status, len(sessions))
	for i, x := range sessions {
		st, d := x.spool.Stats(), x.shared.delivery.Status()
		x.mu.Lock()
		last := x.last
		x.mu.Unlock()
		all[i] = Status{
			ContainerID: x.meta.ContainerID, ContainerName: x.meta.ContainerName, Router: x.meta.Options.Router,
			Mode: string(st.Mode), WaitingBytes: st.End - st.Committed, WaitingFor: st.Age(time.Now()),
			DroppedLines: st.DroppedLines, Sent: d.Sent, LastError: cmp.Or(d.LastError, last),
		}
	}
	return all
}

// droppedText is the line that stands where lines are missing.
func droppedText(g spool.Gap) []byte {
	if g.Lines == 0 {
		return []byte("secretref: lines are missing here: a part of the spool was lost")
	}
	return []byte("secretref: " + strconv.FormatInt(g.Lines, 10) + " lines are missing here: the spool was full")
}
