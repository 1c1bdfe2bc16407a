package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/polltest"
)

// asProgram makes the test binary the program.
const asProgram = "SECRETREF_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestProcessors(t *testing.T) {
	for host, want := range map[int]int{1: 1, 2: 1, 4: 1, 7: 1, 8: 2, 64: 16} {
		if got := processors(host); got != want {
			t.Errorf("of %d processors the driver takes %d, want %d", host, got, want)
		}
	}
}

// TestLimit wants a running driver to have the limits, and what the runtime's own variables set instead.
func TestLimit(t *testing.T) {
	for name, c := range map[string]struct {
		env        []string
		processors int
		garbage    int // percent
	}{
		"default":             {nil, processors(runtime.GOMAXPROCS(0)), 50},
		"the runtime's names": {[]string{"GOMAXPROCS=3", "GOGC=77"}, 3, 77},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			metrics := startDriver(t, append(c.env, asProgram+"=1"))
			for _, want := range []string{fmt.Sprint("go_sched_gomaxprocs_threads ", c.processors), fmt.Sprint("go_gc_gogc_percent ", c.garbage)} {
				polltest.Until(t, 20*time.Second, "the metrics have "+want, func() bool { return strings.Contains(metrics(), "\n"+want+"\n") })
			}
		})
	}
}

// startDriver starts a driver, which ends with the test, and returns what reads its metrics: nothing before it answers.
func startDriver(t *testing.T, env []string) (metrics func() string) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, []byte("[logs]\nstate_dir = \""+dir+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", "--config", config, "--socket", filepath.Join(dir, "driver.sock"))
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "status.sock"))
	}}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			t.Errorf("the driver ends with %v", err)
		}
	})
	return func() string {
		res, err := client.Get("http://driver/metrics")
		if err != nil {
			return ""
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body) // what is cut off is read again
		return string(text)
	}
}
