package rig

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// debianCLI and debianDockerd are the default: other ones may stand earlier on PATH.
const (
	debianCLI     = "/usr/bin/docker"
	debianDockerd = "/usr/sbin/dockerd"
)

// Engine names an environment variable with the dockerd that tests run against in place of Debian's. `make test-engines`
// sets it.
const Engine = "SECRETREF_TEST_DOCKERD"

// DockerdOptions says how a daemon is to be. The zero value is Debian's daemon, or Engine's, with defaults.
type DockerdOptions struct {
	Bin   string            // dockerd to start; "" = that of Engine, or Debian's. Its containerd and runc are looked up beside it first
	Args  []string          // further arguments, such as --live-restore
	Hosts map[string]string // names that the daemon finds in /etc/hosts, with their addresses
	CAs   map[string]*CA    // registry ("name:port") to the authority that the daemon trusts for it
}

// Dockerd is a Docker daemon of our own, beside whatever runs on the machine. It has its own data, socket, bridge,
// cgroup, and a mount namespace in which /etc/docker, /etc/hosts and /run/containerd are its own too; so all of its
// mounts end with its last process. /run/docker is shared with the machine, with plugin sockets and log FIFOs in it.
// Containers reach the daemon's bridge and nothing beyond: there is no NAT.
type Dockerd struct {
	options DockerdOptions
	dir     string
	name    string   // of the bridge and of the cgroup
	mountNS string   // as /proc/PID/ns/mnt shows it; "" until the daemon has answered
	ns      *os.File // that namespace: it outlives the daemon, for the next one
	proc    *process
}

// StartDockerd starts a daemon and returns once it answers.
func StartDockerd(ctx context.Context, o DockerdOptions) (*Dockerd, error) {
	if o.Bin == "" {
		o.Bin = cmp.Or(os.Getenv(Engine), debianDockerd)
	}
	dir, err := tempDir("dockerd")
	if err != nil {
		return nil, err
	}
	d := &Dockerd{options: o, dir: dir, name: uniqueName("srbr-")}
	if err := d.start(ctx); err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

// In the new namespace mounts are private first, so that nothing reaches the machine, and shared then, so that rshared
// volumes work. The last exec keeps the pid.
const enterNamespace = `set -e
mount --make-rshared /
mkdir -p /etc/docker /run/containerd
mount --bind "$DIR/etc" /etc/docker
mount --bind "$DIR/containerd" /run/containerd
mount --bind "$DIR/hosts" /etc/hosts
unset DIR
exec "$@"`

func (d *Dockerd) start(ctx context.Context) (err error) {
	if err := d.makeFiles(); err != nil {
		return err
	}
	// A bridge of its own, because --bridge=none would delete a neighbour's docker0.
	if _, err := addBridge(ctx, d.name); err != nil {
		return err
	}
	if err := d.launch(ctx, "unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", enterNamespace, "sh"); err != nil {
		return err
	}
	ns := fmt.Sprintf("/proc/%d/ns/mnt", d.PID())
	if d.mountNS, err = os.Readlink(ns); err != nil {
		return err
	}
	d.ns, err = os.Open(ns)
	return err
}

// launch starts the daemon, by a command that brings it into its namespace, and waits until it answers.
func (d *Dockerd) launch(ctx context.Context, enter ...string) (err error) {
	args := []string{
		d.options.Bin, "--config-file", d.dir + "/daemon.json", "--data-root", d.dir + "/data", "--exec-root", d.dir + "/exec",
		"-H", d.Host(), "-p", d.dir + "/pid", "--bridge=" + d.name, "--cgroup-parent=/" + d.name,
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--iptables=false", "--ip-forward=false", "--ip-masq=false",
	}
	env := []string{"DIR=" + d.dir, "HOME=" + d.dir, "TMPDIR=" + d.dir, "PATH=" + filepath.Dir(d.options.Bin) + ":" + debianPath}
	d.proc, err = startProcess("dockerd", d.dir, env, slices.Concat(enter, args, d.options.Args)...)
	if err != nil {
		return err
	}
	return d.proc.ready(ctx, func(ctx context.Context) error {
		_, err := d.run(ctx, 10*time.Second, "", "version")
		return err
	})
}

// Halt ends the daemon alone, by SIGTERM or SIGKILL, and waits for its end. Resume follows.
func (d *Dockerd) Halt(sig syscall.Signal) error {
	if err := d.proc.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("end dockerd: %w", err)
	}
	select {
	case <-d.proc.exited:
		return d.forgetContainerd()
	case <-time.After(startTimeout):
		return fmt.Errorf("end dockerd: pid %d outlives %v for %v", d.PID(), sig, startTimeout)
	}
}

// forgetContainerd waits for the daemon's containerd, which ends with it, and removes its pid file: where process 1 waits for
// nobody the pid stays, and the next daemon would take it for a containerd that runs.
func (d *Dockerd) forgetContainerd() error {
	file := d.dir + "/exec/containerd/containerd.pid"
	pid, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	gone := await(ctx, nil, func(context.Context) error {
		if args, _ := os.ReadFile("/proc/" + string(pid) + "/cmdline"); len(args) > 0 {
			return fmt.Errorf("containerd, pid %s, has not ended", pid)
		}
		return nil
	})
	return errors.Join(err, gone, os.Remove(file))
}

// Resume starts the daemon again after Halt, where its containers and their mounts are, and returns once it answers.
func (d *Dockerd) Resume(ctx context.Context) error {
	return d.launch(ctx, "nsenter", fmt.Sprintf("--mount=/proc/%d/fd/%d", os.Getpid(), d.ns.Fd()))
}

func (d *Dockerd) makeFiles() error {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return err
	}
	for name, addr := range d.options.Hosts {
		hosts = fmt.Appendf(hosts, "\n%s %s\n", addr, name)
	}
	files := map[string][]byte{"daemon.json": []byte("{}\n"), "hosts": hosts, "cli/config.json": []byte("{}\n")}
	for registry, ca := range d.options.CAs {
		files["etc/certs.d/"+registry+"/ca.crt"] = ca.PEM()
	}
	for _, sub := range []string{"data", "exec", "etc", "containerd", "cli"} {
		if err := os.Mkdir(filepath.Join(d.dir, sub), 0o755); err != nil {
			return err
		}
	}
	for name, b := range files {
		p := filepath.Join(d.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, b, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// Host is the daemon's address, for DOCKER_HOST.
func (d *Dockerd) Host() string { return "unix://" + d.dir + "/docker.sock" }

// Dir is the directory that holds everything of the daemon: the place where a leaked secret would be.
func (d *Dockerd) Dir() string { return d.dir }

// PID is the daemon's process.
func (d *Dockerd) PID() int { return d.proc.cmd.Process.Pid }

// Env returns an environment for a docker CLI that talks to this daemon, with a configuration directory in which
// nothing is configured, then extra.
func (d *Dockerd) Env(extra ...string) []string {
	return Env(d.dir, append([]string{"DOCKER_HOST=" + d.Host(), "DOCKER_CONFIG=" + d.dir + "/cli"}, extra...)...)
}

// Docker runs Debian's docker CLI against the daemon, for at most a minute.
func (d *Dockerd) Docker(ctx context.Context, args ...string) (Result, error) {
	return d.run(ctx, time.Minute, "", args...)
}

func (d *Dockerd) run(ctx context.Context, timeout time.Duration, stdin string, args ...string) (Result, error) {
	return Cmd{Args: append([]string{debianCLI}, args...), Env: d.Env(), Stdin: stdin, Timeout: timeout}.Run(ctx)
}

// Import makes an image that holds one static program and runs it; no registry is needed.
func (d *Dockerd) Import(ctx context.Context, image, program string) error {
	b, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	h := &tar.Header{Name: "app", Mode: 0o755, Size: int64(len(b)), Typeflag: tar.TypeReg}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err = d.run(ctx, time.Minute, buf.String(), "import", "--change", `ENTRYPOINT ["/app"]`, "-", image)
	return err
}

// Log returns the daemon's output, with that of its containerd.
func (d *Dockerd) Log() string { return d.proc.log() }

// Stop ends the daemon with its containers and takes away all that it made.
func (d *Dockerd) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if d.proc != nil {
		d.removeContainers(ctx)
		errs = append(errs, d.proc.stop(20*time.Second), d.killRest(ctx))
	}
	if d.ns != nil {
		_ = d.ns.Close() // a second Stop closes it again
	}
	errs = append(errs, d.removePlugins(ctx), removeCgroups(ctx, d.name), removeLink(ctx, d.name), os.RemoveAll(d.dir))
	return errors.Join(errs...)
}

// removeContainers spares the daemon's wait of ten seconds for every container that ignores SIGTERM. Its errors do not
// matter: killRest finds what is left.
func (d *Dockerd) removeContainers(ctx context.Context) {
	r, err := d.run(ctx, 10*time.Second, "", "ps", "-aq")
	if ids := strings.Fields(r.Stdout); err == nil && len(ids) > 0 {
		_, _ = d.run(ctx, 15*time.Second, "", append([]string{"rm", "-f", "-v"}, ids...)...)
	}
}
