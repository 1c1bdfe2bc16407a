//go:build integration

package plugin_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// The tag with volumes: a plugin without them is upgraded to it, logs go on, and a container has its files, which follow a
// rotation, are in memory alone, and outlive the plugin.
func (h *host) volumes(t *testing.T) {
	build := rig.Cmd{Args: []string{"../../packaging/plugin/build", "v2", h.path("volumes"), "volumes"}, Env: os.Environ(), Timeout: 5 * time.Minute}
	if _, err := build.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := rig.Build(t.Context(), h.path("bin")+"/", "./logplugin/volume/testdata/reader"); err != nil {
		t.Fatal(err)
	}
	if err := h.dockerd.Import(t.Context(), "reader", h.path("bin/reader")); err != nil {
		t.Fatal(err)
	}
	const want = "network: [host]\n - mount: [tmpfs]\n"
	image := h.registry.Addr() + "/logdriver:2-volumes"
	h.docker("plugin", "create", image, h.path("volumes"))
	h.docker("plugin", "push", image)
	h.docker("plugin", "rm", image)

	h.docker("plugin", "create", name, h.path("v1"))
	h.docker(append([]string{"plugin", "set", name, "SECRETREF_CACHE_TTL=1s", "SECRETREF_SECRETS_ALLOW_REFERENCES=arn:aws:secretsmanager:*:*:secret:prod/*"}, h.settings()...)...)
	h.docker("plugin", "enable", "--timeout", "0", name)
	h.id = h.docker("plugin", "inspect", "-f", "{{.Id}}", name)
	h.docker("plugin", "disable", "-f", name)
	if r, err := h.try("plugin", "upgrade", "--skip-remote-check", name, image); err == nil || !strings.Contains(r.Stdout, want) { // with nobody who says yes
		t.Errorf("the upgrade asks (%v)\n%s\nwant the host's network and a tmpfs alone", err, r.Output)
	}
	h.docker("plugin", "upgrade", "--skip-remote-check", "--grant-all-permissions", name, image)
	h.docker("plugin", "enable", "--timeout", "0", name)

	values := []*rig.Canary{rig.NewCanary(), rig.NewCanary(), rig.NewCanary(), rig.NewCanary()}
	put := func(i int) string {
		return h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"password":"` + values[i].Value() + `"}`})
	}
	reads := func(container string, i int) {
		t.Helper()
		h.until(20*time.Second, container+" reads the value", func() bool {
			r, _ := h.try("exec", container, "/app", "/run/secrets/db")
			return r.Stdout == values[i].Value()+"\n"
		})
	}
	mount := "type=volume,src=app-secrets,volume-driver=" + name + ",dst=/run/secrets,volume-opt=secrets.db=" + put(0) + ":password::"
	run := func(container string) {
		t.Helper()
		h.docker("run", "-d", "--name", container, "--network", "none", "--user", "1000", "--log-driver", "none", "--mount", mount, "reader", "-follow", "/run/secrets/db")
	}
	run("app")
	reads("app", 0)
	put(1)
	reads("app", 1)
	h.run("logs", 1000, 0)
	h.arrived("logs", 1000, 30*time.Second)

	h.swarmSecrets(put, func(container string, i int) {
		t.Helper()
		h.until(20*time.Second, "the task reads the value", func() bool {
			r, _ := h.try("exec", container, "/app", "/run/secrets/dbpw")
			return r.Stdout == values[i].Value()+"\n"
		})
	})
	put(1)
	reads("app", 1)

	// The plugin is killed: a container that runs keeps its file, and the next one has the present value.
	pid := h.kill(0)
	h.process(pid)
	h.until(10*time.Second, "the plugin that answers", func() bool { _, err := h.status(); return err == nil })
	put(2)
	run("next")
	reads("next", 2)
	put(3)
	reads("next", 3)
	reads("app", 1)
	h.docker("restart", "-t", "0", "app")
	reads("app", 3)

	if r, err := h.try("plugin", "disable", name); err == nil || !strings.Contains(r.Output, "in use") {
		t.Errorf("disable while a container has a volume: %v, %s", err, r.Output)
	}
	if text := h.docker("volume", "inspect", "app-secrets"); !strings.Contains(text, "secret:prod/db") {
		t.Errorf("docker volume inspect does not show the reference:\n%s", text)
	}
	// The daemon starts again, and with it the plugin, whose memory is empty.
	h.docker("rm", "-f", "next", "logs")
	h.docker("update", "--restart", "always", "app")
	if err := h.dockerd.Halt(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := h.dockerd.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	reads("app", 3)
	if s, err := h.status(); err != nil || !strings.Contains(s, `"name":"app-secrets"`) {
		t.Errorf("status: %v, %s", err, s)
	}
	for i, c := range values {
		found, err := c.FindInFiles(t.Context(), h.dockerd.Dir()+"/data/image", h.data("propagated-mount/.secretref"), h.dockerd.Dir()+"/data/volumes",
			h.dockerd.Dir()+"/data/containers", h.dockerd.Dir()+"/data/containerd", h.dockerd.Dir()+"/data/swarm", "/run/docker")
		if err != nil || len(found) > 0 {
			t.Errorf("value %d is in %q (%v)", i, found, err)
		}
	}
	h.docker("rm", "-f", "app")
	h.docker("volume", "rm", "app-secrets")
	h.docker("plugin", "disable", "-f", name)
	// Without its memory the directory is on a disk again: nothing may be there.
	if left, err := filepath.Glob(h.data("propagated-mount/.values/*")); err != nil || len(left) > 0 {
		t.Errorf("on the disk: %q, %v", left, err)
	}
	h.docker("plugin", "rm", name)
	h.nothingLeft(t)
}
