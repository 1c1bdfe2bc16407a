package volume

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/shared/resolve"
)

// Pauses of the refresh. The resolver decides whether AWS is asked: a look at a value that is younger than its ttl costs no call.
const (
	lookLeast    = time.Second
	lookMost     = 30 * time.Second
	lookNoCache  = 5 * time.Minute // with a ttl of 0, where each look is a call
	lookWhenFail = 2 * time.Second // while files are missing
)

// pause returns the time to the next look at all volumes, with jitter.
func (v *Volumes) pause() time.Duration {
	d := min(max(v.o.Config.Cache.Policy.TTL/10, lookLeast), lookMost)
	if v.o.Config.Cache.Policy.TTL <= 0 {
		d = lookNoCache
	}
	for _, x := range v.mounted() {
		if files, _ := v.tree.present(x.name); len(missing(x.spec, files)) > 0 {
			d = lookWhenFail
			break
		}
	}
	return d - rand.N(d/5)
}

// refreshAll keeps the files of all mounted volumes up to date until ctx ends.
func (v *Volumes) refreshAll(ctx context.Context) {
	for ctx.Err() == nil {
		_ = v.refresh(ctx, v.mounted()) // each volume has its error in status
		next := time.NewTimer(v.pause())
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-v.incomplete:
			next.Stop() // the next pause is shorter
		case <-next.C:
		}
	}
}

// mounted returns the volumes that a container may have.
func (v *Volumes) mounted() (list []*volume) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.loaded() // as long as it fails there is nothing to refresh
	for _, x := range v.known {
		if len(x.mounts) > 0 && x.invalid == nil {
			list = append(list, x)
		}
	}
	return list
}

// refresh reads the values of all these volumes in one round: one call for each secret.
func (v *Volumes) refresh(ctx context.Context, list []*volume) error {
	if v.o.Broken != nil || len(list) == 0 {
		return v.o.Broken
	}
	var needs []references.Need
	for _, x := range list {
		needs = append(needs, v.needs(x)...)
	}
	results := v.asker.Resolve(ctx, needs...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var errs []error
	for _, x := range list {
		n := len(x.spec.Files)
		if err := v.update(x, results[:n]); err != nil {
			errs = append(errs, fmt.Errorf("volume %s: %w", x.name, err))
		}
		results = results[n:]
	}
	return errors.Join(errs...)
}

// update applies results to a volume that may have been removed meanwhile, or whose references may no longer be allowed.
func (v *Volumes) update(x *volume, results []resolve.Result) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	if v.gone(x) {
		return nil
	}
	if err := v.permitted(x.spec); err != nil {
		v.note(x, err)
		return err
	}
	return v.apply(x, results)
}

// Refresh asks AWS at once for the values of one volume, or of all mounted ones when name is empty, and writes what changed. It
// returns how many volumes it looked at.
func (v *Volumes) Refresh(ctx context.Context, name string) (int, error) {
	list := v.mounted()
	if name != "" {
		x, err := v.find(name)
		if err != nil {
			return 0, fmt.Errorf("volume %s: %w", name, err)
		}
		if x.invalid != nil {
			return 0, x.invalid
		}
		if !v.tree.has(name) {
			return 0, fmt.Errorf("volume %s is not mounted, and its values are read when it is", name)
		}
		list = []*volume{x}
	}
	for _, x := range list {
		v.asker.Forget(v.needs(x)...)
	}
	return len(list), v.refresh(ctx, list)
}
