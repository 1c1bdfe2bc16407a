// Package hostcache keeps what AWS answered for the other processes of the same user on the same host.
//
// Use it where a process lives for one answer, as the credential helper does; what lives longer caches in its own
// memory. An entry is a file, encrypted under a random key of its own; that key is only in the kernel's keyring of the
// user, which drops it when the entry's window ends, also when no program of ours ever runs again.
//
// It promises: a file alone is worthless (copied, on a disk, in a machine image or a backup), and so is a key alone;
// expiry and reboot erase both; fifty processes that start at once make one call; nothing waits past its context; and
// whatever is wrong with the keyring, the quota or the directory, the answer is fetched and given, uncached.
//
// It refuses to be a boundary between processes of one user: who runs as that user and sees both keyring and directory
// can read an entry, and could as well ask AWS. It links neither the AWS SDK nor net/http, because its readers
// are done in a few milliseconds.
package hostcache

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/ttl"
)

// handover is how long a transient failure is kept for those who were waiting for that very call. No other process gets it.
const handover = 30 * time.Second

// Options says where the cache is. The zero Options are right for a program.
type Options struct {
	Dirs []string         // candidate directories, the first suitable one is used; nil = DefaultDirs()
	Now  func() time.Time // the clock of windows and entries; nil = time.Now
	// Boot is the clock by which the age of an entry is told: it counts on from the start of the host, also while that is
	// suspended, and cannot be set. nil = the kernel's CLOCK_BOOTTIME.
	Boot func() time.Duration
}

// Cache is the cache of one user on this host. A nil Cache is a cache that is switched off: it always misses.
// Its methods may be called at the same time.
type Cache struct {
	dir     *dir     // nil = disabled
	dirs    []string // every candidate: an entry may lie in another one, written under another environment
	now     func() time.Time
	boot    func() time.Duration
	reason  string // why dir is nil
	trouble atomic.Pointer[string]
}

// Fetched is what AWS gave.
type Fetched struct {
	Payload   secret.Value // up to 256 KiB are kept, a larger one is passed on uncached
	VersionID string       // may be empty
	Window    ttl.Window   // how long it may be used; one that has ended already is not kept
}

// Answer is a value, or the failure that stands for it.
type Answer struct {
	Payload   secret.Value // empty when Err is set
	VersionID string
	Read      time.Time    // when AWS gave the value, or the failure
	Window    ttl.Window   // how long it is used
	Err       *fault.Error // the failure, when there is no value
	Stale     bool         // the value stands in for a newer one, which AWS does not give at present
	StaleErr  *fault.Error // why it does not; set when Stale is
}

// Open finds the directory and looks whether there is a keyring. It never fails: what is missing disables the cache,
// and Disabled says what it was.
func Open(o Options) *Cache {
	c := &Cache{dirs: o.Dirs, now: o.Now, boot: o.Boot}
	if c.dirs == nil {
		c.dirs = DefaultDirs()
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.boot == nil {
		c.boot = sinceBoot
	}
	if err := probeKeyring(); err != nil {
		c.reason = err.Error()
		return c
	}
	var err error
	if c.dir, err = firstSuitable(c.dirs); err != nil {
		c.reason = err.Error()
	}
	return c
}

// Close gives the directory back. The Cache must not be used afterwards.
func (c *Cache) Close() error {
	if c == nil || c.dir == nil {
		return nil
	}
	return c.dir.close()
}

// Disabled says why nothing is cached, or why the last answer was not; "" when all is well.
func (c *Cache) Disabled() string {
	switch {
	case c == nil:
		return "switched off"
	case c.reason != "":
		return c.reason
	}
	if t := c.trouble.Load(); t != nil {
		return *t
	}
	return ""
}

// works reports whether there is anything to look into for k.
func (c *Cache) works(k Key) bool { return c != nil && c.dir != nil && k.valid() }

// Lookup returns what may be used without asking AWS: a fresh value, or a permanent failure of the last seconds in
// Answer.Err. It takes no lock and waits for nothing.
func (c *Cache) Lookup(k Key) (Answer, bool) {
	e, ok := c.read(k)
	if !ok || !e.window.IsFresh(c.now()) {
		return Answer{}, false
	}
	return e.answer(), true
}

// Peek returns what is there, fresh or not, without the value: for people who ask.
func (c *Cache) Peek(k Key) (Answer, bool) {
	e, ok := c.read(k)
	if !ok {
		return Answer{}, false
	}
	a := e.answer()
	a.Payload = secret.Value{}
	return a, true
}

// Do returns the cached answer, or else calls fetch, at most once, and keeps the outcome. Of all the processes that want
// the same key one fetches; the others wait for its outcome, and take it whatever it is.
//
// A transient failure of fetch is answered with an older value inside its window: that is not an error, Answer.Stale and
// Answer.StaleErr say so. A permanent failure is remembered for some seconds and drops the older value. Answer is
// meaningful when the error is nil.
//
// fetch gets a context that ends somewhat before ctx, so that those who wait still hear of the outcome in their own
// time. Who uses no cache at all (a TTL of 0) should not call Do: the processes would take turns for nothing.
func (c *Cache) Do(ctx context.Context, k Key, fetch func(context.Context) (Fetched, error)) (Answer, error) {
	if !c.works(k) {
		f, err := fetch(ctx)
		return Answer{Payload: f.Payload, VersionID: f.VersionID, Read: time.Now(), Window: f.Window}, err
	}
	if a, ok := c.Lookup(k); ok {
		return a.result()
	}
	t, e, done := c.await(ctx, k)
	if done {
		return e.answer().result()
	}
	defer t.close()
	old, _ := c.read(k)
	if t.held() {
		var cancel context.CancelFunc
		ctx, cancel = withShare(ctx, fetchShare)
		defer cancel()
	}
	f, err := fetch(ctx)
	if err == nil {
		now := c.now()
		e := entry{recorded: now, read: now, window: f.Window, hasValue: true, value: f.Payload, version: f.VersionID}
		c.keep(t, k, &e)
		return e.answer(), nil
	}
	return c.failed(ctx, t, k, old, err)
}

// failed decides what a failure of fetch means for the older entry, and for the next process.
func (c *Cache) failed(ctx context.Context, t *ticket, k Key, old entry, err error) (Answer, error) {
	var failure *fault.Error
	if !errors.As(err, &failure) {
		return Answer{}, err
	}
	now := c.now()
	e := entry{recorded: now, read: now, window: ttl.Failure(failure.Kind, now), failure: failure}
	if failure.Kind.Transient() {
		if errors.Is(ctx.Err(), context.Canceled) {
			return Answer{Err: failure}, err // the caller gave up, which says nothing about AWS
		}
		e.window.End = now.Add(handover) // never fresh, so Lookup does not give it
		if old.hasValue && old.window.IsUsable(now) {
			e = old
			e.recorded, e.failure, e.window = now, failure, old.window.StaleServed(now)
		}
	}
	c.keep(t, k, &e)
	if e.hasValue {
		return e.answer(), nil
	}
	return e.answer(), err // err, not failure: it may say more
}

// keep stores e. An answer that cannot be kept still replaces the older one, so that this is not served later on.
func (c *Cache) keep(t *ticket, k Key, e *entry) {
	if t != nil { // without one, await has told the trouble
		err := c.store(t, k, e)
		c.note(err)
		if err == nil {
			return
		}
	}
	if !e.isStale() {
		_ = c.dir.remove(k.name())
		dropKey(k.ID)
	}
}

// note keeps err for Disabled; nil says that all is well again. A window that has ended is the caller's wish.
func (c *Cache) note(err error) {
	if err == nil || errors.Is(err, errEnded) {
		c.trouble.Store(nil)
		return
	}
	text := err.Error()
	c.trouble.Store(&text)
}

// Erase drops the answer for k, in every candidate directory. A call that is under way will not be kept.
func (c *Cache) Erase(k Key) error {
	if !k.valid() {
		return nil
	}
	return c.erase(func(*dir) ([]string, error) { return []string{k.name()}, nil }, k.ID)
}

// EraseGroup drops every answer whose Key has this group: one reference under all its environments.
func (c *Cache) EraseGroup(group string) error {
	if !isHex(group, groupLen) {
		return nil
	}
	return c.erase(func(d *dir) ([]string, error) { return d.entriesOf(group) })
}

func (c *Cache) erase(names func(*dir) ([]string, error), ids ...string) error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, path := range c.dirs {
		d, err := openDir(path)
		if err != nil {
			continue // nothing of ours can be in there
		}
		list, err := names(d)
		errs = append(errs, err)
		for _, name := range list {
			errs = append(errs, d.remove(name))
			ids = append(ids, idOf(name))
		}
		errs = append(errs, d.close())
	}
	// After the files: a store that is under way either sees that its lock file is gone, or has its key dropped here.
	for _, id := range ids {
		dropKey(id)
	}
	return errors.Join(errs...)
}

func (a Answer) result() (Answer, error) {
	if a.Err != nil {
		return a, a.Err
	}
	return a, nil
}

// DefaultDirs returns the candidate directories of this process, best first.
func DefaultDirs() []string { return defaultDirs(os.Geteuid(), os.Getenv("XDG_RUNTIME_DIR")) }

// sinceBoot reads CLOCK_BOOTTIME.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail with these arguments
	return time.Duration(ts.Nano())
}
