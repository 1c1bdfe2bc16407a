package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The largest file that is read, in bytes.
const maxFile = 1 << 20

// source is one file of the configuration.
type source struct {
	path   string
	layer  layer
	data   []byte // also when err says that it may not be trusted
	unread bool   // the text is not known
	err    *Error
}

// layer says which values override which: those of a later one.
type layer int

const (
	systemLayer layer = iota
	userLayer
	environLayer
)

// read returns the files that are there, in the order in which they apply.
func (o Options) read() []source {
	if o.OnlyFile != "" {
		s, ok := o.open(o.OnlyFile)
		if !ok {
			s.unread = true
			s.err = fail(Origin{File: o.OnlyFile}, "create it, or unset SECRETREF_CONFIG", "no such file")
			s.err.Err = fs.ErrNotExist
		}
		return []source{s}
	}
	var list []source
	add := func(path string, in layer) {
		if s, ok := o.open(path); ok {
			s.layer = in
			if s.err == nil && in == systemLayer {
				s.err = o.checkDirs(path)
			}
			list = append(list, s)
		}
	}
	if o.SystemFile != "" {
		add(o.SystemFile, systemLayer)
	}
	if o.SystemDir != "" {
		entries, err := os.ReadDir(o.SystemDir)
		if err != nil && !isMissing(err) {
			list = append(list, unreadable(o.SystemDir, err))
		}
		for _, e := range entries {
			// Editors keep locks and backups under names that begin with a dot.
			if name := e.Name(); strings.HasSuffix(name, ".toml") && name[0] != '.' {
				add(filepath.Join(o.SystemDir, name), systemLayer)
			}
		}
	}
	if o.UserFile != "" && !o.SystemOnly {
		add(o.UserFile, userLayer)
	}
	return list
}

// open reads one file; false when it does not exist.
func (o Options) open(path string) (source, bool) {
	// Not blocking: the open of a FIFO would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		// A link to nothing is a mistake, not a file that nobody wrote.
		if _, lerr := os.Lstat(path); isMissing(err) && lerr != nil {
			return source{path: path}, false
		}
		return unreadable(path, err), true
	}
	defer f.Close()

	// What was opened is what is judged, whatever the name means by now.
	fi, err := f.Stat()
	if err != nil {
		return unreadable(path, err), true
	}
	s := source{path: path, unread: true}
	at := Origin{File: path}
	switch {
	case fi.IsDir():
		s.err = fail(at, "put a file there", "is a directory")
		return s, true
	case !fi.Mode().IsRegular():
		s.err = fail(at, "put a file there", "is not a regular file (%s)", fi.Mode().Type())
		return s, true
	}
	if s.data, err = io.ReadAll(io.LimitReader(f, maxFile+1)); err != nil {
		return unreadable(path, err), true
	}
	if len(s.data) > maxFile {
		s.data, s.err = nil, fail(at, "is it the right file?", "is larger than 1 MiB")
		return s, true
	}
	s.unread = false
	s.err = o.trust(path, fi)
	return s, true
}

// trust returns an error when somebody else than root and the caller could have written the file or directory.
func (o Options) trust(path string, fi fs.FileInfo) *Error {
	at := Origin{File: path}
	if uid := int(fi.Sys().(*syscall.Stat_t).Uid); uid != 0 && uid != o.EUID {
		return fail(at, "chown root "+path, "belongs to uid %d, who is neither root nor the caller (uid %d)", uid, o.EUID)
	}
	// In a sticky directory nobody can replace the files of others.
	if fi.Mode().Perm()&0o022 != 0 && (!fi.IsDir() || fi.Mode()&fs.ModeSticky == 0) {
		return fail(at, "chmod go-w "+path, "can be written by others (mode %04o)", fi.Mode().Perm())
	}
	return nil
}

// checkDirs holds the directory of a system file, and of the file that it links to, to the same rule: who can write
// there can put another file in its place.
func (o Options) checkDirs(path string) *Error {
	dirs := []string{filepath.Dir(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(real) != dirs[0] {
		dirs = append(dirs, filepath.Dir(real))
	}
	for _, dir := range dirs {
		fi, err := os.Stat(dir)
		if err != nil {
			return unreadable(dir, err).err
		}
		if err := o.trust(dir, fi); err != nil {
			return err
		}
	}
	return nil
}

func unreadable(path string, err error) source {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err // its text has the path once more
	}
	fix := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		fix = fmt.Sprintf("let uid %d read it: chmod a+r %s, and a+x on its directories", os.Geteuid(), path)
	case errors.Is(err, fs.ErrNotExist):
		fix = "remove the link, or create the file that it names"
	}
	e := fail(Origin{File: path}, fix, "cannot be read: %v", err)
	e.Err = err
	return source{path: path, unread: true, err: e}
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
