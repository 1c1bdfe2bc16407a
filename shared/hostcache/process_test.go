package hostcache

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

// job is what another process is asked to do. The test binary does it instead of its tests when the variable is set.
type job struct {
	Dirs      []string
	Group     []string
	Rest      []string
	Anonymous bool          // in a session keyring of its own, not linked to @u, as a system service has
	Forbid    unix.Errno    // keyctl and add_key answer this, as under a container's seccomp profile
	Fill      string        // "bytes" or "keys": use up the keyring's quota first
	Gate      bool          // begin at the end of stdin
	LookOnly  bool          // no Do
	Steal     *Key          // look for this key of another uid instead
	Serial    int           // and try to read the kernel key of this number
	Lasts     time.Duration // of fetch
	Fails     fault.Kind    // of fetch
	Calls     string        // a file that gets a byte for each fetch
	Forget    bool          // erase the key at the end
}

// result is what it tells on stdout.
type result struct {
	Value    string
	Stale    bool
	Kind     fault.Kind
	Err      string
	Disabled string
	Took     time.Duration
	Kept     bool // a Lookup afterwards finds it
	KeyLeft  bool
	Serial   string // what the kernel says to reading it
}

const jobVariable = "HOSTCACHE_TEST_JOB"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(jobVariable)
	if !ok {
		os.Exit(m.Run())
	}
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		err = j.run(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (j job) run(in io.Reader, out io.Writer) error {
	if j.Anonymous {
		return j.inAnonymousSession()
	}
	if j.Forbid != 0 {
		if err := forbidKeyctl(j.Forbid); err != nil {
			return err
		}
	}
	c := Open(Options{Dirs: j.Dirs})
	if j.Fill != "" {
		full, err := fillQuota(j.Fill)
		defer func() {
			for _, serial := range full {
				invalidate(serial)
			}
		}()
		if err != nil {
			return err
		}
	}
	if j.Gate {
		fmt.Fprintln(os.Stderr, "ready")
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
	}
	k := NewKey(j.Group, j.Rest)
	if j.Steal != nil {
		k = *j.Steal
	}
	start := time.Now()
	var r result
	if j.Serial != 0 {
		var key [keySize]byte
		_, err := unix.KeyctlBuffer(unix.KEYCTL_READ, j.Serial, key[:], 0)
		r.Serial = fmt.Sprint(err)
	}
	if j.LookOnly {
		a, _ := c.Lookup(k)
		r.Value = a.Payload.Reveal()
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		a, err := c.Do(ctx, k, j.fetch)
		r.Value, r.Stale, r.Kind = a.Payload.Reveal(), a.Stale, fault.KindOf(err)
		if err != nil {
			r.Err = err.Error()
		}
	}
	r.Took, r.Disabled = time.Since(start), c.Disabled()
	_, r.Kept = c.Lookup(k)
	if j.Forget {
		if err := c.Erase(k); err != nil {
			return err
		}
		r.KeyLeft = hasKey(k.ID)
	}
	return json.NewEncoder(out).Encode(r)
}

// inAnonymousSession does the job as a new program: a session keyring is joined by one thread, and goes to all that it executes.
func (j job) inAnonymousSession() error {
	runtime.LockOSThread()
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("join an anonymous session keyring: %w", err)
	}
	j.Anonymous = false
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, []string{jobVariable + "=" + string(text)})
}

func (j job) fetch(ctx context.Context) (Fetched, error) {
	f, err := os.OpenFile(j.Calls, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return Fetched{}, err
	}
	if _, err := f.WriteString("."); err != nil {
		return Fetched{}, err
	}
	if err := f.Close(); err != nil {
		return Fetched{}, err
	}
	fmt.Fprintln(os.Stderr, "fetching")
	if j.Lasts > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(j.Lasts):
		}
	}
	if j.Fails != "" {
		return Fetched{}, &fault.Error{Kind: j.Fails, Op: "get", Cause: "as the test wants"}
	}
	return Fetched{Payload: secret.New(fmt.Sprint("value of ", os.Getuid())), Window: policy.Value(time.Now())}, nil
}

// fillQuota adds keys to @u until the kernel refuses.
func fillQuota(what string) (serials []int, err error) {
	sizes := map[string][]int{"bytes": {16000, 1000, 64, 1}, "keys": {1}}[what]
	for _, size := range sizes {
		for {
			serial, err := unix.AddKey(keyType, fmt.Sprint("hostcache test ", len(serials)), make([]byte, size), unix.KEY_SPEC_USER_KEYRING)
			if errors.Is(err, unix.EDQUOT) {
				break
			}
			if err != nil {
				return serials, err
			}
			serials = append(serials, serial)
			if len(serials) > 1000 {
				return serials, errors.New("no quota in a thousand keys")
			}
		}
	}
	return serials, nil
}

// forbidKeyctl has every thread of the process get an errno from keyctl and add_key.
func forbidKeyctl(errno unix.Errno) error {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_KEYCTL, Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_ADD_KEY, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	if e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	return nil
}

// process is a job that runs.
type process struct {
	cmd      *exec.Cmd
	out      bytes.Buffer
	progress *bufio.Reader
}

func (j job) start(t *testing.T, uid int, stdin io.Reader) *process {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	// Through /proc: the directory of the test binary is closed to other uids.
	p := &process{cmd: exec.CommandContext(t.Context(), "/proc/self/exe")}
	p.cmd.Env = []string{jobVariable + "=" + string(text)}
	p.cmd.Stdin, p.cmd.Stdout = stdin, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}, Pdeathsig: syscall.SIGKILL}
	progress, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.progress = bufio.NewReader(progress)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// await waits for a line of progress.
func (p *process) await(t *testing.T, want string) {
	t.Helper()
	line, err := p.progress.ReadString('\n')
	if strings.TrimSpace(line) != want {
		t.Fatalf("the process says %q, %v; want %q", line, err, want)
	}
}

func (p *process) result(t *testing.T) result {
	t.Helper()
	rest, _ := io.ReadAll(p.progress)
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("process: %v: %s", err, rest)
	}
	var r result
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		t.Fatalf("process said %q: %v", p.out.Bytes(), err)
	}
	return r
}

func (j job) do(t *testing.T, uid int) result {
	t.Helper()
	return j.start(t, uid, nil).result(t)
}

// newJob returns a job on a key of the test's own, in directories that any uid can use. The root's key is dropped at the end.
func newJob(t *testing.T) (job, Key) {
	t.Helper()
	base, err := os.MkdirTemp("/dev/shm", "hostcache-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(base, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	j := job{
		Dirs:  []string{filepath.Join(base, "0"), filepath.Join(base, "mine")},
		Group: []string{t.Name(), base}, Calls: filepath.Join(base, "calls"),
	}
	k := NewKey(j.Group, j.Rest)
	t.Cleanup(func() { dropKey(k.ID) })
	return j, k
}

func (j job) calls(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(j.Calls)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return len(b)
}

func TestFiftyProcesses(t *testing.T) {
	for name, c := range map[string]struct {
		n     int
		fails fault.Kind
		want  string
	}{
		"a value":             {50, "", "value of 0"},
		"a transient failure": {20, fault.Unreachable, ""},
		"a permanent failure": {20, fault.Denied, ""},
	} {
		t.Run(name, func(t *testing.T) {
			j, _ := newJob(t)
			j.Gate, j.Lasts, j.Fails = true, 300*time.Millisecond, c.fails
			gate, open, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			all := make([]*process, c.n)
			for i := range all {
				all[i] = j.start(t, 0, gate)
			}
			for _, p := range all {
				p.await(t, "ready")
			}
			if err := errors.Join(open.Close(), gate.Close()); err != nil {
				t.Fatal(err)
			}
			for i, p := range all {
				if r := p.result(t); r.Value != c.want || r.Kind != c.fails {
					t.Errorf("process %d: %+v, want %q %s", i, r, c.want, c.fails)
				}
			}
			if n := j.calls(t); n != 1 {
				t.Errorf("%d processes made %d calls, want 1", c.n, n)
			}
		})
	}
}

func TestHolderIsKilled(t *testing.T) {
	j, _ := newJob(t)
	j.Lasts = time.Hour
	holder := j.start(t, 0, nil)
	holder.await(t, "fetching")
	j.Lasts, j.Gate = 0, true
	gate, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	next := j.start(t, 0, gate)
	next.await(t, "ready")
	if err := errors.Join(open.Close(), gate.Close(), holder.cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = holder.cmd.Wait()
	if r := next.result(t); r.Value != "value of 0" || !r.Kept || r.Took > 5*time.Second {
		t.Errorf("the next one: %+v, want an answer soon", r)
	}
}

// A holder that is stopped keeps the lock: the others answer within their own time, and their answer is kept.
func TestHolderIsStopped(t *testing.T) {
	j, k := newJob(t)
	j.Lasts = time.Hour
	holder := j.start(t, 0, nil)
	holder.await(t, "fetching")
	if err := holder.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c := open(t, Options{Dirs: j.Dirs})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	a, err := c.Do(ctx, k, func(ctx context.Context) (Fetched, error) {
		return Fetched{Payload: secret.New("mine"), Window: policy.Value(time.Now())}, ctx.Err()
	})
	if err != nil || a.Payload.Reveal() != "mine" {
		t.Errorf("Do = %+v, %v; want an answer before the deadline", a, err)
	}
	if a, ok := c.Lookup(k); !ok || a.Payload.Reveal() != "mine" {
		t.Errorf("Lookup = %+v, %v; every one after it would wait again", a, ok)
	}
	if err := holder.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.cmd.Wait()
}

// A system service has a session keyring without a link to the user's: it searches, but does not possess.
func TestSessions(t *testing.T) {
	for name, c := range map[string]struct{ writer, reader bool }{
		"same session, then a service":    {false, true},
		"a service, then a login session": {true, false},
		"two services":                    {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			j, _ := newJob(t)
			j.Anonymous = c.writer
			if r := j.do(t, 0); r.Value != "value of 0" || !r.Kept {
				t.Fatalf("writer: %+v", r)
			}
			j.Anonymous, j.LookOnly = c.reader, true
			if r := j.do(t, 0); r.Value != "value of 0" {
				t.Errorf("reader: %+v", r)
			}
		})
	}
}

func TestOtherUser(t *testing.T) {
	const nobody = 65534
	j, k := newJob(t)
	if r := j.do(t, 0); r.Value != "value of 0" {
		t.Fatalf("root: %+v", r)
	}
	// The other one is given the file, under the name that it would look for, in a directory of its own.
	mine := j.Dirs[1]
	sealed, err := os.ReadFile(filepath.Join(j.Dirs[0], k.name()))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mine, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mine, k.name()), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{mine, filepath.Join(mine, k.name())} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	serial, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, keyType, description(k.ID), 0)
	if err != nil {
		t.Fatal(err)
	}
	thief := job{Dirs: j.Dirs, LookOnly: true, Steal: &k, Serial: serial}
	if r := thief.do(t, nobody); r.Value != "" || r.Disabled != "" || r.Serial != unix.EACCES.Error() {
		t.Errorf("the other user looks and gets %+v", r)
	}
	j.Calls, j.Forget = filepath.Join(mine, "calls"), true
	if r := j.do(t, nobody); r.Value != "value of 65534" || !r.Kept || r.KeyLeft {
		t.Errorf("the other user's own cache: %+v", r)
	}
	if r := (job{Dirs: j.Dirs, Group: j.Group, LookOnly: true}).do(t, 0); r.Value != "value of 0" {
		t.Errorf("root's entry afterwards: %+v", r)
	}
}

func TestQuotaExhausted(t *testing.T) {
	for _, what := range []string{"bytes", "keys"} {
		t.Run(what, func(t *testing.T) {
			const uid = 65533
			j, _ := newJob(t)
			j.Fill, j.Forget = what, true
			r := j.do(t, uid)
			if r.Value != "value of 65533" || r.Kept || r.KeyLeft || r.Took > 5*time.Second {
				t.Errorf("%+v, want an answer that is not kept", r)
			}
			if !strings.Contains(r.Disabled, "full") {
				t.Errorf("Disabled = %q, want the quota in it", r.Disabled)
			}
		})
	}
}

func TestKeyctlForbidden(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS} {
		t.Run(errno.Error(), func(t *testing.T) {
			j, _ := newJob(t)
			j.Forbid = errno
			r := j.do(t, 0)
			if r.Value != "value of 0" || r.Kept || r.Took > 5*time.Second || !strings.Contains(r.Disabled, "not allowed here") {
				t.Errorf("%+v, want an answer, and the reason why it is not kept", r)
			}
			if left, _ := filepath.Glob(j.Dirs[0] + "/*"); len(left) != 0 {
				t.Errorf("files were written: %q", left)
			}
		})
	}
}

// What the warm path of the credential helper must not pay for.
func TestImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil || len(out) == 0 {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.Lines(string(out)) {
		for _, bad := range []string{"net/http", "crypto/tls", "github.com/aws/"} {
			if strings.HasPrefix(dep, bad) {
				t.Errorf("links %s", strings.TrimSpace(dep))
			}
		}
	}
}
