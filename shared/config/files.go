package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/secretref/secretref/shared/safefile"
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
	if text := o.text(); text != "" {
		s := source{path: textVariable, data: []byte(text)}
		switch {
		case o.OnlyFile != "":
			s.err = fail(Origin{File: textVariable}, "unset one of them", "SECRETREF_CONFIG names a file as well")
		case len(text) > maxFile:
			s.err = fail(Origin{File: textVariable}, "", "is larger than 1 MiB")
		}
		return []source{s}
	}
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
		entries, err := patiently(func() ([]os.DirEntry, error) { return os.ReadDir(o.SystemDir) })
		if err != nil && !safefile.IsMissing(err) {
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

// patiently repeats read for about half a second while it fails with an error of the moment: a program that starts
// without its configuration answers wrongly, or keeps its state in the wrong place.
func patiently[T any](read func() (T, error)) (T, error) {
	for pause := 8 * time.Millisecond; ; pause *= 2 {
		v, err := read()
		if !safefile.IsTransient(err) || pause > 256*time.Millisecond {
			return v, err
		}
		time.Sleep(pause) //nolint:forbidigo // Load has no context, and its callers allow for more than this
	}
}

// text returns the configuration that the environment holds as a whole; "" = none.
func (o Options) text() string {
	for _, pair := range o.Environ {
		if name, text, _ := strings.Cut(pair, "="); name == textVariable {
			return text
		}
	}
	return ""
}

// open reads one file; false when it does not exist.
func (o Options) open(path string) (source, bool) {
	f, err := patiently(func() (safefile.File, error) { return safefile.Read(path, safefile.Options{Max: maxFile}) })
	if err == nil {
		return source{path: path, data: f.Data, err: o.trust(path, f.UID, f.Perm)}, true
	}
	if safefile.IsMissing(err) {
		// A link to nothing is a mistake, not a file that does not exist. A name that cannot be looked at for the
		// moment may be one.
		if _, lerr := os.Lstat(path); safefile.IsMissing(lerr) {
			return source{path: path}, false
		}
	}
	s := unreadable(path, err)
	switch {
	case errors.Is(err, safefile.ErrNotRegular):
		s.err.What, s.err.Fix = s.err.Err.Error(), "put a file there"
	case errors.Is(err, safefile.ErrTooLarge):
		s.err.What, s.err.Fix = "is larger than 1 MiB", "check that it is the right file"
	}
	return s, true
}

// trust finds a mistake when a user other than root and the caller could have written the file or directory.
func (o Options) trust(path string, uid int, mode fs.FileMode) *Error {
	at := Origin{File: path}
	if uid != 0 && uid != o.EUID {
		return fail(at, "chown root "+path, "belongs to uid %d, which is neither root nor the caller (uid %d)", uid, o.EUID)
	}
	// In a sticky directory nobody can replace the files of others.
	if mode.Perm()&0o022 != 0 && (!mode.IsDir() || mode&fs.ModeSticky == 0) {
		return fail(at, "chmod go-w "+path, "can be written by others (mode %04o)", mode.Perm())
	}
	return nil
}

// checkDirs holds the directory of a system file, and of the file that it links to, to the same rule: who can write
// there can put another file in its place.
func (o Options) checkDirs(path string) *Error {
	dirs := []string{filepath.Dir(path)}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return unreadable(path, err).err
	}
	if filepath.Dir(real) != dirs[0] {
		dirs = append(dirs, filepath.Dir(real))
	}
	for _, dir := range dirs {
		fi, err := os.Stat(dir)
		if err != nil {
			return unreadable(dir, err).err
		}
		if err := o.trust(dir, int(fi.Sys().(*syscall.Stat_t).Uid), fi.Mode()); err != nil {
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
