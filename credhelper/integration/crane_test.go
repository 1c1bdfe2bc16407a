//go:build integration

package integration

import (
	"strings"
	"testing"
)

// crane asks for the whole repository first, and for the host then.
func (s *site) crane(t *testing.T) {
	c := s.client(t, s.config("5m")+failing)
	c.fails(t, []string{"UNAUTHORIZED"}, "crane", "manifest", tagged(exactHost))
	c.ok(t, helper, "configure", "docker", "--all")
	for host, asked := range s.mapped() {
		if r := c.ok(t, "crane", "manifest", tagged(host)); !strings.Contains(r.Stdout, `"layers"`) {
			t.Errorf("crane manifest: %s", r.Output)
		}
		s.wantAsked(t, asked)
		c.ok(t, "crane", "pull", tagged(host), "image.tar")
	}
	c.ok(t, "crane", "manifest", "hello:1")
	s.wantAsked(t, "prod/hub")
	c.ok(t, "crane", "manifest", tagged(wildcardHost))
	s.wantAsked(t, "corp/registry")
	c.ok(t, "crane", "manifest", tagged(s.public.addr))
	s.public.wantAnonymous(t)
	c.fails(t, deniedText(), "crane", "manifest", tagged(deniedHost))

	right := c.typing(s.password.Value())
	right.ok(t, "crane", "auth", "login", "-u", user, "--password-stdin", exactHost)
	right.fails(t, []string{"secret prod/other"}, "crane", "auth", "login", "-u", user, "--password-stdin", otherHost)
	s.asked()
	c.ok(t, "crane", "auth", "logout", exactHost)
	c.ok(t, "crane", "manifest", tagged(exactHost))
	s.wantAsked(t, "prod/registry")
}

// oras reads the whole standard output as one JSON text.
func (s *site) oras(t *testing.T) {
	c := s.client(t, s.config("5m")+failing)
	c.ok(t, helper, "configure", "docker")
	c.write(t, "work/note.txt", "a note\n")
	flags := map[string][]string{s.plain.Addr(): {"--plain-http"}, s.public.addr: {"--plain-http"}}
	oras := func(host, command, repository string, more ...string) []string {
		return append(append(append([]string{"oras", command}, flags[host]...), host+repository), more...)
	}
	for host, asked := range s.mapped() {
		c.ok(t, oras(host, "push", "/note:1", "note.txt:text/plain")...)
		s.wantAsked(t, asked)
		c.ok(t, oras(host, "pull", "/note:1", "-o", "pulled")...)
		s.wantAsked(t)
		if text := c.read(t, "work/pulled/note.txt"); text != "a note\n" {
			t.Errorf("oras pull: %q", text)
		}
	}
	c.ok(t, "oras", "manifest", "fetch", "docker.io/library/hello:1")
	s.wantAsked(t, "prod/hub")
	c.fails(t, deniedText(), "oras", "manifest", "fetch", tagged(deniedHost))

	right := c.typing(s.password.Value())
	right.ok(t, "oras", "login", "-u", user, "--password-stdin", exactHost)
	right.fails(t, []string{"secret prod/other"}, "oras", "login", "-u", user, "--password-stdin", otherHost)
	s.asked()
	c.ok(t, "oras", "logout", exactHost)
	c.ok(t, oras(exactHost, "pull", "/note:1", "-o", "pulled")...)
	s.wantAsked(t, "prod/registry")

	c.ok(t, helper, "configure", "docker", "--all")
	c.ok(t, "oras", "manifest", "fetch", tagged(wildcardHost))
	s.wantAsked(t, "corp/registry")
	c.ok(t, "oras", "manifest", "fetch", "--plain-http", tagged(s.public.addr))
	s.public.wantAnonymous(t)
}
