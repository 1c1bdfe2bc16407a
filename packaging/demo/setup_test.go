package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The set-up looks at Go before it installs anything, and says what to do.
func TestSetUpNeedsGo(t *testing.T) {
	for _, tt := range []struct {
		name, goProgram, want string
	}{
		{"no Go", "", "Go is missing: install Go 1.26.0 or later and put it on PATH"},
		{"an old one", "echo go1.19.8", "Go 1.26.0 or later is needed, and %DIR%/go is 1.19.8: install a newer one and put it first on PATH"},
		{"a bit too old", "echo go1.25.9", "Go 1.26.0 or later is needed, and %DIR%/go is 1.25.9"},
		{"one that cannot get what it needs", "echo 'go: toolchain not available' >&2; exit 1", "Go 1.26.0 or later is needed: go: toolchain not available"},
		{"the version", "echo go1.26.0", "run as root, or first install ca-certificates"},
		{"a later one", "echo go1.100.1", "run as root, or first install ca-certificates"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := copyOf(t, "packaging/install-test-deps", "go.mod")
			dir := filepath.Join(root, "bin")
			for name, script := range map[string]string{
				"go":         tt.goProgram,
				"dpkg-query": "exit 1", // nothing is installed
				"apt-get":    "exit 1",
				"id":         "echo 1000",
			} {
				if script != "" {
					write(t, filepath.Join(dir, name), "#!/bin/sh\n"+script+"\n")
				}
			}
			for _, name := range []string{"sh", "sed", "sort", "head", "mkdir", "dirname", "rm", "chmod"} {
				path, err := exec.LookPath(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(root, "packaging/install-test-deps"), "demo")
			cmd.Env = []string{"PATH=" + dir}
			out, err := cmd.CombinedOutput()
			want := strings.ReplaceAll(tt.want, "%DIR%", dir)
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%v, %q, want %q in it", err, out, want)
			}
			if strings.Contains(string(out), "first install") != strings.Contains(tt.want, "first install") {
				t.Errorf("it looks at packages before it looks at Go: %q", out)
			}
		})
	}
}

// copyOf returns a directory with these files of the module and an empty bin.
func copyOf(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, name), string(b))
	}
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
