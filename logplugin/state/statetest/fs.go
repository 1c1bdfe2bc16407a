// Package statetest is a file system for the tests of package state and of those who use it: it fails where a test asks
// it to.
package statetest

import (
	"io/fs"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/state"
)

// ShortWrite is a fault: half of the bytes are written, and no error says so.
var ShortWrite error = shortWrite{}

type shortWrite struct{}

func (shortWrite) Error() string { return "short write" }

// FS is the host's file system with faults. It is safe for concurrent use.
type FS struct {
	state.OS

	mu    sync.Mutex
	calls int
	fail  func(call int, op, name string) error
}

// Fail makes each call fail for which f returns an error. call counts from 1 since Fail. nil means that none fails.
func (s *FS) Fail(f func(call int, op, name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.fail = 0, f
}

// Calls returns how many calls there were since Fail.
func (s *FS) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *FS) call(op, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail == nil {
		return nil
	}
	if err := s.fail(s.calls, op, name); err != nil {
		if err == ShortWrite { //nolint:errorlint // exactly this value
			if op != "write" {
				return nil
			}
			return err
		}
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// Open opens a file whose calls may fail too.
func (s *FS) Open(name string, flag int, mode fs.FileMode) (state.File, error) {
	if err := s.call("open", name); err != nil {
		return nil, err
	}
	f, err := s.OS.Open(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return &file{f, s, name}, nil
}

// ReadDir reads a directory.
func (s *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := s.call("readdir", name); err != nil {
		return nil, err
	}
	return s.OS.ReadDir(name)
}

// Lstat looks at a file.
func (s *FS) Lstat(name string) (fs.FileInfo, error) {
	if err := s.call("lstat", name); err != nil {
		return nil, err
	}
	return s.OS.Lstat(name)
}

// MkdirAll makes directories.
func (s *FS) MkdirAll(name string, mode fs.FileMode) error {
	if err := s.call("mkdir", name); err != nil {
		return err
	}
	return s.OS.MkdirAll(name, mode)
}

// Chmod changes a mode.
func (s *FS) Chmod(name string, mode fs.FileMode) error {
	if err := s.call("chmod", name); err != nil {
		return err
	}
	return s.OS.Chmod(name, mode)
}

// Chtimes changes times.
func (s *FS) Chtimes(name string, at time.Time) error {
	if err := s.call("chtimes", name); err != nil {
		return err
	}
	return s.OS.Chtimes(name, at)
}

// Rename renames a file.
func (s *FS) Rename(from, to string) error {
	if err := s.call("rename", from); err != nil {
		return err
	}
	return s.OS.Rename(from, to)
}

// Remove removes a file.
func (s *FS) Remove(name string) error {
	if err := s.call("remove", name); err != nil {
		return err
	}
	return s.OS.Remove(name)
}

type file struct {
	state.File
	fs   *FS
	name string
}

func (f *file) Read(b []byte) (int, error) {
	if err := f.fs.call("read", f.name); err != nil {
		return 0, err
	}
	return f.File.Read(b)
}

func (f *file) Stat() (fs.FileInfo, error) {
	if err := f.fs.call("stat", f.name); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

func (f *file) Write(b []byte) (int, error) {
	switch err := f.fs.call("write", f.name); {
	case err == ShortWrite: //nolint:errorlint // exactly this value
		return f.File.Write(b[:len(b)/2])
	case err != nil:
		return 0, err
	}
	return f.File.Write(b)
}

func (f *file) WriteAt(b []byte, at int64) (int, error) {
	switch err := f.fs.call("write", f.name); {
	case err == ShortWrite: //nolint:errorlint // exactly this value
		return f.File.WriteAt(b[:len(b)/2], at)
	case err != nil:
		return 0, err
	}
	return f.File.WriteAt(b, at)
}
