//go:build integration && engines

package volume_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// With docker compose: two services share a volume, a rotation reaches both, and down -v takes the volume away. A third has a variable.
func TestCompose(t *testing.T) {
	compose, err := rig.Tool("docker-compose")
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, rig.DockerdOptions{})
	arn := h.put("db", "value-1")
	service := func(name string) string {
		return fmt.Sprintf("  %s: {image: reader, container_name: %s, network_mode: none, restart: always, user: \"1000\", command: [\"-follow\", /run/secrets/db], volumes: [\"app:/run/secrets:ro\"]}\n", name, name)
	}
	if err := h.dockerd.Import(t.Context(), "environ", h.build("environ", "./logplugin/volume/testdata/environ")); err != nil {
		t.Fatal(err)
	}
	three := "  three: {image: environ, container_name: three, network_mode: none, runtime: secretref, command: [\"-wait\", DB, PLAIN], environment: {secrets.DB: \"" + arn + "\", PLAIN: own}}\n"
	text := "services:\n" + service("one") + service("two") + three +
		"volumes:\n  app:\n    driver: " + h.name + "-files\n    driver_opts: {secrets.db: \"" + arn + "\"}\n"
	file := filepath.Join(h.dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, compose, append([]string{"-p", "project", "-f", file}, args...)...)
		c.Env = h.dockerd.Env()
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("compose %v: %v\n%.2000s", args, err, out)
		}
	}
	run("up", "-d")
	h.says("one", "value-1")
	h.says("two", "value-1")
	h.put("db", "value-2")
	h.says("one", "value-2")
	h.says("two", "value-2")
	h.says("three", strings.TrimSuffix(line("DB", "value-1")+line("PLAIN", "own"), "\n"))
	run("restart", "-t", "0")
	h.says("one", "value-2")
	h.says("three", strings.TrimSuffix(line("DB", "value-2")+line("PLAIN", "own"), "\n"))
	run("down", "-v", "-t", "0")
	h.nothingLeft()
}
