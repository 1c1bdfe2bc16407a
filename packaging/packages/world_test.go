//go:build integration

package packages_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/rig"
)

// world is a Debian on which nothing is installed yet, with what a host on EC2 reaches: AWS, a registry and an event collector, all at
// the names that the documents use.
type world struct {
	t        *testing.T
	root     *rig.Root
	aws      *fakeaws.Server
	hec      *hectest.Server
	ca       *rig.CA
	password string
}

const (
	role    = "arn:aws:iam::111122223333:role/app-host"
	address = "192.0.2.10" // of the names of the documents
	api     = "127.0.0.1:4566"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, password: rig.NewCanary().Value()}
	token := rig.NewCanary().Value()
	w.aws = fakeaws.New(t, fakeaws.Options{})
	w.aws.PutRole(fakeaws.Role{ARN: role})
	w.aws.SetIMDS(fakeaws.IMDS{Role: role})
	w.aws.PutSecret(fakeaws.Secret{Name: "prod/registry", Suffix: "AbCdEf", String: `{"username":"deploy","password":"` + w.password + `"}`})
	w.aws.PutSecret(fakeaws.Secret{Name: "prod/splunk", Suffix: "AbCdEf", String: `{"token":"` + token + `"}`})
	var err error
	if w.ca, err = rig.NewCA(); err != nil {
		t.Fatal(err)
	}
	config, err := w.ca.ServerConfig("hec.example.com", "hec.splunk.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if w.hec, err = hectest.Start(hectest.Options{Tokens: []string{token}, TLS: config}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.hec.Close)
	registry := rig.Use(t, rig.StartRegistry, rig.RegistryOptions{User: "deploy", Password: w.password, CA: w.ca, Names: []string{"registry.example.com", "r1.corp.example.com"}})

	w.root = rig.Use(t, rig.StartRoot, rig.RootOptions{})
	if err := w.root.Address(t.Context(), "169.254.169.254"); err != nil {
		t.Fatal(err)
	}
	if err := w.root.Address(t.Context(), address, "registry.example.com", "r1.corp.example.com", "hec.example.com", "hec.splunk.example.com"); err != nil {
		t.Fatal(err)
	}
	for at, to := range map[string]string{
		address + ":443": registry.Addr(), address + ":5000": registry.Addr(), address + ":8088": strings.TrimPrefix(w.hec.URL(), "https://"),
		"169.254.169.254:80": strings.TrimPrefix(w.aws.IMDSURL, "http://"), api: strings.TrimPrefix(w.aws.URL, "http://"),
	} {
		if err := w.root.Forward(at, to); err != nil {
			t.Fatal(err)
		}
	}
	w.write("etc/secretref/conf.d/00-endpoint.toml", "[aws]\nendpoint_url = \"http://"+api+"\"\n")
	w.write("usr/local/share/ca-certificates/own.crt", string(w.ca.PEM()))
	w.do("update-ca-certificates && systemctl restart docker.service")
	// Large enough for a shell and echo.
	w.do(`(cd / && tar -c bin lib lib64 usr/bin/dash usr/bin/sh usr/bin/echo usr/bin/sleep usr/lib64 usr/lib/*/libc.so.6 usr/lib/*/ld-linux*) | docker import - debian:12`)
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := w.root.Write(name, text, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) copy(dir string, files ...string) {
	w.t.Helper()
	if err := w.root.Copy(dir, files...); err != nil {
		w.t.Fatal(err)
	}
}

// try runs commands as they are typed, up to the first that fails.
func (w *world) try(commands string) (string, error) {
	out, err := w.root.Run(w.t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	return out.Output, err
}

func (w *world) do(commands string) string {
	w.t.Helper()
	out, err := w.try(commands)
	if err != nil {
		w.t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
	return out
}

// lines are what the collector has from containers whose lines begin with a word, in the order in which they came.
func (w *world) lines(prefix string) (found []string) {
	w.t.Helper()
	for _, e := range w.hec.Events() {
		var event struct{ Event struct{ Line string } }
		if json.Unmarshal([]byte(e.Text), &event) == nil && strings.HasPrefix(event.Event.Line, prefix) {
			found = append(found, event.Event.Line)
		}
	}
	return found
}

func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	polltest.Until(w.t, 2*time.Minute, what, is)
}

func document(t *testing.T, name string) string {
	t.Helper()
	return read(t, filepath.Join("../..", name))
}

// TestReadme does on a clean Debian what README.md says, word for word: both starts, and then both again by the managed plugin.
func TestReadme(t *testing.T) {
	t.Parallel() // most of it is waiting, in a root of its own
	deb, _ := build(t, "v0.1.0")
	w := newWorld(t)
	w.do(`docker tag debian:12 registry.example.com/team/app
printf %s '` + w.password + `' | docker login -u deploy --password-stdin registry.example.com
docker push -q registry.example.com/team/app
docker logout registry.example.com
rm -r ~/.docker
docker rmi registry.example.com/team/app`)
	w.copy("root", deb)

	starts := strings.Split(document(t, "README.md"), "\n```sh\n")[1:]
	if len(starts) != 2 {
		t.Fatalf("README.md has %d starts, want 2", len(starts))
	}
	for i, want := range []string{"Status: Downloaded newer image for registry.example.com/team/app", "hello"} {
		commands, _, _ := strings.Cut(starts[i], "\n```")
		began := time.Now()
		out := w.do(commands)
		t.Logf("start %d takes %v", i+1, time.Since(began).Round(time.Millisecond))
		if !strings.Contains(out, want) {
			t.Errorf("start %d does not show %q:\n%s", i+1, want, out)
		}
	}
	w.until("hello at the collector", func() bool { return len(w.lines("hello")) > 0 })
	if out := w.do("cat ~/.docker/config.json; docker inspect $(docker ps -aq)"); strings.Contains(out, "password") || strings.Contains(out, w.password) {
		t.Errorf("the host shows a secret:\n%s", out)
	}
	t.Run("recipes", func(t *testing.T) { w.t = t; recipes(t, w) })
	t.Run("managed plugin", func(t *testing.T) { w.t = t; managed(t, w) })
}

// managed is the same line by the managed plugin, and what a swarm makes of each of the two.
func managed(t *testing.T, w *world) {
	dir := filepath.Join(t.TempDir(), "plugin")
	authority := filepath.Join(t.TempDir(), "ca.pem")
	write(t, authority, string(w.ca.PEM()), 0o600)
	c := rig.Cmd{Args: []string{"../plugin/build", "v0.1.0", dir}, Env: append(os.Environ(), "CERTIFICATES="+authority), Timeout: 5 * time.Minute}
	if _, err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(w.root.Path("root/plugin"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	const service = `docker service create --detach --no-resolve-image --restart-condition none --name %s --log-driver secretref \
	--log-opt logDriver=splunk --log-opt splunk-url=https://hec.example.com:8088 \
	--log-opt secretOptions.splunk-token=arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf:token:: debian:12 echo %s`
	w.do("docker swarm init --advertise-addr 127.0.0.1; " + fmt.Sprintf(service, "by-socket", "by-socket"))
	w.until("the reason why the task is not scheduled", func() bool {
		return strings.Contains(w.do("docker service ps --no-trunc --format '{{.Error}}' by-socket"), "missing plugin on 1 node")
	})
	w.do(`docker service rm by-socket
echo '{"log-driver": "secretref"}' >/etc/docker/daemon.json
printf '[logs]\ndefault_destination = "prod"\n' >/etc/secretref/conf.d/default.toml
systemctl reload secretref-logdriver.service
systemctl restart docker.service
docker service create --detach --no-resolve-image --restart-condition none --name by-default debian:12 echo by-default`)
	w.until("a line of a service by the default of the daemon", func() bool { return len(w.lines("by-default")) > 0 })
	w.do(`docker service rm by-default
docker plugin create secretref plugin
docker plugin set secretref SECRETREF_AWS_ENDPOINT_URL=http://` + api + `
docker plugin enable --timeout 0 secretref
` + fmt.Sprintf(service, "by-plugin", "by-plugin"))
	w.until("a line of a service", func() bool { return len(w.lines("by-plugin")) > 0 })
	w.do("docker run --rm --log-driver secretref:latest --log-opt logDriver=splunk --log-opt splunk-url=https://hec.example.com:8088 " +
		"--log-opt secretOptions.splunk-token=arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf:token:: debian:12 echo managed")
	w.until("a line of a container", func() bool { return len(w.lines("managed")) > 0 })
	w.do("docker service rm by-plugin; docker swarm leave --force")
}
