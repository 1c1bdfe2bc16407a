//go:build integration

// Package hosttest looks at what a host does with the secrets that the credential helper handles: kernel keyrings, other
// users, containers, network namespaces, core dumps, processes that look at each other. It uses the built programs and
// real kernel parts; the behaviour that needs none of these is tested beside the code.
package hosttest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/hostcache"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secretref"
)

const (
	front    = "docker-credential-secretref"
	resolver = "secretref-resolve"
	registry = "registry.example.com"
	user     = "robot"

	other   = 65534 // a user without any rights
	crowded = 65532 // one whose quota of keys is used up here

	systemDir = "/run/secretref" // root's cache
	deadline  = 20 * time.Second // for what takes a moment
)

// base holds all that the tests write, and bin the programs. Other users may enter. TestMain sets both before the first
// test.
var base, bin string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) (status int) {
	ctx := context.Background()
	_, err := os.Stat(systemDir)
	hadSystemDir := err == nil
	if base, err = publicDir("", "sr-host-"); err == nil {
		bin, err = publicDir(base, "bin-")
	}
	for _, pkg := range []string{"./credhelper/cmd/" + front, "./credhelper/cmd/" + resolver, "./credhelper/hosttest/testdata/probe"} {
		if err == nil {
			_, err = rig.Build(ctx, bin+"/", pkg)
		}
	}
	if err == nil {
		status = m.Run()
		err = leftovers()
	}
	err = errors.Join(err, os.RemoveAll(base))
	if !hadSystemDir {
		_ = os.Remove(systemDir) // stays when somebody else uses it meanwhile; our entries are looked for by each test
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// publicDir makes a directory that other users may enter.
func publicDir(parent, prefix string) (string, error) {
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) //nolint:gosec // see above
}

// leftovers names processes of our programs, and mounts and working directories below base, that have outlived the tests.
func leftovers() error {
	var errs []error
	processes, err := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		for _, link := range []string{"exe", "cwd", "root"} {
			if target, err := os.Readlink(filepath.Join(p, link)); err == nil && strings.HasPrefix(target, base) {
				errs = append(errs, fmt.Errorf("left over: %s has %s %s", p, link, target))
			}
		}
	}
	mounts, merr := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(mounts), base) {
		errs = append(errs, fmt.Errorf("left over: a mount below %s", base))
	}
	return errors.Join(append(errs, err, merr)...)
}

// host is a configuration with one rule, a private AWS behind it, and a secret that nobody else has.
type host struct {
	t      *testing.T
	aws    *fakeaws.Server
	dir    string // the working directory of programs; holds their configuration
	env    []string
	arn    string
	canary *rig.Canary // the password that the secret has at first
	group  string      // what the names of our cache entries begin with
	ids    map[int]map[string]bool
}

// newHost writes a configuration: settings, and a rule for registry. The environment is that of a host with AWS
// credentials; of a nil server, a new one.
func newHost(t *testing.T, aws *fakeaws.Server, settings string) *host {
	t.Helper()
	if aws == nil {
		aws = fakeaws.New(t, fakeaws.Options{})
	}
	dir, err := publicDir(base, "test-")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, aws: aws, dir: dir, canary: rig.NewCanary(), ids: map[int]map[string]bool{}}
	h.arn = aws.PutSecret(fakeaws.Secret{Name: "hosttest/" + strings.ToLower(rand.Text()), String: credentials(h.canary.Value())})
	ref, err := secretref.ParseCredentialsParameter(h.arn)
	if err != nil {
		t.Fatal(err)
	}
	h.group = hostcache.NewKey([]string{ref.Service.String(), ref.String()}, nil).Group
	config := settings + "\n[registries.\"" + registry + "\"]\ncredentialsParameter = \"" + h.arn + "\"\n"
	h.write("config.toml", config)
	h.env = rig.Env(dir, append(aws.Environ(), "SECRETREF_CONFIG="+h.config())...)
	t.Cleanup(h.clean)
	return h
}

func (h *host) config() string { return filepath.Join(h.dir, "config.toml") }

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // for other users
		h.t.Fatal(err)
	}
}

func credentials(password string) string {
	b, _ := json.Marshal(map[string]string{"username": user, "password": password}) // cannot fail
	return string(b)
}

// environ is the environment of a user of the host, with a runtime directory of the user's own.
func (h *host) environ(uid int) []string {
	h.t.Helper()
	if h.ids[uid] == nil {
		h.ids[uid] = map[string]bool{}
		run := h.runtimeDir(uid)
		if err := errors.Join(os.Mkdir(run, 0o700), os.Chown(run, uid, uid)); err != nil {
			h.t.Fatal(err)
		}
	}
	return append(slices.Clone(h.env), "XDG_RUNTIME_DIR="+h.runtimeDir(uid))
}

func (h *host) runtimeDir(uid int) string { return filepath.Join(h.dir, "run-"+strconv.Itoa(uid)) }

// call says how the front is to be run.
type call struct {
	uid    int
	wrap   []string // program and arguments in front of ours
	env    []string // further variables
	in     *rig.NetNS
	failed bool // the run is expected to fail
}

// run runs the front with args and stdin.
func (h *host) run(c call, stdin string, args ...string) rig.Result {
	h.t.Helper()
	cmd := rig.Cmd{
		Args: slices.Concat(c.wrap, []string{filepath.Join(bin, front)}, args), Env: append(h.environ(c.uid), c.env...),
		Dir: h.dir, Stdin: stdin, UID: uint32(c.uid), Timeout: deadline, //nolint:gosec // small numbers
	}
	run := cmd.Run
	if c.in != nil {
		run = func(ctx context.Context) (rig.Result, error) { return c.in.Run(ctx, cmd) }
	}
	r, err := run(h.t.Context())
	h.entries(c.uid)
	if (err != nil) != c.failed || c.failed && r.Code != 1 {
		h.t.Fatalf("%s as uid %d: exit status %d, %v, want a failure: %v", strings.Join(args, " "), c.uid, r.Code, err, c.failed)
	}
	return r
}

// get wants password as the answer.
func (h *host) get(c call, password string) {
	h.t.Helper()
	r := h.run(c, registry, "get")
	var got struct{ Username, Secret string }
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil || got.Username != user || got.Secret != password || r.Stderr != "" {
		h.t.Fatalf("get as uid %d = %q, user %q, password as wanted: %v (%v)", c.uid, r.Stderr, got.Username, got.Secret == password, err)
	}
}

// getFails wants one line, the same on both streams, that says all of says and no value.
func (h *host) getFails(c call, says ...string) {
	h.t.Helper()
	c.failed = true
	r := h.run(c, registry, "get")
	if want := front + ": " + r.Stdout; r.Stderr != want || strings.Count(r.Stdout, "\n") != 1 {
		h.t.Errorf("standard output %q, standard error %q; want one line on both", r.Stdout, r.Stderr)
	}
	for _, s := range append(says, "registry "+registry+": ") {
		if !strings.Contains(r.Stdout, s) {
			h.t.Errorf("the error does not say %q: %s", s, r.Stdout)
		}
	}
	if h.canary.In(r.Output) {
		h.t.Error("the error holds the password")
	}
}

// calls wants n questions for the secret since the beginning.
func (h *host) calls(n int) {
	h.t.Helper()
	if got := h.aws.CountCalls("GetSecretValue"); got != n {
		h.t.Errorf("%d calls of AWS, want %d", got, n)
	}
}

// explain returns what the front says of the cache.
func (h *host) explain(c call) string {
	h.t.Helper()
	for line := range strings.Lines(h.run(c, "", "explain", registry).Stdout) {
		if state, ok := strings.CutPrefix(line, "cache:"); ok {
			return strings.TrimSpace(state)
		}
	}
	h.t.Fatal("explain does not speak of the cache")
	return ""
}

// entries returns the paths of a user's cache entries for the secret.
func (h *host) entries(uid int) []string {
	h.t.Helper()
	var found []string
	for _, dir := range []string{systemDir, h.runtimeDir(uid) + "/secretref", "/run/user/" + strconv.Itoa(uid) + "/secretref", "/dev/shm/secretref-" + strconv.Itoa(uid)} {
		paths, err := filepath.Glob(filepath.Join(dir, h.group+"-*"))
		if err != nil {
			h.t.Fatal(err)
		}
		if uid != 0 && dir == systemDir && len(paths) > 0 && h.ids[0] == nil {
			h.t.Errorf("uid %d has written into root's cache: %v", uid, paths)
		}
		if uid != 0 && dir == systemDir {
			continue
		}
		found = append(found, slices.DeleteFunc(paths, func(p string) bool { return strings.HasSuffix(p, ".lock") })...)
	}
	for _, p := range found {
		h.ids[uid][id(p)] = true
	}
	return found
}

// entry returns the path of the user's only entry.
func (h *host) entry(uid int) string {
	h.t.Helper()
	e := h.entries(uid)
	if len(e) != 1 {
		h.t.Fatalf("uid %d has the cache entries %v, want one", uid, e)
	}
	return e[0]
}

// id is the part of an entry's name under which its key lies in the keyring.
func id(entry string) string {
	_, id, _ := strings.Cut(filepath.Base(entry), "-")
	return id
}

// keys returns the lines of /proc/keys that a user sees, without those of keys that have ended.
func keys(t *testing.T, uid int) []string {
	t.Helper()
	r, err := rig.Cmd{Args: []string{"cat", "/proc/keys"}, UID: uint32(uid)}.Run(context.Background()) //nolint:gosec // small numbers
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(r.Stdout, "\n"), func(line string) bool {
		f := strings.Fields(line)
		return len(f) < 4 || f[3] == "expd" || strings.Contains(f[1], "i") // i: invalidated
	})
}

// clean erases as each user, and looks whether anything is left.
func (h *host) clean() {
	for uid, ids := range h.ids {
		cmd := rig.Cmd{Args: []string{filepath.Join(bin, front), "erase"}, Env: h.environ(uid), Stdin: registry, UID: uint32(uid)} //nolint:gosec // small numbers
		if _, err := cmd.Run(context.Background()); err != nil {                                                                   // t.Context has ended
			h.t.Error(err)
		}
		if left := h.entries(uid); len(left) > 0 {
			h.t.Errorf("erase has left %v", left)
		}
		await(h.t, "the end of the keys", func() bool {
			return !slices.ContainsFunc(keys(h.t, uid), func(line string) bool {
				_, rest, ok := strings.Cut(line, "secretref:")
				key, _, _ := strings.Cut(rest, ":")
				return ok && ids[key] || strings.Contains(line, "hosttest:")
			})
		})
	}
	if err := os.RemoveAll(h.dir); err != nil {
		h.t.Error(err)
	}
}

// await polls for what the kernel or another process does by itself.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	polltest.Until(t, deadline, what, done)
}
