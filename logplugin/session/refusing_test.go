package session

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/secretref/secretref/logplugin/spool"
)

// stalled is the host's file system for spools, which makes no file in dir until it is released.
type stalled struct {
	spool.System
	dir     string
	release chan struct{}
}

func (s *stalled) Open(path string, flag int) (spool.File, error) {
	if filepath.Dir(path) == s.dir && flag&os.O_CREATE != 0 {
		<-s.release
	}
	return s.System.Open(path, flag)
}

// refusing is the host's file system for spools. It refuses calls; a write has done half of its work then.
type refusing struct {
	spool.System
	outage outage // of calls counted from 1

	mu    sync.Mutex
	calls int
}

func (r *refusing) call() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	return r.outage.of(r.calls)
}

func (r *refusing) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

func (r *refusing) Open(path string, flag int) (spool.File, error) {
	if err := r.call(); err != nil {
		return nil, err
	}
	f, err := r.System.Open(path, flag)
	if err != nil {
		return nil, err
	}
	return &refusingFile{f, r}, nil
}

func (r *refusing) ReadDir(dir string) ([]fs.DirEntry, error) {
	if err := r.call(); err != nil {
		return nil, err
	}
	return r.System.ReadDir(dir)
}

func (r *refusing) Lstat(path string) (fs.FileInfo, error) {
	if err := r.call(); err != nil {
		return nil, err
	}
	return r.System.Lstat(path)
}

func (r *refusing) MkdirAll(dir string) error {
	if err := r.call(); err != nil {
		return err
	}
	return r.System.MkdirAll(dir)
}

func (r *refusing) Rename(from, to string) error {
	if err := r.call(); err != nil {
		return err
	}
	return r.System.Rename(from, to)
}

func (r *refusing) Remove(path string) error {
	if err := r.call(); err != nil {
		return err
	}
	return r.System.Remove(path)
}

func (r *refusing) Statfs(dir string) (free, size int64, err error) {
	if err := r.call(); err != nil {
		return 0, 0, err
	}
	return r.System.Statfs(dir)
}

type refusingFile struct {
	spool.File
	of *refusing
}

func (f *refusingFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.of.call(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *refusingFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.of.call(); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *refusingFile) Size() (int64, error) {
	if err := f.of.call(); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *refusingFile) Splice(pipe int, off int64, n int) (int, error) {
	if err := f.of.call(); err != nil {
		return 0, err
	}
	return f.File.Splice(pipe, off, n)
}

func (f *refusingFile) Allocate(off, n int64) error {
	if err := f.of.call(); err != nil {
		return err
	}
	return f.File.Allocate(off, n)
}
