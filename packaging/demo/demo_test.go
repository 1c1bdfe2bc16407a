//go:build integration

package main

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// program is the demo as `make demo` runs it.
func program(ctx context.Context, t *testing.T) *exec.Cmd {
	t.Helper()
	path, err := rig.Build(ctx, t.TempDir(), "./packaging/demo")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = "../.."
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 90 * time.Second // to take everything down
	return cmd
}

// checkGone looks for the one directory of a demo, which its output names.
func checkGone(t *testing.T, out string) {
	t.Helper()
	_, rest, _ := strings.Cut(out, "export DOCKER_CONFIG=")
	dir, _, ok := strings.Cut(rest, "/docker\n")
	if !ok {
		t.Fatalf("the demo does not say where it is:\n%s", out)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

func TestDemo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	out, err := program(ctx, t).CombinedOutput()
	if err != nil {
		t.Fatalf("the demo failed: %v\n%s", err, out)
	}
	rest := string(out)
	for _, want := range []string{ // in this order
		"\n 3. Pull without", "no basic auth credentials",
		"[registries.\"registry.example.com:", "credentialsParameter = \"arn:aws:secretsmanager:",
		"$ docker-credential-secretref check", "ok     registry registry.example.com:",
		"\n 6. Pull:", "Status: Downloaded newer image", "hello from a private image",
		"GetSecretValue calls before: 2, after: 2",
		"\n 8. Rotate", "Status: Downloaded newer image",
		"\n 9. ", "access denied", "; allow secretsmanager:GetSecretValue on it",
		"credentials not found in native keychain", "no request to public.example.com:",
		"\n11. Start the log driver", "ok     the router takes the credentials",
		"\n12. ", "the collector has the first events", `"secretOptions.splunk-token":"arn:aws:secretsmanager:`,
		"\n13. Rotate the token", "and then more of them",
		"\n14. Kill the driver", "kill -9 ", "missing: 0; out of order: none",
		"\n15. Give a container", "password read, SHA-256 ", `"secrets.password":"arn:aws:secretsmanager:`,
		"\n16. Rotate that password", "values: 1", "VOLUME", "in the tmpfs /dev/shm/secretref-demo-",
		"\n17. Give a container that password as a variable", "variable DB_PASSWORD, SHA-256 ", "variable DB_PASSWORD, SHA-256 ", "secrets.DB_PASSWORD=arn:aws:secretsmanager:", "VARIABLES OF",
		"found: none", "-rw-------", "/run/secretref/",
		"\n19. Clean up", "of this demo is left",
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("the demo does not say %q (after what comes before it):\n%s", want, out)
		}
		rest = after
	}
	if strings.Contains(string(out), "\x1b") {
		t.Error("escape sequences in a pipe")
	}
	checkGone(t, string(out))
}

// Ctrl-C in the middle of the story: exit status 1, one line about it, and nothing left.
func TestDemoInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	cmd := program(ctx, t)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	seen := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		told.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), " 6. ") { // there is a daemon, a registry and soon a cached value
			seen = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
	}
	err = cmd.Wait()
	if !seen || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "demo: step 6: interrupt signal received\n") {
		t.Errorf("interrupted in step 6 (%v): %v, want exit status 1; it said\n%s", seen, err, said.String())
	}
	if n := strings.Count(said.String(), "demo: "); n != 2 {
		t.Errorf("%d lines, want the cause and that it takes everything down:\n%s", n, said.String())
	}
	checkGone(t, told.String())
}

// `make demo | head`: the demo ends when nobody reads it any more, and nothing is left.
func TestDemoUnread(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	cmd := program(ctx, t)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		told.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), " 3. ") {
			break
		}
	}
	_ = out.Close()
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), ": nobody reads the output: broken pipe\n") {
		t.Errorf("read up to step 3: %v, want exit status 1; it said\n%s", err, said.String())
	}
	checkGone(t, told.String())
}
