// Package session is the containers whose logs are read: from StartLogging, over the spool, to the router that they share
// with others, until all is delivered.
//
// It promises that a FIFO is read whatever happens to its router, its secrets or its options, and that a container which
// was accepted once is never refused again. What a session knows on disk is references and names. It refuses a
// container, before it starts, for a mistake in its options or for a reference that cannot be read for a permanent reason.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/fifo"
	"github.com/secretref/secretref/logplugin/filebudget"
	"github.com/secretref/secretref/logplugin/history"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/resolve"
)

// Config of Sessions. All fields must be set, but for Log.
type Config struct {
	State    *state.Dir
	Config   *config.Config
	Resolver *resolve.Resolver
	Kinds    []router.Kind
	Log      *slog.Logger      // nil = nowhere
	Broken   error             // why Config is only a fallback: FIFOs are read, and nothing is sent; nil = it is whole
	Files    filebudget.Budget // zero means no bound
	// Instance returns the EC2 instance that lines should name, and waits only a moment until it is known. nil means none.
	Instance func(context.Context) router.Instance
	Now      func() time.Time // the time that people are shown; nil = time.Now
	Opened   func()           // is called once every FIFO of an earlier process was opened, if it could be; nil = nobody wants to know

	pauses  pauses
	spoolFS spool.FileSystem // nil means the host's
}

// Sessions is all FIFOs that are read. It is the dockerplugin.Sessions. It has many fields (reason: it connects the parts that
// sessions share, and each of them has a type of its own).
type Sessions struct {
	admission    *admission
	destinations destinations
	dir          *state.Dir
	store        *spool.Store
	log          *slog.Logger
	pauses       pauses
	now          func() time.Time

	ctx  context.Context // ends with Close; the goroutines of the sessions are its owner's
	stop context.CancelFunc
	wait sync.WaitGroup

	mu        sync.Mutex
	starting  map[string]bool // files of sessions that are to be made; true = somebody makes it
	byFile    map[string]*session
	later     later
	attaching attaching
	folding   sync.Mutex // one at a time; see fold

	history  *history.Store // of delivered lines, for docker logs
	readLogs bool           // lines are kept there
}

var _ dockerplugin.Sessions = (*Sessions)(nil)

var errEnding = errors.New("the log driver is ending; try again")

// New returns Sessions without any session. Attach takes over what an earlier process has left.
func New(c Config) (*Sessions, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.pauses == (pauses{}) {
		c.pauses = usual
	}
	if c.Opened == nil {
		c.Opened = func() {}
	}
	a, err := newAdmission(c)
	if err != nil {
		return nil, err
	}
	s := &Sessions{
		admission: a, dir: c.State, log: c.Log,
		starting: map[string]bool{}, byFile: map[string]*session{}, pauses: c.pauses, now: c.Now, readLogs: c.Config.Logs.ReadLogs,
	}
	s.attaching.opened = c.Opened
	s.history = s.newHistory(c)
	spools := spoolConfig(c)
	spools.Spare = s.history.Spare
	s.store = spool.NewStore(spools)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.destinations = destinations{
		log: c.Log, ctx: s.ctx, wait: &s.wait, pauses: c.pauses, byConnection: map[options.Connection]*destination{}, tallies: map[target]*tally{},
	}
	return s, nil
}

// WrongDestinations returns what is wrong with the destinations of the configuration, one line for each.
func (s *Sessions) WrongDestinations() []string { return s.admission.wrongDestinations() }

// spoolMemory is what the spools may use while the disk takes no lines.
const spoolMemory = 64 << 20

// spoolConfig is the part of the configuration that all spools share.
func spoolConfig(c Config) spool.Config {
	logs := c.Config.Logs
	sc := spool.Config{
		Dir: c.State.Path(), Total: logs.SpoolTotal, MinFree: logs.SpoolMinFree, Memory: spoolMemory, Retry: c.pauses.again, Log: c.Log,
		FS: c.spoolFS, Wall: c.Now,
	}
	if logs.SpoolMinFree == config.DefaultSpoolMinFree {
		sc.MinFreePart = 20 // the default stands for 5 % where that is less
	}
	return sc
}

// Start is StartLogging.
func (s *Sessions) Start(ctx context.Context, file string, info dockerplugin.Info) error {
	if s.knows(file) {
		return nil // the daemon repeats itself
	}
	accepted := s.dir.Accepted(info.ContainerID)
	meta := state.Session{File: file, ContainerID: info.ContainerID, ContainerName: info.ContainerName, Started: s.now()}
	o, checked, err := s.admission.options(audited(info.ContainerID), info)
	if s.admission.broken != nil {
		err = s.admission.broken
	}
	var parked error
	switch {
	case err == nil && !accepted:
		err = s.admission.admit(ctx, info.ContainerID, o)
	case err == nil:
	case accepted:
		// Refused, it would stay down, or hang: its lines wait until somebody fixes what has changed on the host.
		s.log.Error("the log of a container is kept, and not sent", named(&meta), "error", err)
		parked, err = err, nil
	}
	kept, wrong := options.History(info.Config)
	if err == nil && !accepted {
		err = wrong
	}
	if err == nil && !accepted {
		err = s.reserve(file)
		defer s.unclaim(file)
	}
	f, err := s.openFor(ctx, file, accepted, err)
	if err != nil {
		s.refuse(file)
		return err
	}
	for _, note := range o.Notes {
		s.log.Info("log options have a meaning of their own here", named(&meta), "note", note)
	}
	for _, name := range s.admission.rules.InPlain(o) {
		s.log.Warn("docker inspect shows a credential; give it as secretOptions."+name, named(&meta), "log-opt", name)
	}
	meta.Number, meta.Options, meta.History, meta.ReadLogs = s.dir.Number(), o, kept, s.readLogs
	if err := s.begin(meta, beginning{fifo: f, save: s.dir.Save, config: checked, parked: parked, first: !accepted}); err != nil {
		if f != nil {
			_ = f.Close()
		}
		s.refuse(file)
		return err
	}
	if err := s.dir.Accept(info.ContainerID); err != nil {
		s.log.Warn("cannot remember that a container was accepted, will retry", named(&meta), "error", err)
		s.attaching.failed()
		s.acceptLater()
	}
	if !accepted || !s.readLogs {
		_ = s.dir.SetWhole(info.ContainerID, s.readLogs) // docker logs says more, or less, about where output is
	}
	return nil
}

// fifoShare is the part of the files for sessions that FIFOs may take, in eighths: the rest is for segments and cursors,
// which are opened when they are needed and closed again.
const fifoShare = 5

// reserve keeps a place for the FIFO of a new container until unclaim, or returns an error when it is more than the process has
// files for.
func (s *Sessions) reserve(file string) error {
	files := s.admission.files
	if files.Limit == 0 {
		return nil
	}
	most := max(1, files.Sessions*fifoShare/8)
	s.mu.Lock()
	defer s.mu.Unlock()
	open := len(s.byFile)
	for other := range s.starting {
		if s.byFile[other] == nil && other != file {
			open++
		}
	}
	if open < most {
		if _, known := s.starting[file]; !known { // else another call for the same FIFO has its place, or its claim
			s.starting[file] = false
		}
		return nil
	}
	return fmt.Errorf("the log driver reads the logs of %d containers, and may not open files for more: its limit is %d; raise LimitNOFILE of the service", open, files.Limit)
}

// openFor opens the FIFO of a container that is to begin, if err is nil. It returns neither a file nor an error for a
// container that was accepted and whose FIFO cannot be opened at the moment: its session opens it later.
func (s *Sessions) openFor(ctx context.Context, file string, accepted bool, err error) (*os.File, error) {
	if err == nil && ctx.Err() != nil {
		err = errors.New("the log driver did not get ready in time; try again") // the daemon may have been told so already
	}
	if err != nil {
		return nil, err
	}
	f, err := openFIFO(file)
	switch {
	case err == nil:
		return f, nil
	case accepted && !isGone(err):
		return nil, nil //nolint:nilnil // see above
	}
	return nil, fmt.Errorf("open the container's log %s: %w", file, err)
}

// Withdraw ends the session that Start has made for file, because the daemon was told that it could not be made.
func (s *Sessions) Withdraw(file string) {
	s.mu.Lock()
	x := s.byFile[file]
	s.mu.Unlock()
	if x == nil {
		s.unlink(file)
		return
	}
	s.log.Warn("session withdrawn: the daemon has been told that the container's log could not be started", x.attrs())
	if x.first {
		if err := s.dir.Revoke(x.meta.ContainerID); err != nil {
			s.log.Warn("cannot forget that a container was accepted", x.attrs(), "error", err)
		}
	}
	s.giveUp(x)
}

// giveUp ends a session at once, with what has not been delivered. It reports whether the session was not ending already.
func (s *Sessions) giveUp(x *session) bool {
	if !x.finishing.CompareAndSwap(false, true) {
		return false
	}
	x.leave()
	if d := x.output.destination(); d != nil {
		d.delivery.Discard(&x.feed)
	}
	s.remove(x)
	return true
}

func (s *Sessions) refuse(file string) {
	s.admission.refused.Add(1)
	s.unlink(file)
}

func (s *Sessions) knows(file string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byFile[file] != nil || s.starting[file]
}

// claim makes this goroutine the one that makes the session of file.
func (s *Sessions) claim(file string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byFile[file] != nil || s.starting[file] {
		return false
	}
	s.starting[file] = true
	return true
}

func (s *Sessions) unclaim(file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.starting, file)
}

// unlink removes a FIFO where the daemon does not: after an error, and when it went away itself.
func (s *Sessions) unlink(file string) {
	_ = fifo.Remove(file)
}

func (s *Sessions) spoolDir(file string) string {
	return filepath.Join(s.dir.Path(), "spool", state.ID(file))
}

// Stop is StopLogging. There is nothing to do but to note it: the daemon closes the FIFO next, and its end is the
// session's.
func (s *Sessions) Stop(file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.byFile[file]; x != nil {
		x.stopping.Store(true)
	}
}

// finish removes a session of which everything is delivered.
func (s *Sessions) finish(x *session) {
	if !x.finishing.CompareAndSwap(false, true) {
		return
	}
	if d := x.output.destination(); d != nil {
		d.delivery.Remove(s.ctx, &x.feed)
	}
	if s.ctx.Err() == nil {
		s.remove(x)
	}
}

// remove takes away all that there is of a session.
func (s *Sessions) remove(x *session) {
	d := x.output.end()
	err := s.removeFiles(x)
	if err != nil {
		s.log.Warn("the files of a session that has ended cannot be removed, will retry", x.attrs(), "error", err)
	}
	s.unlink(x.meta.File)
	s.mu.Lock()
	delete(s.byFile, x.meta.File)
	s.destinations.addDropped(x.target(), x.feed.dropped())
	s.mu.Unlock()
	if err != nil {
		s.removeLater(x)
	}
	close(x.done)
	x.changes.wake()
	s.wakeOthers(x)
	if d != nil {
		s.destinations.release(d)
	}
}

// wakeOthers wakes the other sessions of the container of x, whose lines may have waited for those of x.
func (s *Sessions) wakeOthers(x *session) {
	s.mu.Lock()
	var others []*session
	for _, o := range s.byFile {
		if o != x && o.meta.ContainerID == x.meta.ContainerID {
			others = append(others, o)
		}
	}
	s.mu.Unlock()
	for _, o := range others {
		o.wake()
	}
}

// How long Close waits: for the requests to routers, and for the file system.
const (
	endWait   = 2 * time.Second
	spoolWait = 3 * time.Second
)

// Close ends everything and leaves what is not delivered to the next process. It returns within endWait and spoolWait,
// whatever a router or a file system does; the error says what it has left.
func (s *Sessions) Close() error {
	s.stop()
	// From here on nothing begins.
	deliveries := s.destinations.closers()
	ended := within(endWait, "the sessions", func() error {
		err := together(deliveries)
		s.wait.Wait()
		return err
	})
	var spools []func() error
	for _, x := range s.sessions() {
		spools = append(spools, x.close)
	}
	return errors.Join(ended, within(spoolWait, "the spools", func() error { return together(spools) }))
}

// within waits for f until the limit. What is late goes on; the process is about to end.
func within(limit time.Duration, what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return fmt.Errorf("%s did not end within %v", what, limit)
	}
}

func together(steps []func() error) error {
	errs := make([]error, len(steps))
	var all sync.WaitGroup
	for i, step := range steps {
		all.Go(func() { errs[i] = step() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// shortName is the name of a container without its slash, or its short id.
func shortName(m state.Session) string {
	if name := strings.TrimPrefix(m.ContainerName, "/"); name != "" {
		return name
	}
	return short(m.ContainerID)
}

// short cuts the id of a container as docker does.
func short(id string) string { return id[:min(len(id), 12)] }
