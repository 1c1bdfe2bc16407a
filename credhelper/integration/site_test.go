//go:build integration

// Package integration runs real registry clients, a real Docker daemon and a real registry with a password against the
// credential helper. What the helper does with odd input and a failing AWS is tested beside its code; here is what only
// the clients can show: what they ask, what they do with the answer, what their users see, and what they leave behind.
package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// The registry's names, all of one server. Docker's own names for the Hub lead there too.
const (
	exactHost    = "registry.example.com"
	wildcardHost = "r1.corp.example.com"  // under *.corp.example.com, which no client's credHelpers can name
	otherHost    = "other.example.com"    // its secret has a password that the registry does not know
	deniedHost   = "denied.example.com"   // its secret is not for us
	mirrorHost   = "mirror.example.com"   // where the daemon looks for images of Docker Hub
	hubV1        = "index.docker.io"      // where crane looks for them
	hubV2        = "registry-1.docker.io" // where the others do
	user         = "builder"              // of the registry
	tokenName    = "/registry/token"      // parameter with the bare password
	loginName    = "/registry/login"      // parameter with user and password
	helper       = "docker-credential-secretref"
	helloSource  = "package main\n\nfunc main() { println(\"hello from inside\") }\n"
)

var secretNames = []string{"prod/registry", "corp/registry", "prod/hub"} // with user and password of the registry

// site is everything that a client talks to.
type site struct {
	dir      string // of the clients, their homes and configurations
	bin      string // with the two programs, first on every client's PATH
	ca       *rig.CA
	registry *rig.Registry // with TLS, on an address of its own
	plain    *rig.Registry // on 127.0.0.1
	dockerd  *rig.Dockerd
	aws      *fakeaws.Server
	public   *public
	secret   string // ARN of prod/registry
	password *rig.Canary
	canaries []*rig.Canary // all passwords that there ever were
	clients  []*client
}

// tagged is an image on a host.
func tagged(host string) string { return host + "/hello:1" }

// withPort is the registry's name with its own port; the names without one lead through port 443.
func (s *site) withPort() string { return exactHost + ":" + s.registry.Port() }

func start(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "sr-clients-") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &site{dir: dir, bin: filepath.Join(dir, "bin")}
	if err := os.Mkdir(s.bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{helper, "secretref-resolve"} {
		if _, err := rig.Build(t.Context(), s.bin, "./credhelper/cmd/"+program); err != nil {
			t.Fatal(err)
		}
	}
	if s.ca, err = rig.NewCA(); err != nil {
		t.Fatal(err)
	}
	s.write(t, "ca.pem", string(s.ca.PEM()))

	s.password = s.newCanary()
	names := []string{exactHost, wildcardHost, otherHost, deniedHost, mirrorHost}
	s.registry = rig.Use(t, rig.StartRegistry, rig.RegistryOptions{
		User: user, Password: s.password.Value(), CA: s.ca, Names: append(names, hubV1, hubV2), OwnAddress: true,
	})
	s.plain = rig.Use(t, rig.StartRegistry, rig.RegistryOptions{User: user, Password: s.password.Value()})
	forward(t, s.registry.IP()+":443", s.registry.Addr())
	s.public = startPublic(t, s.plain.URL(), s.password.Value())

	d := rig.DockerdOptions{
		Args:  []string{"--registry-mirror=https://" + mirrorHost},
		Hosts: map[string]string{hubV1: "127.0.0.1", hubV2: "127.0.0.1", "auth.docker.io": "127.0.0.1"}, // never the real one
		CAs:   map[string]*rig.CA{s.withPort(): s.ca},
	}
	for _, name := range names {
		d.Hosts[name], d.CAs[name] = s.registry.IP(), s.ca
	}
	s.dockerd = rig.Use(t, rig.StartDockerd, d)
	s.fillAWS(t)
	t.Cleanup(func() {
		for _, c := range s.clients {
			c.erase(t, s.hosts()...)
		}
	})
	s.fillRegistries(t)
	return s
}

// write makes a file in the site's directory.
func (s *site) write(t *testing.T, name, text string) string {
	t.Helper()
	p := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *site) newCanary() *rig.Canary {
	c := rig.NewCanary()
	s.canaries = append(s.canaries, c)
	return c
}

// leaks reports whether a password is in text.
func (s *site) leaks(text string) bool {
	return slices.ContainsFunc(s.canaries, func(c *rig.Canary) bool { return c.In(text) })
}

func loginJSON(password string) string {
	b, _ := json.Marshal(map[string]string{"username": user, "password": password}) // strings are always fine
	return string(b)
}

func (s *site) fillAWS(t *testing.T) {
	t.Helper()
	s.aws = fakeaws.New(t, fakeaws.Options{})
	arns := map[string]string{}
	for _, name := range secretNames {
		arns[name] = s.aws.PutSecret(fakeaws.Secret{Name: name, String: loginJSON(s.password.Value())})
	}
	s.secret = arns["prod/registry"]
	s.aws.PutSecret(fakeaws.Secret{Name: "prod/other", String: loginJSON(s.newCanary().Value())})
	denied := s.aws.PutSecret(fakeaws.Secret{Name: "prod/denied", String: loginJSON(s.newCanary().Value())})
	s.aws.Deny("arn:aws:iam::111122223333:user/host", "secretsmanager:GetSecretValue", denied)
	s.putParameters()
}

func (s *site) putParameters() {
	s.aws.PutParameter(fakeaws.Parameter{Name: tokenName, Value: s.password.Value()})
	s.aws.PutParameter(fakeaws.Parameter{Name: loginName, Value: loginJSON(s.password.Value())})
}

// rotate changes the password: first in the registries, then in AWS.
func (s *site) rotate(t *testing.T) {
	t.Helper()
	s.password = s.newCanary()
	for _, r := range []*rig.Registry{s.registry, s.plain} {
		if err := r.SetPassword(t.Context(), s.password.Value()); err != nil {
			t.Fatal(err)
		}
	}
	s.public.setPassword(s.password.Value())
	for _, name := range secretNames {
		s.aws.RotateSecret(name, loginJSON(s.password.Value()))
	}
	s.putParameters()
}

// fillRegistries puts the image there, by docker push with the helper.
func (s *site) fillRegistries(t *testing.T) {
	t.Helper()
	src := s.write(t, "hello.go", helloSource)
	bin, err := rig.Build(t.Context(), filepath.Join(s.dir, "hello"), src)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.dockerd.Import(t.Context(), "hello:local", bin); err != nil {
		t.Fatal(err)
	}
	c := s.client(t, s.config("5m"))
	c.ok(t, helper, "configure", "docker")
	for _, image := range []string{tagged(exactHost), exactHost + "/library/hello:1", tagged(s.plain.Addr())} {
		c.ok(t, debianDocker, "tag", "hello:local", image)
		c.ok(t, debianDocker, "push", image)
	}
}

// config is a configuration with a rule of every kind. All of them work.
func (s *site) config(ttl string) string {
	return fmt.Sprintf(`
[aws]
timeout = "5s"
[cache]
ttl   = %q
stale = "0s"

[registries.%q]
credentialsParameter = %q
[registries.%q]
username = %q
credentialsParameter = "arn:aws:ssm:eu-west-1:111122223333:parameter%s"
[registries.%q]
credentialsParameter = "arn:aws:ssm:eu-west-1:111122223333:parameter%s"
[registries."*.corp.example.com"]
credentialsParameter = "corp/registry"
[registries."docker.io"]
credentialsParameter = "prod/hub"
`, ttl, exactHost, s.secret, s.withPort(), user, tokenName, s.plain.Addr(), loginName)
}

// failing are rules that give no password, or the wrong one.
const failing = `
[registries."` + otherHost + `"]
credentialsParameter = "prod/other"
[registries."` + deniedHost + `"]
credentialsParameter = "prod/denied"
`

// hosts are the registries that config and failing speak of.
func (s *site) hosts() []string {
	return []string{exactHost, s.withPort(), s.plain.Addr(), wildcardHost, "docker.io", otherHost, deniedHost}
}

// asked returns what was asked of AWS since the last look.
func (s *site) asked() []string {
	var all []string
	for _, c := range s.aws.Calls() {
		all = append(all, c.Resources...)
	}
	s.aws.ResetCalls()
	return all
}

// wantAsked checks what was asked of AWS since the last look, in any order. Each thing is named by a part of its name.
func (s *site) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	got := s.asked()
	rest := slices.Clone(got)
	for _, w := range want {
		i := slices.IndexFunc(rest, func(r string) bool { return strings.Contains(r, w) })
		if i < 0 {
			t.Errorf("AWS was asked for %q, want %q", got, want)
			return
		}
		rest = slices.Delete(rest, i, i+1)
	}
	if len(rest) > 0 {
		t.Errorf("AWS was asked for %q, want %q", got, want)
	}
}

// public is a registry that wants no password. It shows what the plain one has, and notes who sends a password.
type public struct {
	addr string

	mu       sync.Mutex
	password string   // of the plain one
	requests int      // since the last look
	seen     []string // those that came with credentials
}

func startPublic(t *testing.T, upstream, password string) *public {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	p := &public{password: password}
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.requests++
		if r.In.Header.Get("Authorization") != "" {
			p.seen = append(p.seen, r.In.Method+" "+r.In.URL.Path)
		}
		r.SetURL(target)
		r.Out.SetBasicAuth(user, p.password)
	}})
	t.Cleanup(server.Close)
	p.addr = server.Listener.Addr().String()
	return p
}

func (p *public) setPassword(password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.password = password
}

// wantAnonymous checks that there were requests since the last look, and no credentials in any.
func (p *public) wantAnonymous(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.requests == 0 || len(p.seen) > 0 {
		t.Errorf("the public registry got %d requests, with credentials %q; want some, and none", p.requests, p.seen)
	}
	p.requests, p.seen = 0, nil
}

// forward passes connections to addr on to target.
func forward(t *testing.T, addr, target string) {
	t.Helper()
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { splice(ctx, in, target) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		wg.Wait()
	})
}

// splice copies in both directions until one side is done or ctx ends.
func splice(ctx context.Context, in net.Conn, target string) {
	out, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp4", target)
	if err != nil {
		in.Close() // the client sees its connection closed
		return
	}
	end := func() { in.Close(); out.Close() }
	defer context.AfterFunc(ctx, end)()
	var wg sync.WaitGroup
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		wg.Go(func() {
			_, _ = io.Copy(pair[0], pair[1]) // either side may go at any time
			end()
		})
	}
	wg.Wait()
}
