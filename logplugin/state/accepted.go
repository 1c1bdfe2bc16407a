package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A container that was accepted once must never be refused again, not by restart=always and not by `docker logs` of a
// stopped one. So it is remembered for longer than its sessions; nobody tells us when it is removed, hence the limit.
const (
	acceptedDir = "accepted"
	maxAccepted = 10000
	// After so many new ones the oldest are forgotten: a driver runs for months.
	acceptedSlack = 1000
)

// Accept remembers that a container was accepted. With an error it is remembered by this process alone: call AcceptMissing
// later.
func (d *Dir) Accept(containerID string) error {
	err := d.mark(containerID)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		delete(d.unmarked, containerID)
	case len(d.unmarked) < maxAccepted:
		d.unmarked[containerID] = true
	}
	return err
}

// AcceptMissing writes what Accept could not.
func (d *Dir) AcceptMissing() error {
	d.mu.Lock()
	missing := slices.Collect(maps.Keys(d.unmarked))
	d.mu.Unlock()
	var errs []error
	for _, id := range missing {
		if err := d.mark(id); err != nil {
			errs = append(errs, err)
			continue
		}
		d.mu.Lock()
		wanted := d.unmarked[id]
		delete(d.unmarked, id)
		d.mu.Unlock()
		if !wanted {
			errs = append(errs, d.Revoke(id)) // it was revoked meanwhile
		}
	}
	return errors.Join(errs...)
}

// mark writes the container's marker. Its time is its place among the others, and no time: it is never before that of a
// marker that was written earlier.
func (d *Dir) mark(containerID string) error {
	if err := d.prepared(); err != nil {
		return err
	}
	dir := filepath.Join(d.path, acceptedDir)
	name := filepath.Join(dir, ID(containerID))
	d.mu.Lock()
	now := time.Now().Round(0) // without the monotonic reading, which files do not have
	if !now.After(d.newest) {
		now = d.newest.Add(time.Microsecond)
	}
	d.newest = now
	d.mu.Unlock()
	whole, err := d.readWhole(name)
	switch {
	case err == nil && whole:
		return d.writeWhole(name, true, now)
	case err == nil:
		return d.fs.Chtimes(name, now)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := d.fs.Open(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), d.fs.Chtimes(name, now)); err != nil {
		return err
	}
	if d.accepted.Add(1)%acceptedSlack == 0 {
		_, err = d.forgetOldest(maxAccepted)
		return err
	}
	return nil
}

// Revoke forgets that a container was accepted: the daemon was told that it is not.
func (d *Dir) Revoke(containerID string) error {
	d.mu.Lock()
	delete(d.unmarked, containerID)
	d.mu.Unlock()
	return d.remove(filepath.Join(d.path, acceptedDir, ID(containerID)))
}

// Accepted reports whether a container was accepted, or may have been: while the file system does not say, no container is
// refused.
func (d *Dir) Accepted(containerID string) bool {
	d.mu.Lock()
	unmarked := d.unmarked[containerID]
	d.mu.Unlock()
	if unmarked {
		return true
	}
	_, err := d.fs.Lstat(filepath.Join(d.path, acceptedDir, ID(containerID)))
	return !errors.Is(err, fs.ErrNotExist)
}

// The marker of a container whose whole output docker logs reads from the log driver holds wholeText, and the second of the marker's time. A
// version that does not write it changes the time alone: what the container has written since then is in a file of the daemon's.
const wholeText = "whole"

// SetWhole notes whether the whole output of an accepted container was read by a log driver that docker logs asks.
func (d *Dir) SetWhole(containerID string, is bool) error {
	name := filepath.Join(d.path, acceptedDir, ID(containerID))
	st, err := d.fs.Lstat(name)
	if err != nil {
		return err
	}
	return d.writeWhole(name, is, st.ModTime())
}

// IsWhole reports what SetWhole has noted, and that no version has accepted the container since that does not note it; true if that cannot
// be found out.
func (d *Dir) IsWhole(containerID string) bool {
	whole, err := d.readWhole(filepath.Join(d.path, acceptedDir, ID(containerID)))
	return err != nil || whole
}

func (d *Dir) writeWhole(name string, is bool, at time.Time) error {
	flags, text := os.O_WRONLY|os.O_TRUNC, ""
	if is {
		flags, text = os.O_WRONLY, fmt.Sprintf("%s %d\n", wholeText, at.Unix())
	}
	f, err := d.fs.Open(name, flags, 0)
	if err != nil {
		return err
	}
	if is {
		_, err = f.WriteAt([]byte(text), 0)
	}
	return errors.Join(err, f.Close(), d.fs.Chtimes(name, at))
}

func (d *Dir) readWhole(name string) (bool, error) {
	f, err := d.fs.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	b := make([]byte, 64)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	return string(b[:n]) == fmt.Sprintf("%s %d\n", wholeText, st.ModTime().Unix()), nil
}

// forgetOldest keeps the newest of the containers that were accepted, and returns how new the newest is.
func (d *Dir) forgetOldest(keep int) (newest time.Time, err error) {
	dir := filepath.Join(d.path, acceptedDir)
	entries, err := d.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return newest, nil
	}
	if err != nil {
		return newest, err
	}
	type aged struct {
		name string
		at   time.Time
	}
	list := make([]aged, 0, len(entries))
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			list = append(list, aged{filepath.Join(dir, e.Name()), st.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b aged) int { return b.at.Compare(a.at) })
	if len(list) > 0 {
		newest = list[0].at
	}
	var errs []error
	for _, a := range list[min(keep, len(list)):] {
		errs = append(errs, d.remove(a.name))
	}
	return newest, errors.Join(errs...)
}
