//go:build integration

package hosttest

import (
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/rig"
)

// What a container needs for the value is in two places: the key, which a root container without seccomp reaches, and
// the file, which it does not see.
func TestContainerGetsNoValue(t *testing.T) {
	d := rig.Use(t, rig.StartDockerd, rig.DockerdOptions{})
	if err := d.Import(t.Context(), "probe:1", filepath.Join(bin, "probe")); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, nil, "")
	h.get(call{}, h.canary.Value())
	entry := h.entry(0)
	name := filepath.Base(entry)

	// The host's root is whom the cache is for: the probe knows how to open an entry.
	r, err := rig.Cmd{Args: []string{filepath.Join(bin, "probe"), "walk", name, "/run"}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Stdout, "opened: "+entry+"\n") || !strings.Contains(r.Stdout, "named: "+entry+"\n") {
		t.Fatalf("on the host the probe does not open %s: %s", entry, r.Output)
	}
	onHost := keyOf(t, r.Stdout)

	for _, c := range []struct {
		name    string
		options []string
		reaches bool
	}{
		{"seccomp unconfined", []string{"--network", "none", "--security-opt", "seccomp=unconfined"}, true},
		{"seccomp unconfined, host's network and processes", []string{"--network", "host", "--pid", "host", "--security-opt", "seccomp=unconfined"}, true},
		{"default seccomp", []string{"--network", "none"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"run", "--rm"}, c.options...)
			r, err := d.Docker(t.Context(), append(args, "probe:1", "walk", name, "/")...)
			if err != nil {
				t.Fatal(err)
			}
			key := keyOf(t, r.Stdout)
			switch {
			case c.reaches && key != onHost:
				t.Errorf("the probe has not reached the key (%q), so this test shows nothing: %s", key, r.Output)
			// Seccomp refuses a call with the one text or the other, by the version of the engine and the kernel.
			case !c.reaches && (key != "" || !strings.Contains(r.Stdout, "search: operation not permitted") && !strings.Contains(r.Stdout, "search: function not implemented")):
				t.Errorf("keyctl is not refused: %s", r.Output)
			}
			if strings.Contains(r.Stdout, "opened:") || strings.Contains(r.Stdout, "named:") || !strings.Contains(r.Stdout, ", 0 of that name, <nil>") {
				t.Errorf("the container sees the entry: %s", r.Output)
			}
			if !strings.Contains(r.Stdout, "walked: ") || strings.Contains(r.Stdout, "walked: 0 files") {
				t.Errorf("the probe has seen no file at all: %s", r.Output)
			}
			if b, err := hex.DecodeString(key); err != nil || h.canary.In(string(b)) || h.canary.In(r.Output) || c.reaches && len(b) != 32 {
				t.Errorf("what the keyring holds is not just a key of 32 bytes: %q, %v", key, err)
			}
		})
	}
	t.Run("the entry still serves the host", func(t *testing.T) {
		h.get(call{}, h.canary.Value())
		h.calls(1)
	})
	t.Run("helper in a container", func(t *testing.T) { helperInContainer(t, d) })
}

// keyOf returns the key that the probe has read, in hexadecimal.
func keyOf(t *testing.T, output string) string {
	t.Helper()
	for line := range strings.Lines(output) {
		if key, ok := strings.CutPrefix(line, "key: "); ok {
			return strings.TrimSpace(key)
		}
	}
	return ""
}

// Docker's own seccomp profile keeps keyctl from containers. The helper in one answers all the same, each time by a call.
func helperInContainer(t *testing.T, d *rig.Dockerd) {
	h := newHost(t, nil, "")
	docker := []string{"docker", "run", "--rm", "-i", "--network", "host", "-v", bin + ":" + bin + ":ro", "-v", h.dir + ":" + h.dir + ":ro"}
	for _, e := range append(h.aws.Environ(), "SECRETREF_CONFIG="+h.config()) {
		docker = append(docker, "-e", e)
	}
	docker = append(docker, "--entrypoint", filepath.Join(bin, front), "probe:1")
	run := func(stdin string, args ...string) rig.Result {
		t.Helper()
		r, err := rig.Cmd{Args: append(docker[:len(docker):len(docker)], args...), Env: d.Env(), Stdin: stdin}.Run(t.Context())
		if err != nil || r.Stderr != "" {
			t.Fatalf("%v, standard error %q", err, r.Stderr)
		}
		return r
	}
	for i := range 2 {
		if r := run(registry, "get"); !strings.Contains(r.Stdout, h.canary.Value()) {
			t.Errorf("get %d does not give the password: %d bytes", i, len(r.Stdout))
		}
		h.calls(i + 1)
	}
	if r := run("", "explain", registry); !strings.Contains(r.Stdout, "off, no kernel keyring: keyctl or add_key is not allowed here, as in most containers") {
		t.Errorf("explain does not say why nothing is cached: %s", r.Stdout)
	}
}
