package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

const (
	host     = "registry.example.com"
	ecrHost  = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
	region   = "eu-west-1"
	password = "correct-horse-battery-staple"
	ecrLogin = "docker-credential-ecr-login"

	// away is what awsTLS waits before each answer of Secrets Manager: in this process it would come sooner than any
	// network brings it.
	away = 20 * time.Millisecond
)

// world is a machine with AWS, the programs and their state. The servers are in this process, which does nothing while
// a warm helper runs.
type world struct {
	dir         string
	aws, awsTLS *fakeaws.Server
	arn, arnTLS string // of the secret, in each
	front       string // paths of the programs
	resolver    string
	hello       string
	bareSDK     string
	ecr         string
	ecrVersion  string
	onEnd       []func(context.Context) error
}

func newWorld(ctx context.Context) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "secretref-bench-"); err != nil {
		return w, err
	}
	if err := w.build(ctx); err != nil {
		return w, err
	}
	if w.aws, w.arn, err = startAWS(fakeaws.Options{Region: region}); err != nil {
		return w, err
	}
	if w.awsTLS, w.arnTLS, err = startAWS(fakeaws.Options{Region: region, TLS: true}); err != nil {
		return w, err
	}
	w.awsTLS.SetFault(fakeaws.Fault{Service: "secretsmanager", Kind: fakeaws.Delay, Delay: away})
	if err := os.WriteFile(w.path("ca.pem"), w.awsTLS.CAPEM, 0o600); err != nil {
		return w, err
	}
	for _, d := range []string{"home", "run", "ecr", "ecr-imds"} {
		if err := os.Mkdir(w.path(d), 0o700); err != nil {
			return w, err
		}
	}
	return w, errors.Join(w.configure("config.toml", w.arn), w.configure("config-tls.toml", w.arnTLS))
}

func startAWS(o fakeaws.Options) (*fakeaws.Server, string, error) {
	s, err := fakeaws.Start(o)
	if err != nil {
		return nil, "", err
	}
	s.SetIMDS(fakeaws.IMDS{Role: "arn:aws:iam::111122223333:role/app-host"})
	arn := s.PutSecret(fakeaws.Secret{Name: "prod/registry", String: `{"username": "deploy", "password": "` + password + `"}`})
	return s, arn, nil
}

func (w *world) configure(name, arn string) error {
	return os.WriteFile(w.path(name), []byte(`[cache]
ttl = "10m"
stale = "0s"

[ecr]
enabled = true

[registries."`+host+`"]
credentialsParameter = "`+arn+`"
`), 0o600)
}

// build compiles all programs with the same flags, that of the peer too: as it is installed it has its symbols.
func (w *world) build(ctx context.Context) error {
	for _, pkg := range []string{"./credhelper/cmd/...", "./credhelper/bench/testdata/hello", "./credhelper/bench/testdata/baresdk"} {
		if _, err := rig.Build(ctx, w.dir+"/", pkg); err != nil {
			return err
		}
	}
	w.front, w.resolver = w.path("docker-credential-secretref"), w.path("secretref-resolve")
	w.hello, w.bareSDK, w.ecr = w.path("hello"), w.path("baresdk"), w.path(ecrLogin)
	if err := w.buildECRLogin(ctx); err != nil {
		return err
	}
	for _, p := range []string{w.front, w.resolver, w.hello, w.bareSDK, w.ecr} {
		if err := rewrite(p); err != nil {
			return err
		}
	}
	return nil
}

// rewrite writes a program in one go, as whoever installs it does. The linker writes through a mapping, in pages; then
// the kernel cannot map larger pieces at once, and the same program takes up to a tenth longer to start.
func rewrite(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o700)
}

func (w *world) buildECRLogin(ctx context.Context) error {
	installed, err := rig.Tool(ecrLogin)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(installed)
	if err != nil {
		return err
	}
	w.ecrVersion = info.Main.Version
	cache, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("find the module cache: %w", err)
	}
	// In the module's own directory it is built from the versions that it asks for itself.
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", w.ecr, info.Path)
	cmd.Dir = filepath.Join(strings.TrimSpace(string(cache)), info.Main.Path+"@"+info.Main.Version)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s %s: %w\n%s; take away %s, then run packaging/install-test-deps again", ecrLogin, info.Main.Version, err, out, installed)
	}
	return nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// env is the environment of every program, whoever needs what of it: a longer one takes longer to copy.
func (w *world) env(aws []string, config, ecrCache string) []string {
	return rig.Env(w.path("home"), append(aws,
		"SECRETREF_CONFIG="+w.path(config), "XDG_RUNTIME_DIR="+w.path("run"), "AWS_ECR_CACHE_DIR="+w.path(ecrCache))...)
}

// helper is our program, for a registry. It answers from the cache when that has an answer.
func (w *world) helper(env []string, host string) *program {
	p := &program{name: "docker-credential-secretref", args: []string{w.front, "get"}, env: env, input: host, want: password}
	if host == ecrHost {
		p.want = `"Username":"AWS"`
	}
	erase := &program{name: "erase", args: []string{w.front, "erase"}, env: env, input: host}
	w.onEnd = append(w.onEnd, func(ctx context.Context) error { _, err := erase.run(ctx); return err })
	return p
}

// cold returns p with a cache that is erased before each run.
func (w *world) cold(p *program) *program {
	c := *p
	erase := &program{name: "erase", args: []string{w.front, "erase"}, env: p.env, input: p.input}
	c.reset = func(ctx context.Context) error { _, err := erase.run(ctx); return err }
	return &c
}

// ecrHelper is the peer, for ecrHost.
func (w *world) ecrHelper(env []string) *program {
	return &program{name: ecrLogin, args: []string{w.ecr, "get"}, env: env, input: ecrHost, want: `"Username":"AWS"`}
}

// coldECR returns p with a cache that is taken away before each run.
func (w *world) coldECR(p *program, cache string) *program {
	c := *p
	c.reset = func(context.Context) error {
		err := os.Remove(filepath.Join(w.path(cache), "cache.json"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return &c
}

// close takes everything away, the entries of the cache too: root's lie in the directory of the machine.
func (w *world) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var errs []error
	for _, f := range w.onEnd {
		errs = append(errs, f(ctx))
	}
	for _, s := range []*fakeaws.Server{w.aws, w.awsTLS} {
		if s != nil {
			s.Close()
		}
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}
