package spool

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// faultyFS is the file system with faults: each call that fail gives an error for fails with that, and has no effect.
type faultyFS struct {
	System
	fail  func(n int, op string) error // for call number n; nil = none fails
	short func(n int, op string) bool  // whether a write writes only half, and fails then; nil = none

	mu    sync.Mutex
	total int
	calls map[string]int
}

func (f *faultyFS) count(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// call counts a call, and returns whether it fails.
func (f *faultyFS) call(op string) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	n = f.total
	f.total++
	f.calls[op]++
	if f.fail != nil {
		err = f.fail(n, op)
	}
	if err != nil {
		err = fmt.Errorf("%s (call %d): %w", op, n, err)
	}
	return n, err
}

func (f *faultyFS) Open(path string, flag int) (File, error) {
	op := "open"
	if flag&os.O_CREATE != 0 {
		op = "create"
	}
	if _, err := f.call(op); err != nil {
		return nil, err
	}
	g, err := f.System.Open(path, flag)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: g, fs: f}, nil
}

func (f *faultyFS) ReadDir(dir string) ([]fs.DirEntry, error) {
	if _, err := f.call("readdir"); err != nil {
		return nil, err
	}
	return f.System.ReadDir(dir)
}

func (f *faultyFS) Lstat(path string) (fs.FileInfo, error) {
	if _, err := f.call("lstat"); err != nil {
		return nil, err
	}
	return f.System.Lstat(path)
}

func (f *faultyFS) MkdirAll(dir string) error {
	if _, err := f.call("mkdir"); err != nil {
		return err
	}
	return f.System.MkdirAll(dir)
}

func (f *faultyFS) Rename(from, to string) error {
	if _, err := f.call("rename"); err != nil {
		return err
	}
	return f.System.Rename(from, to)
}

func (f *faultyFS) Remove(path string) error {
	if _, err := f.call("remove"); err != nil {
		return err
	}
	return f.System.Remove(path)
}

func (f *faultyFS) Statfs(dir string) (free, size int64, err error) {
	if _, err := f.call("statfs"); err != nil {
		return 0, 0, err
	}
	return f.System.Statfs(dir)
}

type faultyFile struct {
	File
	fs *faultyFS
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if _, err := f.fs.call("read"); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.fs.call("write")
	if err != nil && f.fs.short != nil && f.fs.short(n, "write") {
		k, werr := f.File.WriteAt(p[:len(p)/2], off)
		if werr != nil {
			return k, werr
		}
		return k, err
	}
	if err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Size() (int64, error) {
	if _, err := f.fs.call("stat"); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *faultyFile) Splice(pipe int, off int64, n int) (int, error) {
	if _, err := f.fs.call("splice"); err != nil {
		return 0, err
	}
	return f.File.Splice(pipe, off, n)
}

func (f *faultyFile) Allocate(off, n int64) error {
	if _, err := f.fs.call("allocate"); err != nil {
		return err
	}
	return f.File.Allocate(off, n)
}
