package ociruntime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// inMemory returns a file in memory that holds v in JSON. It is gone with this process.
func inMemory(v any) (*os.File, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("secretref", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "memory") //nolint:gosec // a file descriptor
	if _, err := f.Write(b); err != nil {
		return nil, errors.Join(fmt.Errorf("write a file in memory: %w", err), f.Close())
	}
	return f, nil
}

// procPath is the name under which other processes of root open a file of this one.
func procPath(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }

// keptSuffix is added to the name of config.json while a link has its place.
const keptSuffix = ".secretref"

// putBack puts the file path back, whose place a process that was killed has left to a link.
func putBack(path string) error {
	err := os.Rename(path+keptSuffix, path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return errors.Join(err, os.RemoveAll(path+keptSuffix+".new"))
}

// replace puts a link to memory in the place of the file path until undo is called.
func replace(path string, memory *os.File) (undo func() error, err error) {
	kept, link := path+keptSuffix, path+keptSuffix+".new"
	err = os.Symlink(procPath(memory), link)
	if err == nil {
		err = os.Link(path, kept) // the name path stays throughout
	}
	if err == nil {
		err = os.Rename(link, path)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(link), memory.Close())
	}
	return func() error { return errors.Join(os.Rename(kept, path), memory.Close()) }, nil
}
