// Package conffile edits configuration files of other programs the way a careful person would: only what matters changes, and
// unknown keys, order, indentation, mode, owner and one's own symbolic links stay.
//
// It refuses to write over a file that somebody else changes at the same time, and to follow a symbolic link that another
// user can replace: root may be editing a user's file, in directories of that user. A new text is in the file's place as a whole or
// not at all, also after a crash.
package conffile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links one path may have, as in the kernel.
const maxLinks = 40

// Disk is the file system as one user sees it. Every call on it works relative to a directory that is held open, so
// that a path whose parts are replaced meanwhile leads nowhere else.
type Disk struct {
	EUID int               // whose files are taken; root may edit everybody's
	Step func(call string) // called before each call to the kernel; nil except in tests, which replace files there
}

func (d Disk) before(call string) {
	if d.Step != nil {
		d.Step(call)
	}
}

// place is where a file is, or would be.
type place struct {
	dir     *os.File // the last directory on the way that exists
	path    string   // of dir, for errors
	missing []string // directories that would have to be made below dir
	name    string   // of the file, in the last of these
}

func (p *place) close() {
	if p.dir != nil {
		_ = p.dir.Close() // nothing was written to it
	}
}

func (p *place) fd() int { return int(p.dir.Fd()) }

// walk goes to path one directory at a time.
type walk struct {
	Disk
	place
	rest  []string // what is still to go
	links int
	after int  // the length of rest behind the outermost link that is being followed
	open  bool // another user can replace what is here
}

// find returns the place of path. A symbolic link is followed if nobody but root and the caller can replace it: root may
// be working in another user's home, whose owner may put a link to any file there at any moment.
func (d Disk) find(path string) (*place, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	w := &walk{Disk: d, rest: components(abs), after: math.MaxInt}
	if err := w.root(); err != nil {
		return nil, err
	}
	for len(w.rest) > 0 {
		more, err := w.next()
		if err != nil {
			w.close()
			return nil, err
		}
		if !more {
			return &w.place, nil
		}
	}
	w.close()
	return nil, errors.New("not a regular file") // the root directory, or a link to it
}

func components(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// root begins at the root directory.
func (w *walk) root() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.close()
	w.dir, w.path = os.NewFile(uintptr(fd), "/"), "/"
	return nil
}

// next goes one step. It returns false when the place is found.
func (w *walk) next() (bool, error) {
	name, rest := w.rest[0], w.rest[1:]
	full := filepath.Join(w.path, name)
	w.before("find " + full)
	fd, err := unix.Openat(w.fd(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT) && len(rest) >= w.after:
		return false, errors.New("a symbolic link to a file that does not exist; remove it or create the file")
	case errors.Is(err, unix.ENOENT):
		w.missing, w.name = w.rest[:len(w.rest)-1], w.rest[len(w.rest)-1]
		return false, nil
	case err != nil:
		return false, &fs.PathError{Op: "open", Path: full, Err: err}
	}
	at := os.NewFile(uintptr(fd), full)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = at.Close()
		return false, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		defer at.Close()
		return true, w.follow(at, st, rest)
	case unix.S_IFDIR:
		if len(rest) == 0 {
			break
		}
		w.close()
		w.dir, w.path, w.rest = at, full, rest
		w.open = w.open || !w.ours(st)
		return true, nil
	}
	_ = at.Close()
	if len(rest) > 0 {
		return false, fmt.Errorf("%s is not a directory", full)
	}
	w.name = name
	return false, nil
}

// ours reports whether only root and the caller can replace what is in a directory. A caller other than root has put
// up with its own group and mode.
func (w *walk) ours(st unix.Stat_t) bool {
	if st.Uid != 0 && int(st.Uid) != w.EUID {
		return false
	}
	return w.EUID != 0 || st.Mode&0o022 == 0 || st.Mode&unix.S_ISVTX != 0
}

// follow goes on where a link leads.
func (w *walk) follow(link *os.File, st unix.Stat_t, rest []string) error {
	if w.open || st.Uid != 0 && int(st.Uid) != w.EUID {
		return fmt.Errorf("%s is a symbolic link that another user can replace, and is not followed; run this as that user, or give the path without the link", link.Name())
	}
	if w.links++; w.links > maxLinks {
		return errors.New("too many symbolic links; remove the loop")
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(link.Fd()), "", buf)
	if err != nil {
		return &fs.PathError{Op: "readlink", Path: link.Name(), Err: err}
	}
	target := string(buf[:n])
	w.after = min(w.after, len(rest))
	w.rest = append(components(target), rest...)
	if filepath.IsAbs(target) {
		return w.root()
	}
	return nil
}

// Exists reports whether there is something at path.
func (d Disk) Exists(path string) (bool, error) {
	p, err := d.find(path)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, cause(err))
	}
	defer p.close()
	var st unix.Stat_t
	return len(p.missing) == 0 && unix.Fstatat(p.fd(), p.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil, nil
}

// maxNames is far above what a directory of configuration files has.
const maxNames = 10_000

// Names lists what is in a directory, without its directories, which may be missing.
func (d Disk) Names(path string) ([]string, error) {
	p, err := d.find(filepath.Join(path, ".list"))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	defer p.close()
	if len(p.missing) > 0 {
		return nil, nil
	}
	f, err := p.reopen()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(maxNames)
	if len(entries) == maxNames {
		return nil, fmt.Errorf("%s: has %d files or more; it is not a directory of configuration files", path, maxNames)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// reopen opens the directory itself for reading.
func (p *place) reopen() (*os.File, error) {
	fd, err := unix.Openat(p.fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p.path), nil
}

// makeMissing creates the directories that are missing, with the mode that is asked for and, for root, the owner of the
// directory in which they are made.
func (d Disk) makeMissing(p *place, mode fs.FileMode) error {
	for len(p.missing) > 0 {
		name := p.missing[0]
		full := filepath.Join(p.path, name)
		d.before("mkdir " + full)
		err := unix.Mkdirat(p.fd(), name, 0o700)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return &fs.PathError{Op: "mkdir", Path: full, Err: err}
		}
		made := err == nil
		d.before("open " + full)
		fd, err := unix.Openat(p.fd(), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return &fs.PathError{Op: "open", Path: full, Err: err}
		}
		dir := os.NewFile(uintptr(fd), full)
		if made {
			err = d.handOver(p, dir, mode)
		}
		if err != nil {
			_ = dir.Close()
			return err
		}
		p.close()
		p.dir, p.path, p.missing = dir, full, p.missing[1:]
	}
	return nil
}

// handOver gives a new directory its mode and the owner of the one above. Something else may have been put in its place
// since: only an empty directory of ours is changed.
func (d Disk) handOver(p *place, dir *os.File, mode fs.FileMode) error {
	var st, above unix.Stat_t
	if err := errors.Join(unix.Fstat(int(dir.Fd()), &st), unix.Fstat(p.fd(), &above)); err != nil {
		return err
	}
	_, err := dir.Readdirnames(1)
	if int(st.Uid) != d.EUID || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s was changed by another program at this moment; run this again", dir.Name())
	}
	d.before("chmod " + dir.Name())
	if err := dir.Chmod(mode); err != nil { // whatever the umask
		return err
	}
	if d.EUID != 0 {
		return nil
	}
	return dir.Chown(int(above.Uid), int(above.Gid))
}
