package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// debianPath is where Debian's own programs are. Parts run with it, so that another Docker that stands earlier on PATH
// is never mixed in.
const debianPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// Env returns an environment for a program: PATH with the programs of packaging/install-test-deps and Debian's, a
// locale, home, then extra.
func Env(home string, extra ...string) []string {
	path := debianPath
	if root, err := moduleRoot(); err == nil {
		path = filepath.Join(root, ".cache/bin") + ":" + path
	}
	return append([]string{"PATH=" + path, "LANG=C.UTF-8", "HOME=" + home}, extra...)
}

// Tool returns the path of a program: a name with a slash as it is, otherwise the one that install-test-deps has
// built, or Debian's, or the one on PATH, in this order.
func Tool(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	var dirs []string
	if root, err := moduleRoot(); err == nil {
		dirs = append(dirs, filepath.Join(root, ".cache/bin"), filepath.Join(root, ".cache/moto-venv/bin"))
	}
	dirs = append(dirs, filepath.SplitList(debianPath)...)
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	for _, d := range dirs {
		p := filepath.Join(d, name)
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("program %s is missing; run packaging/install-test-deps", name)
}

// DockerCLIs returns the docker programs of the machine, Debian's first, then others on PATH. Their versions differ in
// which output of a failing credential helper they show, so tests of that run with each.
func DockerCLIs() ([]string, error) {
	var found, targets []string
	for _, d := range append([]string{"/usr/bin"}, filepath.SplitList(os.Getenv("PATH"))...) {
		p := filepath.Join(d, "docker")
		target, err := filepath.EvalSymlinks(p)
		if err != nil || slices.Contains(targets, target) {
			continue
		}
		found, targets = append(found, p), append(targets, target)
	}
	if len(found) == 0 {
		return nil, errors.New("program docker is missing; run packaging/install-test-deps")
	}
	return found, nil
}

// Build compiles the main package pkg ("./credhelper/cmd/...", from the module's root, or a .go file) into dir as a
// static program, and returns its path. dir is also the way to a name of one's own: a path that does not end in a
// slash and is not a directory becomes the program itself.
func Build(ctx context.Context, dir, pkg string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", dir, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // Go's caches are found through the environment
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		return dir, err
	}
	return filepath.Join(dir, strings.TrimSuffix(filepath.Base(pkg), ".go")), nil
}

// moduleRoot returns the directory of go.mod: tests run in their package's directory, the demo in the root.
func moduleRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := wd; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == "/" {
			return "", fmt.Errorf("no go.mod above %s; run inside the source tree", wd)
		}
	}
}
