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

// plugins lists the ids of the managed plugins. The daemon puts them outside of --cgroup-parent, and 20.10 their sockets
// into /run/docker/plugins whatever --exec-root says.
func (d *Dockerd) plugins() []string {
	found, _ := filepath.Glob(d.dir + "/data/plugins/*/config.json") // the pattern is fine
	for i, p := range found {
		found[i] = filepath.Base(filepath.Dir(p))
	}
	return found
}

// removePlugins takes away what a daemon that was killed leaves of its plugins outside of its directory.
func (d *Dockerd) removePlugins(ctx context.Context) error {
	var errs []error
	for _, id := range d.plugins() {
		errs = append(errs, removeCgroups(ctx, id), os.RemoveAll("/run/docker/plugins/"+id))
	}
	return errors.Join(errs...)
}

// rest lists the processes that belong to the daemon: in its mount namespace, in its cgroup or one of its plugins, or
// with its directory in their arguments. Zombies, which somebody else has to wait for, have none of these.
func (d *Dockerd) rest() []int {
	var pids []int
	cgroups := append(d.plugins(), d.name)
	for _, pid := range processes() {
		proc := fmt.Sprintf("/proc/%d/", pid)
		ns, _ := os.Readlink(proc + "ns/mnt") // a process that has just ended belongs to nobody
		args, _ := os.ReadFile(proc + "cmdline")
		cgroup, _ := os.ReadFile(proc + "cgroup")
		if len(args) == 0 {
			continue
		}
		in := func(name string) bool { return bytes.Contains(cgroup, []byte("/"+name)) }
		if ns != "" && ns == d.mountNS || bytes.Contains(args, []byte(d.dir+"/")) || slices.ContainsFunc(cgroups, in) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// removeCgroups takes away a part's cgroup in every hierarchy, the deepest ones first.
func removeCgroups(ctx context.Context, name string) error {
	tops, _ := filepath.Glob("/sys/fs/cgroup/*/" + name) // version 1; the pattern is fine
	tops = append(tops, "/sys/fs/cgroup/"+name)          // version 2
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
