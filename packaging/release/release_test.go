//go:build integration

// Package release_test makes a release, and runs the programs of both architectures out of it.
package release_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
)

const version = "0.1.0"

func run(t *testing.T, dir string, environ []string, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir, c.Env, c.Stdin = dir, environ, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("%w\n%s", err, errs.String())
	}
	return out.String(), nil
}

func must(t *testing.T, dir string, environ []string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, environ, "", args...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

func release(t *testing.T, arches string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, ".", append(os.Environ(), "ARCHES="+arches, "LEVEL=1"), "./build", version, dir)
	return dir
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestRelease(t *testing.T) {
	dir := release(t, "amd64 arm64")
	want := []string{"SHA256SUMS"}
	for _, arch := range []string{"amd64", "arm64"} {
		of := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
		want = append(want, "secretref_0.1.0-1_"+arch+".deb", "secretref-0.1.0-1."+of+".rpm",
			"secretref_0.1.0_linux_"+arch+".tar.gz", "secretref-plugin_0.1.0_linux_"+arch+".tar.gz", "secretref-plugin-volumes_0.1.0_linux_"+arch+".tar.gz")
		for _, program := range programs {
			want = append(want, program+"_0.1.0_linux_"+arch+".cdx.json")
		}
	}
	slices.Sort(want)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Fatalf("a release has\n%q\nwant\n%q", got, want)
	}
	must(t, dir, nil, "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	materials(t, dir)
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) { programsOf(t, dir, arch) })
	}

	again := release(t, "amd64")
	for _, name := range names(t, again) {
		if name == "SHA256SUMS" {
			continue
		}
		one, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if two, err := os.ReadFile(filepath.Join(again, name)); err != nil || !bytes.Equal(one, two) {
			t.Errorf("two builds of %s differ (%v)", name, err)
		}
	}
}

var programs = []string{"docker-credential-secretref", "secretref-logdriver", "secretref-resolve", "secretref-runtime"}

// materials looks for the modules that a program is made of in what is said of it.
func materials(t *testing.T, dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "secretref-resolve_0.1.0_linux_amd64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		Metadata struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, PURL string }
	}
	if err := json.Unmarshal(b, &bill); err != nil {
		t.Fatal(err)
	}
	if c := bill.Metadata.Component; c.Name != "github.com/secretref/secretref" || c.Version != "v"+version {
		t.Errorf("the bill of materials is of %+v", c)
	}
	for _, module := range []string{"github.com/aws/aws-sdk-go-v2/service/secretsmanager", "github.com/aws/smithy-go"} {
		found := false
		for _, c := range bill.Components {
			found = found || c.Name == module && strings.HasPrefix(c.PURL, "pkg:golang/"+module+"@v")
		}
		if !found {
			t.Errorf("the bill of materials lacks %s", module)
		}
	}
}

// programsOf runs what the archive of an architecture holds, the other one's under qemu. There a program cannot become
// another one, so the half of the helper that asks AWS is run by itself.
func programsOf(t *testing.T, dir, arch string) {
	root := t.TempDir()
	name := "secretref_0.1.0_linux_" + arch
	must(t, dir, nil, "tar", "-C", root, "-xzf", name+".tar.gz")
	if got := names(t, root); !slices.Equal(got, []string{name}) {
		t.Errorf("the archive holds %q, want one directory", got)
	}
	bin := filepath.Join(root, name, "bin")
	if got := names(t, bin); !slices.Equal(got, programs) {
		t.Errorf("programs %q", got)
	}
	for _, file := range []string{"LICENSE", "packaging/docs/install.md", "packaging/man/secretref-logdriver.1", "packaging/systemd/secretref-logdriver.service"} {
		if _, err := os.Stat(filepath.Join(root, name, file)); err != nil {
			t.Error(err)
		}
	}
	helper := "docker-credential-secretref"
	var emulator []string
	if arch != runtime.GOARCH {
		emulator = []string{map[string]string{"arm64": "qemu-aarch64-static", "amd64": "qemu-x86_64-static"}[arch]}
	}
	aws := fakeaws.New(t, fakeaws.Options{})
	ref := aws.PutSecret(fakeaws.Secret{Name: "prod/registry", String: `{"username":"deploy","password":"the password"}`})
	config := filepath.Join(root, "config.toml")
	text := "[registries.\"registry.example.com\"]\ncredentialsParameter = \"" + ref + "\"\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := append(aws.Environ(), "SECRETREF_CONFIG="+config, "HOME="+root, "XDG_RUNTIME_DIR="+root, "PATH="+os.Getenv("PATH"), "SECRETREF_SYSLOG=off")
	try := func(want, stdin, program string, args ...string) {
		t.Helper()
		out, err := run(t, root, environ, stdin, slices.Concat(emulator, []string{filepath.Join(bin, program)}, args)...)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s %q of %s: %v\n%s", program, args, arch, err, out)
		}
	}
	for _, program := range programs[:3] {
		try(version, "", program, "version")
	}
	try("state of app", "", "secretref-runtime", "--runtime", "/bin/echo", "state", "of", "app") // it becomes the runtime behind
	try(ref, "", helper, "explain", "registry.example.com")
	try("the password", "registry.example.com", "secretref-resolve", "get")
	try("splunk-url", "", "secretref-logdriver", "routers", "splunk")
}

func TestVersions(t *testing.T) {
	for _, version := range []string{"", "dev", "v1.2.3", "1.2"} {
		if out, err := run(t, ".", os.Environ(), "", "./build", version, t.TempDir()); err == nil || !strings.Contains(err.Error(), "as in 0.1.0") {
			t.Errorf("version %q: %v\n%s", version, err, out)
		}
	}
}

// The scripts are those of a careful hand.
func TestShellcheck(t *testing.T) {
	must(t, "../..", os.Environ(), "shellcheck", "packaging/install-test-deps", "packaging/plugin/build", "packaging/packages/build", "packaging/release/build",
		"packaging/packages/postinstall", "packaging/packages/preremove", "packaging/packages/postremove")
}
