package dockerplugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/polltest"
)

// asChild says that this process is the program that systemd starts.
const asChild = "API_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	os.Exit(child())
}

// child serves until its input ends.
func child() int {
	sockets, err := Passed()
	l := sockets.Logs
	if err == nil && l == nil {
		l, err = Listen(os.Getenv("API_TEST_PATH"))
	}
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		return 1
	}
	if v, ok := os.LookupEnv("LISTEN_FDS"); ok {
		fmt.Fprintln(os.Stdout, "LISTEN_FDS is still", v)
		return 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	if err := New(&fake{}, Options{}).Serve(ctx, l); err != nil {
		fmt.Fprintln(os.Stdout, err)
		return 1
	}
	return 0
}

// startChild starts this test program as systemd does: with f as file 3, and its own pid in LISTEN_PID.
func startChild(t *testing.T, f *os.File, env ...string) (cmd *exec.Cmd, out *strings.Builder, stop func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), "/bin/sh", "-c", `LISTEN_PID=${FORCE_PID:-$$} exec "$0"`, self)
	cmd.Env = append([]string{asChild + "=1", "LISTEN_FDNAMES=secretref.socket"}, env...)
	cmd.ExtraFiles = []*os.File{f}
	out = &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out, func() { _ = in.Close() }
}

// unixFile returns a listening socket at path, as systemd makes it.
func unixFile(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestSocketActivation(t *testing.T) {
	path := filepath.Join(socketDir(t), "p.sock")
	f := unixFile(t, path)
	early, err := net.Dial("unix", path) // waits in the backlog
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	for range 2 { // a restart: the socket, and who waits in it, outlives the process
		cmd, out, stop := startChild(t, f, "LISTEN_FDS=1", "API_TEST_PATH=/proc/wins")
		_ = early.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := early.Write([]byte("POST /LogDriver.Capabilities HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := early.Read(b)
		if err != nil || !strings.Contains(string(b[:n]), `{"Cap":{"ReadLogs":false}`) {
			t.Errorf("answer %q, %v", b[:n], err)
		}
		stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if early, err = net.Dial("unix", path); err != nil {
			t.Fatalf("the socket ended with the process: %v", err)
		}
		defer early.Close() //nolint:gocritic // deferInLoop: two
	}
}

func TestBadActivation(t *testing.T) {
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tcp.Close() })
	tcpFile, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	defer tcpFile.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, c := range map[string]struct {
		file *os.File
		fds  string
		want string
	}{
		"four sockets": {null, "4", `systemd passes "4" sockets`},
		"no number":    {null, "", `systemd passes "" sockets`},
		"TCP":          {tcpFile, "1", "systemd passes a socket of tcp"},
		"no socket":    {null, "1", "is not a listening socket"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, out, _ := startChild(t, c.file, "LISTEN_FDS="+c.fds, "API_TEST_PATH=/proc/none")
			if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), c.want) {
				t.Errorf("%v: %q, want %q in it", err, out, c.want)
			}
		})
	}
}

// The variables of another process mean nothing.
func TestActivationOfAnotherProcess(t *testing.T) {
	path := filepath.Join(socketDir(t), "p.sock")
	f := unixFile(t, filepath.Join(socketDir(t), "other.sock"))
	cmd, out, stop := startChild(t, f, "LISTEN_FDS=1", "FORCE_PID=1", "API_TEST_PATH="+path)
	waitSocket(t, path)
	stop()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func waitSocket(t *testing.T, path string) {
	t.Helper()
	polltest.Until(t, 20*time.Second, "a socket at "+path, func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func TestListenAtPath(t *testing.T) {
	dir := filepath.Join(socketDir(t), "docker", "plugins")
	path := filepath.Join(dir, "p.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]fs.FileMode{path: fs.ModeSocket | 0o600, dir: fs.ModeDir | 0o700, filepath.Dir(dir): fs.ModeDir | 0o700} {
		if st, err := os.Lstat(p); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", p, st.Mode(), err, want)
		}
	}
	if l.Addr().String() != path {
		t.Errorf("Addr is %s", l.Addr())
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another process does") {
		t.Errorf("a second listener: %v", err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the second listener broke the first: %v", err)
	}
	_ = c.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestListenReplacesWhatIsStale(t *testing.T) {
	path := filepath.Join(socketDir(t), "p.sock")
	_ = unixFile(t, path).Close() // the file stays
	_ = unixFile(t, path+".new").Close()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestListenLeavesOthersAlone(t *testing.T) {
	dir := socketDir(t)
	for name, make := range map[string]func(string) error{
		"file":      func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"symlink":   func(p string) error { return os.Symlink("/run/docker.sock", p) },
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Listen("p.sock"); err == nil {
		t.Error("a relative path is fine")
	}
	if _, err := Listen(filepath.Join(dir, strings.Repeat("x", 120))); err == nil {
		t.Error("a path that is too long is fine")
	}
	path := filepath.Join(dir, "p.sock")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the first listener removed the second's file: %v", err)
	}
	_ = second.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second listener left its file: %v", err)
	}
}
