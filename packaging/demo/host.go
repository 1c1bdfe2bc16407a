package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

const (
	private = "registry.example.com" // wants user and password
	public  = "public.example.com"   // wants none, and has no rule
	user    = "deploy"
	role    = "arn:aws:iam::111122223333:role/app-host"
)

// cacheDir is where a helper that runs as root keeps sealed values, whatever its environment says.
const cacheDir = "/run/secretref"

// canaries are the secrets of the story: the registry's password, the event collector's token and an application's password,
// before and after rotation.
type canaries struct {
	old, new           *rig.Canary
	oldToken, newToken *rig.Canary
	oldFile, newFile   *rig.Canary
}

// host is the machine of the story, and what it is connected to. Fields are set as the story goes on.
type host struct {
	out teller
	dir string // everything is below it: TMPDIR is set to it

	aws      *fakeaws.Server
	registry *rig.Registry
	mirror   *mirror
	dockerd  *rig.Dockerd

	canaries
	logs           logs
	secret, group  string   // the secret's ARN, and the beginning of its files in cacheDir
	sealed         []string // names of these files, once there are some: their keys have them too
	hadCacheDir    bool
	undo           []func() error // takes down what was started, the last first
	privateN, pubN string         // the two registries with their ports
}

// start builds the programs and starts the parts.
func start(ctx context.Context, h *host) error {
	if err := h.makeDir(); err != nil {
		return err
	}
	h.out.lines("building docker-credential-secretref, secretref-resolve, secretref-logdriver and secretref-runtime (static, no cgo)")
	for _, pkg := range []string{"./credhelper/cmd/...", "./logplugin/cmd/...", "./packaging/demo/hello", "./packaging/demo/counter", "./packaging/demo/watcher"} {
		if _, err := rig.Build(ctx, h.dir+"/bin", pkg); err != nil {
			return err
		}
	}
	// Born after the build, so that the search need not look into what the build has written.
	h.old, h.new, h.oldToken, h.newToken = rig.NewCanary(), rig.NewCanary(), rig.NewCanary(), rig.NewCanary()

	var err error
	if h.aws, err = fakeaws.Start(fakeaws.Options{}); err != nil {
		return err
	}
	h.later(func() error { h.aws.Close(); return nil })
	h.aws.Put(fakeaws.Seed{Roles: []fakeaws.Role{{ARN: role}}, IMDS: fakeaws.IMDS{Role: role}})
	h.out.lines("AWS endpoint     " + h.aws.URL + ", instance metadata " + h.aws.IMDSURL)

	ca, err := rig.NewCA()
	if err != nil {
		return err
	}
	h.registry, err = rig.StartRegistry(ctx, rig.RegistryOptions{
		User: user, Password: h.old.Value(), CA: ca, Names: []string{private}, OwnAddress: true,
	})
	if err != nil {
		return err
	}
	h.later(h.registry.Stop)
	h.privateN = private + ":" + h.registry.Port()
	h.out.lines("registry         " + h.privateN + ", TLS, user " + user)
	if h.mirror, err = startMirror(h.registry, ca); err != nil {
		return err
	}
	h.later(h.mirror.stop)
	h.pubN = public + ":" + h.mirror.port()
	h.out.lines("open registry    " + h.pubN + ", TLS, no password")

	runtime, err := h.addRuntime()
	if err != nil {
		return err
	}
	h.dockerd, err = rig.StartDockerd(ctx, rig.DockerdOptions{
		Args:  runtime,
		Hosts: map[string]string{private: h.registry.IP(), public: h.registry.IP()},
		CAs:   map[string]*rig.CA{h.privateN: ca, h.pubN: ca},
	})
	if err != nil {
		return err
	}
	h.later(h.dockerd.Stop)
	h.out.lines("docker daemon    " + h.dockerd.Host())
	h.out.lines("Commands below run with these, and with no other way to AWS than the instance's role:")
	for _, v := range h.variables() {
		h.out.command("export " + v)
	}
	return nil
}

// makeDir makes the one directory. Other programs' temporary files go there as well.
func (h *host) makeDir() error {
	dir, err := os.MkdirTemp("", "sr-demo-")
	if err != nil {
		return err
	}
	h.dir = dir
	h.later(func() error { return os.Remove(dir) }) // refuses, should a part have left something
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return err
	}
	own := []string{"bin", "etc", "docker", "owner", "run"}
	for _, sub := range own {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	h.later(func() error {
		var errs []error
		for _, sub := range own {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, sub)))
		}
		return errors.Join(errs...)
	})
	_, err = os.Stat(cacheDir)
	h.hadCacheDir = err == nil
	return nil
}

// variables is what a login shell of the host has set.
func (h *host) variables() []string {
	return append(h.aws.EnvironIMDS(),
		"PATH="+h.dir+"/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"DOCKER_HOST="+h.dockerd.Host(),
		"DOCKER_CONFIG="+h.dir+"/docker",
		"SECRETREF_CONFIG="+h.dir+"/etc/config.toml",
		"XDG_RUNTIME_DIR="+h.dir+"/run",
	)
}

func (h *host) later(f func() error) { h.undo = append(h.undo, f) }

// takeDown ends everything that was started, once.
func (h *host) takeDown() (errs []error) {
	for len(h.undo) > 0 {
		last := len(h.undo) - 1
		f := h.undo[last]
		h.undo = h.undo[:last]
		errs = append(errs, f())
	}
	return errs
}

// forget makes the helper drop what it has in cacheDir, with the key in the kernel's keyring.
func (h *host) forget() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // also after Ctrl-C
	defer cancel()
	_, err := rig.Cmd{Args: []string{h.dir + "/bin/docker-credential-secretref", "erase"}, Env: h.env(), Stdin: h.privateN}.Run(ctx)
	if err == nil && !h.hadCacheDir {
		_ = os.Remove(cacheDir) // stays when somebody else has begun to use it
	}
	if err != nil {
		return fmt.Errorf("empty the cache: %w", err)
	}
	return nil
}
