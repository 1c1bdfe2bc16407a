package logplugin

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigureRuntime(t *testing.T) {
	dir := t.TempDir()
	program, config := filepath.Join(dir, "secretref-runtime"), filepath.Join(dir, "config.toml")
	if err := os.WriteFile(program, nil, 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "resolve.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const (
		added  = `$/daemon.json: runtimes["secretref"] = {"path":"$/secretref-runtime"}` + "\n"
		reload = "note: systemctl reload docker has the daemon read it; no container stops\n"
		none   = "note: a container may name no reference in its variables yet: set allow_references under [secrets]\n"
	)
	for _, c := range []struct {
		config string
		args   []string
		want   string
	}{
		{"", []string{"runtime", "--dry-run"}, added + none},
		{"", []string{"runtime"}, added + reload + none},
		{"[secrets]\nallow_references = [\"/app/*\"]\n", []string{"runtime"}, "$/daemon.json: nothing to change\n"},
		{"[secrets]\nallow_references = [\"/app/*\"]\n", []string{"--default", "runtime"}, `$/daemon.json: default-runtime = "secretref"` + "\n" + reload},
		{"", []string{"runtime", "--undo"}, `$/daemon.json: runtimes["secretref"] removed` + "\n$/daemon.json: default-runtime removed\n" +
			"note: containers that were created with the runtime secretref do not start without it; create them anew\n" +
			"note: the daemon forgets the runtime when it is restarted, systemctl restart docker; a reload is not enough, and until then the program must stay\n"},
		{"", []string{"runtime", "--undo"}, "$/daemon.json: nothing to change\n"},
		{"[secrets", []string{"runtime", "--dry-run", "--daemon-config", dir + "/other.json"}, `$/other.json: runtimes["secretref"] = {"path":"$/secretref-runtime"}` + "\nnote: $/config.toml"},
		{"", nil, "secretref-logdriver: configure: write configure runtime; see"},
		{"", []string{"docker"}, `secretref-logdriver: configure: "docker" is not known here; write configure runtime, or docker-credential-secretref configure docker; see`},
		{"", []string{"runtime", "--undo", "--default"}, "secretref-logdriver: configure: --undo takes the entry out, whatever it says"},
	} {
		if err := os.WriteFile(config, []byte(c.config), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code := Run(t.Context(), Program{
			Args: append([]string{"configure", "--config", config}, c.args...), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" },
			DaemonConfig: dir + "/daemon.json", Runtime: program, RuntimeSocket: l.Addr().String(),
		})
		got, want := strings.ReplaceAll(out.String(), dir, "$"), map[bool]int{true: exitUsage}[strings.HasPrefix(c.want, Name)]
		if !strings.HasPrefix(got, c.want) || strings.HasSuffix(c.want, "\n") && got != c.want || code != want {
			t.Errorf("configure %q: exit status %d, want %d\n%s\nwant\n%s", c.args, code, want, got, c.want)
		}
	}
}
