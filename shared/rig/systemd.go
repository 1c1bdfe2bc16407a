package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// SystemdOptions says what a systemd finds. Nothing is started by itself.
type SystemdOptions struct {
	Units    map[string]string // below /etc/systemd/system, units and drop-ins, with their text
	Etc      map[string]string // other files below /etc
	Programs []string          // files that are in /usr/bin too
}

// Systemd is a systemd as process 1 of namespaces of its own, for units that are to run as on a host. It knows the units of
// its options and no other: nothing of the machine's is started or changed. Network, /run/docker and most of the file
// system are the machine's; /run, /tmp, /var/lib, /var/log, what is added to /etc and /usr/bin, and pids are its own.
// It has a cgroup of its own, without controllers where the machine has them in version 1. No journal runs: what
// services write is in Log.
type Systemd struct {
	dir, name string
	proc      *process
	pid       int // of systemd, as the machine counts
}

// Nothing that is mounted here reaches the machine. The directories of Debian's units, of its tmpfiles.d and so on are
// hidden: at a start of the real ones they would empty /tmp and set sysctls, which are the machine's.
const enterSystemd = `set -e
mount --bind /run/docker "$DIR/docker"
mount -t tmpfs tmpfs /run
mkdir -p /run/docker /run/lock
mount --move "$DIR/docker" /run/docker
mount -t overlay -o "lowerdir=/usr/bin,upperdir=$DIR/bin,workdir=$DIR/bin.work" overlay /usr/bin
mount -t overlay -o "lowerdir=/etc,upperdir=$DIR/etc,workdir=$DIR/etc.work" overlay /etc
mount --bind "$DIR/systemd" /etc/systemd
mount --bind "$DIR/lib" /var/lib
mount --bind "$DIR/logs" /var/log
for d in /usr/lib/systemd/system /usr/lib/systemd/system-generators /usr/lib/tmpfiles.d /usr/lib/sysctl.d /usr/lib/modules-load.d /var/tmp; do
	[ ! -d "$d" ] || mount -t tmpfs tmpfs "$d"
done
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
cd /
exec env -i container=rig PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 /lib/systemd/systemd --system --unit=rig.target --log-target=console --log-level=info --show-status=no`

// Targets that Debian's units would be, as far as default dependencies name them. Empty ones order and pull in nothing.
var systemdTargets = []string{"sysinit", "basic", "sockets", "multi-user", "shutdown", "rig"}

// StartSystemd starts one and returns once it answers.
func StartSystemd(ctx context.Context, o SystemdOptions) (*Systemd, error) {
	dir, err := tempDir("systemd")
	if err != nil {
		return nil, err
	}
	s := &Systemd{dir: dir, name: uniqueName("srsd-")}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Systemd) start(ctx context.Context, o SystemdOptions) error {
	if err := s.makeFiles(o); err != nil {
		return err
	}
	cgroup, err := makeCgroup(s.name)
	if err != nil {
		return err
	}
	// The shell enters the cgroup first: it is the root of the cgroup namespace then.
	s.proc, err = startProcess("systemd", s.dir, []string{"DIR=" + s.dir, "PATH=" + debianPath},
		"/bin/sh", "-c", `echo $$ >"$1"/cgroup.procs; shift; exec "$@"`, "sh", cgroup,
		"unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup", "--uts", "--ipc",
		"/bin/sh", "-c", enterSystemd)
	if err != nil {
		return err
	}
	return s.proc.ready(ctx, func(ctx context.Context) error {
		if s.pid, err = childSystemd(s.proc); err != nil {
			return err
		}
		_, err := s.Systemctl(ctx, "is-active", "--quiet", "rig.target")
		return err
	})
}

func (s *Systemd) makeFiles(o SystemdOptions) error {
	for _, sub := range []string{"docker", "bin", "bin.work", "etc", "etc.work", "systemd/system", "lib", "logs"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/run/docker", 0o700); err != nil { // as the daemon makes it
		return err
	}
	files := map[string]string{}
	for _, t := range systemdTargets {
		files["systemd/system/"+t+".target"] = "[Unit]\nDescription=" + t + "\n"
	}
	for name, text := range o.Etc {
		files["etc/"+name] = text
	}
	for name, text := range o.Units {
		files["systemd/system/"+name] = text
		if strings.HasSuffix(name, ".service") {
			files["systemd/system/"+name+".d/log.conf"] = "[Service]\nStandardOutput=append:/var/log/" + name + ".log\nStandardError=inherit\n"
		}
	}
	for name, text := range files {
		p := filepath.Join(s.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	for _, p := range o.Programs {
		b, err := os.ReadFile(p)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, "bin", filepath.Base(p)), b, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeCgroup makes one of version 2, which stands beside those of version 1 on some machines.
func makeCgroup(name string) (string, error) {
	for _, top := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(top, "cgroup.controllers")); err == nil {
			dir := filepath.Join(top, name)
			return dir, os.Mkdir(dir, 0o755)
		}
	}
	return "", errors.New("no cgroup file system of version 2 is mounted")
}

// childSystemd finds the child of unshare, which becomes systemd.
func childSystemd(p *process) (int, error) {
	parent := p.cmd.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, errors.New("it has not begun yet")
	}
	if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || string(comm) != "systemd\n" {
		return 0, fmt.Errorf("process %d is %q, %w", pid, comm, err)
	}
	return pid, nil
}

// Run runs a program inside, for at most a minute.
func (s *Systemd) Run(ctx context.Context, args ...string) (Result, error) {
	enter := []string{"nsenter", "--target", strconv.Itoa(s.pid), "--mount", "--pid", "--ipc", "--"}
	return Cmd{Args: append(enter, args...), Env: []string{"PATH=" + debianPath, "LANG=C.UTF-8", "SYSTEMD_PAGER="}, Dir: "/"}.Run(ctx)
}

// Systemctl gives systemd an order, or asks it something.
func (s *Systemd) Systemctl(ctx context.Context, args ...string) (Result, error) {
	return s.Run(ctx, append([]string{"systemctl"}, args...)...)
}

// Dir is the directory that holds everything it writes: lib is /var/lib, logs is /var/log.
func (s *Systemd) Dir() string { return s.dir }

// Log returns what systemd says, and then what each service has written.
func (s *Systemd) Log() string {
	if s.proc == nil {
		return ""
	}
	text := s.proc.log()
	names, _ := filepath.Glob(filepath.Join(s.dir, "logs", "*.log")) // the pattern is fine
	for _, name := range names {
		b, _ := os.ReadFile(name)
		text += "\n" + filepath.Base(name) + ":\n" + string(b)
	}
	return text
}

// Stop ends systemd with its services and takes away all that it made.
func (s *Systemd) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if s.proc != nil {
		if s.pid != 0 {
			_ = syscall.Kill(s.pid, syscall.SIGKILL) // the kernel ends all of its namespace
			s.pid = 0
		}
		errs = append(errs, s.proc.stop(10*time.Second))
	}
	return errors.Join(append(errs, removeCgroups(ctx, s.name), os.RemoveAll(s.dir))...)
}
