//go:build integration

package integration

import (
	"strings"
	"testing"
)

// mapped are registries that answer with the same image, and what AWS is asked for them.
func (s *site) mapped() map[string]string {
	return map[string]string{exactHost: "secret:prod/registry", s.withPort(): tokenName, s.plain.Addr(): loginName}
}

// verify is the flag of podman and skopeo for a registry. Those on 127.0.0.1 have no certificate.
func verify(host string) string {
	if strings.HasPrefix(host, "127.0.0.1:") {
		return "--tls-verify=false"
	}
	return "--tls-verify=true"
}

// owned returns a client whose podman and skopeo keep logins in the file that we configure. By themselves they write
// them, password and all, to a second file, which they read first.
func (c *client) owned() *client {
	other := *c
	other.vars = append(other.vars, "REGISTRY_AUTH_FILE="+c.dir+"/"+podmanConfig)
	return &other
}

func (s *site) podman(t *testing.T) {
	c := s.client(t, s.config("5m")+failing)
	for host := range s.mapped() {
		c.fails(t, []string{"uthentication required"}, "podman", "pull", verify(host), tagged(host))
	}
	c.ok(t, helper, "configure", "podman")
	s.wantAsked(t)
	for host, asked := range s.mapped() {
		c.ok(t, "podman", "pull", verify(host), tagged(host))
		s.wantAsked(t, asked)
		c.ok(t, "podman", "rmi", tagged(host))
		c.ok(t, "podman", "pull", verify(host), tagged(host))
		s.wantAsked(t) // out of the cache
	}
	c.ok(t, "podman", "pull", "docker.io/library/hello:1")
	s.wantAsked(t, "prod/hub")
	c.fails(t, deniedText(), "podman", "pull", tagged(deniedHost))
	s.asked()
	s.loginAndLogout(t, c, "podman", "podman", "pull", tagged(exactHost))

	c.ok(t, helper, "configure", "podman", "--undo")
	c.fails(t, []string{"uthentication required"}, "podman", "pull", tagged(exactHost))
	s.everyRegistry(t, c, "podman", "podman", "pull")
	if text := c.read(t, dropIn); !strings.Contains(text, `"secretref"`) {
		t.Errorf("%s: %s", dropIn, text)
	}
}

func (s *site) skopeo(t *testing.T) {
	c := s.client(t, s.config("5m")+failing)
	c.ok(t, helper, "configure", "podman")
	for host, asked := range s.mapped() {
		r := c.ok(t, "skopeo", "inspect", verify(host), "docker://"+tagged(host))
		if !strings.Contains(r.Stdout, `"Digest": "sha256:`) {
			t.Errorf("skopeo inspect: %s", r.Output)
		}
		s.wantAsked(t, asked)
	}
	c.ok(t, "skopeo", "inspect", "docker://docker.io/library/hello:1")
	s.wantAsked(t, "prod/hub")
	// From one registry to another: each gets its own password.
	c.ok(t, "skopeo", "copy", "--dest-tls-verify=false", "docker://"+tagged(s.withPort()), "docker://"+s.plain.Addr()+"/skopeo:1")
	s.wantAsked(t)
	c.fails(t, deniedText(), "skopeo", "inspect", "docker://"+tagged(deniedHost))
	s.asked()
	s.loginAndLogout(t, c, "skopeo", "skopeo", "inspect", "docker://"+tagged(exactHost))
	s.everyRegistry(t, c, "skopeo", "skopeo", "inspect")
}

// loginAndLogout is what podman and skopeo have in common. pull is a command that needs the password of exactHost.
func (s *site) loginAndLogout(t *testing.T, c *client, program string, pull ...string) {
	t.Helper()
	if r := c.ok(t, program, "login", exactHost); !strings.Contains(r.Output, "Already logged in") {
		t.Errorf("%s login: %s", program, r.Output)
	}
	c.ok(t, program, "logout", exactHost) // says that the login comes from elsewhere, and does not ask us
	s.wantAsked(t)

	c = c.owned()
	right := c.typing(s.password.Value())
	right.ok(t, program, "login", "-u", user, "--password-stdin", exactHost)
	right.fails(t, []string{"secret prod/other", "put-secret-value"}, program, "login", "-u", user, "--password-stdin", otherHost)
	s.asked()
	c.ok(t, program, "logout", exactHost)
	c.ok(t, pull...)
	s.wantAsked(t, "prod/registry")
}

// everyRegistry is about `configure podman --all`. inspect is a command that takes an image.
func (s *site) everyRegistry(t *testing.T, c *client, program string, inspect ...string) {
	t.Helper()
	image := func(host string) []string {
		name := tagged(host)
		if program == "skopeo" {
			name = "docker://" + name
		}
		return append(append([]string{}, inspect...), verify(host), name)
	}
	c.fails(t, []string{"uthentication required"}, image(wildcardHost)...)
	c.ok(t, helper, "configure", "podman", "--all")
	s.asked()
	c.ok(t, image(wildcardHost)...)
	s.wantAsked(t, "corp/registry")
	c.ok(t, image(s.public.addr)...)
	s.public.wantAnonymous(t)
	c.ok(t, program, "logout", wildcardHost)
	c.ok(t, program, "logout", s.public.addr)
	c.ok(t, image(wildcardHost)...)
	s.wantAsked(t, "corp/registry") // the logout has dropped it
	if text := c.read(t, "run/containers/0/auth.json"); strings.Contains(text, `"auth"`) {
		t.Errorf("%s has written a login: %s", program, text)
	}
}
