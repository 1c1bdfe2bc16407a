package credhelper_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// bin is the directory with both programs. TestMain sets it before the first test.
var bin string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if err := rig.HideInstalled(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // most tests wait for a deadline, not for a processor
		panic(err)
	}
	dir, err := publicDir()
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		bin = dir
		_, err = rig.Build(context.Background(), dir+"/", "./credhelper/cmd/...")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// publicDir makes a directory that other users may enter: a helper of theirs lies there.
func publicDir() (string, error) {
	dir, err := os.MkdirTemp("", "credhelper-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	return dir, err
}

const (
	helper = "docker-credential-secretref"

	// timeout is what every configuration here sets, and limit what a run may take with the start of its processes on a
	// busy machine.
	timeout = 5 * time.Second
	limit   = timeout + 3*time.Second
)

// users counts the users whom the tests make up, one for each world: root prefers /run/secretref, and would share its
// cache with everything else that runs here.
var users atomic.Uint32

// firstUID keeps two runs of this test on one machine from clearing each other's keyrings.
func firstUID() uint32 { return 100_000 + uint32(os.Getpid()%10_000)*500 }

func newUID() uint32 { return firstUID() + users.Add(1) }

// world is a host with one user, who has a directory, a cache and a keyring of their own, and an AWS.
type world struct {
	t      *testing.T
	dir    string
	bin    string // where the helper is
	uid    uint32
	env    map[string]string
	aws    *fakeaws.Server
	canary *rig.Canary
	login  *rig.Canary // a user name out of a secret
}

func newWorld(t *testing.T, o fakeaws.Options) *world {
	t.Helper()
	dir, err := publicDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, dir: dir, bin: bin, uid: newUID(), aws: fakeaws.New(t, o), canary: rig.NewCanary(), login: rig.NewCanary()}
	for _, name := range []string{"run", "home", "bin"} {
		w.mkdir(name)
	}
	w.env = map[string]string{
		"PATH": dir + "/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": dir + "/home", "XDG_RUNTIME_DIR": dir + "/run",
		"SECRETREF_CONFIG": dir + "/config.toml", "SECRETREF_SYSLOG": "off",
	}
	w.setenv(w.aws.Environ()...)
	if w.aws.CAPEM != nil {
		w.write("ca.pem", string(w.aws.CAPEM), 0o644, 0)
	}
	if err := os.Symlink(filepath.Join(bin, helper), filepath.Join(dir, "bin", helper)); err != nil {
		t.Fatal(err)
	}
	w.cleanUpAfter(w.uid)
	return w
}

func (w *world) setenv(pairs ...string) {
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		w.env[name] = value
	}
}

// mkdir makes a directory that belongs to the world's user alone.
func (w *world) mkdir(name string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := errors.Join(os.Mkdir(path, 0o700), os.Chown(path, int(w.uid), int(w.uid))); err != nil {
		w.t.Fatal(err)
	}
}

// write makes or replaces a file.
func (w *world) write(name, text string, mode os.FileMode, uid uint32) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	for _, dir := range w.missing(filepath.Dir(name)) {
		w.mkdir(dir)
	}
	if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode), os.Chown(path, int(uid), int(uid))); err != nil {
		w.t.Fatal(err)
	}
}

// missing returns dir and those above it that are not there, the highest first.
func (w *world) missing(dir string) []string {
	if _, err := os.Stat(filepath.Join(w.dir, dir)); err == nil {
		return nil
	}
	return append(w.missing(filepath.Dir(dir)), dir)
}

// config writes the configuration, with the timeout of all tests unless it begins with one of its own.
func (w *world) config(text string) {
	w.t.Helper()
	if !strings.HasPrefix(text, "[aws]") {
		text = "[aws]\ntimeout = \"5s\"\n" + text
	}
	w.write("config.toml", text, 0o644, 0)
}

// secret puts a secret with the canary as its password, and returns its ARN.
func (w *world) secret(name string) string {
	return w.aws.PutSecret(fakeaws.Secret{Name: name, String: `{"username":"robot","password":"` + w.canary.Value() + `"}`})
}

// result is what a run of the helper has written, and how it ended.
type result struct {
	stdin          string
	stdout, stderr string
	code           int
}

// run runs the helper as the world's user, with further attributes of the process if attr is not nil.
func (w *world) run(attr *syscall.SysProcAttr, stdin string, args ...string) result {
	w.t.Helper()
	r, err := w.start(attr, stdin, args...)()
	if err != nil {
		w.t.Fatalf("%s %q < %.200q: %v", helper, args, w.show(stdin), err)
	}
	return r
}

func (w *world) get(host string) result {
	w.t.Helper()
	return w.run(nil, host, "get")
}

// start starts the helper and returns what waits for it.
func (w *world) start(attr *syscall.SysProcAttr, stdin string, args ...string) func() (result, error) {
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Credential = &syscall.Credential{Uid: w.uid, Gid: w.uid}
	attr.Setpgid = true
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	cmd := exec.CommandContext(ctx, filepath.Join(w.bin, helper), args...)
	for name, value := range w.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.SysProcAttr, cmd.Dir = attr, w.dir
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	began := time.Now()
	err := cmd.Start()
	return func() (result, error) {
		defer cancel()
		if err == nil {
			err = cmd.Wait()
		}
		r := result{stdin, stdout.String(), stderr.String(), -1}
		if cmd.ProcessState != nil {
			r.code = cmd.ProcessState.ExitCode()
		}
		took := time.Since(began)
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit) && r.code >= 0, errors.Is(err, syscall.EPIPE): // it need not read all of its input
		case err != nil:
			return r, err
		}
		if took > limit {
			return r, fmt.Errorf("it took %v, more than its timeout of %v: %s", took, timeout, w.show(render(r)))
		}
		return r, nil
	}
}

// show makes a text that is the same in every run, and that holds no secret.
func (w *world) show(text string) string {
	host, _ := os.Hostname() // "" stays as it is
	pairs := []string{
		w.canary.Value(), "$CANARY", w.login.Value(), "$LOGIN", w.dir, "$WORK", bin, "$BIN", strings.TrimPrefix(strings.TrimPrefix(w.aws.URL, "http://"), "https://"), "$AWS",
		strings.TrimPrefix(w.aws.IMDSURL, "http://"), "$IMDS", fmt.Sprint("uid ", w.uid), "uid $UID",
	}
	if host != "" {
		pairs = append(pairs, helper+"@"+host, helper+"@$HOST")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// expand is the opposite of show.
func (w *world) expand(text string) string {
	return strings.NewReplacer(
		"$CANARY", w.canary.Value(), "$LOGIN", w.login.Value(), "$WORK", w.dir, "$BIN", bin, "$AWS", strings.TrimPrefix(strings.TrimPrefix(w.aws.URL, "http://"), "https://"),
		"$IMDS", strings.TrimPrefix(w.aws.IMDSURL, "http://"),
		"$HUGE", strings.Repeat("a", 1<<20), "$64K", strings.Repeat(w.canary.Value(), 1+65536/len(w.canary.Value()))[:65536],
	).Replace(text)
}

// cleanUpAfter takes away what a user leaves outside of the world's directory.
func (w *world) cleanUpAfter(uid uint32) {
	w.t.Cleanup(func() {
		forgetKeys(w.t, uid)
		if err := os.RemoveAll(fmt.Sprint("/dev/shm/secretref-", uid)); err != nil {
			w.t.Error(err)
		}
	})
}

// forgetKeys empties the keyring of a user. The thread that becomes this user ends with its goroutine.
func forgetKeys(t *testing.T, uid uint32) {
	t.Helper()
	if uid < firstUID() {
		t.Fatalf("uid %d is not one of those that the tests make up", uid)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)) // of this thread alone
		if errno != 0 {
			done <- errno
			return
		}
		_, err := unix.KeyctlInt(unix.KEYCTL_CLEAR, unix.KEY_SPEC_USER_KEYRING, 0, 0, 0)
		done <- err
	}()
	if err := <-done; err != nil {
		t.Errorf("clear the keyring of uid %d: %v; the tests run as root", uid, err)
	}
}
