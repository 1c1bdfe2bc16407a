//go:build integration

package systemd_test

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// The units are clean in themselves and beside those of Debian's Docker, and the sandbox is as tight as it was meant.
func TestAnalyze(t *testing.T) {
	bin, err := rig.Build(t.Context(), t.TempDir()+"/"+logplugin.Name, "./logplugin/cmd/"+logplugin.Name)
	if err != nil {
		t.Fatal(err)
	}
	units := map[string]string{}
	for _, name := range []string{service, socket, files, runtime, memory, volumes} {
		units[name] = read(t, name)
	}
	for _, name := range []string{"docker.service", "docker.socket", "containerd.service"} {
		units[name] = read(t, "/lib/systemd/system/"+name)
	}
	s := rig.Use(t, rig.StartSystemd, rig.SystemdOptions{Units: units, Programs: []string{bin}})
	const at = "/etc/systemd/system/"
	verify := func() string {
		t.Helper()
		r, err := s.Run(t.Context(), "systemd-analyze", "verify", "--man=no", at+service, at+socket, at+files, at+runtime, at+memory, at+volumes, at+"docker.service")
		if err != nil {
			t.Errorf("%v", err)
		}
		return r.Output
	}
	if out := verify(); strings.Contains(out, "secretref") || strings.Contains(out, "cycle") {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
	// The threshold is in tenths.
	if r, err := (rig.Cmd{Args: []string{"systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=22", service}}).Run(t.Context()); err != nil {
		t.Errorf("the exposure is above 2.2: %v\n%s", err, r.Output)
	}
	// Both would speak up.
	if err := os.WriteFile(s.Dir()+"/systemd/system/"+service, []byte(strings.Replace(units[service], "Restart=always", "Restrat=always", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := verify(); !strings.Contains(out, "Restrat") {
		t.Errorf("systemd-analyze verify does not see a misspelt key:\n%s", out)
	}
	if _, err := (rig.Cmd{Args: []string{"systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=10", service}}).Run(t.Context()); err == nil {
		t.Error("the exposure is not above 1.0: the threshold means nothing")
	}
}

// Enabled as the document says, both run, with the modes that keep others out, and the end of the socket takes its file away.
func TestEnable(t *testing.T) {
	bin, err := rig.Build(t.Context(), t.TempDir()+"/"+logplugin.Name, "./logplugin/cmd/"+logplugin.Name)
	if err != nil {
		t.Fatal(err)
	}
	own := "/run/docker/plugins/srtest-" + strconv.Itoa(os.Getpid()) + ".sock"
	s := rig.Use(t, rig.StartSystemd, rig.SystemdOptions{
		Units: map[string]string{
			service: read(t, service), socket: read(t, socket),
			socket + ".d/own.conf": "[Socket]\nListenStream=\nListenStream=" + own + "\n",
		},
		Programs: []string{bin},
	})
	do := func(want string, args ...string) {
		t.Helper()
		r, err := s.Run(t.Context(), args...)
		if err != nil || !strings.Contains(r.Output, want) {
			t.Errorf("%q: %v, %q, want %q", args, err, r.Output, want)
		}
	}
	do("sockets.target.wants", "systemctl", "enable", "--now", socket, service)
	do("ActiveState=active\nSubState=running", "systemctl", "show", "-p", "ActiveState,SubState", service)
	for path, want := range map[string]fs.FileMode{
		own:                        fs.ModeSocket | 0o600,
		"/run/docker/logging":      fs.ModeDir | 0o700,
		s.Dir() + "/lib/secretref": fs.ModeDir | 0o700,
	} {
		if info, err := os.Lstat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want mode %v", path, info, err, want)
		}
	}
	do("", "systemctl", "stop", socket)
	if _, err := os.Lstat(own); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's file after its end: %v", err)
	}
	do("inactive", "systemctl", "show", "-p", "ActiveState", service)
}

// Volumes and variables are enabled after the log driver: the service stops, their sockets come, with the mounts, and the service starts
// with all of them and can write where containers read.
func TestEnableVolumes(t *testing.T) {
	bin, err := rig.Build(t.Context(), t.TempDir()+"/"+logplugin.Name, "./logplugin/cmd/"+logplugin.Name)
	if err != nil {
		t.Fatal(err)
	}
	own := "/run/docker/plugins/srtest-v-" + strconv.Itoa(os.Getpid())
	t.Cleanup(func() { // a daemon that is asked for volumes would wait for them
		for _, file := range []string{own + ".sock", own + "-files.sock"} {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	units := map[string]string{}
	for _, name := range []string{service, socket, files, runtime, memory, volumes} {
		units[name] = read(t, name)
	}
	units[socket+".d/own.conf"] = "[Socket]\nListenStream=\nListenStream=" + own + ".sock\n"
	units[files+".d/own.conf"] = "[Socket]\nListenStream=\nListenStream=" + own + "-files.sock\n"
	helper := t.TempDir()
	for _, name := range []string{"docker-credential-secretref", "secretref-resolve"} {
		if _, err := rig.Build(t.Context(), helper+"/", "./credhelper/cmd/"+name); err != nil {
			t.Fatal(err)
		}
	}
	front, err := rig.Build(t.Context(), helper+"/secretref-runtime", "./logplugin/cmd/secretref-runtime")
	if err != nil {
		t.Fatal(err)
	}
	s := rig.Use(t, rig.StartSystemd, rig.SystemdOptions{
		Units: units, Programs: []string{bin, front, helper + "/docker-credential-secretref", helper + "/secretref-resolve"},
	})
	do := func(want string, args ...string) {
		t.Helper()
		r, err := s.Run(t.Context(), args...)
		if err != nil || !strings.Contains(r.Output, want) {
			t.Errorf("%q: %v, %q, want %q", args, err, r.Output, want)
		}
	}
	do("sockets.target.wants", "systemctl", "enable", "--now", socket, service)
	do("", "systemctl", "stop", service)
	do("sockets.target.wants", "systemctl", "enable", "--now", files, runtime)
	do("", "systemctl", "start", service)
	helperCache(t, s)
	// secretref-runtime is answered by the service, which allows no reference.
	do("variable secrets.A: containers may not name /a on this host", "sh", "-c", `mkdir /tmp/b && echo '{"process":{"env":["secrets.A=/a"]}}' >/tmp/b/config.json && secretref-runtime --runtime /bin/true create --bundle /tmp/b id 2>&1 || true`)
	do("600", "stat", "-c", "%a", "/run/secretref/resolve.sock")
	do("700 700 700", "sh", "-c", "echo $(stat -c %a /run/secretref /run/secretref/values /run/secretref/volumes)")
	// The root of a container reads through the second mount alone.
	do("Read-only file system", "sh", "-c", "touch /run/secretref/volumes/x 2>&1 || true")
	r, err := s.Run(t.Context(), "curl", "-s", "--max-time", "20", "--unix-socket", own+"-files.sock", "-X", "POST", "http://x/Plugin.Activate")
	if err != nil || !strings.Contains(r.Stdout, "VolumeDriver") {
		t.Errorf("the socket of volumes: %v, %q", err, r.Output)
	}
	r, err = s.Run(t.Context(), "curl", "-s", "--max-time", "20", "--unix-socket", own+".sock", "-X", "POST", "http://x/Plugin.Activate")
	if err != nil || !strings.Contains(r.Stdout, "LogDriver") {
		t.Errorf("the socket of logs: %v, %q", err, r.Output)
	}
	do("", "sh", "-c", `pid=$(systemctl show -p MainPID --value `+service+`); nsenter -m -t $pid touch /run/secretref/values/x && ls /run/secretref/volumes/x`)
	if r, _ := s.Run(t.Context(), "secretref-logdriver", "status"); strings.Contains(r.Output, "volumes cannot be mounted") {
		t.Errorf("status: %s", r.Output)
	}
}

// helperCache looks whether root's credential helper still keeps its sealed values in /run/secretref, beside the mounts, also after
// the service has started again.
func helperCache(t *testing.T, s *rig.Systemd) {
	t.Helper()
	server := fakeaws.New(t, fakeaws.Options{})
	arn := server.PutSecret(fakeaws.Secret{Name: "prod/registry", String: `{"username":"ci","password":"p"}`})
	conf := "[aws]\nregion = \"eu-west-1\"\n[registries.\"registry.example.com\"]\ncredentialsParameter = \"" + arn + "\"\n"
	ask := func(command string) string {
		t.Helper()
		const script = `umask 077; printf %s "$CONF" >/run/helper.toml; printf registry.example.com | SECRETREF_CONFIG=/run/helper.toml docker-credential-secretref `
		r, err := s.Run(t.Context(), append(append([]string{"env", "CONF=" + conf}, server.Environ()...), "sh", "-c", script+command)...)
		if err != nil {
			t.Errorf("%s: %v, %s", command, err, r.Output)
		}
		return r.Stdout
	}
	defer ask("erase") // the key is in the machine's keyring
	for range 2 {
		if got := ask("get"); !strings.Contains(got, `"Username":"ci"`) {
			t.Errorf("get: %s", got)
		}
		if _, err := s.Run(t.Context(), "systemctl", "restart", service); err != nil {
			t.Error(err)
		}
	}
	if n := server.CountCalls("GetSecretValue"); n != 1 {
		t.Errorf("two gets made %d calls, want 1: the second has the cache", n)
	}
	if r, err := s.Run(t.Context(), "find", "/run/secretref", "-maxdepth", "1", "-type", "f", "!", "-name", "*.lock"); err != nil || r.Stdout == "" {
		t.Errorf("no sealed value in /run/secretref: %v, %s", err, r.Output)
	}
}
