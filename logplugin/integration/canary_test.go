//go:build integration

package integration

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// secrets are the values that the driver uses in the test: a token, a shared key, and a line of a private key.
type secrets struct {
	token, shared *rig.Canary
	key           *rig.Canary
	fluentd       *forwardtest.Server
}

func (s *secrets) all() map[string]*rig.Canary {
	return map[string]*rig.Canary{"token": s.token, "shared key": s.shared, "private key": s.key}
}

// canaryWorld has two containers that talk, to a receiver that wants a token and a client certificate, and to one that
// wants a shared key. All of that is given by reference.
func canaryWorld(t *testing.T) (*world, *secrets) {
	t.Helper()
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerConfig("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	certificate, key, err := ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	s := &secrets{token: rig.NewCanary(), shared: rig.NewCanary(), key: rig.CanaryOf(strings.Split(string(key), "\n")[2])}
	w := newWorld(t, worldOptions{token: s.token.Value(), hec: hectest.Options{TLS: server}, prefix: limits("-c unlimited")})
	if s.fluentd, err = forwardtest.Start(forwardtest.Options{SharedKey: s.shared.Value()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.fluentd.Close)
	keyARN := w.aws.PutSecret(fakeaws.Secret{Name: "prod/client-key", String: string(key)})
	sharedARN := w.aws.PutSecret(fakeaws.Secret{Name: "prod/fluentd", String: s.shared.Value()})
	w.run("can-splunk", []string{"splunk-ca-cert=" + string(ca.PEM()), "splunk-client-cert=" + string(certificate), "secretOptions.splunk-client-key=" + keyARN},
		"-pause", "2ms")
	w.mine = append(w.mine, "can-fluentd")
	w.mustDocker("run", "-d", "--name", "can-fluentd", "--network", "none", "--log-driver", w.name, "--log-opt", "logDriver=fluentd",
		"--log-opt", "fluentd-address="+s.fluentd.Address(), "--log-opt", "fluentd-self-hostname=host", "--log-opt", "secretOptions.fluentd-shared-key="+sharedARN,
		"talker", "-pause", "2ms")
	s.talk(w)
	return w, s
}

// talk waits until both receivers have taken lines: then the values have been used.
func (s *secrets) talk(w *world) {
	w.t.Helper()
	w.talks("can-splunk")
	before := s.fluentd.Count()
	until(w.t, 30*time.Second, "lines at fluentd", func() bool { return s.fluentd.Count() > before })
}

// nowhere looks for the values in all places but the receivers.
func (s *secrets) nowhere(w *world) {
	w.t.Helper()
	status, _ := w.statusText("--json") // its exit code is not zero while routers fail
	table, _ := w.statusText()
	if !strings.Contains(status.Stdout, "can-splunk") || !strings.Contains(table.Stdout, "can-fluentd") {
		w.t.Errorf("status shows no sessions: %s %s", status.Output, table.Output)
	}
	metrics, err := control.NewClient(w.state).Metrics(w.t.Context())
	if err != nil || !strings.Contains(metrics, "\n") {
		w.t.Errorf("metrics: %v", err)
	}
	texts := map[string]string{
		"docker inspect": w.mustDocker("inspect", "can-splunk", "can-fluentd"), "docker info": w.mustDocker("info"),
		"the daemon's log": w.dockerd.Log(), "the driver's log": w.driverLog(),
		"status --json": status.Stdout, "status": table.Output, "metrics": metrics,
	}
	for name, c := range s.all() {
		for where, text := range texts {
			if c.In(text) {
				w.t.Errorf("the %s is in %s", name, where)
			}
		}
		found, err := c.FindInFiles(w.t.Context(), w.dir, w.dockerd.Dir(), "/run/docker", "/var/log", "/var/lib/systemd", "/dev/shm")
		if err != nil || len(found) > 0 {
			w.t.Errorf("the %s is in the files %v (%v)", name, found, err)
		}
		if found, err := c.FindInProc(); err != nil || len(found) > 0 {
			w.t.Errorf("the %s is in %v (%v)", name, found, err)
		}
	}
	if !strings.Contains(texts["docker inspect"], w.arn) {
		w.t.Error("docker inspect does not show the reference")
	}
}

func TestCanary(t *testing.T) {
	t.Parallel() // most of the time it waits
	w, s := canaryWorld(t)
	w.step("while all is well", func(t *testing.T) { s.nowhere(w) })
	w.step("while the routers fail", func(t *testing.T) {
		w.hec.FailAlways(&hectest.Fault{Code: 4})
		s.fluentd.SetFault(forwardtest.Close)
		s.fluentd.Disconnect()
		for _, name := range []string{"can-splunk", "can-fluentd"} {
			until(t, 60*time.Second, "status of "+name, func() bool {
				st := w.statusOf(name)
				return len(st) == 1 && st[0].LastError != "" && st[0].WaitingBytes > 0
			})
		}
		s.nowhere(w)
		w.hec.FailAlways(nil)
		s.fluentd.SetFault(forwardtest.None)
		s.talk(w)
	})
	w.step("core dump", func(t *testing.T) {
		// The same way leads to a core dump of a program without protection, or this shows nothing.
		dir := t.TempDir()
		plain := exec.Command("/bin/sh", "-c", "ulimit -c unlimited; exec sleep 60")
		plain.Dir = dir
		if err := plain.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, 10*time.Second, "sleep", func() bool {
			comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", plain.Process.Pid))
			return err == nil && string(comm) == "sleep\n"
		})
		if ws := ended(t, plain, syscall.SIGABRT); !ws.CoreDump() {
			t.Fatal("no core dump of a program without protection: set core_pattern to core")
		}
		for i, sig := range []syscall.Signal{syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGQUIT, syscall.SIGBUS, syscall.SIGILL, syscall.SIGTRAP} {
			w.env = append(w.env, "GOTRACEBACK="+[]string{"single", "crash"}[i%2]) // the second is how Go programs are debugged
			w.end(syscall.SIGTERM)
			w.start()
			s.talk(w)
			for name, c := range s.all() {
				until(t, 30*time.Second, "the "+name+" in the driver's memory: else this shows nothing", func() bool {
					found, err := c.InMemory(w.pid()) // what talk has seen may come from the process before
					return err == nil && found
				})
			}
			w.mu.Lock()
			ws := ended(t, w.driver, sig)
			w.driver = nil
			w.mu.Unlock()
			cores, err := filepath.Glob(w.dir + "/core*")
			if ws.CoreDump() || err != nil || len(cores) > 0 {
				t.Errorf("%v: a core dump: %v, files %q, %v", sig, ws.CoreDump(), cores, err)
			}
			log := w.driverLog()
			if !strings.Contains(log, "goroutine ") {
				t.Errorf("%v: the runtime has not said what it does", sig)
			}
			for name, c := range s.all() {
				if c.In(log) || inWords(log, c.Value()) {
					t.Errorf("%v: the %s, or eight bytes of it, is in the dump of goroutines", sig, name)
				}
			}
			w.start()
		}
		s.talk(w)
		s.nowhere(w)
	})
	w.mustDocker("stop", "-t", "10", "can-splunk", "can-fluentd")
	w.arrived("can-splunk", time.Minute)
	w.gone()
}

// ended sends a signal and returns how the process has ended.
func ended(t *testing.T, cmd *exec.Cmd, sig syscall.Signal) syscall.WaitStatus {
	t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait() // a failure is what is wanted
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		t.Errorf("%v has not ended the process", sig)
	}
	return ws
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
