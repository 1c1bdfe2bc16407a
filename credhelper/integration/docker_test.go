//go:build integration

package integration

import (
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/rig"
)

// What the daemon says of a client that has no password, and of one that has the wrong one.
const (
	noAuth    = "no basic auth credentials"
	wrongAuth = "nauthorized" // of the 29 line: 401 Unauthorized
)

// debianDocker is the CLI where any would do.
const debianDocker = "/usr/bin/docker"

// deniedText is what the users of all clients must see of a secret that this host may not read: what and why, and what
// to do about it.
func deniedText() []string {
	return []string{
		"registry " + deniedHost, "get secret prod/denied in eu-west-1 as arn:aws:iam::111122223333:user/host: access denied",
		"; allow secretsmanager:GetSecretValue on it for this host's role",
	}
}

func basicAuth(password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// docker is one version of the docker CLI.
type docker struct {
	*site
	path string
}

func (d docker) version(t *testing.T) string {
	t.Helper()
	r, err := rig.Cmd{Args: []string{d.path, "version", "--format", "{{.Client.Version}}"}, Env: d.dockerd.Env()}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(r.Stdout)
}

func (d docker) test(t *testing.T) {
	t.Run("pull", d.pull)
	t.Run("login and logout", d.login)
	t.Run("build, push, run", d.build)
	t.Run("every registry", d.all)
	t.Run("unmapped", d.unmapped)
	t.Run("Docker Hub", d.hub)
	t.Run("denied", d.denied)
}

// forget removes images, so that the next pull needs the registry.
func (s *site) forget(t *testing.T, images ...string) {
	t.Helper()
	_, err := s.dockerd.Docker(t.Context(), append([]string{"image", "rm", "-f"}, images...)...)
	if err != nil && !strings.Contains(err.Error(), "No such image") {
		t.Fatal(err)
	}
}

func (d docker) pull(t *testing.T) {
	c := d.client(t, d.config("5m"))
	images := map[string]string{
		tagged(exactHost):      "secret:prod/registry",
		tagged(d.withPort()):   tokenName,
		tagged(d.plain.Addr()): loginName,
	}
	for image := range images {
		d.forget(t, image)
		c.fails(t, []string{noAuth}, d.path, "pull", image)
	}
	d.wantAsked(t)
	c.ok(t, helper, "configure", "docker")
	for image, asked := range images {
		c.ok(t, d.path, "pull", image)
		d.wantAsked(t, asked)
		d.forget(t, image)
		c.ok(t, d.path, "pull", image)
		d.wantAsked(t) // out of the cache
	}
}

func (d docker) login(t *testing.T) {
	c := d.client(t, d.config("5m")+failing)
	c.ok(t, helper, "configure", "docker")
	for _, host := range []string{exactHost, d.withPort(), d.plain.Addr()} {
		// The CLI gets, logs in, and stores what it got.
		if r := c.ok(t, d.path, "login", host); !strings.Contains(r.Output, "Login Succeeded") {
			t.Errorf("docker login %s: %s", host, r.Output)
		}
	}
	d.wantAsked(t, "secret:prod/registry", tokenName, loginName)
	right := c.typing(d.password.Value())
	right.ok(t, d.path, "login", "-u", user, "--password-stdin", exactHost)
	right.ok(t, d.path, "login", "-u", user, "--password-stdin", "https://"+exactHost)
	c.fails(t, []string{"nauthorized"}, d.path, "login", "-u", user, "-p", "a-wrong-password", exactHost)
	// A pair that the registry takes, but that is not the secret's.
	right.fails(t, []string{"secret prod/other", "put-secret-value"}, d.path, "login", "-u", user, "--password-stdin", otherHost)

	d.forget(t, tagged(exactHost))
	d.asked()
	c.ok(t, d.path, "logout", exactHost)
	d.wantAsked(t)
	c.ok(t, d.path, "pull", tagged(exactHost))
	d.wantAsked(t, "secret:prod/registry")
	c.ok(t, d.path, "logout", "unmapped.example.com")
	if text := c.read(t, dockerConfig); strings.Contains(text, `"auth":`) {
		t.Errorf("docker has written a login to config.json: %s", text)
	}
}

func (d docker) build(t *testing.T) {
	c := d.client(t, d.config("5m"))
	c.ok(t, helper, "configure", "docker")
	c.write(t, "work/Dockerfile", "FROM "+tagged(exactHost)+"\nLABEL built=yes\n")
	built := exactHost + "/built:1"
	d.forget(t, tagged(exactHost), built)
	c.ok(t, d.path, "build", "--pull", "-t", built, ".")
	d.wantAsked(t, "prod/registry", tokenName, loginName, "prod/hub") // a classic build asks for every mapped registry
	c.ok(t, d.path, "push", built)
	d.forget(t, built, tagged(exactHost))
	r := c.ok(t, d.path, "run", "--rm", "--network", "none", built)
	if !strings.Contains(r.Output, "hello from inside") {
		t.Errorf("docker run: %s", r.Output)
	}

	// One registry that fails leaves a classic build of CLI 20.10 without any credentials. The reason must not be lost.
	c.write(t, "secretref.toml", d.config("5m")+failing)
	c.ok(t, helper, "configure", "docker")
	r, _ = c.run(t, d.path, "build", "--pull", "-t", built, ".") // newer CLIs go on with the others
	for _, w := range deniedText() {
		if !strings.Contains(r.Output, w) {
			t.Errorf("docker build does not show %q: %s", w, r.Output)
		}
	}
}

// all is about credsStore, the only way to a rule with a wildcard.
func (d docker) all(t *testing.T) {
	c := d.client(t, d.config("5m"))
	image := tagged(wildcardHost)
	d.forget(t, image)
	c.ok(t, helper, "configure", "docker")
	c.fails(t, []string{noAuth}, d.path, "pull", image)
	c.ok(t, helper, "configure", "docker", "--undo")
	if text := c.read(t, dockerConfig); strings.Contains(text, "secretref") {
		t.Errorf("after --undo: %s", text)
	}
	c.ok(t, helper, "configure", "docker", "--all")
	c.ok(t, d.path, "pull", image)
	d.wantAsked(t, "corp/registry")
	c.ok(t, d.path, "login", wildcardHost)
	d.wantAsked(t)

	// A classic build lists, and gets what was listed.
	c.write(t, "work/Dockerfile", "FROM "+tagged(exactHost)+"\nLABEL built=yes\n")
	d.forget(t, tagged(exactHost))
	c.ok(t, d.path, "build", "--pull", "-t", "built:1", ".")
	d.wantAsked(t, "prod/registry", tokenName, loginName, "prod/hub")
	d.forget(t, "built:1")
}

// unmapped is about registries that nobody configured, while every registry is asked of us.
func (d docker) unmapped(t *testing.T) {
	c := d.client(t, d.config("5m"))
	c.ok(t, helper, "configure", "docker", "--all")
	image := tagged(d.public.addr)
	pull := func() {
		t.Helper()
		d.forget(t, image)
		r := c.ok(t, d.path, "pull", image)
		if strings.Contains(r.Output, "secretref") {
			t.Errorf("we have something to say about a registry that is not ours: %s", r.Output)
		}
		d.public.wantAnonymous(t)
		d.wantAsked(t)
	}
	pull()
	d.aws.Stop()
	pull()
	c.fails(t, []string{"registry " + exactHost, "connection refused"}, d.path, "pull", tagged(exactHost))
	if err := d.aws.Restart(); err != nil {
		t.Fatal(err)
	}
	c.write(t, "secretref.toml", d.config("5m")+"[registrys]\n")
	pull()
	c.fails(t, []string{"secretref.toml:", "registries"}, d.path, "pull", tagged(exactHost))
	c.write(t, "secretref.toml", d.config("5m"))
}

// hub pulls an image of Docker Hub, which the daemon looks for at its mirror, with the Hub's credentials. A daemon of the 29 line, with
// images in containerd, gives them to the Hub alone.
func (d docker) hub(t *testing.T) {
	c := d.client(t, d.config("5m"))
	images := []string{"docker.io/library/hello:1", "hello:1", "index.docker.io/library/hello:1"}
	for _, image := range images {
		d.forget(t, "hello:1")
		c.fails(t, nil, d.path, "pull", image)
	}
	d.wantAsked(t)
	c.ok(t, helper, "configure", "docker")
	for i, image := range images {
		d.forget(t, "hello:1")
		if os.Getenv(rig.Engine) == "" {
			c.ok(t, d.path, "pull", image)
		} else {
			c.fails(t, []string{noAuth}, d.path, "pull", image)
		}
		if i == 0 {
			d.wantAsked(t, "prod/hub")
		}
	}
	d.wantAsked(t)
	d.forget(t, "hello:1")
}

func (d docker) denied(t *testing.T) {
	c := d.client(t, d.config("5m")+failing)
	c.ok(t, helper, "configure", "docker")
	c.fails(t, deniedText(), d.path, "pull", tagged(deniedHost))
	c.ok(t, d.path, "tag", "hello:local", tagged(deniedHost))
	c.fails(t, deniedText(), d.path, "push", tagged(deniedHost))
	d.forget(t, tagged(deniedHost))
}
