package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

// Names in the directory of a volume. All that we make ourselves begin with "..", which no file of a volume does.
const (
	ours     = ".."
	dataLink = "..data"
	newLink  = "..tmp"
)

// tree is where the files of all volumes are: below values they are written, and below volumes, the same tmpfs mounted
// again and read-only, containers find them.
//
// A volume is laid out as the kubelet lays out a volume of secrets: the files are in a directory ..TIME, ..data is a
// symlink to it, and each NAME is a symlink to ..data/NAME. A new version is a new directory and one rename of ..data, so
// that a container sees all files change at once.
type tree struct{ values, volumes string }

// errNoTmpfs begins what is wrong with the directories.
var errNoTmpfs = errors.New("values are written to a tmpfs alone")

// check returns an error unless values are in memory and, when volumes is another directory, containers cannot write there.
func (t tree) check() error {
	st, err := isTmpfs(t.values)
	if err != nil {
		return err
	}
	if t.volumes == t.values {
		return nil
	}
	shown, err := isTmpfs(t.volumes)
	switch {
	case err != nil:
		return err
	case shown.Fsid != st.Fsid:
		return fmt.Errorf("%s does not show what is in %s; start run-secretref-volumes.mount", t.volumes, t.values)
	case shown.Flags&unix.ST_RDONLY == 0:
		return fmt.Errorf("%s is not mounted read-only, so containers could change the files; start run-secretref-volumes.mount", t.volumes)
	}
	return nil
}

func isTmpfs(dir string) (st unix.Statfs_t, err error) {
	if err := unix.Statfs(dir, &st); err != nil {
		return st, fmt.Errorf("%w, and %s cannot be looked at: %w; start run-secretref-volumes.mount", errNoTmpfs, dir, err)
	}
	if int64(st.Type) != unix.TMPFS_MAGIC && int64(st.Type) != unix.RAMFS_MAGIC { //nolint:unconvert // 32 bits on some machines
		return st, fmt.Errorf("%w, and %s is not one; start run-secretref-volumes.mount", errNoTmpfs, dir)
	}
	return st, nil
}

// free returns the bytes that are left, and how many there are.
func (t tree) free() (left, all uint64) {
	var st unix.Statfs_t
	if unix.Statfs(t.values, &st) != nil {
		return 0, 0
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize) //nolint:gosec // not negative
}

// path returns the directory of a volume for containers.
func (t tree) path(name string) string { return filepath.Join(t.volumes, name) }

// open opens the directory of a volume, made if it is not there. No name is followed out of it.
func (t tree) open(name string) (*os.Root, error) {
	dir := filepath.Join(t.values, name)
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		err = os.Chmod(dir, 0o755) //nolint:gosec // users of containers read it; the directory above is for root alone
	case errors.Is(err, fs.ErrExist):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// present returns the names of the files that a volume has, and when they were written.
func (t tree) present(name string) (files []string, written time.Time) {
	dir := filepath.Join(t.values, name, dataLink)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, time.Time{}
	}
	for _, e := range entries {
		files = append(files, e.Name())
	}
	if st, err := os.Stat(dir); err == nil {
		written = st.ModTime()
	}
	return files, written
}

// read returns the present value of a file.
func (t tree) read(name, file string) (secret.Value, bool) {
	root, err := os.OpenRoot(filepath.Join(t.values, name))
	if err != nil {
		return secret.Value{}, false
	}
	defer root.Close() //nolint:errcheck // nothing was written through it
	f, err := root.Open(filepath.Join(dataLink, file))
	if err != nil {
		return secret.Value{}, false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBytes))
	return secret.New(string(b)), err == nil
}

// has reports whether the volume has been written since the host has started.
func (t tree) has(name string) bool {
	_, err := os.Lstat(filepath.Join(t.values, name, dataLink))
	return err == nil
}

// remove removes the files of a volume.
func (t tree) remove(name string) error { return os.RemoveAll(filepath.Join(t.values, name)) }

// write makes the files of a volume those in values. It changes nothing when they are that already, and it keeps the old
// version when the new one cannot be written.
func (t tree) write(name string, s Spec, values map[string]secret.Value) (changed bool, err error) {
	if err := t.check(); err != nil {
		return false, err
	}
	root, err := t.open(name)
	if err != nil {
		return false, err
	}
	defer root.Close() //nolint:errcheck // nothing was written through it
	if t.same(root, s, values) {
		return false, nil
	}
	dir := ours + time.Now().UTC().Format("2006_01_02_15_04_05.000000000")
	if err := writeVersion(root, dir, s, values); err != nil {
		_ = root.RemoveAll(dir)
		if errors.Is(err, unix.ENOSPC) {
			left, all := t.free()
			return false, fmt.Errorf("the tmpfs %s is full (%d of %d bytes are free), and the files stay as they were; make it larger: %w", t.values, left, all, unix.ENOSPC)
		}
		return false, err
	}
	return true, publish(root, dir, values)
}

// publish makes dir the version that containers see, and removes the others.
func publish(root *os.Root, dir string, values map[string]secret.Value) error {
	_ = root.Remove(newLink)
	if err := root.Symlink(dir, newLink); err != nil {
		return errors.Join(err, root.RemoveAll(dir))
	}
	if err := root.Rename(newLink, dataLink); err != nil {
		return errors.Join(err, root.RemoveAll(dir))
	}
	var errs []error
	for name := range values {
		if err := root.Symlink(filepath.Join(dataLink, name), name); err != nil && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
		}
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	errs = append(errs, err)
	for _, e := range entries {
		_, isFile := values[e.Name()]
		if !isFile && e.Name() != dataLink && e.Name() != dir {
			errs = append(errs, root.RemoveAll(e.Name()))
		}
	}
	return errors.Join(errs...)
}

// same reports whether the volume has these files with these bytes, mode and owner.
func (t tree) same(root *os.Root, s Spec, values map[string]secret.Value) bool {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return false
	}
	names := 0
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ours) {
			names++
		}
	}
	if names != len(values) {
		return false
	}
	if _, err := root.Stat(dataLink); err != nil {
		return false
	}
	for name, v := range values {
		if !sameFile(root, name, s, v.Reveal()) {
			return false
		}
	}
	return true
}

func sameFile(root *os.Root, name string, s Spec, text string) bool {
	f, err := root.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Size != int64(len(text)) || st.Mode&0o777 != s.Mode ||
		s.UID >= 0 && int(st.Uid) != s.UID || s.GID >= 0 && int(st.Gid) != s.GID { //nolint:gosec // a file descriptor
		return false
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(len(text))+1))
	return err == nil && bytes.Equal(b, []byte(text))
}

// writeVersion writes the files into a directory of their own.
func writeVersion(root *os.Root, dir string, s Spec, values map[string]secret.Value) error {
	if err := root.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := root.Chmod(dir, 0o755); err != nil {
		return err
	}
	for _, file := range s.Files {
		v, ok := values[file.Name]
		if !ok {
			continue
		}
		f, err := root.OpenFile(filepath.Join(dir, file.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.WriteString(f, v.Reveal())
		if err == nil && (s.UID >= 0 || s.GID >= 0) {
			if err = f.Chown(s.UID, s.GID); err != nil {
				err = fmt.Errorf("give %s to uid %d and gid %d: %w", file.Name, s.UID, s.GID, err)
			}
		}
		if err == nil {
			err = f.Chmod(fs.FileMode(s.Mode))
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// checkSize returns an error when values are together more than a volume holds.
func checkSize(values map[string]secret.Value) error {
	total := 0
	for _, v := range values {
		total += len(v.Reveal())
	}
	if total <= maxBytes {
		return nil
	}
	return &fault.Error{Kind: fault.BadValue, Op: "write the files of the volume", Cause: fmt.Sprintf("its values have %d bytes", total),
		Hint: fmt.Sprintf("a volume holds at most %d", maxBytes)}
}

// missing returns the names of the files of s that are not in present.
func missing(s Spec, present []string) (names []string) {
	for _, f := range s.Files {
		if !slices.Contains(present, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}
