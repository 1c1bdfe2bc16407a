package routertest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// RsyslogOptions says how an Rsyslog listens, and what it writes.
type RsyslogOptions struct {
	// Template is how a message is written, in rsyslog's words, without the line break behind it.
	Template string
	// Module are parameters of the module imtcp.
	Module string
	// Authority is the certificate, in PEM, of what signs that of each client, which must have one. nil means no TLS.
	Authority []byte
	// Issue makes the server's certificate and its key.
	Issue func(names ...string) (cert, key []byte, err error)
}

// Rsyslog is rsyslogd with one input over TCP, a receiver that we did not write. It can be killed and started again.
type Rsyslog struct {
	conf, out, address string
	cmd                *exec.Cmd
	said               bytes.Buffer
}

// StartRsyslog starts an rsyslogd that ends with the test.
func StartRsyslog(t *testing.T, o RsyslogOptions) *Rsyslog {
	t.Helper()
	dir := t.TempDir()
	host := fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(64), rand.IntN(256), 1+rand.IntN(254)) // no other program's: the port stays free while it is killed
	r := &Rsyslog{conf: filepath.Join(dir, "conf"), out: filepath.Join(dir, "out")}
	global := ""
	if o.Authority != nil {
		global, o.Module = secureRsyslog(t, dir, host, o)
	}
	configure := func(port, more string) {
		text := fmt.Sprintf("global(workDirectory=%q maxMessageSize=\"128k\"%s)\nmodule(load=\"imtcp\" %s)\ntemplate(name=\"line\" type=\"string\" string=\"%s\\n\")\n"+
			"input(type=\"imtcp\" address=%q port=%q %s)\naction(type=\"omfile\" file=%q template=\"line\")\n", dir, global, o.Module, o.Template, host, port, more, r.out)
		if err := os.WriteFile(r.conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := filepath.Join(dir, "port")
	configure("0", fmt.Sprintf("listenPortFileName=%q", port))
	t.Cleanup(func() {
		r.Kill()
		if t.Failed() {
			t.Logf("rsyslogd: %s", r.said.String())
		}
	})
	r.Start(t)
	Await(t, "rsyslogd listens", func() bool {
		text, _ := os.ReadFile(port)
		r.address = net.JoinHostPort(host, strings.TrimSpace(string(text)))
		return len(text) > 0 && r.Listens() // the file is there before
	})
	_, p, _ := net.SplitHostPort(r.address)
	configure(p, "")
	return r
}

// secureRsyslog returns the parameters for mutual TLS.
func secureRsyslog(t *testing.T, dir, host string, o RsyslogOptions) (global, module string) {
	t.Helper()
	cert, key, err := o.Issue(host)
	if err != nil {
		t.Fatal(err)
	}
	global = " defaultNetstreamDriver=\"ossl\""
	for name, text := range map[string][]byte{"CAFile": o.Authority, "CertFile": cert, "KeyFile": key} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		global += fmt.Sprintf(" defaultNetstreamDriver%s=%q", name, file)
	}
	return global, o.Module + ` StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid"`
}

// Start starts it again after Kill, at the same address.
func (r *Rsyslog) Start(t *testing.T) {
	t.Helper()
	r.cmd = exec.Command("rsyslogd", "-n", "-i", "NONE", "-f", r.conf)
	r.cmd.Stdout, r.cmd.Stderr = &r.said, &r.said
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// Stop has it read nothing more. It returns when all its threads have stopped.
func (r *Rsyslog) Stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(r.cmd.Process.Pid, &status, unix.WUNTRACED, nil)
		if err == nil && status.Stopped() {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatalf("rsyslogd has not stopped: %v, %v", status, err)
		}
	}
}

// Kill ends it, and what it has not written is lost.
func (r *Rsyslog) Kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// Address is where it listens: HOST:PORT.
func (r *Rsyslog) Address() string { return r.address }

// Listens reports whether it takes connections.
func (r *Rsyslog) Listens() bool {
	c, err := net.Dial("tcp", r.address)
	return err == nil && c.Close() == nil
}

// Unread returns how many bytes of its connections the kernel has for it that it has not read.
func (r *Rsyslog) Unread(t *testing.T) (n int) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(r.address)
	ip := net.ParseIP(host).To4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], number(t, port))
	for line := range strings.Lines(string(table)) {
		const established = "01"
		if f := strings.Fields(line); len(f) > 4 && f[1] == local && f[3] == established {
			var sent, unread int
			if _, err := fmt.Sscanf(f[4], "%x:%x", &sent, &unread); err != nil {
				t.Fatal(err)
			}
			n += unread
		}
	}
	return n
}

func number(t *testing.T, text string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Lines returns what it has written.
func (r *Rsyslog) Lines() []string {
	text, _ := os.ReadFile(r.out)
	if len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// Has waits until it has written as many messages, and compares them.
func (r *Rsyslog) Has(t *testing.T, want []string) {
	t.Helper()
	var got []string
	Await(t, "rsyslog has all messages", func() bool {
		got = r.Lines()
		return len(got) >= len(want)
	})
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("rsyslog has %d messages, want %d; number %d is %.300q, want %.300q", len(got), len(want), i, got[min(i, len(got)-1)], want[i])
		}
	}
}
