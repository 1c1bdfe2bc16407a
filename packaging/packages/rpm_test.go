//go:build integration

package packages_test

import (
	"os"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/rig"
)

// TestRPM is the life of the rpm by rpm itself, with a database that knows nothing else, in a root with systemd whose /bin/sh is dash.
func TestRPM(t *testing.T) {
	t.Parallel()
	_, older := build(t, "v0.1.0")
	_, newer := build(t, "v0.2.0")
	root := rig.Use(t, rig.StartRoot, rig.RootOptions{})
	// Debian's rpm has its database in the caller's home, and SQLite follows /proc/PID/root out of the root again.
	home := t.TempDir()
	if err := os.Mkdir(home+"/.rpmdb", 0o700); err != nil {
		t.Fatal(err)
	}
	pid := strings.Split(root.Path(""), "/")[2]
	rpm := func(args ...string) {
		t.Helper()
		// This machine's rpm, with its scripts among the processes of the root, as systemctl wants it.
		c := rig.Cmd{Args: append([]string{"nsenter", "--target", pid, "--pid", "--net", "--ipc", "--uts", "--", "rpm", "--root", root.Path("")}, args...), Env: rig.Env(home)}
		if r, err := c.Run(t.Context()); err != nil || strings.Contains(r.Output, "secretref:") {
			t.Fatalf("rpm %q: %v\n%s", args, err, r.Output)
		}
	}
	state := func(after, want string) {
		t.Helper()
		r, err := root.Run(t.Context(), "bash", "-c", `PATH=$PATH:/nowhere
secretref-logdriver version 2>/dev/null | sed -n 's/.*) //p'
for u in secretref-logdriver.socket secretref-logdriver.service; do systemctl is-enabled $u; systemctl is-active $u; done 2>/dev/null
[ ! -e /etc/secretref/config.toml ] || tail -n 1 /etc/secretref/config.toml
[ ! -e /usr/bin/docker-credential-secretref ] || echo helper`)
		if got := strings.Join(strings.Fields(r.Stdout), " "); err != nil && want != "" && got != want || got != want {
			t.Errorf("after %s: %q, %v, want %q", after, got, err, want)
		}
	}
	const runs = " enabled active enabled active # mine helper"
	rpm("--initdb")
	rpm("-i", older)
	if _, err := root.Run(t.Context(), "sh", "-c", "echo '# mine' >>/etc/secretref/config.toml"); err != nil {
		t.Fatal(err)
	}
	state("an installation", "v0.1.0"+runs)
	rpm("-U", newer)
	state("an upgrade", "v0.2.0"+runs)
	rpm("-U", "--oldpackage", older)
	state("a downgrade", "v0.1.0"+runs)
	rpm("-e", "secretref")
	state("a removal", "inactive inactive # mine")
}
