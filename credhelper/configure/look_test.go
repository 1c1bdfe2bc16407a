package configure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What each client does, by what its files say.
func TestLook(t *testing.T) {
	const host = "registry.example.com"
	for name, c := range map[string]struct {
		docker, auth, runtime, conf string
		env                         map[string]string
		wantDocker, wantPodman      string // in Key when it asks, with "asks " before; else in Problem
	}{
		"nothing":                {wantDocker: "so the pull is anonymous; run docker-credential-secretref configure docker", wantPodman: "so the pull is anonymous; run docker-credential-secretref configure podman"},
		"credHelpers":            {docker: `{"credHelpers": {"registry.example.com": "secretref"}}`, wantDocker: `asks credHelpers["registry.example.com"]`, wantPodman: `asks credHelpers["registry.example.com"]`},
		"credsStore":             {docker: `{"credsStore": "secretref"}`, wantDocker: "asks credsStore", wantPodman: "anonymous"},
		"top-level key in lower": {docker: `{"credsstore": "secretref"}`, wantDocker: "asks credsStore", wantPodman: "anonymous"},
		"credHelpers first":      {docker: `{"credsStore": "secretref", "credHelpers": {"registry.example.com": "pass"}}`, wantDocker: `is "pass", another helper`, wantPodman: `is "pass", another helper`},
		"empty store":            {docker: `{"credsStore": "", "auths": {}}`, wantDocker: "anonymous", wantPodman: "anonymous"},
		"helper not a string":    {docker: `{"credHelpers": {"registry.example.com": 5}}`, wantDocker: "is not a string", wantPodman: "is not a string"},
		"auths of strings":       {docker: `{"auths": {"registry.example.com": "x"}}`, wantDocker: "not an object of objects", wantPodman: "not an object of objects"},
		"podman's own":           {auth: `{"credHelpers": {"registry.example.com": "secretref"}}`, wantDocker: "anonymous", wantPodman: `asks credHelpers["registry.example.com"]`},
		"podman login first":     {auth: `{"credHelpers": {"registry.example.com": "secretref"}}`, runtime: `{"auths": {"registry.example.com": {"auth": "x"}}}`, wantDocker: "anonymous", wantPodman: "has a saved login"},
		"drop-in":                {conf: dropInText, wantDocker: "anonymous", wantPodman: "asks credential-helpers"},
		"other helper in conf":   {conf: `credential-helpers = ["pass"]`, wantDocker: "anonymous", wantPodman: "anonymous"},
		"broken conf":            {conf: `credential-helpers = [`, wantDocker: "anonymous", wantPodman: "not valid TOML"},
		"DOCKER_AUTH_CONFIG": {
			docker: `{"credsStore": "secretref"}`, env: map[string]string{"DOCKER_AUTH_CONFIG": `{"auths": {"registry.example.com": {"auth": "dTpw"}}}`},
			wantDocker: "DOCKER_AUTH_CONFIG in the environment has a login", wantPodman: "anonymous",
		},
		"DOCKER_CONFIG names the file": {env: map[string]string{"DOCKER_CONFIG": "/nonexistent/config.json"}, wantDocker: "names the file; name its directory, /nonexistent", wantPodman: "anonymous"},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{
			"home/.docker/config.json": c.docker, "home/.config/containers/auth.json": c.auth, "run/0/auth.json": c.runtime, "etc/registries.conf.d/10.conf": c.conf,
		} {
			if text != "" {
				write(t, filepath.Join(dir, file), text)
			}
		}
		u := User{Getenv: func(k string) string {
			if v, ok := c.env[k]; ok {
				return v
			}
			return map[string]string{"HOME": filepath.Join(dir, "home")}[k]
		}}
		clients := look(u, host, false, filepath.Join(dir, "etc"), filepath.Join(dir, "run"))
		for i, want := range []string{c.wantDocker, c.wantPodman} {
			got := clients[i]
			key, asks := strings.CutPrefix(want, "asks ")
			if asks != got.Asks || asks && got.Key != key || !asks && !strings.Contains(got.Problem, want) {
				t.Errorf("%s: %s: %+v, want %q", name, got.Name, got, want)
			}
		}
	}
	if _, err := Docker(Options{Hosts: []string{host}, Getenv: func(k string) string { return map[string]string{"DOCKER_CONFIG": "/nonexistent/config.json"}[k] }}); err == nil || !strings.Contains(err.Error(), "names the file") {
		t.Errorf("DOCKER_CONFIG that names the file: %v", err)
	}
}

// The helper is found as exec finds it: the first in PATH that can be executed.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	for file, mode := range map[string]os.FileMode{"a": 0o644, "b": 0o755} {
		path := filepath.Join(dir, file, "docker-credential-secretref")
		write(t, path, "")
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if found, problem := Program(a + ":" + b); found != b+"/docker-credential-secretref" || problem != "" {
		t.Errorf("%q, %q", found, problem)
	}
	if found, problem := Program(a); found != "" || !strings.Contains(problem, "has the mode 644 and cannot be executed; chmod 755 "+a) {
		t.Errorf("%q, %q", found, problem)
	}
	if found, problem := Program("/nonexistent"); found != "" || !strings.Contains(problem, "is not in PATH, which is /nonexistent; install it into /usr/bin") {
		t.Errorf("%q, %q", found, problem)
	}
}
