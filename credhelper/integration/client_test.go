//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// client is a user's place on a host: a home, a secretref configuration, and a mount namespace for every program that
// is run, in which /run, /dev/shm, /etc/containers, /var/lib and /etc/hosts are the client's own. So the cache is cold at first,
// `configure podman --all` reaches no file of the machine, and the registry has names.
type client struct {
	site   *site
	dir    string
	config string // the secretref configuration file
	stdin  string // what programs read
	vars   []string
}

// What `configure` writes to, in the client's directory.
const (
	dockerConfig = "home/.docker/config.json"
	podmanConfig = "home/.config/containers/auth.json"
	dropIn       = "containers/registries.conf.d/50-secretref.conf"
)

const enterNamespace = `set -e
mount --bind "$1/run" /run
mount --bind "$1/containers" /etc/containers
mount --bind "$1/lib" /var/lib
mount --bind "$1/shm" /dev/shm
mount --bind "$1/hosts" /etc/hosts
shift
exec "$@"`

// client makes a client with a configuration. Its files stay until everything is over: the search for the password
// looks at them.
func (s *site) client(t *testing.T, config string, vars ...string) *client {
	t.Helper()
	dir, err := os.MkdirTemp(s.dir, "c-")
	if err != nil {
		t.Fatal(err)
	}
	c := &client{site: s, dir: dir, vars: vars}
	for _, sub := range []string{"run", "lib", "shm", "home", "work"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hosts := "127.0.0.1 localhost\n" + s.registry.IP() + " " +
		strings.Join([]string{exactHost, wildcardHost, otherHost, deniedHost, hubV1, hubV2}, " ") + "\n"
	c.write(t, "hosts", hosts)
	c.write(t, "containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	c.write(t, "containers/registries.conf", "")
	c.write(t, "containers/storage.conf", "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n")
	for _, name := range []string{exactHost, s.withPort(), wildcardHost, otherHost, deniedHost, "docker.io"} {
		c.write(t, "containers/certs.d/"+name+"/ca.crt", string(s.ca.PEM()))
	}
	c.write(t, dockerConfig, "{}\n")
	c.config = c.write(t, "secretref.toml", config)
	s.asked()
	s.clients = append(s.clients, c)
	return c
}

func (c *client) write(t *testing.T, name, text string) string {
	t.Helper()
	return c.site.write(t, filepath.Join(filepath.Base(c.dir), name), text)
}

// read returns a file of the client.
func (c *client) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (c *client) env() []string {
	env := rig.Env(c.dir+"/home", c.site.aws.Environ()...)
	path, _ := strings.CutPrefix(env[0], "PATH=")
	return append(append(env, "PATH="+c.site.bin+":"+path, "DOCKER_HOST="+c.site.dockerd.Host(), "DOCKER_BUILDKIT=0",
		"SECRETREF_CONFIG="+c.config, "SSL_CERT_FILE="+c.site.dir+"/ca.pem"), c.vars...)
}

// run runs a program to its end. No program may print a password.
func (c *client) run(t *testing.T, args ...string) (rig.Result, error) {
	t.Helper()
	all := append([]string{"unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", enterNamespace, "sh", c.dir}, args...)
	r, err := rig.Cmd{Args: all, Env: c.env(), Dir: c.dir + "/work", Stdin: c.stdin, Timeout: 40 * time.Second}.Run(context.WithoutCancel(t.Context())) // also while t ends
	if c.site.leaks(r.Output) {
		t.Errorf("%s printed a password", strings.Join(args, " "))
	}
	if err != nil {
		how, _, _ := strings.Cut(err.Error(), "\n")
		err = fmt.Errorf("%s: exit code %d\n%s\n%s", strings.Join(args, " "), r.Code, r.Output, how)
	}
	return r, err
}

// ok runs a program that must succeed.
func (c *client) ok(t *testing.T, args ...string) rig.Result {
	t.Helper()
	r, err := c.run(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fails runs a program that must fail, and say every one of the words in its output.
func (c *client) fails(t *testing.T, words []string, args ...string) {
	t.Helper()
	r, err := c.run(t, args...)
	if err == nil || r.Code < 0 {
		t.Fatalf("%s: exit code %d, want a failure\n%s", strings.Join(args, " "), r.Code, r.Output)
	}
	for _, w := range words {
		if !strings.Contains(r.Output, w) {
			t.Errorf("%s: the user does not see %q in\n%s", strings.Join(args, " "), w, r.Output)
		}
	}
}

// typing returns a client whose programs read text.
func (c *client) typing(text string) *client {
	other := *c
	other.stdin = text
	return &other
}

// erase drops all cached values, and checks that neither entry nor key is left.
func (c *client) erase(t *testing.T, hosts ...string) {
	t.Helper()
	cache := filepath.Join(c.dir, "run/secretref")
	ids := map[string]bool{}
	list := func() []string {
		var names []string
		entries, err := os.ReadDir(cache)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		for _, e := range entries {
			if _, id, ok := strings.Cut(e.Name(), "-"); ok {
				names = append(names, e.Name())
				ids[strings.TrimSuffix(id, ".lock")] = true
			}
		}
		return names
	}
	list()
	for _, h := range hosts {
		if _, err := c.typing(h).run(t, helper, "erase"); err != nil {
			t.Error(err)
		}
	}
	if left := list(); len(left) > 0 {
		t.Errorf("the cache has %q after erase", left)
	}
	keys, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(keys)) {
		// 1f3c2a I--Q--i 1 4m 3f3f0000 0 0 user secretref:ID: 32
		// Flag i and lifetime expd are of keys that nobody can use any more, and that the kernel will take away soon.
		f := strings.Fields(line)
		if len(f) < 9 || strings.Contains(f[1], "i") || f[3] == "expd" {
			continue
		}
		if id, ok := strings.CutPrefix(strings.TrimSuffix(f[8], ":"), "secretref:"); ok && ids[id] {
			t.Errorf("the keyring has a key after erase: %s", line)
		}
	}
}
