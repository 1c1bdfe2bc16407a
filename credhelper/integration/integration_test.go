//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/rig"
)

// TestClients runs everything against one daemon and one registry, and at its end searches the machine for the
// passwords that went through.
func TestClients(t *testing.T) {
	s := start(t)
	clis, err := rig.DockerCLIs()
	if err != nil {
		t.Fatal(err)
	}
	for _, cli := range clis {
		d := docker{s, cli}
		t.Run("docker/"+d.version(t), d.test)
	}
	t.Run("podman", s.podman)
	t.Run("skopeo", s.skopeo)
	t.Run("crane", s.crane)
	t.Run("oras", s.oras)
	t.Run("parallel", s.parallel)
	t.Run("rotation", s.rotation)
	t.Run("moto", s.moto)
	t.Run("no copy of the password", s.noCopy)
}

// noCopy looks at everything that the clients and the daemon have left, with a container in place.
func (s *site) noCopy(t *testing.T) {
	c := s.client(t, s.config("5m"))
	c.ok(t, helper, "configure", "docker")
	c.ok(t, debianDocker, "pull", tagged(exactHost))
	c.ok(t, debianDocker, "run", "--name", "kept", "--network", "none", tagged(exactHost))
	for _, args := range [][]string{{"inspect", "kept"}, {"inspect", tagged(exactHost)}, {"info"}, {"logs", "kept"}} {
		c.ok(t, append([]string{debianDocker}, args...)...)
	}
	for name, log := range map[string]string{"dockerd": s.dockerd.Log(), "registry": s.registry.Log(), "plain registry": s.plain.Log()} {
		if s.leaks(log) {
			t.Errorf("the log of %s has a password", name)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(c.dir, "run/secretref")); err != nil || len(entries) == 0 {
		t.Errorf("the cache has %d entries, %v: the search would not see one", len(entries), err)
	}

	// What a docker without a helper writes, as a proof that the search finds it.
	leak := s.write(t, "leak/config.json", `{"auths": {"`+exactHost+`": {"auth": "`+basicAuth(s.password.Value())+`"}}}`)
	for i, canary := range s.canaries {
		files, err := canary.FindInFiles(t.Context(), "/") // how long it takes depends on the machine
		if err != nil {
			t.Error(err)
		}
		if found := slices.Contains(files, leak); found != (canary == s.password) {
			t.Errorf("password %d: the search says %v about the file that was put there for it", i, found)
		}
		if files = slices.DeleteFunc(files, func(f string) bool { return f == leak }); len(files) > 0 {
			t.Errorf("password %d is in %s", i, strings.Join(files, ", "))
		}
		procs, err := canary.FindInProc()
		if err != nil || len(procs) > 0 {
			t.Errorf("password %d is in %q (%v)", i, procs, err)
		}
	}
}
