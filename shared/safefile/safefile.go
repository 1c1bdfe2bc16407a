// Package safefile reads a small file that another user may have put there.
//
// Use it for every file that is read whole: configuration, certificates, state. It promises that reading ends: the open of
// a FIFO or a device does not wait, anything that is not a regular file is refused, and the size is bounded. What is
// checked is what was opened, whatever the name means by then.
//
// It links neither a network nor the os/user package: the front of the credential helper reads its files with it.
package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// Options says which file is accepted.
type Options struct {
	Max      int64 // the largest size in bytes
	NoFollow bool  // the name must not be a symbolic link; the directories above may be
	Owners   []int // uids of which one must own the file; nil = any
}

// File is a file that was read.
type File struct {
	Data     []byte
	UID, GID int
	Perm     fs.FileMode // permission bits
}

// Errors of Read, for errors.Is. They come inside of a *fs.PathError, as those of the operating system do.
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrTooLarge   = errors.New("is too large")
	ErrOwner      = errors.New("belongs to another user")
)

// Read reads the file at path.
func Read(path string, o Options) (File, error) { return ReadAt(unix.AT_FDCWD, path, o) }

// ReadAt reads the file name, which is relative to the open directory dirfd.
func ReadAt(dirfd int, name string, o Options) (File, error) {
	// Not blocking: the open of a FIFO would wait for its writer. No controlling terminal comes of it either.
	flags := unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	if o.NoFollow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := again(func() (int, error) { return unix.Openat(dirfd, name, flags, 0) })
	if errors.Is(err, unix.ENXIO) {
		err = fmt.Errorf("is a socket or a device, %w", ErrNotRegular)
	}
	if err != nil {
		return File{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	f, err := read(fd, o)
	if err != nil {
		return File{}, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return f, nil
}

func read(fd int, o Options) (File, error) {
	var st unix.Stat_t
	if _, err := again(func() (int, error) { return 0, unix.Fstat(fd, &st) }); err != nil {
		return File{}, err
	}
	f := File{UID: int(st.Uid), GID: int(st.Gid), Perm: fs.FileMode(st.Mode & 0o777)}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return File{}, fmt.Errorf("is %s, %w", kind(st.Mode), ErrNotRegular)
	case o.Owners != nil && !slices.Contains(o.Owners, f.UID):
		return File{}, fmt.Errorf("%w (uid %d)", ErrOwner, f.UID)
	case st.Size > o.Max:
		return File{}, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, st.Size, o.Max)
	}
	// One byte more than the size shows the end. A file of /proc has content and no size.
	f.Data = make([]byte, 0, max(st.Size+1, 512))
	for {
		n, err := again(func() (int, error) { return unix.Read(fd, f.Data[len(f.Data):cap(f.Data)]) })
		if err != nil {
			return File{}, err
		}
		f.Data = f.Data[:len(f.Data)+n]
		switch {
		case n == 0:
			return f, nil
		case int64(len(f.Data)) > o.Max:
			return File{}, fmt.Errorf("%w: at most %d bytes are read", ErrTooLarge, o.Max)
		case len(f.Data) == cap(f.Data):
			f.Data = slices.Grow(f.Data, len(f.Data))
		}
	}
}

// again repeats a system call that a signal has interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFLNK:
		return "a symbolic link"
	}
	return "a device"
}

// IsMissing reports whether err says that there is no such file. No other error does: one that passes must never
// look like a file that does not exist.
func IsMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// IsTransient reports whether err is one of the moment, such as no free file descriptor, no memory or a failing disk.
// It says nothing about the file: what was there is still there, and the same call may succeed later.
func IsTransient(err error) bool {
	return slices.ContainsFunc([]error{
		unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.EINTR, unix.EAGAIN, unix.EIO, unix.EBUSY, unix.ETIMEDOUT, unix.ESTALE,
	}, func(e error) bool { return errors.Is(err, e) })
}
