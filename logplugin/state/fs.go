package state

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// FS is all that a Dir asks of the file system. OS is the real one; a test puts one in its place that fails.
type FS interface {
	Open(name string, flag int, mode fs.FileMode) (File, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Lstat(name string) (fs.FileInfo, error)
	MkdirAll(name string, mode fs.FileMode) error
	Chmod(name string, mode fs.FileMode) error
	Chtimes(name string, at time.Time) error
	Rename(from, to string) error
	Remove(name string) error
}

// File is an open file of an FS.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Fd() uintptr
}

// OS is the file system of the host.
type OS struct{}

var _ FS = OS{}

// Open is os.OpenFile.
func (OS) Open(name string, flag int, mode fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ReadDir is os.ReadDir.
func (OS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Lstat is os.Lstat.
func (OS) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

// MkdirAll is os.MkdirAll.
func (OS) MkdirAll(name string, mode fs.FileMode) error { return os.MkdirAll(name, mode) }

// Chmod is os.Chmod.
func (OS) Chmod(name string, mode fs.FileMode) error { return os.Chmod(name, mode) }

// Chtimes is os.Chtimes.
func (OS) Chtimes(name string, at time.Time) error { return os.Chtimes(name, at, at) }

// Rename is os.Rename.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove is os.Remove.
func (OS) Remove(name string) error { return os.Remove(name) }

// isPassing reports whether err says how the host is doing at the moment, and nothing about the directory: the same call
// may succeed later.
func isPassing(err error) bool {
	for _, e := range []error{
		unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EINTR, unix.EAGAIN, unix.ENOLCK, unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EROFS, io.ErrShortWrite,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// remove removes a file. One that is not there is no error.
func (d *Dir) remove(name string) error {
	if err := d.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// write replaces a file as a whole.
func (d *Dir) write(name string, b []byte) error {
	temp := name + tempSuffix
	if err := d.writeNew(temp, b); err != nil {
		return errors.Join(err, d.remove(temp))
	}
	return d.fs.Rename(temp, name)
}

func (d *Dir) writeNew(name string, b []byte) error {
	f, err := d.fs.Open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	n, err := f.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return errors.Join(err, f.Close())
}
