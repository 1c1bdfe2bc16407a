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
// are gone then too. Load sets damaged files aside and goes on.
package state

import (
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
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/shared/safefile"
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
	ContainerName string // as the daemon gave it
	Started       time.Time
	Options       options.Options // zero = this version cannot read them
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
	lock     *os.File
	accepted atomic.Int64 // containers that are new since Open
}

// Open takes the directory, and makes it (0700) if it is not there. While another process has it, Open waits, for at
// most LockWait.
func Open(ctx context.Context, path string) (*Dir, error) {
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	if err := makePrivate(filepath.Join(path, sessionsDir)); err != nil {
		return nil, err
	}
	f, err := openLock(filepath.Join(path, lockName))
	if err != nil {
		return nil, err
	}
	if err := takeLock(ctx, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// Neither matters enough to stay away: the number is for people who wonder who has the lock, and the second is
	// tried again at the next start.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	d := &Dir{path: path, lock: f}
	_ = d.forgetOldest(maxAccepted)
	return d, nil
}

// openLock opens the file of the lock. On a file system that has become read-only the FIFOs want to be read all the
// same.
func openLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, unix.EROFS) {
		f, err = os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	}
	return f, err
}

// makePrivate makes a directory for this user alone, or checks that one is.
func makePrivate(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("state directory %q does not begin with a slash", path)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner := st.Sys().(*syscall.Stat_t).Uid
	switch {
	case !st.IsDir():
		return fmt.Errorf("state directory %s is no directory but %v", path, st.Mode().Type())
	case int64(owner) != int64(os.Geteuid()):
		return fmt.Errorf("state directory %s belongs to uid %d; give it to uid %d", path, owner, os.Geteuid())
	case st.Mode().Perm()&0o077 != 0:
		return os.Chmod(path, 0o700)
	}
	return nil
}

// takeLock locks f for the life of the process.
func takeLock(ctx context.Context, f *os.File) error {
	limit := time.NewTimer(LockWait)
	defer limit.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a file descriptor
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-again.C:
		case <-limit.C:
			return fmt.Errorf("state directory %s is in use by another secretref-logdriver%s; end it, or give this one another directory",
				filepath.Dir(f.Name()), holder(f))
		case <-ctx.Done():
			return fmt.Errorf("wait for state directory %s: %w", filepath.Dir(f.Name()), context.Cause(ctx))
		}
	}
}

func holder(f *os.File) string {
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}

// IsDamaged tells whether the state file of the session with this ID was set aside.
func (d *Dir) IsDamaged(id string) bool {
	_, err := os.Lstat(d.file(id + suffix + DamagedSuffix))
	return err == nil
}

// Close leaves the directory to others.
func (d *Dir) Close() error { return d.lock.Close() }

// Path returns the directory.
func (d *Dir) Path() string { return d.path }

func (d *Dir) file(name string) string { return filepath.Join(d.path, sessionsDir, name) }

// Save writes the session's file, in place of one that is there. Only one Save or Remove for a file may run at a time.
func (d *Dir) Save(s Session) error {
	b, err := encode(s)
	if err != nil {
		return err
	}
	if len(b) > maxFile {
		return fmt.Errorf("state of container %s has %d bytes, and at most %d can be kept", s.ContainerID, len(b), maxFile)
	}
	name := d.file(ID(s.File) + suffix)
	if err := os.WriteFile(name+tempSuffix, b, 0o600); err != nil {
		return errors.Join(err, removeIfThere(name+tempSuffix))
	}
	return os.Rename(name+tempSuffix, name)
}

// Remove removes the file of the session for a FIFO. One that is not there is no error.
func (d *Dir) Remove(file string) error { return removeIfThere(d.file(ID(file) + suffix)) }

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Damage is a file that could not be read as a session's.
type Damage struct {
	Name string // the path as it was
	Err  error  // why
}

// Error returns one line.
func (d *Damage) Error() string { return fmt.Sprintf("state file %s: %v", d.Name, d.Err) }

// Unwrap returns why.
func (d *Damage) Unwrap() error { return d.Err }

// Load reads all sessions, the oldest first. What cannot be read is reported, and set aside under its name with
// DamagedSuffix; but a file of a newer version stays where it is, for the day that this version comes back, and is
// among the sessions too if it says which FIFO it is. Call it once, before Save.
func (d *Dir) Load() ([]Session, []*Damage, error) {
	entries, err := os.ReadDir(d.file(""))
	if err != nil {
		return nil, nil, err
	}
	var sessions []Session
	var damages []*Damage
	for _, e := range entries {
		name := d.file(e.Name())
		switch {
		case strings.HasSuffix(name, suffix):
		case strings.HasSuffix(name, suffix+tempSuffix): // of a process that was killed while it wrote
			if err := removeIfThere(name); err != nil {
				damages = append(damages, &Damage{name, err})
			}
			continue
		default:
			continue
		}
		s, err := read(name)
		belongs := ID(s.File)+suffix == e.Name()
		if err == nil && !belongs {
			err = errors.New("it belongs to another name")
		}
		newer := errors.Is(err, errNewer)
		if err == nil || newer && belongs {
			sessions = append(sessions, s)
		}
		if err == nil {
			continue
		}
		if !newer {
			err = errors.Join(err, os.Rename(name, name+DamagedSuffix))
		}
		damages = append(damages, &Damage{name, err})
	}
	sortByAge(sessions)
	return sessions, damages, nil
}

// read reads a session's file: a regular one, of this user.
func read(name string) (Session, error) {
	f, err := safefile.Read(name, safefile.Options{Max: maxFile, NoFollow: true, Owners: []int{os.Geteuid()}})
	if err != nil {
		return Session{}, err
	}
	return decode(f.Data)
}
