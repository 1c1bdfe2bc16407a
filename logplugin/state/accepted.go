package state

import (
	"errors"
	"io/fs"
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

// Accept remembers that a container was accepted.
func (d *Dir) Accept(containerID string) error {
	dir := filepath.Join(d.path, acceptedDir)
	name := filepath.Join(dir, ID(containerID))
	now := time.Now()
	if err := os.Chtimes(name, now, now); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		return err
	}
	if d.accepted.Add(1)%acceptedSlack == 0 {
		return d.forgetOldest(maxAccepted)
	}
	return nil
}

// Accepted tells whether a container was accepted.
func (d *Dir) Accepted(containerID string) bool {
	_, err := os.Lstat(filepath.Join(d.path, acceptedDir, ID(containerID)))
	return err == nil
}

// forgetOldest keeps the newest of the containers that were accepted.
func (d *Dir) forgetOldest(keep int) error {
	dir := filepath.Join(d.path, acceptedDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || len(entries) <= keep {
		return nil
	}
	if err != nil {
		return err
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
	var errs []error
	for _, a := range list[min(keep, len(list)):] {
		errs = append(errs, removeIfThere(a.name))
	}
	return errors.Join(errs...)
}
