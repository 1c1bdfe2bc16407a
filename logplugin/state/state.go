// Package state keeps on disk what the log driver must know to go on after its own end: which FIFOs it reads, and with
// which options. The daemon announces a container once and never again.
//
// Open takes the directory for the life of the process: two processes that read one FIFO ruin both their logs. A
// session's file holds names and references, the options that were written out, and the picks of env and labels; never
// a value that a reference stands for, and never the container's environment.
//
// A file is replaced as a whole, by rename, so a killed process leaves the old one or the new one. It is not forced to
// the disk: StartLogging waits for it with the container's lock held, the disk may be busy with the spool, and the
// spool is not forced either. After a crash of the host the newest sessions may thus be missing or damaged; their FIFOs
// are gone then too.
//
// Only bytes that were read and are wrong are damage: Load sets such a file aside and goes on. Any other failure (no
// file descriptors, no memory, no space, a disk that does not answer) may pass: Open succeeds all the same, Load reports
// what it could not read and is called again, and a Save that fails can be repeated.
package state

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/options"
)

const (
	lockName    = "lock"
	sessionsDir = "sessions"
	suffix      = ".json"
	tempSuffix  = ".new"
	// DamagedSuffix is at the end of the name of a file that Load has set aside.
	DamagedSuffix = ".damaged"

	// LockWait is how long Open waits for another process to leave the directory: a restart overlaps a little.
	LockWait = 10 * time.Second

	maxFile = 4 << 20 // bytes of a session's file: labels can be long
)

// Session is one FIFO that is read.
type Session struct {
	File          string // the daemon's name of the FIFO
	ContainerID   string
	ContainerName string          // as the daemon gave it
	Started       time.Time       // for people: the clock may have been wrong
	Number        uint64          // its place in the order of all sessions; 0 = a version without numbers has begun it; Load gives it one
	History       int64           // see options.History
	ReadLogs      bool            // the daemon asks the log driver for docker logs, and has no copy of its own
	Options       options.Options // zero = this version cannot read them
}

// Before reports whether s began before o. Sessions without a number were all begun before those with one, or count so; among them only
// the clock can say.
func (s Session) Before(o Session) bool { return s.compare(o) < 0 }

func (s Session) compare(o Session) int {
	if n := cmp.Compare(s.Number, o.Number); n != 0 {
		return n
	}
	return cmp.Or(s.Started.Compare(o.Started), cmp.Compare(s.File, o.File))
}

// ID returns the name of the session for a file, of 32 hexadecimal digits. It is the name of its state file, and good
// for others that belong to it.
func ID(file string) string {
	sum := sha256.Sum256([]byte(file))
	return hex.EncodeToString(sum[:16])
}

// Dir is a state directory that belongs to this process. Calls for different files may be made at the same time.
type Dir struct {
	path     string
	fs       FS
	accepted atomic.Int64 // containers that are new since Open

	mu       sync.Mutex
	lock     File            // nil until the directory could be made and taken
	next     uint64          // number of the next session
	begun    bool            // a number was given
	reserved uint64          // the first number that the file of the lock says is free
	unmarked map[string]bool // accepted containers of which the disk has no marker yet
	newest   time.Time       // of the markers
	known    map[string]bool // IDs that Load has returned or that were saved
	aside    map[string]bool // IDs whose damaged file Load has set aside, or has found so
}

// Open takes the directory, and makes it (0700) if it is not there. While another process has it, Open waits, for at
// most LockWait. Where the host has no space, no file descriptors or the like, the Dir takes the directory later, with the
// first call that can.
func Open(ctx context.Context, path string) (*Dir, error) { return OpenFS(ctx, path, OS{}) }

// OpenFS is Open on a file system of the caller's.
func OpenFS(ctx context.Context, path string, fsys FS) (*Dir, error) {
	d := &Dir{path: path, fs: fsys, unmarked: map[string]bool{}, known: map[string]bool{}, aside: map[string]bool{}}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.take(ctx, LockWait); err != nil && !isPassing(err) {
		return nil, err
	}
	return d, nil
}

// prepared takes the directory if Open could not.
func (d *Dir) prepared() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock != nil {
		return nil
	}
	return d.take(context.Background(), 0)
}

// take makes the directory this process's own. Call it under mu.
func (d *Dir) take(ctx context.Context, wait time.Duration) error {
	if err := d.makePrivate(d.path); err != nil {
		return err
	}
	if err := d.makePrivate(filepath.Join(d.path, sessionsDir)); err != nil {
		return err
	}
	f, err := d.openLock()
	if err != nil {
		return err
	}
	if err := takeLock(ctx, d.path, f, wait); err != nil {
		return errors.Join(err, f.Close())
	}
	d.lock = f
	d.readNumber()
	// It does not matter enough to stay away: it is for people who wonder who has the lock.
	_, _ = f.WriteAt(fmt.Appendf(nil, "%-*d\n", numberOffset-1, os.Getpid()), 0)
	if newest, err := d.forgetOldest(maxAccepted); err == nil { // else with the containers that come
		d.newest = newest
	}
	return nil
}

// openLock opens the file of the lock. On a file system that has become read-only the FIFOs must be read all the same.
func (d *Dir) openLock() (File, error) {
	name := filepath.Join(d.path, lockName)
	f, err := d.fs.Open(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, unix.EROFS) {
		f, err = d.fs.Open(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
		if errors.Is(err, fs.ErrNotExist) {
			err = unix.EROFS
		}
	}
	return f, err
}

// makePrivate makes a directory for this user alone, or checks that one is.
func (d *Dir) makePrivate(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("state directory %q does not begin with a slash", path)
	}
	if err := d.fs.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make state directory %s: %w", path, err)
	}
	st, err := d.fs.Lstat(path)
	if err != nil {
		return err
	}
	owner := st.Sys().(*syscall.Stat_t).Uid
	switch {
	case st.Mode().Type() == fs.ModeSymlink:
		return fmt.Errorf("state directory %s is a symbolic link; set state_dir under [logs] to the directory that it leads to", path)
	case !st.IsDir():
		return fmt.Errorf("state directory %s is not a directory", path)
	case int64(owner) != int64(os.Geteuid()):
		return fmt.Errorf("state directory %s belongs to uid %d; give it to uid %d", path, owner, os.Geteuid())
	case st.Mode().Perm()&0o077 != 0:
		if err := d.fs.Chmod(path, 0o700); !errors.Is(err, unix.EROFS) {
			return err
		}
	}
	return nil
}

// takeLock locks f for the life of the process.
func takeLock(ctx context.Context, dir string, f File, wait time.Duration) error {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a file descriptor
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock state directory %s: %w", dir, err)
		}
		select {
		case <-again.C:
		case <-limit.C:
			return fmt.Errorf("state directory %s is in use by another secretref-logdriver%s; end it, or give this one another directory",
				dir, holder(f))
		case <-ctx.Done():
			return fmt.Errorf("wait for state directory %s: %w", dir, context.Cause(ctx))
		}
	}
}

func holder(f File) string {
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}

// Close leaves the directory to others.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	return d.lock.Close()
}

// Path returns the directory.
func (d *Dir) Path() string { return d.path }

func (d *Dir) file(name string) string { return filepath.Join(d.path, sessionsDir, name) }
