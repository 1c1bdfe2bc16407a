//go:build integration && engines

package integration

import (
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/rig"
)

// TestNewClients is TestClients for clients that Debian does not have: the docker CLI of the 29 line, which ends with an error of the
// helper where older ones go on without credentials, buildx, which asks for the daemon's builder, and compose.
func TestNewClients(t *testing.T) {
	s := start(t)
	cli, err := rig.Tool("docker-29")
	if err != nil {
		t.Fatal(err)
	}
	d := docker{s, cli}
	t.Run("docker/"+d.version(t), d.test)
	t.Run("buildx", s.buildx)
	t.Run("compose", s.compose)
	t.Run("no copy of the password", s.noCopy)
}

// buildx builds with the builder of the daemon, which asks buildx for credentials while it works.
func (s *site) buildx(t *testing.T) {
	c := s.client(t, s.config("5m")+failing)
	from := func(host, tag string) []string {
		c.write(t, "work/"+tag+"/Dockerfile", "FROM "+tagged(host)+"\nLABEL built="+tag+"\n")
		return []string{"docker-buildx", "build", "--progress", "plain", "--pull", "-t", exactHost + "/" + tag + ":1", tag}
	}
	c.fails(t, []string{"401 Unauthorized"}, from(exactHost, "before")...)
	c.ok(t, helper, "configure", "docker")
	s.asked()
	c.ok(t, append(from(exactHost, "bx"), "--push")...)
	s.wantAsked(t, "prod/registry")
	c.ok(t, debianDocker, "pull", exactHost+"/bx:1")
	c.fails(t, deniedText(), from(deniedHost, "denied")...)

	c.ok(t, helper, "configure", "docker", "--all")
	s.asked()
	c.ok(t, from(wildcardHost, "wild")...)
	s.wantAsked(t, "corp/registry")
	c.ok(t, from(s.public.addr, "public")...)
	s.public.wantAnonymous(t)
	s.forget(t, exactHost+"/bx:1", exactHost+"/wild:1", exactHost+"/public:1")
}

func (s *site) compose(t *testing.T) {
	c := s.client(t, s.config("5m")+failing)
	file := func(host string) {
		c.write(t, "work/compose.yaml", "services:\n  hello:\n    image: "+tagged(host)+"\n    network_mode: none\n")
	}
	compose := []string{"docker-compose", "-p", "srcompose", "--progress", "plain"}
	for host, asked := range s.mapped() {
		s.forget(t, tagged(host))
		file(host)
		c.ok(t, helper, "configure", "docker", "--undo")
		c.fails(t, []string{noAuth}, append(compose, "pull")...)
		c.ok(t, helper, "configure", "docker")
		s.asked()
		c.ok(t, append(compose, "pull")...)
		s.wantAsked(t, asked)
		s.forget(t, tagged(host))
		r := c.ok(t, append(compose, "up")...)
		if !strings.Contains(r.Output, "hello from inside") {
			t.Errorf("compose up: %s", r.Output)
		}
		c.ok(t, append(compose, "down")...)
	}
	file(deniedHost)
	c.fails(t, deniedText(), append(compose, "pull")...)
	c.ok(t, helper, "configure", "docker", "--all")
	s.asked()
	for host, asked := range map[string][]string{wildcardHost: {"corp/registry"}, s.public.addr: nil} {
		s.forget(t, tagged(host))
		file(host)
		c.ok(t, append(compose, "pull")...)
		s.wantAsked(t, asked...)
	}
	s.public.wantAnonymous(t)
}
