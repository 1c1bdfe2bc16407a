//go:build integration

// Package packages_test builds the packages, and lets dpkg install, upgrade, remove and purge one in an empty directory.
package packages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// host is a directory into which packages are installed, with a systemctl that notes what it is asked for.
type host struct{ root, bin string }

func newHost(t *testing.T) host {
	t.Helper()
	h := host{t.TempDir(), t.TempDir()}
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "run/systemd/system"} {
		if err := os.MkdirAll(filepath.Join(h.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, h.path("var/lib/dpkg/status"), "", 0o644)
	write(t, h.path("var/lib/dpkg/available"), "", 0o644)
	write(t, filepath.Join(h.bin, "systemctl"), "#!/bin/sh\necho \"$*\" >>"+h.bin+"/asked\n", 0o755)
	return h
}

func (h host) path(name string) string { return filepath.Join(h.root, name) }

// dpkg runs dpkg on the host. The scripts run outside of it, with DPKG_ROOT.
func (h host) dpkg(t *testing.T, environ []string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "dpkg", append([]string{"--root=" + h.root, "--force-script-chrootless", "--force-architecture", "--log=/dev/null"}, args...)...)
	c.Env = append(os.Environ(), append(environ, "PATH="+h.bin+":"+os.Getenv("PATH"))...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func (h host) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := h.dpkg(t, nil, args...)
	if err != nil {
		t.Fatalf("dpkg %v: %v\n%s", args, err, out)
	}
	return out
}

// asked returns what systemctl was asked for since the last call.
func (h host) asked(t *testing.T) string {
	t.Helper()
	file := filepath.Join(h.bin, "asked")
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	write(t, file, "", 0o644)
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "; ")
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// built has the packages of the versions that the tests install, each of which is built once. TestRelease compares two builds.
var (
	building sync.Mutex
	built    = map[string]string{}
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range built {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// build returns the deb and the rpm of a version, which is built once.
func build(t *testing.T, version string) (deb, rpm string) {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	if built[version] == "" {
		dir, err := os.MkdirTemp("", "packages-") // it outlives the test
		if err != nil {
			t.Fatal(err)
		}
		built[version] = dir
		compile(t, version, dir)
	}
	one := func(pattern string) string {
		found, err := filepath.Glob(filepath.Join(built[version], pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: found %v, %v", pattern, found, err)
		}
		return found[0]
	}
	return one("*.deb"), one("*.rpm")
}

func compile(t *testing.T, version, dir string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "./build", version, dir)
	c.Env = append(os.Environ(), "ARCHES="+runtime.GOARCH)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", version, err, out)
	}
}

const (
	enable  = "enable secretref-logdriver.socket secretref-logdriver.service"
	started = enable + "; daemon-reload; start secretref-logdriver.socket secretref-logdriver.service"
	all     = "secretref-logdriver.socket secretref-files.socket secretref-runtime.socket secretref-logdriver.service"
	stopped = "stop " + all + "; stop run-secretref-volumes.mount run-secretref-values.mount; disable " + all + "; daemon-reload"
)

func TestPackages(t *testing.T) {
	t.Parallel()
	deb, rpm := build(t, "v0.1.0")
	if !strings.HasPrefix(read(t, rpm), "\xed\xab\xee\xdb") {
		t.Errorf("%s is not an rpm", rpm)
	}
	newer, _ := build(t, "v0.2.0")
	t.Run("lint", func(t *testing.T) { lint(t, deb, rpm) })
	t.Run("life", func(t *testing.T) { life(t, deb, newer) })
	t.Run("by hand before", func(t *testing.T) { byHand(t, deb) })
	t.Run("image", func(t *testing.T) { image(t, deb) })
}

// lint runs lintian and rpmlint. What they report and is meant to be so is in lintian-overrides and rpmlint.toml, with its reason.
func lint(t *testing.T, deb, rpm string) {
	// rpmlint unpacks with cpio, which would write the absolute names of an rpm's files to the root of this machine.
	bin := t.TempDir()
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(bin, "cpio"), "#!/bin/sh\nexec "+cpio+" --no-absolute-filenames \"$@\"\n", 0o755)
	const program = "/usr/libexec/secretref/secretref-resolve" // this machine may have the package
	before, _ := os.Stat(program)
	for _, args := range [][]string{{"lintian", "--fail-on", "error,warning", "--allow-root", deb}, {"rpmlint", "--config", "rpmlint.toml", rpm}} {
		c := exec.CommandContext(t.Context(), args[0], args[1:]...)
		c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), " W: ") {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
	if after, _ := os.Stat(program); (before == nil) != (after == nil) || after != nil && !os.SameFile(before, after) {
		t.Error("the contents of the package are on this machine")
	}
}

// life is that of a host: installed, upgraded, downgraded, removed, installed again, purged.
func life(t *testing.T, deb, newer string) {
	h := newHost(t)
	h.must(t, "-i", deb)
	if got := h.asked(t); got != started {
		t.Errorf("an installation asks systemctl for %q, want %q", got, started)
	}
	config := h.path("etc/secretref/config.toml")
	if got := read(t, config); got != read(t, "../config/config.toml") {
		t.Errorf("the first configuration is not the sample:\n%s", got)
	}
	for file, mode := range map[string]os.FileMode{
		"usr/bin/docker-credential-secretref": 0o755, "usr/bin/secretref-logdriver": 0o755, "usr/libexec/secretref/secretref-resolve": 0o755,
		"usr/lib/systemd/system/secretref-logdriver.socket": 0o644, "usr/lib/systemd/system/secretref-logdriver.service": 0o644,
		"usr/bin/secretref-runtime": 0o755, "usr/lib/systemd/system/secretref-runtime.socket": 0o644, "usr/share/man/man1/secretref-runtime.1.gz": 0o644,
		"usr/lib/systemd/system/secretref-files.socket": 0o644, "usr/lib/systemd/system/run-secretref-values.mount": 0o644,
		"usr/lib/systemd/system/run-secretref-volumes.mount":  0o644,
		"usr/share/man/man1/docker-credential-secretref.1.gz": 0o644, "usr/share/man/man5/secretref-config.5.gz": 0o644,
		"usr/lib/tmpfiles.d/secretref.conf":                             0o644,
		"usr/share/bash-completion/completions/secretref-logdriver":     0o644,
		"usr/share/zsh/vendor-completions/_docker-credential-secretref": 0o644,
		"usr/share/fish/vendor_completions.d/secretref-logdriver.fish":  0o644,
		"usr/share/doc/secretref/monitoring/alerts.yaml":                0o644,
		"usr/share/doc/secretref/copyright":                             0o644, "usr/share/doc/secretref/changelog.gz": 0o644, "etc/secretref/config.toml": 0o644,
	} {
		if info, err := os.Stat(h.path(file)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want mode %v", file, info, err, mode)
		}
	}
	// The helper finds its other half, which gives the version of both.
	if out, err := exec.CommandContext(t.Context(), h.path("usr/bin/docker-credential-secretref"), "version").CombinedOutput(); err != nil || !strings.Contains(string(out), "v0.1.0") {
		t.Errorf("version: %s, %v", out, err)
	}

	write(t, config, "# mine\n", 0o644)
	const restarted = "daemon-reload; try-restart secretref-logdriver.service"
	for _, pkg := range []string{newer, deb} {
		if h.must(t, "-i", "--force-downgrade", pkg); h.asked(t) != restarted {
			t.Errorf("%s is not an upgrade that restarts the service alone", pkg)
		}
		if got := read(t, config); got != "# mine\n" {
			t.Errorf("%s has changed the configuration to %q", pkg, got)
		}
	}

	if err := os.MkdirAll(h.path("var/lib/secretref"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, h.path("var/lib/secretref/line"), "undelivered", 0o600)
	write(t, h.path("usr/bin/secretref-logdriver"), "#!/bin/sh\necho '{\"sessions\":[{\"state\":\"reading\"}]}'\n", 0o755)
	if out, err := h.dpkg(t, nil, "-r", "secretref"); err == nil || !strings.Contains(out, "SECRETREF_FORCE=1") || !exists(h.path("usr/bin/docker-credential-secretref")) {
		t.Errorf("removed while containers log: %v\n%s", err, out)
	}
	if got := h.asked(t); strings.Contains(got, "stop") {
		t.Errorf("a removal that is refused asks systemctl for %q", got)
	}
	write(t, h.path("usr/bin/secretref-logdriver"), "#!/bin/sh\nexit 1\n", 0o755) // no driver runs
	if err := os.MkdirAll(h.path("etc/docker"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, h.path("etc/docker/daemon.json"), `{"runtimes":{"secretref":{"path":"/usr/bin/secretref-runtime"}}}`, 0o644)
	if out, err := h.dpkg(t, nil, "-r", "secretref"); err == nil || !strings.Contains(out, "configure runtime --undo first") || !exists(h.path("usr/bin/secretref-runtime")) {
		t.Errorf("removed while the daemon has the runtime: %v\n%s", err, out)
	}
	if got := h.asked(t); strings.Contains(got, "stop") {
		t.Errorf("a removal that is refused asks systemctl for %q", got)
	}
	if out, err := h.dpkg(t, []string{"SECRETREF_FORCE=1"}, "-r", "secretref"); err != nil {
		t.Fatalf("removal by force: %v\n%s", err, out)
	}
	if got := h.asked(t); got != stopped {
		t.Errorf("a removal asks systemctl for %q, want %q", got, stopped)
	}
	if exists(h.path("usr/bin/secretref-logdriver")) || read(t, h.path("var/lib/secretref/line")) != "undelivered" || read(t, config) != "# mine\n" {
		t.Error("a removal must delete the programs, and keep the state and the configuration")
	}
	if err := os.RemoveAll(h.path("etc/docker")); err != nil {
		t.Fatal(err)
	}
	if h.must(t, "-i", deb); h.asked(t) != started {
		t.Error("an installation after a removal does not start the units")
	}
	write(t, h.path("usr/bin/secretref-logdriver"), "#!/bin/sh\nexit 1\n", 0o755) // no driver runs
	h.must(t, "-P", "secretref")
	for _, dir := range []string{"etc", "usr", "var/lib/secretref", "var/lib/secretref.removed"} {
		left, err := filepath.Glob(h.path(dir + "/*"))
		if err != nil || len(left) > 0 || dir != "etc" && dir != "usr" && exists(h.path(dir)) {
			t.Errorf("a purge leaves %v in %s, %v", left, dir, err)
		}
	}
}

// byHand is a host on which somebody has installed the files by hand.
func byHand(t *testing.T, deb string) {
	h := newHost(t)
	for _, dir := range []string{"etc/systemd/system", "etc/secretref"} {
		if err := os.MkdirAll(h.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, h.path("etc/systemd/system/secretref-logdriver.service"), "[Service]\n", 0o644)
	if err := os.MkdirAll(h.path("usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, h.path("usr/bin/secretref-resolve"), "older\n", 0o755)
	if err := os.Symlink("elsewhere.toml", h.path("etc/secretref/config.toml")); err != nil {
		t.Fatal(err)
	}
	if out := h.must(t, "-i", deb); !strings.Contains(out, "/etc/systemd/system/secretref-logdriver.service is used in place of") ||
		!strings.Contains(out, "/usr/bin/secretref-resolve is used in place of") || strings.Contains(out, "secretref-logdriver.socket is used") {
		t.Errorf("the installation says\n%s", out)
	}
	if to, err := os.Readlink(h.path("etc/secretref/config.toml")); err != nil || to != "elsewhere.toml" {
		t.Errorf("the link to the configuration leads to %q, %v", to, err)
	}
}

// image is a root file system that does not run: units are enabled and not started.
func image(t *testing.T, deb string) {
	h := newHost(t)
	if err := os.RemoveAll(h.path("run/systemd")); err != nil {
		t.Fatal(err)
	}
	h.must(t, "-i", deb)
	if got := h.asked(t); got != enable {
		t.Errorf("an installation into an image asks systemctl for %q, want %q", got, enable)
	}
}

// A unit that does not start leaves the package installed, and says so.
func TestUnitDoesNotStart(t *testing.T) {
	for _, args := range [][]string{{"configure"}, {"configure", "0.1.0"}} {
		h := newHost(t)
		write(t, filepath.Join(h.bin, "systemctl"), "#!/bin/sh\nexit 1\n", 0o755)
		if err := os.MkdirAll(h.path("etc/secretref"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, h.path("etc/secretref/config.toml"), "# mine\n", 0o644)
		cmd := exec.CommandContext(t.Context(), "sh", append([]string{"postinstall"}, args...)...)
		cmd.Env = append(os.Environ(), "DPKG_ROOT="+h.root, "PATH="+h.bin+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "did not start") {
			t.Errorf("postinstall %v: %v\n%s", args, err, out)
		}
	}
}

// What the rpm's scripts do by the numbers that rpm gives.
func TestScriptsOfRPM(t *testing.T) {
	const reload = "daemon-reload"
	for _, c := range []struct{ name, script, count, want string }{
		{"installation", "postinstall", "1", started},
		{"upgrade", "postinstall", "2", "daemon-reload; try-restart secretref-logdriver.service"},
		{"removal of the older of two", "preremove", "1", ""},
		{"removal", "preremove", "0", strings.TrimSuffix(stopped, "; "+reload)},
		{"after the removal of the older of two", "postremove", "1", ""},
		{"after a removal", "postremove", "0", reload},
	} {
		h := newHost(t)
		if err := os.MkdirAll(h.path("usr/share/secretref"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, h.path("usr/share/secretref/config.toml"), "# sample\n", 0o644)
		cmd := exec.CommandContext(t.Context(), "sh", c.script, c.count)
		cmd.Env = slices.Concat(os.Environ(), []string{"DPKG_ROOT=" + h.root, "PATH=" + h.bin + ":" + os.Getenv("PATH")})
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
		if got := h.asked(t); got != c.want {
			t.Errorf("%s asks systemctl for %q, want %q", c.name, got, c.want)
		}
	}
}
