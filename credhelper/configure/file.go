package configure

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxFile is far above any configuration file; it keeps a wrong path from filling the memory.
const maxFile = 8 << 20

// file is a configuration file as it was when it was read.
type file struct {
	path    string // as the client opens it; in errors
	target  string // after symbolic links; this one is replaced
	exists  bool
	text    []byte
	mode    fs.FileMode
	dirMode fs.FileMode // of directories that have to be made
	uid     int
	gid     int
	euid    int // of this process
}

// openFile reads path, which need not exist. Only regular files of the caller are taken; root may edit everybody's.
func openFile(path string, euid int) (*file, error) {
	f := &file{path: path, target: path, mode: 0o600, dirMode: 0o700, euid: euid}
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s: a symbolic link to a file that does not exist; remove it or create the file", path)
		}
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	f.target = target
	// Non-blocking, because opening a FIFO waits for its writer.
	h, err := os.OpenFile(target, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	defer h.Close()
	st, err := h.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("%s: its owner is not known", path)
	}
	f.exists, f.mode, f.uid, f.gid = true, st.Mode().Perm(), int(sys.Uid), int(sys.Gid)
	if euid != 0 && f.uid != euid {
		return nil, fmt.Errorf("%s: belongs to uid %d, not to you (uid %d); run this as its owner", path, f.uid, euid)
	}
	if f.text, err = io.ReadAll(io.LimitReader(h, maxFile+1)); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(f.text) > maxFile {
		return nil, fmt.Errorf("%s: over %d bytes, which is no client's configuration", path, maxFile)
	}
	return f, nil
}

// openJSON reads a JSON configuration file; one that does not exist is {}.
func openJSON(path string) (*file, *document, error) {
	f, err := openFile(path, os.Geteuid())
	if err != nil {
		return nil, nil, err
	}
	d, err := parseDocument(f.text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, d, nil
}

// unchanged makes sure that nobody has written the file since it was read: docker login may run at the same time.
func (f *file) unchanged() error {
	now, err := os.ReadFile(f.target)
	if errors.Is(err, fs.ErrNotExist) && !f.exists {
		return nil
	}
	if err != nil || !f.exists || !bytes.Equal(now, f.text) {
		return fmt.Errorf("%s: changed by another program at this moment; run this again", f.path)
	}
	return nil
}

// write replaces the file in one step: a reader sees the old text or the new one, also after a crash.
func (f *file) write(text []byte) (err error) {
	dir := filepath.Dir(f.target)
	if !f.exists {
		if err := f.makeDir(dir); err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	t, err := os.CreateTemp(dir, "."+filepath.Base(f.target)+".secretref-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	defer func() {
		if err != nil {
			_ = t.Close()
			_ = os.Remove(t.Name())
		}
	}()
	if err := f.fill(t, text); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	if err := f.unchanged(); err != nil {
		return err
	}
	if err := os.Rename(t.Name(), f.target); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return syncDir(dir)
}

// fill writes text into the new file t and gives it the owner and mode of the old one.
func (f *file) fill(t *os.File, text []byte) error {
	if _, err := t.Write(text); err != nil {
		return err
	}
	if !f.exists && f.euid == 0 {
		// Root may be configuring another user's client: what is in their directory is theirs.
		if err := f.ownAs(filepath.Dir(f.target)); err != nil {
			return err
		}
	}
	if f.exists || f.euid == 0 {
		if err := t.Chown(f.uid, f.gid); err != nil {
			return fmt.Errorf("keep the owner: %w", err)
		}
	}
	if err := t.Chmod(f.mode); err != nil {
		return err
	}
	if err := t.Sync(); err != nil {
		return err
	}
	return t.Close()
}

// makeDir creates dir and what is missing above it, with the owner of the first directory that was there.
func (f *file) makeDir(dir string) error {
	st, err := os.Stat(dir)
	switch {
	case err == nil && !st.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := f.makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return nil // somebody else has made it just now
	} else if err != nil {
		return err
	}
	if err := os.Chmod(dir, f.dirMode); err != nil { // whatever the umask
		return err
	}
	if f.euid != 0 {
		return nil
	}
	if err := f.ownAs(parent); err != nil {
		return err
	}
	return os.Lchown(dir, f.uid, f.gid)
}

// ownAs takes over the owner of dir.
func (f *file) ownAs(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		f.uid, f.gid = int(sys.Uid), int(sys.Gid)
	}
	return nil
}

// remove deletes the file.
func (f *file) remove() error {
	if err := f.unchanged(); err != nil {
		return err
	}
	if err := os.Remove(f.target); err != nil {
		return fmt.Errorf("remove %s: %w", f.path, cause(err))
	}
	return syncDir(filepath.Dir(f.target))
}

// syncDir makes a rename or a removal last through a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// cause is err without the path that os puts before it, for messages that name the path themselves.
func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}
