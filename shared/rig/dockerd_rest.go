package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// killRest kills what outlives the daemon, such as containerd and shims of one that was killed, and waits for it.
func (d *Dockerd) killRest(ctx context.Context) error {
	err := await(ctx, nil, func(context.Context) error {
		pids := d.rest()
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // may have ended by itself
		}
		if len(pids) > 0 {
			return fmt.Errorf("processes %v are left", pids)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("stop dockerd: %w", err)
	}
	return nil
}

// rest lists the processes that belong to the daemon: in its mount namespace, in its cgroup, or with its directory in
// their arguments. Zombies, which somebody else has to wait for, have none of the three.
func (d *Dockerd) rest() []int {
	var pids []int
	for _, pid := range processes() {
		proc := fmt.Sprintf("/proc/%d/", pid)
		ns, _ := os.Readlink(proc + "ns/mnt") // a process that has just ended belongs to nobody
		args, _ := os.ReadFile(proc + "cmdline")
		cgroup, _ := os.ReadFile(proc + "cgroup")
		if len(args) == 0 {
			continue
		}
		if ns != "" && ns == d.mountNS || bytes.Contains(args, []byte(d.dir+"/")) || bytes.Contains(cgroup, []byte("/"+d.name)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// removeCgroups takes away the daemon's cgroup in every hierarchy, the deepest ones first.
func (d *Dockerd) removeCgroups(ctx context.Context) error {
	tops, _ := filepath.Glob("/sys/fs/cgroup/*/" + d.name) // version 1; the pattern is fine
	tops = append(tops, "/sys/fs/cgroup/"+d.name)          // version 2
	var errs []error
	for _, top := range tops {
		var dirs []string
		_ = filepath.WalkDir(top, func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, p)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, p := range dirs {
			// A cgroup is busy for a moment after its last process has ended.
			err := await(ctx, nil, func(context.Context) error {
				if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				return nil
			})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// processes lists all pids.
func processes() []int {
	entries, _ := os.ReadDir("/proc") // is always there
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(strings.TrimSpace(e.Name())); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
