package credhelper_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fakeaws"
)

const host = "registry.example.com"

// wellMapped returns a world in which host is mapped, with more configuration if any.
func wellMapped(t *testing.T, more string) *world {
	t.Helper()
	w := newWorld(t, fakeaws.Options{})
	w.config(more + "[registries.\"" + host + "\"]\ncredentialsParameter = \"prod/registry\"\n")
	w.secret("prod/registry")
	return w
}

// want runs a get of host and compares what came of it.
func (w *world) want(want string) {
	w.t.Helper()
	if got := w.show(render(w.get(host))); !matches(want, got) {
		w.t.Fatalf("get\ngot:  %s\nwant: %s", got, want)
	}
}

// await asks explain until it says text about the cache: the window of an entry moves on.
func (w *world) await(text string) {
	w.t.Helper()
	enough := time.After(15 * time.Second)
	for {
		r := w.run(nil, "", "explain", host)
		if strings.Contains(r.stdout, text) {
			return
		}
		select {
		case <-enough:
			w.t.Fatalf("explain does not come to say %q: %s", text, r.stdout)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

const (
	// A call that hangs has ended well before the stale window has.
	shortLife = "[aws]\ntimeout = \"2s\"\n[cache]\nttl = \"1s\"\nstale = \"5s\"\n"
	standsIn  = "only used while AWS does not answer"
)

// While AWS does not answer, a value stands in, until its window ends; then the error says why. A value that AWS
// refuses to give does not stand in.
func TestStaleValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		fail    func(*world)
		serve   bool
		failure string // of the first get that is given no value
	}{
		{"refused", func(w *world) { w.aws.Stop() }, true, "connection refused; is there a route"},
		{"hung", func(w *world) { w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang}) }, true, "no answer from AWS before the deadline; is there a route"},
		{"500", func(w *world) { w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Status500}) }, true, "(InternalServiceError); try again"},
		{"throttled", func(w *world) { w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Throttle}) }, true, "AWS asks to slow down"},
		{"cut off", func(w *world) { w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.ResetMidBody}) }, true, "was cut off; does something"},
		{"a captive portal", func(w *world) { w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Empty}) }, true, "did not answer as AWS does; is something"},
		{"expired credentials", func(w *world) { w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.ExpiredToken}) }, true, "the AWS credentials have expired"},
		{"undecryptable", func(w *world) {
			w.aws.PutSecret(fakeaws.Secret{Name: "prod/registry", String: w.canary.Value(), KMS: fakeaws.KMSBroken})
		}, false, "(DecryptionFailure)"},
		{"denied", func(w *world) { w.aws.Deny("*", "secretsmanager:GetSecretValue", "*") }, false, "access denied"},
		{"deleted", func(w *world) {
			w.aws.PutSecret(fakeaws.Secret{Name: "prod/registry", String: w.canary.Value(), Deleted: true})
		}, false, "it is scheduled for deletion"},
		{"not usable any more", func(w *world) { w.aws.RotateSecret("prod/registry", "{}") }, false, `the secret has no "username"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := wellMapped(t, shortLife)
			w.want("gives robot $CANARY")
			w.await(standsIn)
			c.fail(w)
			if c.serve {
				w.want("gives robot $CANARY")
				w.await("which stands in while AWS does not answer, for ")
				w.await("nothing kept")
			}
			w.want("fails registry " + host + ": «»" + c.failure + "«»")
			if c.serve {
				if err := w.aws.ClearFaults(); err != nil {
					t.Fatal(err)
				}
				w.want("gives robot $CANARY")
			}
		})
	}
}

// Logging out drops what is kept, whatever has become of the configuration since.
func TestEraseReaches(t *testing.T) {
	t.Parallel()
	rule := "[registries.\"" + host + "\"]\ncredentialsParameter = \"prod/registry\"\n"
	path := "[registries.\"" + host + "/team\"]\ncredentialsParameter = \"prod/registry\"\n"
	for _, c := range []struct{ name, config, asked, later string }{
		{"a cache that was switched off", rule, host, "[cache]\nstore = \"off\"\n" + rule},
		{"a rule for a path", path, host + "/team/app", path},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fakeaws.Options{})
			w.secret("prod/registry")
			w.config(c.config)
			if got := w.show(render(w.get(c.asked))); got != "gives robot $CANARY" {
				t.Fatal(got)
			}
			w.config(c.later)
			if r := w.run(nil, host, "erase"); r.code != 0 {
				t.Fatalf("erase: %s", w.show(render(r)))
			}
			w.config(c.config)
			w.aws.ResetCalls()
			if got := w.show(render(w.get(c.asked))); got != "gives robot $CANARY" || w.aws.CountCalls("GetSecretValue") != 1 {
				t.Errorf("after erase: %s, with %d calls of AWS, want 1", got, w.aws.CountCalls("GetSecretValue"))
			}
		})
	}
}

// What a credential_process of the AWS configuration says goes to nobody.
func TestCredentialProcess(t *testing.T) {
	t.Parallel()
	w := wellMapped(t, "")
	creds := w.aws.AddCredentials("arn:aws:iam::111122223333:user/from-process", 0)
	w.write("process.json", `{"Version": 1, "AccessKeyId": "`+creds.AccessKeyID+`", "SecretAccessKey": "`+creds.SecretAccessKey+`"}`, 0o644, 0)
	w.write("aws-config", "[default]\ncredential_process = sh -c 'echo chatter >&2; cat "+filepath.Join(w.dir, "process.json")+"'\n", 0o644, 0)
	delete(w.env, "AWS_ACCESS_KEY_ID")
	delete(w.env, "AWS_SECRET_ACCESS_KEY")
	w.env["AWS_CONFIG_FILE"] = filepath.Join(w.dir, "aws-config")
	if r := w.get(host); r.stderr != "" || w.show(render(r)) != "gives robot $CANARY" {
		t.Errorf("%s, and on standard error %q", w.show(render(r)), r.stderr)
	}
}

// A run has one deadline, also when the second program takes over late.
func TestOneDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fakeaws.Options{})
	w.secret("prod/registry")
	w.config("[aws]\ntimeout = \"4s\"\n[registries.\"" + host + "\"]\ncredentialsParameter = \"prod/registry\"\n")
	w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	w.env["SECRETREF_DEADLINE"] = strconv.FormatInt(time.Now().Add(time.Second).UnixMilli(), 10)
	began := time.Now()
	r := w.run(nil, host, "get")
	if took := time.Since(began); r.code != 1 || took > 3*time.Second {
		t.Errorf("with a second left of four it took %v: %s", took, w.show(render(r)))
	}
}

// Fifty helpers that start at once on a cold cache make one call, and each has the answer.
func TestHerd(t *testing.T) {
	w := wellMapped(t, "")
	w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Delay, Delay: 200 * time.Millisecond}) // so that they do meet
	const helpers = 50
	var waits []func() (result, error)
	for range helpers {
		waits = append(waits, w.start(nil, host, "get"))
	}
	for i, wait := range waits {
		r, err := wait()
		if got := w.show(render(r)); err != nil && r.code != 0 || got != "gives robot $CANARY" {
			t.Errorf("helper %d: %s, %v", i, got, err)
		}
	}
	if n := w.aws.CountCalls("GetSecretValue"); n != 1 {
		t.Errorf("%d helpers made %d calls, want 1", helpers, n)
	}
}

// The same, when there is nothing to be had: one call, and each says why.
func TestHerdFails(t *testing.T) {
	w := wellMapped(t, "")
	w.aws.Deny("*", "secretsmanager:GetSecretValue", "*")
	w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Delay, Delay: 200 * time.Millisecond})
	var waits []func() (result, error)
	for range 10 {
		waits = append(waits, w.start(nil, host, "get"))
	}
	for i, wait := range waits {
		if r, err := wait(); err != nil || !strings.Contains(render(r), "fails registry "+host+": get secret prod/registry in eu-west-1 as ") {
			t.Errorf("helper %d: %s, %v", i, w.show(render(r)), err)
		}
	}
	if n := w.aws.CountCalls("GetSecretValue"); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// A warm get works where no connection can be made: in a network namespace of its own even loopback is down.
func TestWarmGetNeedsNoNetwork(t *testing.T) {
	w := wellMapped(t, "")
	nowhere := func() *syscall.SysProcAttr { return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET} }
	cold := render(w.run(nowhere(), host, "get"))
	if !strings.Contains(cold, "network is unreachable") {
		t.Fatalf("a cold get in the empty namespace: %s, want that it cannot work", w.show(cold))
	}
	w.want("gives robot $CANARY")
	w.aws.ResetCalls()
	if got := w.show(render(w.run(nowhere(), host, "get"))); got != "gives robot $CANARY" {
		t.Errorf("a warm get in the empty namespace: %s", got)
	}
	if got := w.show(render(w.run(nowhere(), `{"ServerURL":"`+host+`","Username":"robot","Secret":"`+w.canary.Value()+`"}`, "store"))); got != "ok" {
		t.Errorf("a warm store in the empty namespace: %s", got)
	}
	if calls := w.aws.Calls(); len(calls) != 0 {
		t.Errorf("calls of the warm get: %v", calls)
	}
}

// What one user has got is not for another, though this one sees the directory.
func TestCacheOfAnotherUser(t *testing.T) {
	w := wellMapped(t, "")
	w.want("gives robot $CANARY")
	w.aws.ResetCalls()
	w.uid = newUID()
	w.cleanUpAfter(w.uid)
	w.want("gives robot $CANARY")
	if n := w.aws.CountCalls("GetSecretValue"); n != 1 {
		t.Errorf("another user's get made %d calls, want 1 of its own", n)
	}
	if err := chownAll(w.dir+"/run", w.uid); err != nil { // as if the files had been stolen
		t.Fatal(err)
	}
	w.aws.Stop()
	w.env["HOME"] = w.dir // another identity than the one with which this user has asked
	w.want("fails «»connection refused«»")
}

func chownAll(dir string, uid uint32) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(uid), int(uid))
	})
}

// Root's cache is the one of the host, and erase leaves nothing of it.
func TestRoot(t *testing.T) {
	w := wellMapped(t, "")
	w.uid = 0
	w.want("gives robot $CANARY")
	w.want("gives robot $CANARY")
	if n := w.aws.CountCalls("GetSecretValue"); n != 1 {
		t.Errorf("two gets made %d calls, want 1", n)
	}
	if got := render(w.run(nil, host, "erase")); got != "ok" {
		t.Fatalf("erase: %s", got)
	}
	w.aws.Stop()
	w.want("fails «»connection refused«»")
	if got := render(w.run(nil, host, "erase")); got != "ok" { // and the lock file of that
		t.Errorf("erase: %s", got)
	}
}

// Where nothing can be kept, get works all the same.
func TestNoCacheDirectory(t *testing.T) {
	w := wellMapped(t, "")
	for _, dir := range []string{w.dir + "/run", fmt.Sprint("/dev/shm/secretref-", w.uid)} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.want("gives robot $CANARY")
	w.want("gives robot $CANARY")
	if n := w.aws.CountCalls("GetSecretValue"); n != 2 {
		t.Errorf("two gets without a cache made %d calls, want 2", n)
	}
	if got := render(w.run(nil, host, "erase")); got != "ok" {
		t.Errorf("erase: %s", got)
	}
}

// A client that never ends its input gets an answer in time, from either program.
func TestInputThatNeverEnds(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"get", "store", "erase"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := wellMapped(t, "")
			r, hold, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer hold.Close()
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(bin, helper), action)
			cmd.Env, cmd.Stdin = []string{"SECRETREF_CONFIG=" + w.dir + "/config.toml"}, r
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err = cmd.Run()
			r.Close()
			got := render(result{"", stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()})
			if err == nil || !strings.HasPrefix(got, "fails standard input was not closed within 5s; the client writes ") {
				t.Errorf("%s: %s, %v", action, got, err)
			}
		})
	}
}

// When the client has closed its end of the pipe, the helper ends and prints nothing.
func TestOutputThatNobodyReads(t *testing.T) {
	w := wellMapped(t, "")
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, helper), "list")
	cmd.Env, cmd.Stdout = []string{"SECRETREF_CONFIG=" + w.dir + "/config.toml"}, out
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err = cmd.Run()
	out.Close()
	if err == nil || stderr.Len() != 0 || ctx.Err() != nil {
		t.Errorf("list into a pipe that is closed: %v, on standard error %q, want a failure without words", err, stderr.String())
	}
}

// The front alone, as after a copy of one file, answers from the cache, and else says what is missing.
func TestFrontWithoutResolver(t *testing.T) {
	w := wellMapped(t, "")
	b, err := os.ReadFile(filepath.Join(bin, helper))
	if err != nil {
		t.Fatal(err)
	}
	w.write("alone/"+helper, string(b), 0o755, 0)
	const want = "fails «»secretref-resolve is neither in $WORK/alone nor in ../libexec/secretref; install both programs together"
	w.bin = w.dir + "/alone"
	for _, action := range []string{"get", "store", "check"} {
		if got := w.show(render(w.run(nil, host, action))); !matches(want, got) {
			t.Errorf("%s\ngot:  %s\nwant: %s", action, got, want)
		}
	}
	w.bin = bin
	w.want("gives robot $CANARY")
	w.bin = w.dir + "/alone"
	w.want("gives robot $CANARY")
}

// No file, argument or environment holds the password after all of it went through both programs.
func TestNoCopyOfThePassword(t *testing.T) {
	w := wellMapped(t, "")
	w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Delay, Delay: 100 * time.Millisecond})
	var wait sync.WaitGroup
	done := make(chan struct{})
	wait.Go(func() { // while they run
		for {
			found, err := w.canary.FindInProc()
			if err != nil || len(found) > 0 {
				t.Errorf("the password is in %q, %v", found, err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	w.want("gives robot $CANARY")
	w.run(nil, `{"ServerURL":"`+host+`","Username":"robot","Secret":"`+w.canary.Value()+`"}`, "store")
	w.run(nil, "", "check")
	w.run(nil, host, "explain")
	close(done)
	wait.Wait()
	if found, err := w.canary.FindInFiles(t.Context(), w.dir); err != nil || len(found) > 0 {
		t.Errorf("the password is in %q, %v", found, err)
	}
}
