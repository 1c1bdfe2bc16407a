package router

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/rig"
)

// Files that options name lie below allowed directories, whatever links say; what is elsewhere is not told.
func TestAllowedFiles(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"in/sub", "out"} {
		if err := os.MkdirAll(path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"in/ca.pem", "in/sub/ca.pem", "out/ca.pem", "inner.pem"} {
		if err := os.WriteFile(path(name), ca.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"in/link.pem": "sub/ca.pem", "in/out.pem": path("out/ca.pem"), "in/outdir": path("out"), "in/dangling": path("out/none"), "allowed": path("in"), "in/up.pem": "../out/ca.pem",
	} {
		if err := os.Symlink(target, path(link)); err != nil {
			t.Fatal(err)
		}
	}
	const refused = "allow_files in [logs]"
	names := PrefixTLS("x", "")
	for _, c := range []struct {
		name, file, says string
		dirs             []string
	}{
		{"below", path("in/ca.pem"), "", []string{path("in")}},
		{"deeper", path("in/sub/ca.pem"), "", []string{path("in")}},
		{"link within", path("in/link.pem"), "", []string{path("in")}},
		{"link out", path("in/out.pem"), refused, []string{path("in")}},
		{"link up", path("in/up.pem"), refused, []string{path("in")}},
		{"link of a directory", path("in/outdir/ca.pem"), refused, []string{path("in")}},
		{"link to another allowed one", path("in/out.pem"), "", []string{path("in"), path("out")}},
		{"the directory is a link", path("allowed/ca.pem"), "", []string{path("allowed")}},
		{"dots", path("in") + "/../out/ca.pem", refused, []string{path("in")}},
		{"outside", path("out/ca.pem"), refused, []string{path("in")}},
		{"outside, not there", path("out/none.pem"), refused, []string{path("in")}},
		{"the same beginning", path("inner.pem"), refused, []string{path("in")}},
		{"not there", path("in/none.pem"), "no such file", []string{path("in")}},
		{"the directory itself", path("in"), refused, []string{path("in")}},
		{"no directory", path("in/ca.pem"), refused, []string{}},
		{"everywhere", path("out/ca.pem"), "", nil},
	} {
		for _, keeps := range []*Certificates{nil, {}} {
			v := Options{Plain: map[string]string{"x-ca-cert": c.file}, Files: c.dirs}.Unresolved()
			config := keeps.Config(v, names)
			err := v.Err()
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || err == nil && config.RootCAs == nil {
				t.Errorf("%s: %v, want %q", c.name, err, c.says)
			}
		}
	}
	v := Options{Plain: map[string]string{"x-ca-cert": string(ca.PEM())}, Files: []string{}}.Unresolved()
	if v.TLS(names).RootCAs == nil || v.Err() != nil {
		t.Errorf("PEM text: %v", v.Err())
	}
}
