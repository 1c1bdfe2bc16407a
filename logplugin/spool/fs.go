package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// FileSystem is every call that a Store makes into the file system, so that tests can make each of them fail.
type FileSystem interface {
	Open(path string, flag int) (File, error) // with mode 0600
	ReadDir(dir string) ([]fs.DirEntry, error)
	Lstat(path string) (fs.FileInfo, error)
	MkdirAll(dir string) error // with mode 0700
	Rename(from, to string) error
	Remove(path string) error
	Statfs(dir string) (free, size int64, err error) // bytes; free for others than root
}

// File is an open file of a FileSystem.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Splice(pipe int, off int64, n int) (int, error) // moves at most n bytes from a pipe to off, without waiting for the pipe
	Allocate(off, n int64) error                    // reserves space behind the end; an error if that is not possible
}

// clock is every look of a Store at the time.
type clock interface {
	Wall() time.Time // for people: it may step in both directions
	Mono() instant   // for intervals and order
}

// instant is a time on a clock that never steps, counted from some moment of this process. It may be negative.
type instant time.Duration

// never is before every instant.
const never = instant(-1 << 62)

func (i instant) add(d time.Duration) instant      { return i + instant(d) }
func (i instant) sub(before instant) time.Duration { return time.Duration(i - before) }

type systemClock struct{ start time.Time }

func (systemClock) Wall() time.Time { return time.Now() }
func (c systemClock) Mono() instant { return instant(time.Since(c.start)) }

// wallClock is a clock with another wall time.
type wallClock struct {
	clock
	wall func() time.Time
}

func (c wallClock) Wall() time.Time { return c.wall() }

// System is the real FileSystem.
type System struct{}

// Open implements FileSystem.
func (System) Open(path string, flag int) (File, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return systemFile{f}, nil
}

// ReadDir implements FileSystem.
func (System) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }

// Lstat implements FileSystem.
func (System) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }

// MkdirAll implements FileSystem.
func (System) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

// Rename implements FileSystem.
func (System) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FileSystem.
func (System) Remove(path string) error { return os.Remove(path) }

// Statfs implements FileSystem.
func (System) Statfs(dir string) (free, size int64, err error) {
	var st unix.Statfs_t
	err = uninterrupted(func() error { return unix.Statfs(dir, &st) })
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, err
}

// systemFile is one pointer, so that it is a file without an allocation.
type systemFile struct{ *os.File }

func (f systemFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (f systemFile) Splice(pipe int, off int64, n int) (int, error) {
	for {
		k, err := unix.Splice(pipe, nil, int(f.Fd()), &off, n, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if !errors.Is(err, unix.EINTR) {
			return int(max(k, 0)), err
		}
	}
}

func (f systemFile) Allocate(off, n int64) error {
	return uninterrupted(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n) })
}

// uninterrupted calls f until no signal interrupts it.
func uninterrupted(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// isDamage reports whether err says that bytes are gone: their file is not there, or ends before them. Every other error
// passes, and the bytes may be there.
func isDamage(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isAbsent reports whether err says that there is no such file, nor can be.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// isShortage reports whether err says that there are too few files or too little memory at the moment.
func isShortage(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENOSPC)
}

// isFull reports whether err says that there is no space, and not that the file system takes nothing at all.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, errLowSpace)
}

// readAll reads a small file, of which no more than limit bytes are wanted.
func readAll(fsys FileSystem, path string, limit int) ([]byte, error) {
	f, err := fsys.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, limit)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}
