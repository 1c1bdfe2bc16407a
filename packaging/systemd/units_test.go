// Package systemd_test holds the units to what the program says of itself, and to what systemd says of them.
package systemd_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/ociruntime/ask"
)

const (
	service = "secretref-logdriver.service"
	socket  = "secretref-logdriver.socket"
	files   = "secretref-files.socket"
	runtime = "secretref-runtime.socket"
	memory  = "run-secretref-values.mount"
	volumes = "run-secretref-volumes.mount"
	program = "/usr/bin/" + logplugin.Name // where the document installs it
)

// read returns a unit's text.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// values returns what a unit says for a key.
func values(unit, key string) (all []string) {
	for line := range strings.Lines(unit) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			all = append(all, v)
		}
	}
	return all
}

// The paths in the units are the program's own defaults.
func TestPaths(t *testing.T) {
	var help strings.Builder
	if code := logplugin.Run(t.Context(), logplugin.Program{Args: []string{"help"}, Stdout: &help, Stderr: &help, Getenv: os.Getenv}); code != 0 {
		t.Fatalf("help: exit status %d, want 0", code)
	}
	for _, c := range []struct{ unit, key, want string }{
		{service, "ExecStart", program + " serve"},
		{service, "StateDirectory", "secretref"}, // below /var/lib
		// Without this systemd removes it with all FIFOs in it when the driver ends, at least on a tmpfs.
		{service, "RuntimeDirectoryPreserve", "yes"},
		{service, "RuntimeDirectory", "docker/logging"}, // below /run
		{service, "Requires", socket},
		{service, "Before", "docker.service"},
		{socket, "Before", "docker.service"},
		{socket, "ListenStream", "/run/docker/plugins/secretref.sock"},
		{files, "ListenStream", "/run/docker/plugins/secretref-files.sock"},
		{files, "Service", service},
		{files, "Before", "docker.service"},
		{runtime, "ListenStream", ask.Socket},
		{runtime, "Service", service},
		{runtime, "Before", "docker.service"},
		{runtime, "SocketMode", "0600"},
		{runtime, "DirectoryMode", "0700"}, // as of values
		{memory, "Where", "/run/secretref/values"},
		{memory, "DirectoryMode", "0700"}, // the cache of root's credential helper is there, too
		{volumes, "What", "/run/secretref/values"},
		{volumes, "Where", "/run/secretref/volumes"},
		{volumes, "DirectoryMode", "0700"},
		{service, "ReadWritePaths", "-/run/secretref/values"},
	} {
		if got := values(read(t, c.unit), c.key); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %s = %q, want %q", c.unit, c.key, got, c.want)
		}
	}
	if want := "default: " + values(read(t, socket), "ListenStream")[0] + ";"; !strings.Contains(help.String(), want) {
		t.Errorf("help does not say %q:\n%s", want, help.String())
	}
	if files != dockerplugin.VolumesUnit {
		t.Errorf("the program takes the socket of %s for that of volumes, and the unit is %s", dockerplugin.VolumesUnit, files)
	}
	if runtime != dockerplugin.RuntimeUnit {
		t.Errorf("the program takes the socket of %s for that of secretref-runtime, and the unit is %s", dockerplugin.RuntimeUnit, runtime)
	}
	sample, err := os.ReadFile("../config/config.toml")
	if want := `Default: "/var/lib/` + values(read(t, service), "StateDirectory")[0] + `"`; err != nil || !strings.Contains(string(sample), want) {
		t.Errorf("the sample configuration does not say %s (%v)", want, err)
	}
}

// Nothing that may take its time stands before the daemon.
func TestNothingDelaysTheDaemon(t *testing.T) {
	for _, name := range []string{service, socket, files, runtime} {
		for _, key := range []string{"After", "Wants", "Requires", "BindsTo", "Requisite", "RequiresMountsFor"} {
			for _, v := range values(read(t, name), key) {
				// A tmpfs and a bind mount take no time.
				if v != socket && (name != files || v != memory+" "+volumes) {
					t.Errorf("%s: %s=%s", name, key, v)
				}
			}
		}
	}
}
