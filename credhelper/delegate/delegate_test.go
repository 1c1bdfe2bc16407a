package delegate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/secret"
)

const server = "https://registry.example.com"

// Password of the helpers below; no error may show it.
const canary = "s3cr3t-c4n4ry"

// helper makes docker-credential-x, a shell script, the only one in PATH besides the system's programs.
func helper(t *testing.T, script string) *Helper {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-x"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	h, err := Find("x")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

const answer = `echo '{"ServerURL":"x","Username":"u","Secret":"` + canary + `"}'`

func TestGet(t *testing.T) {
	for name, script := range map[string]string{
		"plain":                            answer,
		"words after the answer":           answer + "; echo and more",
		"pretty printed":                   `printf '{\n\t"Username": "u",\n\t"Secret": "` + canary + `"\n}'`,
		"noise on stderr":                  "echo warning >&2; " + answer,
		"does not read its stdin":          "exec <&-; " + answer,
		"much on stderr":                   "head -c 200000 /dev/zero >&2; " + answer,
		"a grandchild that keeps the pipe": "sleep 60 & echo $! >$(dirname $0)/pid; " + answer,
	} {
		h := helper(t, script)
		start := time.Now()
		got, err := h.Get(within(t, 10*time.Second), server)
		if err != nil || got.Username != "u" || got.Secret.Reveal() != canary {
			t.Errorf("%s: %q, %q, %v", name, got.Username, got.Secret.Reveal(), err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
		killFrom(t, filepath.Join(filepath.Dir(h.path), "pid"))
	}
}

// killFrom ends the process that a script has left on purpose.
func killFrom(t *testing.T, pidFile string) {
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		return
	}
	var pid int
	if _, err := fmt.Sscan(string(raw), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the grandchild was killed though its parent had answered: %v", err)
	}
}

func TestWhatTheHelperIsGiven(t *testing.T) {
	for action, want := range map[string]string{
		"get":   "get|" + server + "|1",
		"store": `store|{"ServerURL":"` + server + `","Username":"u","Secret":"` + canary + `"}` + "\n|1",
		"erase": "erase|" + server + "|1",
	} {
		h := helper(t, `{ printf '%s|' "$*"; cat; printf '|%s' "$SECRETREF_DELEGATE"; } >$(dirname $0)/log; `+answer)
		ctx := within(t, 10*time.Second)
		var err error
		switch action {
		case "get":
			_, err = h.Get(ctx, server)
		case "store":
			err = h.Store(ctx, server, "u", secret.New(canary))
		case "erase":
			err = h.Erase(ctx, server)
		}
		got, readErr := os.ReadFile(filepath.Join(filepath.Dir(h.path), "log"))
		if err != nil || readErr != nil || string(got) != want {
			t.Errorf("%s: the helper got %q, want %q; %v, %v", action, got, want, err, readErr)
		}
	}
}

func TestNotFound(t *testing.T) {
	const text = "credentials not found in native keychain"
	for name, script := range map[string]string{
		"protocol text":        "echo '" + text + "'; exit 1",
		"another exit code":    "printf '" + text + "'; exit 3",
		"empty answer":         `echo '{"ServerURL":"","Username":"","Secret":""}'`,
		"with words on stderr": "echo '" + text + "'; echo oops >&2; exit 1",
	} {
		h := helper(t, script)
		if _, err := h.Get(within(t, 10*time.Second), server); !errors.Is(err, ErrNotFound) || err.Error() != text {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
	h := helper(t, "echo '"+text+"'; exit 1")
	if err := h.Erase(within(t, 10*time.Second), server); !errors.Is(err, ErrNotFound) {
		t.Errorf("Erase: %v, want ErrNotFound", err)
	}
}

func TestFailures(t *testing.T) {
	const byHand = "run docker-credential-x get by hand to see why"
	for name, c := range map[string]struct{ script, want string }{
		"empty":                    {"exit 0", "printed nothing"},
		"only a line break":        {"echo", "printed nothing"},
		"not JSON":                 {"echo " + canary, "something else than a JSON object"},
		"a word before the JSON":   {"echo " + canary + "; " + answer, "something else than a JSON object"},
		"cut JSON":                 {`printf '{"Username":"u","Secret":"` + canary + `'`, "something else than a JSON object"},
		"secret a number":          {`echo '{"Username":"` + canary + `","Secret":5}'`, "something else than a JSON object"},
		"no secret":                {`echo '{"Username":"` + canary + `"}'`, "something else than a JSON object"},
		"null":                     {"echo null", "something else than a JSON object"},
		"array":                    {`echo '["` + canary + `"]'`, "something else than a JSON object"},
		"not found, but exit 0":    {"echo credentials not found in native keychain", "something else than a JSON object"},
		"2 MB":                     {"head -c 2000000 /dev/zero", "more than 1048576 bytes"},
		"endless":                  {"exec cat /dev/zero", "more than 1048576 bytes"},
		"reason on stdout":         {"echo " + canary + "; exit 1", "exit status 1; " + byHand},
		"reason on stderr":         {"echo " + canary + " >&2; exit 2", "exit status 2; " + byHand},
		"no reason":                {"exit 7", "exit status 7; " + byHand},
		"an answer and a failure":  {answer + "; exit 1", "exit status 1; " + byHand},
		"killed":                   {"kill -9 $$", "signal: killed; " + byHand},
		"missing server URL":       {"echo no credentials server URL; echo " + canary + " >&2; exit 1", "exit status 1; no credentials server URL"},
		"missing user name":        {"printf 'no credentials username'; exit 1", "exit status 1; no credentials username"},
		"missing server URL, more": {"echo no credentials server URL " + canary + "; exit 1", "exit status 1; " + byHand},
		"the not-found text, more": {"echo credentials not found in native keychain, " + canary + "; exit 1", "exit status 1; " + byHand},
	} {
		h := helper(t, c.script)
		got, err := h.Get(within(t, 10*time.Second), server)
		if err == nil {
			t.Errorf("%s: got %q", name, got.Username)
			continue
		}
		if s := err.Error(); !strings.Contains(s, c.want) || !strings.Contains(s, "docker-credential-x") || strings.ContainsAny(s, "\n\x1b") {
			t.Errorf("%s: %q\nwant one line with %q and the helper's name", name, s, c.want)
		}
		if strings.Contains(err.Error(), canary) || errors.Is(err, ErrNotFound) || got != (Credentials{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What erase and store print is not an answer, and says what is wrong.
func TestReasons(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"on stdout":               {"echo pass store is not initialized; exit 1", "exit status 1: pass store is not initialized"},
		"on stderr":               {"echo no such keyring >&2; exit 2", "exit status 2: no such keyring"},
		"on both":                 {"echo locked; echo locked >&2; exit 1", "exit status 1: locked"},
		"several lines on stderr": {"printf 'a\\nb\\033[31mc\\n' >&2; exit 1", "exit status 1: a b [31mc"},
		"none":                    {"exit 7", "exit status 7: no reason given"},
		"an answer":               {answer + "; exit 1", "exit status 1: no reason given"},
	} {
		h := helper(t, c.script)
		for action, err := range map[string]error{
			"erase": h.Erase(within(t, 10*time.Second), server),
			"store": h.Store(within(t, 10*time.Second), server, "u", secret.New(canary)),
		} {
			want := "docker-credential-x: " + action + ": " + c.want
			if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\n\x1b") || strings.Contains(err.Error(), canary) {
				t.Errorf("%s, %s: %v, want one line with %q", name, action, err, want)
			}
		}
	}
}

// A helper that repeats its input must not bring the secret into our error.
func TestStoreHidesTheSecret(t *testing.T) {
	const odd = "p<w\n" + canary + `"\`
	for name, script := range map[string]string{
		"stderr, as it was given": "cat >&2; exit 1",
		"stdout, as it was given": "cat; exit 1",
		"stderr, cut":             "head -c 4020 /dev/zero | tr '\\0' '\\n' >&2; cat >&2; exit 1", // the secret's first half is kept
		"stdout, plain":           "echo cannot store s3cr3t-c4n4ry; exit 1",
	} {
		for _, s := range []string{canary, odd} {
			if s == odd && name == "stdout, plain" {
				continue // prints the other one, which it was not given
			}
			h := helper(t, script)
			err := h.Store(within(t, 10*time.Second), server, "u", secret.New(s))
			if err == nil || strings.Contains(err.Error(), "s3cr") {
				t.Errorf("%s: %v, want an error without the secret", name, err)
			}
		}
	}
}

func TestDeadlineKillsTheGroup(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// The sleeping child holds the FIFO open; its end of file says that it is dead.
	h := helper(t, "sleep 600 >"+fifo+" & wait")
	gone := make(chan error, 1)
	go func() {
		f, err := os.Open(fifo)
		if err == nil {
			_, err = io.Copy(io.Discard, f)
			f.Close()
		}
		gone <- err
	}()
	start := time.Now()
	_, err := h.Get(within(t, 300*time.Millisecond), server)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "docker-credential-x: get: no answer") {
		t.Errorf("%v, want a deadline that names the helper", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("came back after %v", d)
	}
	select {
	case err := <-gone:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the helper's child lives on")
	}
}

func TestCancelled(t *testing.T) {
	h := helper(t, answer)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Get(ctx, server); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestFindRefuses(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "docker-credential-us")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-plain"), []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	for suffix, want := range map[string]string{
		"missing":   "docker-credential-missing: executable file not found in $PATH, which is " + dir + "; install it",
		"us":        "is secretref itself under another name",
		"secretref": "this is secretref itself",
		"plain":     "docker-credential-plain",
		"":          "not a helper's suffix",
		"../x":      "not a helper's suffix",
		"a b":       "not a helper's suffix",
		"x\ny":      "not a helper's suffix",
	} {
		if h, err := Find(suffix); err == nil || h != nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Find(%q) = %v, %v, want %q", suffix, h, err, want)
		}
	}
	if _, err := Find("missing"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("%v is not exec.ErrNotFound", err)
	}
	// The working directory is not searched, whatever PATH says.
	t.Chdir(dir)
	t.Setenv("PATH", ".")
	if err := os.Chmod("docker-credential-plain", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find("plain"); err == nil {
		t.Error("a helper in the working directory was taken")
	}
}

func TestNested(t *testing.T) {
	for v, want := range map[string]bool{"": false, "1": true, "yes": true} {
		if got := Nested(func(k string) string { return map[string]string{Marker: v}[k] }); got != want {
			t.Errorf("Nested with %q = %v", v, got)
		}
	}
}

// TestKilledParent re-runs this test binary as the parent of a hanging helper, and kills it with SIGKILL: its end must
// take the helper with it.
func TestKilledParent(t *testing.T) {
	if os.Getenv("DELEGATE_TEST_PARENT") != "" {
		h, err := Find("x")
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.Get(within(t, time.Minute), server)
		t.Fatalf("the parent was not killed: %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	helper(t, "exec sleep 600 >"+fifo)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "-test.run=^TestKilledParent$")
	parent.Env = append(os.Environ(), "DELEGATE_TEST_PARENT=1")
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() {
		f, err := os.Open(fifo) // returns when the helper has opened its end
		if err == nil {
			_ = parent.Process.Kill()
			_ = parent.Wait() // reports the kill
			_, err = io.Copy(io.Discard, f)
			f.Close()
		}
		gone <- err
	}()
	select {
	case err := <-gone:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		_ = parent.Process.Kill()
		t.Error("the helper has survived its parent")
	}
}
