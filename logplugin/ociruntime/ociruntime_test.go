package ociruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/ociruntime/ask"
)

const canary = "c4n4ry-of-the-runtime"

// TestMain is this program itself, and the runtime behind it, when a test starts it as one.
func TestMain(m *testing.M) {
	switch os.Getenv("OCIRUNTIME_TEST") {
	case "front":
		os.Exit(Run(os.Args))
	case "behind":
		os.Exit(behind(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// behind is a runtime that prints its arguments, and what stands in the file of a specification. After "block" it waits for its end.
func behind(args []string) int {
	fmt.Println("args", strings.Join(args, " "))
	c := parse(args)
	path := ""
	switch c.command {
	case "create":
		path = filepath.Join(c.value("bundle", "b", "."), "config.json")
	case "exec":
		path = c.value("process", "p", "")
	}
	if path != "" {
		b, err := os.ReadFile(path)
		fmt.Println(string(b), err)
	}
	if os.Getenv("OCIRUNTIME_BLOCK") != "" {
		fmt.Println("blocked")
		_, _ = io.ReadAll(os.Stdin)
	}
	if c.command == "fail" || os.Getenv("OCIRUNTIME_FAIL") != "" {
		return 42
	}
	return 0
}

// host is what the program finds: a bundle, and a service that gives the answer.
type host struct {
	t     *testing.T
	dir   string
	asked chan ask.Question // nil = there is no service
}

const plainSpec = `{"ociVersion":"1.0.2","process":{"terminal":true,"args":["/app"],"env":["PATH=/bin","PLAIN=own","secrets.DB=arn:x","environmentFiles=arn:aws:s3:::b/a.env"],"capabilities":{"bounding":["CAP_KILL"]}},` +
	`"mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/s","type":"bind","source":"/run/secretref/volumes/app-secrets","options":["ro"]}],"linux":{"unknown":[1,2.50]}}`

func newHost(t *testing.T, spec string, answer *ask.Answer) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "srrt-") // a socket needs a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &host{t: t, dir: dir}
	if err := os.WriteFile(h.config(), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	if answer == nil {
		return h
	}
	h.asked = make(chan ask.Question, 10)
	l, err := net.Listen("unix", h.dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-served })
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var q ask.Question
			b, _ := io.ReadAll(c)
			if err := json.Unmarshal(b, &q); err != nil {
				t.Error(err)
			}
			h.asked <- q
			out, _ := json.Marshal(answer)
			_, _ = c.Write(out)
			_ = c.Close()
		}
	}()
	return h
}

func (h *host) config() string { return filepath.Join(h.dir, "config.json") }

// command is the program with these arguments behind its own options. The runtime behind is this test.
func (h *host) command(env []string, args ...string) *exec.Cmd {
	behind := filepath.Join(h.dir, "behind")
	if err := os.WriteFile(behind, []byte("#!/bin/sh\nOCIRUNTIME_TEST=behind exec \"$SELF\" \"$@\"\n"), 0o700); err != nil { //nolint:gosec // it is to be run
		h.t.Fatal(err)
	}
	cmd := exec.CommandContext(h.t.Context(), os.Args[0], append([]string{"--runtime", behind, "--socket=" + h.dir + "/s"}, args...)...)
	cmd.Env = append(append(os.Environ(), "OCIRUNTIME_TEST=front", "SELF="+os.Args[0]), env...)
	return cmd
}

func (h *host) run(args ...string) (out string, code int) {
	h.t.Helper()
	b, err := h.command(nil, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return string(b), code
}

// asBefore fails unless the bundle is as the daemon has made it.
func (h *host) asBefore(spec string) {
	h.t.Helper()
	b, err := os.ReadFile(h.config())
	if err != nil || string(b) != spec {
		h.t.Errorf("config.json afterwards: %s, %v", b, err)
	}
	if st, err := os.Lstat(h.config()); err != nil || !st.Mode().IsRegular() {
		h.t.Errorf("config.json afterwards is %v, %v", st.Mode(), err)
	}
	for _, suffix := range []string{keptSuffix, keptSuffix + ".new"} {
		if _, err := os.Lstat(h.config() + suffix); !errors.Is(err, os.ErrNotExist) {
			h.t.Errorf("%s is left: %v", h.config()+suffix, err)
		}
	}
}

func (h *host) create(more ...string) []string {
	return append([]string{"--root", h.dir, "--log", h.dir + "/log.json", "--log-format=json", "create", "--bundle", h.dir, "--pid-file", h.dir + "/pid"}, more...)
}

// The runtime behind sees the values, and the bundle has the references before and after.
func TestCreateContainer(t *testing.T) {
	h := newHost(t, plainSpec, &ask.Answer{Variables: []ask.Variable{{Name: "DB", Value: canary + "\n\"&<é"}, {Name: "PLAIN", Value: "not this", File: true}, {Name: "MODE", Value: "x", File: true}, {Name: "PATH", Value: "/own"}}})
	out, code := h.run(h.create("id1")...)
	args, spec, _ := strings.Cut(out, "\n")
	if want := "args " + strings.Join(h.create("id1"), " "); code != 0 || args != want {
		t.Errorf("exit status %d, %s\nwant %s", code, args, want)
	}
	spec = strings.TrimSuffix(strings.TrimSpace(spec), " <nil>")
	var got, want map[string]any
	if err := errors.Join(json.Unmarshal([]byte(spec), &got), json.Unmarshal([]byte(plainSpec), &want)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want["process"].(map[string]any)["env"] = []any{"PATH=/own", "PLAIN=own", "DB=" + canary + "\n\"&<é", "MODE=x"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the runtime behind reads\n%v\nwant\n%v", got, want)
	}
	q := <-h.asked
	if q.Container != "id1" || !slices.Equal(q.Secrets, []ask.Secret{{Name: "DB", ValueFrom: "arn:x"}}) || !slices.Equal(q.EnvironmentFiles, []string{"arn:aws:s3:::b/a.env"}) ||
		!slices.Equal(q.Volumes, []string{"app-secrets"}) || q.Exec {
		t.Errorf("asked for %+v", q)
	}
	h.asBefore(plainSpec)
}

// The exit status of the runtime behind is passed on, and what it says too.
func TestCreateFails(t *testing.T) {
	h := newHost(t, plainSpec, &ask.Answer{Variables: []ask.Variable{{Name: "DB", Value: canary}}})
	cmd := h.command([]string{"OCIRUNTIME_FAIL=1"}, h.create("id1")...)
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 42 {
		t.Errorf("%v, want exit status 42", err)
	}
	h.asBefore(plainSpec)
}

// Killed in the middle, the program leaves no value: what the bundle has is a link to the memory of a process that is gone. The
// next call puts the file back.
func TestKilledInTheMiddle(t *testing.T) {
	h := newHost(t, plainSpec, &ask.Answer{Variables: []ask.Variable{{Name: "DB", Value: canary}}})
	cmd := h.command([]string{"OCIRUNTIME_BLOCK=1"}, h.create("id1")...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for b := make([]byte, 1000); !strings.Contains(text, "blocked"); {
		n, err := out.Read(b)
		if err != nil {
			t.Fatalf("%v after %s", err, text)
		}
		text += string(b[:n])
	}
	if !strings.Contains(text, canary) {
		t.Errorf("the runtime behind reads %s", text)
	}
	if b, err := os.ReadFile(h.config()); err != nil || !strings.Contains(string(b), canary) {
		t.Errorf("config.json meanwhile: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(out) // ends with the runtime behind, which is killed with this program
	_ = cmd.Wait()
	if b, err := os.ReadFile(h.config()); err == nil {
		t.Errorf("config.json afterwards: %s", b)
	}
	found := 0
	err = filepath.WalkDir(h.dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			b, rerr := os.ReadFile(p)
			if found++; strings.Contains(string(b), canary) {
				t.Errorf("the value is in %s", p)
			}
			return rerr
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("%d files, %v", found, err)
	}
	if out, code := h.run(h.create("id1")...); code != 0 || !strings.Contains(out, canary) {
		t.Errorf("the next call: %d, %s", code, out)
	}
	h.asBefore(plainSpec)
}

// An error is in the file of --log, as the shim reads it; a container that ran before has a stand-in when the error may pass.
func TestErrorsOfContainer(t *testing.T) {
	const reason = "variable secrets.DB: AWS does not answer"
	for _, c := range []struct {
		name    string
		answer  *ask.Answer
		spec    string
		standIn bool
		want    string
	}{
		{"for good", &ask.Answer{Error: reason, Before: true}, plainSpec, false, reason},
		{"the first start", &ask.Answer{Error: reason, Passing: true}, plainSpec, false, reason},
		{"not the first start", &ask.Answer{Error: reason, Passing: true, Before: true}, plainSpec, true, ""},
		{"no service", nil, plainSpec, false, "enable secretref-runtime.socket"},
		{"no name", &ask.Answer{}, strings.Replace(plainSpec, "secrets.DB", "secrets.", 1), false, "no name behind the dot"},
		{"no JSON", &ask.Answer{}, `{"process":`, false, "is not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, c.spec, c.answer)
			out, code := h.run(h.create("id1")...)
			log, err := os.ReadFile(h.dir + "/log.json")
			if c.standIn {
				if code != 0 || err == nil || !strings.Contains(out, `"args":["/.secretref","`+reason+`"]`) || !strings.Contains(out, `{"destination":"/.secretref","type":"bind","source":"`) || strings.Contains(out, "arn:x") {
					t.Errorf("exit status %d, %s, log %s", code, out, log)
				}
				h.asBefore(c.spec)
				return
			}
			var line struct{ Level, Msg, Time string }
			if err != nil || json.Unmarshal(log, &line) != nil || line.Level != "error" || line.Time == "" || !strings.HasPrefix(line.Msg, "secretref: ") || !strings.Contains(line.Msg, c.want) {
				t.Errorf("log %s, %v, want %q", log, err, c.want)
			}
			if code != 1 || strings.Contains(out, "args ") {
				t.Errorf("exit status %d, %s", code, out)
			}
			h.asBefore(c.spec)
		})
	}
}

// Everything else is the runtime behind, with its arguments as they came; so is a container without references.
func TestPassedOn(t *testing.T) {
	for _, args := range [][]string{
		{"--version"}, {}, {"--root", "create", "state", "id1"}, {"--debug", "--log", "/l", "delete", "--force", "id1"}, {"fail"},
		{"exec", "id1", "sh", "-c", "--process x"}, {"--", "x"},
	} {
		h := newHost(t, plainSpec, nil)
		out, code := h.run(args...)
		if want := "args " + strings.Join(args, " ") + "\n"; out != want || (code == 42) != slices.Contains(args, "fail") {
			t.Errorf("%q: %q, exit status %d, want %q", args, out, code, want)
		}
	}
	const spec = `{"process":{"env":["A=secrets.b=c","secret.X=y"]},"mounts":[{"destination":"/a","source":"/run/secretref/volumes"},{"destination":"/b","source":"/run/secretref/volumes-of-others/x"}]}`
	h := newHost(t, spec, nil)
	if out, code := h.run(h.create("id1")...); code != 0 || !strings.Contains(out, spec) {
		t.Errorf("without references: %d, %s", code, out)
	}
	h.asBefore(spec)
	missing := exec.CommandContext(t.Context(), os.Args[0], "--runtime", "none-such", "state", "id1")
	missing.Env = append(os.Environ(), "OCIRUNTIME_TEST=front")
	if out, err := missing.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("runtimeArgs of daemon.json")) {
		t.Errorf("without a runtime behind: %v, %s", err, out)
	}
}

// Another process of a container has the variables of the first; the service is asked for what that lacks.
func TestExecInContainer(t *testing.T) {
	const process = `{"args":["x"],"env":["secrets.OCIRUNTIME_TEST=arn:x","secrets.DB=arn:y","A=b"],"cwd":"/"}`
	h := newHost(t, process, &ask.Answer{Variables: []ask.Variable{{Name: "DB", Value: canary}}})
	first := h.command([]string{"OCIRUNTIME_TEST=behind", "OCIRUNTIME_BLOCK=1"}, "x")
	stdin, err := first.StdinPipe()
	if err == nil {
		err = first.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close(); _ = first.Wait() }()
	if err := os.MkdirAll(h.dir+"/id1", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.dir+"/id1/state.json", fmt.Appendf(nil, `{"init_process_pid":%d}`, first.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, option := range [][]string{{"--process", h.config()}, {"--process=" + h.config()}, {"-p", h.config()}} {
		out, code := h.run(append(append([]string{"--root=" + h.dir, "exec"}, option...), "--detach", "id1")...)
		if want := `"env":["A=b","OCIRUNTIME_TEST=behind","DB=` + canary + `"]`; code != 0 || !strings.Contains(out, want) {
			t.Errorf("%q: %d, %s, want %s", option, code, out, want)
		}
		if q := <-h.asked; !q.Exec || q.Container != "id1" || !slices.Equal(q.Secrets, []ask.Secret{{Name: "DB", ValueFrom: "arn:y"}}) {
			t.Errorf("asked for %+v", q)
		}
	}
	h.asBefore(process)
	// All that the first process has will do for environment files, when nobody answers.
	const files = `{"env":["environmentFiles=arn:aws:s3:::b/a.env","A=b"]}`
	if err := os.WriteFile(h.config(), []byte(files), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.dir + "/s"); err != nil {
		t.Fatal(err)
	}
	if out, code := h.run("--root", h.dir, "exec", "--process", h.config(), "id1"); code != 0 || !strings.Contains(out, `"OCIRUNTIME_TEST=behind"`) || !strings.Contains(out, `"A=b"`) {
		t.Errorf("without an answer: %d, %s", code, out)
	}
}

// A stand-in says why, and ends so that a restart policy tries again.
func TestStandIn(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "the reason")
	cmd.Args[0] = standInPath
	cmd.Env = append(os.Environ(), "OCIRUNTIME_TEST=front")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 75 || string(out) != "secretref: the reason\n" {
		t.Errorf("%v, %q", err, out)
	}
}

// A service that hangs up, says nonsense or nothing is an error in time.
func TestBadService(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"hangs up": {"", "it hung up"},
		"nonsense": {canary, "of different versions"},
		"endless":  {strings.Repeat(" ", ask.MaxAnswer+1), "is longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, plainSpec, nil)
			l, err := net.Listen("unix", h.dir+"/s")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				if conn, err := l.Accept(); err == nil {
					_, _ = io.ReadAll(conn)
					_, _ = io.WriteString(conn, c.answer)
					_ = conn.Close()
				}
			}()
			_, err = ask.Ask(t.Context(), h.dir+"/s", ask.Question{Container: "x"})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), canary) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	h := newHost(t, plainSpec, nil)
	l, err := net.Listen("unix", h.dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ask.Ask(ctx, h.dir+"/s", ask.Question{}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("a service that says nothing: %v", err)
	}
}
