//go:build integration

package hosttest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// process is a program of ours that is stopped at a moment of the test's choice, with core dumps switched on.
type process struct {
	cmd    *exec.Cmd
	dir    string // where a core file would be, if core_pattern is the kernel's default
	stderr bytes.Buffer
	wait   func() error
}

// start runs args as uid in an empty directory with `ulimit -c unlimited`. Standard output is a pipe that is full already:
// who writes to it waits there, with what it writes in memory.
func start(t *testing.T, env []string, uid int, stdin string, args ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp(base, "cwd-")
	if err == nil {
		err = os.Chown(dir, uid, uid)
	}
	if err != nil {
		t.Fatal(err)
	}
	stdout := fullPipe(t)
	p := &process{dir: dir}
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", `ulimit -c unlimited; exec "$@"`, "sh"}, args...)...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = dir, env, strings.NewReader(stdin), stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}} //nolint:gosec // small numbers
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.wait = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.wait()
		_ = os.RemoveAll(dir) // TestMain looks for what is left
	})
	return p
}

// fullPipe returns the end of a pipe to which nothing more can be written.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe")
	t.Cleanup(func() { _ = errors.Join(r.Close(), w.Close()) })
	size, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	if err == nil {
		_, err = unix.Write(fds[1], make([]byte, size))
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// killed sends a signal and returns how the process ended.
func (p *process) killed(t *testing.T, s syscall.Signal) syscall.WaitStatus {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(deadline, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.wait() // a failure is what is wanted
	ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		t.Errorf("%v has not ended the process", s)
	}
	return ws
}

// files lists what the process has left in its working directory.
func (p *process) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// holds reports whether text is in the memory of the process, of which program must be the one that runs by now. Root may
// look.
func (p *process) holds(program, text string) bool {
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	if exe, err := os.Readlink(proc + "exe"); err != nil || filepath.Base(exe) != program {
		return false
	}
	maps, err := os.ReadFile(proc + "maps")
	mem, merr := os.Open(proc + "mem")
	if err != nil || merr != nil {
		return false
	}
	defer mem.Close()
	for s := bufio.NewScanner(bytes.NewReader(maps)); s.Scan(); {
		f := strings.Fields(s.Text())
		from, to, _ := strings.Cut(f[0], "-")
		low, err := strconv.ParseInt(from, 16, 64)
		high, herr := strconv.ParseInt(to, 16, 64)
		if err != nil || herr != nil || !strings.HasPrefix(f[1], "rw") || high-low > 256<<20 {
			continue
		}
		b, err := io.ReadAll(io.NewSectionReader(mem, low, high-low))
		if err == nil && bytes.Contains(b, []byte(text)) {
			return true
		}
	}
	return false
}

// A moment at which a program has the password in its memory.
type moment struct {
	name, program string
	stop          func(t *testing.T, h *host, uid int, env []string) *process
}

var moments = []moment{
	{"the front writes a cached answer", front, func(t *testing.T, h *host, uid int, env []string) *process {
		h.get(call{uid: uid, env: env}, h.canary.Value())
		return start(t, append(h.environ(uid), env...), uid, registry, filepath.Join(bin, front), "get")
	}},
	{"the resolver writes an answer of AWS", resolver, func(t *testing.T, h *host, uid int, env []string) *process {
		return start(t, append(h.environ(uid), env...), uid, registry, filepath.Join(bin, front), "get")
	}},
	{"the resolver has a password to store and waits for AWS", resolver, func(t *testing.T, h *host, uid int, env []string) *process {
		h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang, Op: "GetSecretValue"})
		return start(t, append(h.environ(uid), env...), uid, toStore(h), filepath.Join(bin, front), "store")
	}},
}

func toStore(h *host) string {
	return `{"ServerURL":"` + registry + `","Username":"` + user + `","Secret":"` + h.canary.Value() + `"}`
}

// at starts a process and returns when it is at the moment, with the password in its memory.
func (m moment) at(t *testing.T, uid int, env ...string) (*host, *process) {
	t.Helper()
	h := newHost(t, nil, "[aws]\ntimeout = \"60s\"")
	p := m.stop(t, h, uid, env)
	await(t, "the password in the memory of "+m.program, func() bool { return p.holds(m.program, h.canary.Value()) })
	h.entries(uid)
	return h, p
}

// What has crashed or was killed leaves no memory behind, although core dumps are on and there is something to dump.
func TestNoCoreDump(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGQUIT, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE, syscall.SIGTRAP}
	for _, s := range signals {
		p := start(t, rig.Env(base), 0, "", "/bin/sleep", "60")
		await(t, "sleep", func() bool {
			return slices.Contains(arguments(p.cmd.Process.Pid), "60") && arguments(p.cmd.Process.Pid)[0] == "/bin/sleep"
		})
		if ws := p.killed(t, s); !ws.CoreDump() {
			t.Fatalf("%v makes no core dump of a program without protection, so this test shows nothing", s)
		}
	}
	for _, m := range moments {
		for _, s := range signals {
			// The second is the environment of somebody who debugs Go programs, for good or evil.
			for _, env := range [][]string{nil, {"GOTRACEBACK=crash"}} {
				t.Run(fmt.Sprint(m.name, ", ", s, env), func(t *testing.T) {
					h, p := m.at(t, 0, env...)
					ws := p.killed(t, s)
					if files := p.files(t); ws.CoreDump() || len(files) > 0 {
						t.Errorf("a core dump: %v, files %v", ws.CoreDump(), files)
					}
					// The runtime's dump of goroutines has addresses, and registers of eight bytes.
					text := p.stderr.String()
					if h.canary.In(text) || inWords(text, h.canary.Value()) {
						t.Errorf("the password, or eight bytes of it, are on standard error: %s", text)
					}
				})
			}
		}
	}
}

// inWords reports whether eight bytes of value stand in text as a number, as a processor keeps them.
func inWords(text, value string) bool {
	for i := range len(value) - 7 {
		word := []byte(value[i : i+8])
		if strings.Contains(text, fmt.Sprintf("0x%x", binary.LittleEndian.Uint64(word))) || strings.Contains(text, fmt.Sprintf("0x%x", word)) {
			return true
		}
	}
	return false
}

// arguments returns the command line of a process.
func arguments(pid int) []string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // of a process that has ended: none
	return strings.Split(string(b), "\x00")
}

// Killed at whatever moment from its start on, the helper has never left the password in a file.
func TestKilledAtAnyMoment(t *testing.T) {
	h := newHost(t, nil, "")
	for i := range 60 {
		signal := []syscall.Signal{syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGQUIT, syscall.SIGKILL}[i%4]
		if i%8 < 4 {
			h.run(call{uid: other}, registry, "erase") // a cold one
		}
		p := start(t, h.environ(other), other, registry, filepath.Join(bin, front), "get")
		select {
		case <-time.After(time.Duration(i/4) * 2 * time.Millisecond):
		case <-t.Context().Done():
		}
		_ = p.cmd.Process.Signal(signal) // it cannot have ended: its output is full
		_ = p.wait()
		if h.canary.In(p.stderr.String()) {
			t.Errorf("%v after %d ms: the password is on standard error", signal, i/4*2)
		}
		h.nowhere(p.dir, h.dir)
	}
	h.get(call{uid: other}, h.canary.Value())
}

// nowhere wants the password in no file below dirs.
func (h *host) nowhere(dirs ...string) {
	h.t.Helper()
	found, err := h.canary.FindInFiles(h.t.Context(), dirs...)
	if err != nil || len(found) > 0 {
		h.t.Errorf("the password is in the files %v (%v)", found, err)
	}
}

// A process of the same user sees neither memory nor environment of the two programs, and cannot trace them.
func TestOtherProcessesCannotLook(t *testing.T) {
	peek := func(t *testing.T, pid int) string {
		t.Helper()
		r, err := rig.Cmd{Args: probe("peek", strconv.Itoa(pid)), UID: other, Dir: base}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r.Stdout
	}
	ways := []string{"mem", "environ", "maps", "auxv", "fd", "ptrace", "process_vm_readv"}
	plain := start(t, rig.Env(base), other, "", "/bin/sleep", "60")
	await(t, "sleep", func() bool { return arguments(plain.cmd.Process.Pid)[0] == "/bin/sleep" })
	open := peek(t, plain.cmd.Process.Pid)
	for _, way := range ways {
		if !strings.Contains(open, way+": <nil>\n") {
			t.Errorf("%s does not work with a program without protection, so this test shows nothing: %s", way, open)
		}
	}
	for _, m := range moments {
		t.Run(m.name, func(t *testing.T) {
			h, p := m.at(t, other)
			got := peek(t, p.cmd.Process.Pid)
			for _, way := range ways {
				if !strings.Contains(got, "\n"+way+": ") && !strings.HasPrefix(got, way+": ") || strings.Contains(got, way+": <nil>") ||
					!strings.Contains(got, "permission denied") && !strings.Contains(got, "operation not permitted") {
					t.Errorf("a process of the same user can use %s: %s", way, got)
				}
			}
			if found, err := h.canary.FindInProc(); err != nil || len(found) > 0 {
				t.Errorf("the password is in %v (%v)", found, err)
			}
		})
	}
}

// Every command once, with the password going through it: only `get` says it, and nothing on the host keeps it.
func TestNothingKeepsThePassword(t *testing.T) {
	h := newHost(t, nil, "")
	docker := filepath.Join(h.dir, "docker")
	c := call{env: []string{"DOCKER_CONFIG=" + docker}}
	for _, step := range []struct {
		stdin  string
		args   []string
		failed bool
	}{
		{registry, []string{"get"}, false},
		{registry, []string{"get"}, false},
		{toStore(h), []string{"store"}, false},
		{strings.Replace(toStore(h), user, "somebody", 1), []string{"store"}, true},
		{strings.Replace(toStore(h), registry, "other.example.com", 1), []string{"store"}, true},
		{toStore(h)[1:], []string{"store"}, true},
		{h.canary.Value(), []string{"get"}, true}, // pasted into the wrong place
		{"", []string{"list"}, false},
		{"", []string{"check", "--no-clients"}, false},
		{"", []string{"explain", registry}, false},
		{"", []string{"configure", "docker"}, false},
		{registry, []string{"erase"}, false},
		{toStore(h), []string{"store"}, false}, // cold
		{registry, []string{"get"}, false},
		{"", []string{"explain", registry}, false},
	} {
		c.failed = step.failed
		r := h.run(c, step.stdin, step.args...)
		if step.args[0] == "get" && !step.failed {
			if !h.canary.In(r.Stdout) || h.canary.In(r.Stderr) {
				t.Errorf("get says the password on standard output: %v, on standard error: %v", h.canary.In(r.Stdout), h.canary.In(r.Stderr))
			}
		} else if h.canary.In(r.Output) {
			t.Errorf("%v says the password: %s", step.args, strings.ReplaceAll(r.Output, h.canary.Value(), "[canary]"))
		}
	}
	entry := h.entry(0)
	// The search finds a password that is there: with this it would be no use.
	witness := filepath.Join(h.dir, "witness")
	h.write("witness", h.canary.Value())
	if found, err := h.canary.FindInFiles(t.Context(), h.dir); err != nil || len(found) != 1 || found[0] != witness {
		t.Errorf("the search finds %v (%v), want %s", found, err, witness)
	}
	if err := os.Remove(witness); err != nil {
		t.Fatal(err)
	}
	h.nowhere(h.dir, filepath.Dir(entry), "/dev/shm", "/etc", "/root", "/var/log", "/var/tmp", "/var/lib/systemd")
	if found, err := h.canary.FindInProc(); err != nil || len(found) > 0 {
		t.Errorf("the password is in %v (%v)", found, err)
	}
	sealed, err := os.ReadFile(entry)
	if err != nil || len(sealed) < 100 || bytes.Contains(sealed, []byte(user)) || bytes.Contains(sealed, []byte("password")) {
		t.Errorf("the cache entry is not just ciphertext: %q, %v", sealed, err)
	}
	if info, err := os.Stat(entry); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the cache entry has mode %v, %v", info.Mode(), err)
	}
}
