package hostcache

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/safefile"
)

const (
	lockSuffix = ".lock"
	tempPrefix = "tmp-"

	sweepAge   = 24 * time.Hour
	sweepLooks = 1024 // files looked at in one sweep
	sweepMost  = 32   // entries removed in one sweep
)

// dir is a directory of ours, held open, so that no one can put another in its place after it was checked.
type dir struct {
	fd   int
	path string
}

// defaultDirs returns the candidates of a uid. Root takes /run/secretref first: a login session has an XDG_RUNTIME_DIR
// and a system service has none, and the two should share one cache.
func defaultDirs(uid int, runtimeDir string) []string {
	id := strconv.Itoa(uid)
	var dirs []string
	if uid == 0 {
		dirs = append(dirs, "/run/secretref")
	}
	if filepath.IsAbs(runtimeDir) {
		dirs = append(dirs, filepath.Join(runtimeDir, "secretref"))
	}
	if user := "/run/user/" + id + "/secretref"; !slices.Contains(dirs, user) {
		dirs = append(dirs, user)
	}
	return append(dirs, "/dev/shm/secretref-"+id)
}

// firstSuitable opens the first candidate that is suitable, and makes it where only it itself is missing. Its error
// says what was wrong with each.
func firstSuitable(paths []string) (*dir, error) {
	why := make([]string, 0, len(paths))
	for _, path := range paths {
		d, err := openDir(path)
		if errors.Is(err, unix.ENOENT) {
			// Of several processes that make it at the same time each finds it made. A missing parent stays missing.
			_ = unix.Mkdir(path, 0o700)
			d, err = openDir(path)
		}
		if err == nil {
			return d, nil
		}
		why = append(why, err.Error())
	}
	return nil, fmt.Errorf("no suitable directory: %s", strings.Join(why, ", "))
}

// openDir opens a directory that is ours alone: a real one, owned by the caller, closed to everybody else. The
// directory above must not be in anybody's hands either, or ours could be moved away and back. XDG_RUNTIME_DIR may
// well belong to another user: sudo -E keeps it.
func openDir(path string) (*dir, error) {
	up, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Dir(path), err)
	}
	defer unix.Close(up)         //nolint:errcheck // only looked through
	euid := uint32(os.Geteuid()) //nolint:gosec // a uid is not negative on Linux
	var st unix.Stat_t
	if err := unix.Fstat(up, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Dir(path), err)
	}
	if st.Uid != 0 && st.Uid != euid {
		return nil, fmt.Errorf("%s: owned by uid %d", filepath.Dir(path), st.Uid)
	}
	if st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return nil, fmt.Errorf("%s: writable by others (mode %04o)", filepath.Dir(path), st.Mode&0o7777)
	}
	fd, err := unix.Openat(up, filepath.Base(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
	case st.Uid != euid:
		err = fmt.Errorf("owned by uid %d", st.Uid)
	case st.Mode&0o077 != 0:
		err = fmt.Errorf("open to others (mode %04o), make it 0700", st.Mode&0o7777)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &dir{fd: fd, path: path}, nil
}

func (d *dir) close() error { return unix.Close(d.fd) }

// readFile reads an entry. A link, a pipe, a file of another user or one that is too large is an error.
func (d *dir) readFile(name string) ([]byte, error) {
	f, err := safefile.ReadAt(d.fd, name, safefile.Options{Max: maxPlain + overhead, NoFollow: true, Owners: []int{os.Geteuid()}})
	return f.Data, err
}

// writeTemp writes b to a new file, and returns its name.
func (d *dir) writeTemp(b []byte) (string, error) {
	name := tempPrefix + rand.Text()
	fd, err := unix.Openat(d.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", d.wrap(err)
	}
	for n := 0; n < len(b) && err == nil; {
		var m int
		if m, err = unix.Write(fd, b[n:]); errors.Is(err, unix.EINTR) {
			err = nil
		}
		n += max(m, 0)
	}
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	if err != nil {
		d.unlink(name)
		return "", d.wrap(err)
	}
	return name, nil
}

func (d *dir) rename(from, to string) error {
	return d.wrap(unix.Renameat(d.fd, from, d.fd, to))
}

func (d *dir) unlink(name string) { _ = unix.Unlinkat(d.fd, name, 0) }

// remove unlinks an entry and its lock file, this one first: whoever is about to store under it then knows.
func (d *dir) remove(name string) error {
	var errs []error
	for _, n := range []string{name + lockSuffix, name} {
		if err := unix.Unlinkat(d.fd, n, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, d.wrap(err))
		}
	}
	return errors.Join(errs...)
}

func (d *dir) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cache directory %s: %w", d.path, err)
}

// names lists the directory.
func (d *dir) names() ([]string, error) {
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, d.wrap(err)
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	list, err := f.Readdirnames(0)
	return list, d.wrap(err)
}

// entriesOf lists the entries of a group, also those of which there is only a lock file: a call may be under way.
func (d *dir) entriesOf(group string) ([]string, error) {
	all, err := d.names()
	var list []string
	for _, name := range all {
		name = strings.TrimSuffix(name, lockSuffix)
		if strings.HasPrefix(name, group+"-") && idOf(name) != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list, err
}

// age returns how long ago a file was last written; ok is false when it is not there.
func (d *dir) age(name string, now time.Time) (age time.Duration, ok bool) {
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, false
	}
	return now.Sub(time.Unix(st.Mtim.Unix())), true
}
