//go:build integration

package rig

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const helloSource = `package main

import ("fmt"; "os"; "time")

func main() {
	fmt.Println("hello from inside", os.Args[1:])
	if len(os.Args) > 1 && os.Args[1] == "stay" {
		time.Sleep(time.Hour)
	}
}
`

// hello compiles a static program.
func hello(t *testing.T) string {
	t.Helper()
	src := filepath.Join(t.TempDir(), "hello.go")
	if err := os.WriteFile(src, []byte(helloSource), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := Build(t.Context(), filepath.Join(t.TempDir(), "hello"), src)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// leftovers lists everything on the machine that carries one of the marks of a part: its directory or its name.
// It looks for the marks alone, because other tests may run beside this one.
func leftovers(t *testing.T, marks ...string) []string {
	t.Helper()
	var found []string
	has := func(s string) bool {
		return slices.ContainsFunc(marks, func(m string) bool { return strings.Contains(s, m) })
	}
	for _, pid := range processes() {
		if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err != nil || len(args) == 0 {
			continue // a zombie, for pid 1 to wait for
		}
		for _, name := range []string{"cmdline", "cgroup", "mountinfo"} {
			p := fmt.Sprintf("/proc/%d/%s", pid, name)
			if b, err := os.ReadFile(p); err == nil && has(string(b)) {
				found = append(found, p)
			}
		}
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil && has(cwd) {
			found = append(found, cwd)
		}
	}
	links, err := Cmd{Args: []string{"ip", "-o", "link"}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if has(links.Stdout) {
		found = append(found, links.Stdout)
	}
	for _, pattern := range []string{os.TempDir() + "/*", "/run/*", "/run/netns/*", "/run/docker/*", "/run/containerd/*", "/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, slices.DeleteFunc(paths, func(p string) bool { return !has(p) })...)
	}
	return found
}

// checkGone stops p and reports what is left of it. Before, there must be something: otherwise the search sees nothing.
func checkGone(t *testing.T, p Part, marks ...string) {
	t.Helper()
	if found := leftovers(t, marks...); len(found) == 0 {
		t.Errorf("nothing carries the marks %q while %T runs", marks, p)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if found := leftovers(t, marks...); len(found) > 0 {
		t.Errorf("%T has left %q", p, found)
	}
}

func TestDockerd(t *testing.T) {
	bin := hello(t)
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	const user, password, host = "builder", "right/pass+word", "registry.test"
	reg := Use(t, StartRegistry, RegistryOptions{User: user, Password: password, CA: ca, Names: []string{host}, OwnAddress: true})
	name := host + ":" + reg.Port()
	before := shared(t)
	d := Use(t, StartDockerd, DockerdOptions{Hosts: map[string]string{host: reg.IP()}, CAs: map[string]*CA{name: ca}})
	second := Use(t, StartDockerd, DockerdOptions{Hosts: map[string]string{host: reg.IP()}})
	do := func(want string, args ...string) {
		t.Helper()
		r, err := d.Docker(t.Context(), args...)
		if err != nil || !strings.Contains(r.Output, want) {
			t.Errorf("docker %s: %v, %q, want %q", strings.Join(args, " "), err, r.Output, want)
		}
	}

	do("Server Version: 20.10.24", "info")
	if err := d.Import(t.Context(), "hello:1", bin); err != nil {
		t.Fatal(err)
	}
	do("hello from inside [a b]", "run", "--rm", "--network", "none", "hello:1", "a", "b")
	do("hello from inside", "run", "--name", "kept", "hello:1") // on the bridge
	if err := second.Import(t.Context(), "hello:2", bin); err != nil {
		t.Fatal(err)
	}
	do("hello:1", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
	if r, err := d.Docker(t.Context(), "image", "inspect", "hello:2"); err == nil {
		t.Errorf("two daemons share images: %s", r.Output)
	}

	// The registry's certificate is verified: by the name that the daemon was told.
	do("", "tag", "hello:1", name+"/hello:1")
	r, err := d.run(t.Context(), time.Minute, password, "login", "-u", user, "--password-stdin", name)
	if err != nil || !strings.Contains(r.Output, "Login Succeeded") {
		t.Fatalf("login: %v", err)
	}
	do("digest", "push", name+"/hello:1")
	if r, err := second.Docker(t.Context(), "pull", name+"/hello:1"); err == nil || !strings.Contains(r.Output, "x509") {
		t.Errorf("a daemon that does not know the authority: %v, %s, want a refused certificate", err, r.Output)
	}

	// Daemons end with what runs in them, also when they are killed and cannot clean up themselves.
	do("", "run", "-d", "--restart", "always", "-v", "/run:/host/run:rshared", "hello:1", "stay")
	if _, err := second.Docker(t.Context(), "run", "-d", "hello:2", "stay"); err != nil {
		t.Fatal(err)
	}
	if err := second.proc.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-second.proc.exited
	if len(second.rest()) == 0 {
		t.Error("a container has not outlived its killed daemon: the next check means nothing")
	}
	checkGone(t, second, second.dir, second.name)
	checkGone(t, d, d.dir, d.name)
	checkGone(t, reg, reg.dir, reg.link)
	if after := shared(t); !slices.Equal(before, after) {
		t.Errorf("shared directories, mounts and networks:\n%q before,\n%q after", before, after)
	}
}

// shared lists what daemons might leave in places that carry no mark.
func shared(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"/etc/docker/*", "/etc/docker/certs.d/*", "/run/containerd/s/*", "/run/docker/runtime*/*", "/run/docker/plugins/*", "/var/lib/docker/*", "/sys/fs/cgroup/*/docker"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, paths...)
	}
	return all
}

func TestDockerdThatCannotStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := StartDockerd(ctx, DockerdOptions{Args: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("error = %v, want the daemon's own words", err)
	}
}

func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	bin := hello(t)
	r := Use(t, StartRegistry, RegistryOptions{User: "builder", Password: "first/pass+word"})
	skopeo := func(password, subcommand string, args ...string) error {
		args = append([]string{"skopeo", "--tmpdir", dir, subcommand}, args...)
		for i, a := range args {
			args[i] = strings.ReplaceAll(a, "CREDS", "builder:"+password)
		}
		_, err := Cmd{Args: args, Env: Env(dir)}.Run(t.Context())
		return err
	}
	layout := "oci:" + dir + "/layout:1"
	writeLayout(t, dir, bin)
	image := "docker://" + r.Addr() + "/app/hello:1"
	push := func(password string) error {
		return skopeo(password, "copy", "--dest-tls-verify=false", "--dest-creds", "CREDS", layout, image)
	}
	pull := func(password string) error {
		return skopeo(password, "copy", "--src-tls-verify=false", "--src-creds", "CREDS", image, "oci:"+dir+"/pulled:1")
	}
	check := func(what string, err error, ok bool) {
		t.Helper()
		if ok && err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if !ok && (err == nil || !strings.Contains(err.Error(), "authentication required") && !strings.Contains(err.Error(), "unauthorized")) {
			t.Errorf("%s: %v, want a refused password", what, err)
		}
	}
	check("push with a wrong password", push("wrong"), false)
	check("push", push("first/pass+word"), true)
	check("pull with a wrong password", pull("wrong"), false)
	check("pull", pull("first/pass+word"), true)
	if err := r.SetPassword(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	check("pull with the old password", pull("first/pass+word"), false)
	check("pull with the new password", pull("second"), true)
	if log := r.Log(); !strings.Contains(log, "GET /v2/app/hello/manifests/1") || !strings.Contains(log, "skopeo") {
		t.Errorf("no access log of the pull:\n%s", log)
	}
	checkGone(t, r, r.dir)
}

// writeLayout makes an OCI image of one file out of nothing, with the tools that are there.
func writeLayout(t *testing.T, dir, bin string) {
	t.Helper()
	tar := filepath.Join(dir, "layer.tar")
	for _, args := range [][]string{
		{"tar", "-C", filepath.Dir(bin), "-cf", tar, filepath.Base(bin)},
		{"crane", "append", "--oci-empty-base", "-f", tar, "-t", "hello:1", "-o", dir + "/image.tar"},
		{"skopeo", "--tmpdir", dir, "copy", "docker-archive:" + dir + "/image.tar", "oci:" + dir + "/layout:1"},
	} {
		if _, err := (Cmd{Args: args, Env: Env(dir)}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRegistryWithTLS(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	r := Use(t, StartRegistry, RegistryOptions{User: "u", Password: "p4ssw0rd", CA: ca})
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{}}}
	if code, err := status(t.Context(), client, r.URL()+"/v2/", "u", "p4ssw0rd"); err == nil {
		t.Errorf("status %d for a client that does not know the authority", code)
	}
	client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}
	if code, err := status(t.Context(), client, r.URL()+"/v2/", "u", "p4ssw0rd"); err != nil || code != http.StatusOK {
		t.Errorf("status %d, %v, want 200", code, err)
	}
}

func TestMoto(t *testing.T) {
	m := Use(t, StartMoto, MotoOptions{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.URL(), strings.NewReader(`{"Name":"a","SecretString":"b"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "secretsmanager.CreateSecret")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261101/eu-west-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("CreateSecret: %s", resp.Status)
	}
	_, port, _ := strings.Cut(m.addr, ":")
	if !strings.Contains(m.Log(), "POST / ") {
		t.Errorf("no access log:\n%s", m.Log())
	}
	checkGone(t, m, m.dir, "-p\x00"+port)
}

func TestNetNS(t *testing.T) {
	a, b := Use(t, StartNetNS, NetNSOptions{}), Use(t, StartNetNS, NetNSOptions{})
	if err := a.Connect(t.Context(), "10.99.1.1/24", b, "10.99.1.2/24"); err != nil {
		t.Fatal(err)
	}
	if err := a.Connect(t.Context(), "10.99.2.1/24", nil, "10.99.2.2/24"); err != nil {
		t.Fatal(err)
	}
	var l net.Listener
	if err := a.Do(func() (err error) { l, err = net.Listen("tcp4", ":0"); return err }); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, c.RemoteAddr())
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dial := func(addr string) (string, error) {
		c, err := net.DialTimeout("tcp4", addr+":"+port, 2*time.Second)
		if err != nil {
			return "", err
		}
		defer c.Close()
		var buf [64]byte
		n, err := c.Read(buf[:])
		return string(buf[:n]), err
	}
	var got string
	if err := b.Do(func() (err error) { got, err = dial("10.99.1.1"); return err }); err != nil || !strings.HasPrefix(got, "10.99.1.2:") {
		t.Errorf("from the peer: %q, %v", got, err)
	}
	if got, err := dial("10.99.2.1"); err != nil || !strings.HasPrefix(got, "10.99.2.2:") {
		t.Errorf("from the host: %q, %v", got, err)
	}
	if got, err := dial("10.99.1.1"); err == nil {
		t.Errorf("the host reaches a network that it is not in: %q", got)
	}
	if r, err := b.Run(t.Context(), Cmd{Args: []string{"ip", "-o", "addr"}}); err != nil || !strings.Contains(r.Stdout, "10.99.1.2/24") || strings.Contains(r.Stdout, "10.99.2.") {
		t.Errorf("program in the namespace sees %s, %v", r.Stdout, err)
	}
	if !strings.Contains(a.Log(), "10.99.2.0/24") {
		t.Errorf("no route in the log:\n%s", a.Log())
	}
	if err := a.Do(func() error { return os.ErrInvalid }); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("Do = %v, want the function's error", err)
	}

	l.Close()
	<-served
	if err := errors.Join(a.Stop(), b.Stop()); err != nil {
		t.Error(err)
	}
	// The kernel takes a namespace down a moment after its last user.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := await(ctx, nil, func(context.Context) error {
		addrs, err := net.InterfaceAddrs()
		if i := slices.IndexFunc(addrs, func(a net.Addr) bool { return strings.HasPrefix(a.String(), "10.99.2.") }); i >= 0 {
			return fmt.Errorf("address %v is left", addrs[i])
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
