// Package volume gives secrets to containers as files: volumes of the driver secretref-files.
//
// The options of a volume are references. Create keeps them on disk; Mount asks AWS for the values and writes them below a
// tmpfs that others have mounted; and while a container has the volume, its files follow the values. A value is never
// written where the file system is not a tmpfs.
//
// The Docker daemon mounts and unmounts one volume with one ID several times, and not always in pairs, so Unmount deletes
// nothing. Remove does, and so does a restart of the host.
package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/secret"
)

// MountWait is how long a Mount of a volume that a container has had before waits for AWS. The daemon answers nobody before
// the mounts of its start are done.
const MountWait = 25 * time.Second

// Config is what Volumes need.
type Config struct {
	StateDir string // of the log driver
	Config   *config.Config
	Resolver *resolve.Resolver
	Broken   error // why the configuration on disk cannot be used; nil means that it can
	Log      *slog.Logger

	wait time.Duration // 0 = MountWait
}

// Volumes are all volumes of a host. Its methods may be called at the same time.
type Volumes struct {
	o       Config
	state   stateDir
	tree    tree
	allowed references.Allowed
	asker   *references.Asker
	ended   sync.WaitGroup

	incomplete chan struct{} // wakes the refresh: a volume was mounted without all of its files
	end        context.CancelFunc

	mu      sync.Mutex
	loadErr error // why the state could not be read; nil means that known is complete
	known   map[string]*volume
}

var _ dockerplugin.Volumes = (*Volumes)(nil)

// volume is one of them. name, created, spec and invalid never change; the others are guarded by Volumes.mu.
type volume struct {
	name    string
	created time.Time // zero = not known
	spec    Spec
	invalid error // why it cannot be mounted, whatever AWS says
	record  record

	mounts    map[string]int    // by the daemon's ID
	waiting   int               // calls of Mount that have no answer yet
	versions  map[string]string // of the secret that each file has, as AWS names it; empty after a start, until it is read
	lastErr   error             // of the last try to read or write its files
	failing   time.Time
	refreshed time.Time // the last time all its values were read

	writing sync.Mutex // held while its files are written
}

// New reads the volumes of the state directory, and begins to refresh those that containers have.
func New(o Config) *Volumes {
	s := o.Config.Secrets
	if o.wait == 0 {
		o.wait = MountWait
	}
	ctx, end := context.WithCancel(context.Background())
	v := &Volumes{
		o: o, state: stateDir(filepath.Join(o.StateDir, "volumes")), tree: tree{s.ValuesDir, s.VolumesDir},
		allowed: references.InSecrets(s),
		asker:   references.NewAsker(o.Config, o.Resolver), end: end, known: map[string]*volume{}, incomplete: make(chan struct{}, 1),
	}
	v.mu.Lock()
	_ = v.loaded() // tried again with the first call
	v.mu.Unlock()
	v.ended.Go(func() { v.refreshAll(ctx) })
	return v
}

// Close ends the refresh. The files stay.
func (v *Volumes) Close() {
	v.end()
	v.ended.Wait()
}

// ErrUnread says that it is not known which volumes there are. The daemon must not take that for "there is no such volume".
var ErrUnread = errors.New("the state of the volumes cannot be read")

// loaded reads the state, if that has not succeeded before. Call it under mu.
func (v *Volumes) loaded() error {
	if v.loadErr == nil && len(v.known) > 0 {
		return nil
	}
	records, damaged, err := v.state.load()
	if v.loadErr = err; err != nil {
		v.o.Log.Error("the state of the volumes cannot be read", "error", err)
		return fmt.Errorf("%w: %w: %w", dockerplugin.ErrHangUp, ErrUnread, err)
	}
	for _, r := range records {
		x := &volume{name: r.Name, created: r.Created, record: r, invalid: damaged[r.Name], mounts: map[string]int{}, versions: map[string]string{}}
		if x.invalid == nil {
			x.spec, x.invalid = Parse(r.Options)
		}
		if v.tree.has(r.Name) {
			x.mounts[""] = 1 // perhaps by a container that this process has not heard of
		}
		v.known[r.Name] = x
	}
	return nil
}

// find returns a volume, ErrUnread, or an error that says that there is none.
func (v *Volumes) find(name string) (*volume, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if x := v.known[name]; x != nil {
		return x, nil
	}
	if err := v.loaded(); err != nil {
		return nil, err
	}
	if x := v.known[name]; x != nil {
		return x, nil
	}
	return nil, errors.New("no such volume")
}

// Create keeps the options of a volume, without asking AWS. When it returns nil, they are on the disk.
func (v *Volumes) Create(name string, options map[string]string) error {
	if err := checkName(name); err != nil {
		return err
	}
	spec, err := Parse(options)
	if err != nil {
		return err
	}
	if v.o.Broken != nil {
		return fmt.Errorf("the configuration of secretref is broken: %w", v.o.Broken)
	}
	if err := v.permitted(spec); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.loaded(); err != nil {
		return err
	}
	if x := v.known[name]; x != nil {
		if maps.Equal(x.record.Options, options) {
			return nil
		}
		return errors.New("there is a volume of this name with other options, and options never change; remove it first, or take another name")
	}
	now := time.Now().UTC()
	x := &volume{name: name, created: now, spec: spec, mounts: map[string]int{}, versions: map[string]string{},
		record: record{Version: recordVersion, Name: name, Options: maps.Clone(options), Created: now}}
	if err := v.state.save(x.record); err != nil {
		return fmt.Errorf("keep the volume's options: %w", err)
	}
	v.known[name] = x
	v.o.Log.Info("volume created", "volume", name, "files", len(spec.Files))
	return nil
}

// permitted checks the references of a volume against the configuration.
func (v *Volumes) permitted(s Spec) error {
	for _, f := range s.Files {
		if err := permitted(v.allowed, f); err != nil {
			return err
		}
	}
	return nil
}

func permitted(allowed references.Allowed, f File) error {
	if err := allowed.Check(f.Ref); err != nil {
		return fmt.Errorf("volume option %s%s: %w", dot, f.Name, err)
	}
	return nil
}

// Remove forgets a volume and removes its files. One that there is not is removed already.
func (v *Volumes) Remove(name string) error {
	x, err := v.find(name)
	if errors.Is(err, ErrUnread) {
		return err
	}
	if err != nil {
		return nil
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := errors.Join(v.tree.remove(name), v.state.remove(name)); err != nil {
		return fmt.Errorf("remove the volume: %w", err)
	}
	delete(v.known, name)
	v.o.Log.Info("volume removed", "volume", name)
	return nil
}

// Forget removes a volume that the daemon does not remove by itself, because it has forgotten it. One that a container may
// have is left, unless force is true.
func (v *Volumes) Forget(name string, force bool) error {
	x, err := v.find(name)
	if err != nil {
		return fmt.Errorf("volume %s: %w", name, err)
	}
	v.mu.Lock()
	mounted := len(x.mounts) > 0
	v.mu.Unlock()
	if mounted && !force {
		return fmt.Errorf("volume %s is mounted, as far as is known; remove it with docker volume rm, or if the daemon does not know it, with --force", name)
	}
	return v.Remove(name)
}

// Get returns a volume. It fails only for a volume that does not exist, or with ErrUnread.
func (v *Volumes) Get(name string) (dockerplugin.Volume, error) {
	x, err := v.find(name)
	if err != nil {
		return dockerplugin.Volume{}, err
	}
	return v.shown(x), nil
}

// shown is what the daemon is told of a volume. Only what never changes is read.
func (v *Volumes) shown(x *volume) dockerplugin.Volume {
	s := dockerplugin.Volume{Name: x.name, Mountpoint: v.tree.path(x.name)}
	if !x.created.IsZero() {
		s.CreatedAt = x.created.Format(time.RFC3339)
	}
	return s
}

// List returns all volumes by name.
func (v *Volumes) List() ([]dockerplugin.Volume, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.loaded(); err != nil {
		return nil, err
	}
	list := []dockerplugin.Volume{}
	for _, name := range slices.Sorted(maps.Keys(v.known)) {
		list = append(list, v.shown(v.known[name]))
	}
	return list, nil
}

// Unmount notes that a container has ended.
func (v *Volumes) Unmount(name, id string) {
	x, err := v.find(name)
	if err != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if x.mounts[id]--; x.mounts[id] <= 0 {
		delete(x.mounts, id)
	}
}

// Mount writes the files of a volume and returns the directory of them for the container id.
func (v *Volumes) Mount(ctx context.Context, name, id string) (string, error) {
	x, err := v.find(name)
	if err != nil {
		return "", err
	}
	if x.invalid != nil {
		return "", x.invalid
	}
	if v.o.Broken == nil {
		if err := v.permitted(x.spec); err != nil {
			return "", err
		}
	}
	if err := v.tree.check(); err != nil {
		return "", err
	}
	v.waits(x, 1)
	defer v.waits(x, -1)
	x.writing.Lock()
	defer x.writing.Unlock()
	if v.gone(x) {
		return "", errors.New("the volume was removed")
	}
	if err := v.fill(ctx, x); err != nil {
		v.note(x, err)
		v.failedMount(x, id)
		return "", err
	}
	v.mu.Lock()
	x.mounts[id]++
	r := x.record
	r.MountedBefore = true
	first := !x.record.MountedBefore
	x.record = r
	v.mu.Unlock()
	if first {
		if err := v.state.save(r); err != nil {
			v.o.Log.Warn("it cannot be kept that the volume was mounted; after a restart of the host it is not mounted while AWS does not answer", "volume", name, "error", err)
		}
	}
	if files, _ := v.tree.present(name); len(missing(x.spec, files)) > 0 {
		select {
		case v.incomplete <- struct{}{}:
		default: // it is about to look
		}
	}
	return v.tree.path(name), nil
}

// waits counts the containers that wait for a volume.
func (v *Volumes) waits(x *volume, more int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	x.waiting += more
}

// gone reports whether the volume was removed since it was found.
func (v *Volumes) gone(x *volume) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.known[x.name] != x
}

// failedMount makes up for the Unmount that Docker 20.10 sends when a Mount for a container that runs, as for docker cp, has
// failed. Others do not send it, and then the volume is refreshed for longer than it need be.
func (v *Volumes) failedMount(x *volume, id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if x.mounts[id] > 0 {
		x.mounts[id]++
	}
}

// fill writes the files for a container that starts. Its error keeps the container from starting.
func (v *Volumes) fill(ctx context.Context, x *volume) error {
	files, _ := v.tree.present(x.name)
	complete := v.tree.has(x.name) && len(missing(x.spec, files)) == 0
	v.mu.Lock()
	before := x.record.MountedBefore
	v.mu.Unlock()
	refuse := x.spec.Failure == FailureFail || x.spec.Failure == FailureAuto && !before
	wait := v.o.Config.AWS.Timeout
	switch {
	case complete && !refuse, x.spec.Failure == FailureStart:
		wait = 2 * time.Second
	case !refuse:
		wait = v.o.wait
	}
	ctx, cancel := context.WithTimeout(ctx, min(wait, v.o.wait))
	defer cancel()
	for {
		err := v.askAndWrite(ctx, x)
		switch {
		case err == nil:
			return nil
		case complete && errors.Is(err, unix.ENOSPC):
			return nil // with the files as they were; status says so
		case refuse || !transient(err):
			return err
		case ctx.Err() != nil || complete || x.spec.Failure == FailureStart:
			v.o.Log.Warn("volume mounted without all of its present values", "volume", x.name, "error", err)
			return v.writeEmpty(x)
		}
		pause := time.NewTimer(time.Second)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// transient reports whether err is of the kind that may pass without a change, and no other.
func transient(err error) bool { return fault.KindOf(err).Transient() }

// writeEmpty makes the directory of a volume that has no files yet: a container must not find an empty one to write into.
func (v *Volumes) writeEmpty(x *volume) error {
	if v.tree.has(x.name) {
		return nil
	}
	_, err := v.tree.write(x.name, x.spec, map[string]secret.Value{})
	return err
}

func (v *Volumes) needs(x *volume) []references.Need { return needs(x.name, x.spec) }

// needs returns what the files of a volume need, in their order.
func needs(name string, s Spec) []references.Need {
	var all []references.Need
	for _, f := range s.Files {
		all = append(all, references.Need{Ref: f.Ref, Where: "volume option " + dot + f.Name, For: "volume " + name + " " + f.Name})
	}
	return all
}

// askAndWrite asks AWS for the values of a volume whose container waits, and writes those that there are. The error is of all
// that failed, permanent failures first.
func (v *Volumes) askAndWrite(ctx context.Context, x *volume) error {
	if v.o.Broken != nil {
		return &fault.Error{Kind: fault.Unreachable, Op: "read the volume's secrets", Cause: "the configuration of secretref is broken", Hint: v.o.Broken.Error()}
	}
	needs := v.needs(x)
	deadline, _ := ctx.Deadline()
	refused := v.asker.Admit(ctx, time.Until(deadline), needs)
	if refused != nil && !transient(refused) {
		return refused
	}
	// What Admit has read is in memory: this waits for nothing that has not failed a moment ago.
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if refused == nil {
		soon = ctx
	}
	return errors.Join(refused, v.apply(x, v.asker.Resolve(soon, needs...)))
}

// apply writes what was read; a file whose value could not be had keeps the one that it has. Call it with x.writing held.
func (v *Volumes) apply(x *volume, results []resolve.Result) error {
	name := x.name
	values, versions, failed := map[string]secret.Value{}, map[string]string{}, map[string]error{}
	for i, f := range x.spec.Files {
		r := results[i]
		switch {
		case r.Err == nil:
			values[f.Name], versions[f.Name] = r.Value, r.VersionID
		default:
			if old, ok := v.tree.read(name, f.Name); ok {
				values[f.Name] = old
			}
		}
		if err := errors.Join(r.Err, r.Stale); err != nil {
			failed[f.Name] = fmt.Errorf("volume option %s%s: %w", dot, f.Name, err)
		}
	}
	err := checkSize(values)
	if err == nil && (len(values) > 0 || v.tree.has(name)) {
		var changed bool
		if changed, err = v.tree.write(name, x.spec, values); changed {
			v.o.Log.Info("files of a volume are written", "volume", name, "files", len(values))
		}
		if err == nil {
			v.mu.Lock()
			maps.Copy(x.versions, versions)
			v.mu.Unlock()
		}
	}
	var errs []error
	for _, f := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, failed[f])
	}
	v.note(x, errors.Join(err, errors.Join(errs...)))
	for i := range results { // a value that stands in does not count as a failure
		if results[i].Err == nil {
			delete(failed, x.spec.Files[i].Name)
		}
	}
	errs = []error{err}
	for _, f := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, failed[f])
	}
	return errors.Join(errs...)
}

// note keeps the outcome of a try for status, and logs its first failure and its recovery.
func (v *Volumes) note(x *volume, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	switch {
	case err != nil && x.lastErr == nil:
		x.failing = now
		v.o.Log.Error("values of a volume cannot be brought up to date", "volume", x.name, "error", fault.OneLine(err.Error()))
	case err == nil && x.lastErr != nil:
		x.failing = time.Time{}
		v.o.Log.Info("values of a volume are up to date again", "volume", x.name)
	}
	if x.lastErr = err; err == nil {
		x.refreshed = now
	}
}
