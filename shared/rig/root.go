package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RootOptions says which root file system it is.
type RootOptions struct {
	Suite string // of Debian, as packaging/install-test-deps has made it; "" = bookworm
}

// Root is a whole Debian of its own: its file system, with systemd as process 1, and Docker where the suite has it. Nothing of the
// machine is in it but the kernel. Its network is its own and leads nowhere, see Forward. What is written goes to memory, and away
// with Stop; the file system that it begins with stays as it is.
type Root struct {
	dir, name string
	proc      *process
	pid       int // of systemd, as the machine counts
	mu        sync.Mutex
	closers   []io.Closer
	wg        sync.WaitGroup
}

// The machine's kernel settings are its own again: /proc/sys and /sys are read-only but for the cgroups.
const enterRoot = `set -e
mount -t tmpfs tmpfs "$DIR/memory"
mkdir "$DIR/memory/upper" "$DIR/memory/work"
mount -t overlay -o "lowerdir=$LOWER,upperdir=$DIR/memory/upper,workdir=$DIR/memory/work" overlay "$DIR/root"
cd "$DIR/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty; do
	touch dev/$d
	mount --bind /dev/$d dev/$d
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p run/lock var/lib/docker
mount -t tmpfs tmpfs var/lib/docker
ip link set lo up
hostname debian
mkdir machine
pivot_root . machine
umount -l /machine
rmdir /machine
exec env -i container=rig PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 /lib/systemd/systemd --system --log-target=console --log-level=info --show-status=no`

// StartRoot starts one and returns once systemd has started what is enabled in it.
func StartRoot(ctx context.Context, o RootOptions) (*Root, error) {
	dir, err := tempDir("root")
	if err != nil {
		return nil, err
	}
	r := &Root{dir: dir, name: uniqueName("srrt-")}
	if err := r.start(ctx, o); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

func (r *Root) start(ctx context.Context, o RootOptions) error {
	module, err := moduleRoot()
	if err != nil {
		return err
	}
	suite := o.Suite
	if suite == "" {
		suite = "bookworm"
	}
	lower := filepath.Join(module, ".cache/roots", suite)
	if lower, err = filepath.EvalSymlinks(lower); err != nil {
		return fmt.Errorf("root file system of Debian %s: %w; run packaging/install-test-deps root %s", suite, err, suite)
	}
	for _, sub := range []string{"memory", "root"} {
		if err := os.Mkdir(filepath.Join(r.dir, sub), 0o755); err != nil {
			return err
		}
	}
	cgroup, err := makeCgroup(r.name)
	if err != nil {
		return err
	}
	r.proc, err = startProcess("root", r.dir, []string{"DIR=" + r.dir, "LOWER=" + lower, "PATH=" + debianPath},
		"/bin/sh", "-c", `echo $$ >"$1"/cgroup.procs; shift; exec "$@"`, "sh", cgroup,
		"unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--net", "--cgroup", "--uts", "--ipc",
		"/bin/sh", "-c", enterRoot)
	if err != nil {
		return err
	}
	return r.proc.ready(ctx, func(ctx context.Context) error {
		if r.pid, err = childSystemd(r.proc); err != nil {
			return err
		}
		if out, err := r.Run(ctx, "systemctl", "is-system-running"); err != nil && strings.TrimSpace(out.Stdout) != "degraded" {
			return err
		}
		return nil
	})
}

// Run runs a program inside, as root with a login's environment, for at most two minutes.
func (r *Root) Run(ctx context.Context, args ...string) (Result, error) {
	return r.Command("", args...).Run(ctx)
}

// Command is a program inside that reads stdin.
func (r *Root) Command(stdin string, args ...string) Cmd {
	enter := []string{"nsenter", "--target", strconv.Itoa(r.pid), "--mount", "--pid", "--net", "--ipc", "--uts", "--wdns=/root", "--"}
	return Cmd{
		Args: append(enter, args...), Stdin: stdin, Timeout: 2 * time.Minute,
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:" + debianPath, "LANG=C.UTF-8", "HOME=/root", "SYSTEMD_PAGER=", "DEBIAN_FRONTEND=noninteractive"},
	}
}

// Path is a file of the root as the machine sees it.
func (r *Root) Path(name string) string { return fmt.Sprintf("/proc/%d/root/%s", r.pid, name) }

// Write makes a file with its directories.
func (r *Root) Write(name, text string, mode os.FileMode) error {
	p := r.Path(name)
	return errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), mode))
}

// Copy puts a file of the machine into a directory.
func (r *Root) Copy(dir string, files ...string) error {
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := r.Write(filepath.Join(dir, filepath.Base(file)), string(b), info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// Address adds an address and names for it.
func (r *Root) Address(ctx context.Context, ip string, names ...string) error {
	if _, err := (Cmd{Args: []string{"nsenter", "--target", strconv.Itoa(r.pid), "--net", "--", "ip", "address", "add", ip + "/32", "dev", "lo"}}).Run(ctx); err != nil {
		return err
	}
	hosts, err := os.ReadFile(r.Path("etc/hosts"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(names) == 0 {
		return nil
	}
	return r.Write("etc/hosts", string(hosts)+ip+" "+strings.Join(names, " ")+"\n", 0o644)
}

// Forward connects what is sent to an address of the root with an address of the machine. It takes no port that an outgoing
// connection of the root can have.
func (r *Root) Forward(address, to string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(port); err != nil || n >= 32768 {
		return fmt.Errorf("forward %s: the port is not one below 32768", address)
	}
	l, err := r.listen(address)
	if err != nil {
		return err
	}
	r.closeLater(l)
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.connect(c, to) })
		}
	})
	return nil
}

func (r *Root) closeLater(c io.Closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closers = append(r.closers, c)
}

func (r *Root) connect(c net.Conn, to string) {
	defer c.Close()
	d, err := net.Dial("tcp", to) //nolint:noctx // to an address of this machine
	if err != nil {
		return
	}
	defer d.Close()
	r.closeLater(c)
	r.closeLater(d)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, d}, {d, c}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // how a connection ends is for its ends to say
			if tcp, ok := way[0].(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
		})
	}
	both.Wait()
}

// listen opens a socket in the network of the root. The thread goes back to the machine's network and lives on, because parts that it
// has started get a signal when it ends.
func (r *Root) listen(address string) (l net.Listener, err error) {
	own, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	other, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", r.pid))
	if err != nil {
		return nil, err
	}
	defer other.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		if err = unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err == nil {
			l, err = net.Listen("tcp", address) //nolint:noctx // it cannot block
			err = errors.Join(err, unix.Setns(int(own.Fd()), unix.CLONE_NEWNET))
		}
		if err == nil {
			runtime.UnlockOSThread() // otherwise the thread ends with the goroutine
		}
	})
	wg.Wait()
	return l, err
}

// Log returns what systemd says.
func (r *Root) Log() string {
	if r.proc == nil {
		return ""
	}
	return r.proc.log()
}

// Stop ends all that runs in it and takes away what it has written.
func (r *Root) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if r.proc != nil {
		if r.pid != 0 {
			_ = syscall.Kill(r.pid, syscall.SIGKILL) // the kernel ends all of its namespace
		}
		errs = append(errs, r.proc.stop(10*time.Second))
	}
	r.mu.Lock()
	for _, c := range r.closers {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
	return errors.Join(append(errs, removeCgroups(ctx, r.name), os.RemoveAll(r.dir))...)
}
