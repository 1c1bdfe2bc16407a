package conffile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// MaxFile is far above any configuration file; it keeps a wrong path from filling the memory.
const MaxFile = 8 << 20

// File is a configuration file as it was when it was read.
type File struct {
	on      Disk
	path    string // as it was given; in errors
	at      *place // where it is, after symbolic links; this one is replaced
	Exists  bool
	Text    []byte
	Mode    fs.FileMode // for a new file: 0600 unless it is set
	DirMode fs.FileMode // of directories that have to be made: 0700 unless it is set
	uid     int
	gid     int
}

// Close must be called when the file is no longer needed.
func (f *File) Close() { f.at.close() }

// Read reads path, which need not exist. Only regular files are taken.
func (d Disk) Read(path string) (*File, error) {
	at, err := d.find(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	f := &File{on: d, path: path, at: at, Mode: 0o600, DirMode: 0o700}
	if len(at.missing) > 0 {
		return f, nil
	}
	d.before("read " + filepath.Join(at.path, at.name))
	h, err := at.open()
	if errors.Is(err, unix.ENOENT) {
		return f, nil
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	defer h.Close()
	if err := f.fill(h); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// open opens the file itself. It does not block, because opening a FIFO waits for its writer.
func (p *place) open() (*os.File, error) {
	fd, err := unix.Openat(p.fd(), p.name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p.name), nil
}

// fill takes text, mode and owner over from an open file.
func (f *File) fill(h *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(h.Fd()), &st); err != nil {
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s: not a regular file", f.path)
	}
	f.Exists, f.Mode, f.uid, f.gid = true, fs.FileMode(st.Mode&0o777), int(st.Uid), int(st.Gid)
	var err error
	if f.Text, err = io.ReadAll(io.LimitReader(h, MaxFile+1)); err != nil {
		return fmt.Errorf("read %s: %w", f.path, cause(err))
	}
	if len(f.Text) > MaxFile {
		return fmt.Errorf("%s: over %d bytes, which is too large for a configuration file", f.path, MaxFile)
	}
	return nil
}

// Edit is Read for a file that is to be changed: only those of the caller are taken; root may edit everybody's.
func (d Disk) Edit(path string) (*File, error) {
	f, err := d.Read(path)
	if err == nil && f.Exists && d.EUID != 0 && f.uid != d.EUID {
		f.Close()
		return nil, fmt.Errorf("%s: belongs to uid %d, not to you (uid %d); run this as its owner", path, f.uid, d.EUID)
	}
	return f, err
}

// EditJSON opens a JSON configuration file; one that does not exist is {}.
func (d Disk) EditJSON(path string, keys Keys) (*File, *Document, error) {
	f, err := d.Edit(path)
	if err != nil {
		return nil, nil, err
	}
	doc, err := Parse(f.Text, keys)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, doc, nil
}

// unchanged makes sure that nobody has written the file since it was read: docker login may run at the same time.
func (f *File) unchanged() error {
	f.on.before("compare " + f.path)
	changed := fmt.Errorf("%s: changed by another program at this moment; run this again", f.path)
	if len(f.at.missing) > 0 {
		return nil
	}
	h, err := f.at.open()
	if errors.Is(err, unix.ENOENT) && !f.Exists {
		return nil
	}
	if err != nil || !f.Exists {
		return changed
	}
	defer h.Close()
	now := File{path: f.path}
	if err := now.fill(h); err != nil || !bytes.Equal(now.Text, f.Text) {
		return changed
	}
	return nil
}

// Write replaces the file in one step: a reader sees the old text or the new one, also after a crash.
func (f *File) Write(text []byte) (err error) {
	if err := f.on.makeMissing(f.at, f.DirMode); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	temp := "." + f.at.name + ".secretref-" + rand.Text()
	f.on.before("create " + temp)
	fd, err := unix.Openat(f.at.fd(), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	t := os.NewFile(uintptr(fd), temp)
	defer func() {
		if err != nil {
			_ = t.Close()
			_ = unix.Unlinkat(f.at.fd(), temp, 0)
		}
	}()
	if err := f.complete(t, text); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	if err := f.unchanged(); err != nil {
		return err
	}
	f.on.before("rename " + temp)
	if err := unix.Renameat(f.at.fd(), temp, f.at.fd(), f.at.name); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return f.sync()
}

// complete writes text into the new file t and gives it the owner and mode of the old one.
func (f *File) complete(t *os.File, text []byte) error {
	if _, err := t.Write(text); err != nil {
		return err
	}
	if !f.Exists && f.on.EUID == 0 {
		// Root may be configuring another user's client: what is in their directory is theirs.
		var st unix.Stat_t
		if err := unix.Fstat(f.at.fd(), &st); err != nil {
			return err
		}
		f.uid, f.gid = int(st.Uid), int(st.Gid)
	}
	f.on.before("chown " + t.Name())
	if f.Exists || f.on.EUID == 0 {
		if err := t.Chown(f.uid, f.gid); err != nil {
			return fmt.Errorf("keep the owner: %w", err)
		}
	}
	if err := t.Chmod(f.Mode); err != nil {
		return err
	}
	if err := t.Sync(); err != nil {
		return err
	}
	return t.Close()
}

// Remove deletes the file.
func (f *File) Remove() error {
	if err := f.unchanged(); err != nil {
		return err
	}
	f.on.before("unlink " + f.path)
	if err := unix.Unlinkat(f.at.fd(), f.at.name, 0); err != nil {
		return fmt.Errorf("remove %s: %w", f.path, err)
	}
	return f.sync()
}

// sync makes a rename or a removal last through a crash.
func (f *File) sync() error {
	d, err := f.at.reopen()
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
