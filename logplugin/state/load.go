package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Save writes the session's file, in place of one that is there. Only one Save or Remove for a file may run at a time.
func (d *Dir) Save(s Session) error {
	b, err := encode(s)
	if err != nil {
		return err
	}
	if len(b) > maxFile {
		return fmt.Errorf("state of container %s has %d bytes, and at most %d can be kept", s.ContainerID, len(b), maxFile)
	}
	if err := d.prepared(); err != nil {
		return err
	}
	d.mu.Lock()
	d.known[ID(s.File)] = true
	d.mu.Unlock()
	return d.write(d.file(ID(s.File)+suffix), b)
}

// Remove removes the file of the session for a FIFO. One that is not there is no error.
func (d *Dir) Remove(file string) error {
	id := ID(file)
	err := d.remove(d.file(id + suffix))
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		delete(d.known, id)
	}
	return err
}

// MayKnow reports whether there is a state file of the session with this ID, sound or set aside, or whether the file
// system does not say.
func (d *Dir) MayKnow(id string) bool {
	for _, end := range []string{suffix, suffix + DamagedSuffix} {
		if _, err := d.fs.Lstat(d.file(id + end)); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// Loaded is what Load has found.
type Loaded struct {
	Sessions []Session // in the order in which they began
	Damaged  []Failure // files with wrong content. They are set aside; those of a newer version stay
	Unread   []Failure // files that could not be read at the moment
}

// Failure is a state file that could not be read.
type Failure struct {
	ID   string // of the session
	Name string // the path as it was
	Err  error  // why
}

// Error returns one line.
func (f Failure) Error() string { return fmt.Sprintf("state file %s: %v", f.Name, f.Err) }

// Unwrap returns why.
func (f Failure) Unwrap() error { return f.Err }

// Load reads all sessions that this process does not know yet. Files with a content that makes no sense are set aside
// under their name with DamagedSuffix; but a file of a newer version stays where it is, for the day that this version
// comes back, and is among the sessions too if it says which FIFO it is. With an error, or with Unread files, call Load
// again after a while: it goes on with what is missing.
func (d *Dir) Load() (Loaded, error) {
	if err := d.prepared(); err != nil {
		return Loaded{}, err
	}
	entries, err := d.fs.ReadDir(d.file(""))
	if err != nil {
		return Loaded{}, fmt.Errorf("read state directory: %w", err)
	}
	var all Loaded
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix+tempSuffix) && !d.isKnown(strings.TrimSuffix(e.Name(), suffix+tempSuffix)) {
			_ = d.remove(d.file(e.Name())) // of a process that was killed while it wrote; a leftover is harmless
		}
		if id, ok := strings.CutSuffix(e.Name(), suffix+DamagedSuffix); ok {
			d.noteAside(id)
		}
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && !d.isKnown(id) {
			d.loadFile(id, &all)
		}
	}
	slices.SortFunc(all.Sessions, Session.compare)
	if d.note(&all) {
		d.number(all.Sessions)
		slices.SortFunc(all.Sessions, Session.compare)
	}
	return all, nil
}

// note makes known what Load has found, and reports whether this process has not given a number to a session yet.
func (d *Dir) note(all *Loaded) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range all.Sessions {
		d.raise(s.Number)
		d.known[ID(s.File)] = true
	}
	for _, f := range all.Damaged {
		d.known[f.ID] = true // and is not reported again
	}
	return !d.begun
}

func (d *Dir) isKnown(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known[id]
}

func (d *Dir) loadFile(id string, all *Loaded) {
	name := d.file(id + suffix)
	s, err := d.read(name)
	belongs := ID(s.File) == id
	if err == nil && !belongs {
		err = damage("it belongs to another name")
	}
	var wrong damage
	switch newer := errors.Is(err, errNewer); {
	case err == nil:
		all.Sessions = append(all.Sessions, s)
	case errors.Is(err, fs.ErrNotExist): // its session has ended meanwhile
	case newer:
		if belongs {
			all.Sessions = append(all.Sessions, s)
		}
		all.Damaged = append(all.Damaged, Failure{id, name, err})
	case errors.As(err, &wrong):
		err = errors.Join(err, d.fs.Rename(name, name+DamagedSuffix))
		all.Damaged = append(all.Damaged, Failure{id, name, err})
		d.noteAside(id)
	default:
		all.Unread = append(all.Unread, Failure{id, name, err})
	}
}

func (d *Dir) noteAside(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.aside[id] = true
}

// Aside is a damaged state file.
type Aside struct {
	ID   string // of the session
	Name string // the path that it has now
}

// SetAside returns the damaged files that Load has set aside, in this process or in an earlier one, as far as they are still there.
func (d *Dir) SetAside() (all []Aside) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(d.aside)) {
		name := d.file(id + suffix + DamagedSuffix)
		if _, err := d.fs.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			continue // the next Load notes it again if it comes back
		}
		all = append(all, Aside{id, name})
	}
	return all
}

// damage says what is wrong with a file that could be read.
type damage string

func (e damage) Error() string { return string(e) }

// read reads a session's file: a regular one, of this user.
func (d *Dir) read(name string) (Session, error) {
	f, err := d.fs.Open(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return Session{}, damage("it is not a regular file")
	}
	if err != nil {
		return Session{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return Session{}, err
	case !st.Mode().IsRegular():
		return Session{}, damage("it is not a regular file")
	case int64(st.Sys().(*syscall.Stat_t).Uid) != int64(os.Geteuid()):
		return Session{}, damage("it belongs to another user")
	case st.Size() > maxFile:
		return Session{}, damage("it is too large")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return Session{}, err
	}
	if int64(len(b)) < st.Size() {
		return Session{}, io.ErrUnexpectedEOF
	}
	return decode(b)
}
