//go:build integration

package volume_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/rig"
)

var pairs = flag.Int("pairs", 3, "how often docker run is timed with variables and without")

// runtimes returns arguments of dockerd: two runtimes in front of runc, one of them with another runtime between. Each is a script, because
// its socket is the test's own; plain is a script too, for a comparison.
func (h *host) runtimes() []string {
	h.t.Helper()
	program := h.build("secretref-runtime", "./logplugin/cmd/secretref-runtime")
	behind := h.script("behind", `echo "$@" >>`+h.dir+`/behind.log; exec runc "$@"`)
	front := "exec " + program + " --socket " + h.dir + "/resolve.sock --volumes-dir=" + h.dir + `/volumes "$@"`
	other := "exec " + program + " --runtime " + behind + " --socket " + h.dir + "/resolve.sock " + `"$@"`
	return []string{"--add-runtime", "plain=" + h.script("plain", `exec runc "$@"`), "--add-runtime", "secretref=" + h.script("front", front), "--add-runtime", "other=" + h.script("other", other)}
}

// script makes a program of the shell.
func (h *host) script(name, text string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { //nolint:gosec // it is to be run
		h.t.Fatal(err)
	}
	return path
}

// line is what the program environ prints of a variable.
func line(name, value string) string {
	return fmt.Sprintf("%s %x", name, sha256.Sum256([]byte(value)))[:len(name)+17] + "\n"
}

// Variables under a daemon: each step leaves nothing behind for the next.
func TestVariables(t *testing.T) {
	h := newHost(t, rig.DockerdOptions{})
	if err := h.dockerd.Import(t.Context(), "environ", h.build("environ", "./logplugin/volume/testdata/environ")); err != nil {
		t.Fatal(err)
	}
	h.step("a container", h.variables)
	h.step("refused", h.variablesRefused)
	h.step("AWS is away", h.variablesAway)
	h.step("the service is away", h.serviceAway)
	h.step("a volume is not complete", h.incomplete)
	h.step("what it costs", h.cost)
}

// with returns the arguments of a container with variables, behind those of docker run.
func with(args []string, pairs ...string) []string {
	args = append([]string{"run", "--network", "none", "--runtime", "secretref"}, args...)
	for _, p := range pairs {
		args = append(args, "-e", p)
	}
	return append(args, "environ")
}

// The application, docker exec and a health check have the value; everything else has the reference. A restart resolves again.
func (h *host) variables(t *testing.T) {
	canary, rotated := rig.NewCanary(), rig.NewCanary()
	put := func(c *rig.Canary) string { return h.put("db", `{"password":"`+c.Value()+`"}`) + ":password::" }
	reference := put(canary)
	// An environment file; what the container says itself wins.
	h.aws.PutObject(fakeaws.Object{Bucket: "config", Key: "app.env", Body: "# a comment\nMODE=from a file\nPLAIN=not this\n\nEMPTY=\n"})
	pairs := []string{"secrets.DB_PASSWORD=" + reference, "PLAIN=own", "environmentFiles=arn:aws:s3:::config/app.env"}
	names := []string{"DB_PASSWORD", "PLAIN", "MODE", "EMPTY", "secrets.DB_PASSWORD", "environmentFiles"}
	want := line("DB_PASSWORD", canary.Value()) + line("PLAIN", "own") + line("MODE", "from a file") +
		"EMPTY missing\nsecrets.DB_PASSWORD missing\nenvironmentFiles missing\n"
	h.mustDocker(append(with([]string{"-d", "--name", "app", "--read-only", "--user", "1000"}, pairs...), append([]string{"-wait"}, names...)...)...)
	polltest.Until(t, 20*time.Second, "the variables of the application", func() bool { return h.mustDocker("logs", "app") == want })

	// AWS and the service are not needed for another process.
	h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	h.end(syscall.SIGKILL)
	if got := h.mustDocker(append([]string{"exec", "-e", "MORE=1", "app", "/app"}, append(names, "MORE")...)...); got != want+line("MORE", "1") {
		t.Errorf("docker exec has\n%s\nwant\n%s", got, want)
	}
	h.start()
	if err := h.aws.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	h.mustDocker("commit", "app", "committed")
	h.nowhere("app", reference, canary)

	put(rotated)
	h.mustDocker("restart", "-t", "0", "app")
	polltest.Until(t, 20*time.Second, "the rotated value", func() bool {
		return strings.HasSuffix(h.mustDocker("logs", "app"), strings.Replace(want, line("DB_PASSWORD", canary.Value()), line("DB_PASSWORD", rotated.Value()), 1))
	})
	h.mustDocker("rm", "-f", "app")
	h.nowhere("", "", canary, rotated)

	check := strings.Fields(line("DB_PASSWORD", rotated.Value()))
	h.mustDocker("create", "--name", "plain", "environ")
	h.mustDocker("commit", "--change", fmt.Sprintf(`HEALTHCHECK --interval=1s CMD ["/app", "-is", "%s", "DB_PASSWORD"]`, check[1]), "plain", "healthy")
	args := with([]string{"-d", "--name", "app"}, pairs...)
	args[len(args)-1] = "healthy"
	h.mustDocker(append(args, "-wait")...)
	polltest.Until(t, 20*time.Second, "a health check with the value", func() bool {
		return h.mustDocker("inspect", "-f", "{{.State.Health.Status}}", "app") == "healthy\n"
	})
	h.mustDocker("rm", "-f", "app", "plain")

	// Another runtime behind; and a container without references.
	for runtime, names := range map[string]string{"other": "DB_PASSWORD", "secretref": "PLAIN"} {
		out := h.mustDocker("run", "--rm", "--network", "none", "--runtime", runtime, "-e", pairs[0], "-e", "PLAIN=own", "environ", names)
		if want := map[string]string{"other": line("DB_PASSWORD", rotated.Value()), "secretref": line("PLAIN", "own")}[runtime]; out != want {
			t.Errorf("--runtime %s: %q, want %q", runtime, out, want)
		}
	}
	if b, err := os.ReadFile(h.dir + "/behind.log"); err != nil || !strings.Contains(string(b), " create --bundle ") {
		t.Errorf("the runtime behind was called with %s, %v", b, err)
	}
}

// nowhere looks for values everywhere but in the processes of the container that has them; "" means that there is none.
func (h *host) nowhere(container, reference string, values ...*rig.Canary) {
	h.t.Helper()
	texts := map[string]string{"the driver's log": h.log(), "the daemon's log": h.dockerd.Log(), "status": fmt.Sprintf("%+v", h.report())}
	if container != "" {
		texts["inspect"], texts["image"] = h.mustDocker("inspect", container), h.mustDocker("inspect", "committed")
		for _, where := range []string{"inspect", "image"} {
			if !strings.Contains(texts[where], reference) {
				h.t.Errorf("the reference is not in %s", where)
			}
		}
	}
	for _, c := range values {
		for where, text := range texts {
			if c.In(text) {
				h.t.Errorf("the value is in %s", where)
			}
		}
		dirs := []string{h.dir, h.dockerd.Dir(), "/run/docker"} // the daemon's directory has its temporary files too
		processes, err := filepath.Glob("/tmp/runc-process*")
		if err != nil {
			h.t.Error(err)
		}
		found, err := c.FindInFiles(h.t.Context(), append(dirs, processes...)...)
		if err != nil || len(found) > 0 {
			h.t.Errorf("the value is in %v (%v)", found, err)
		}
		if container != "" {
			continue
		}
		if found, err := c.FindInProc(); err != nil || len(found) > 0 {
			h.t.Errorf("the value is in %v (%v)", found, err)
		}
	}
}

// What is wrong for good has a clear error, and leaves a container that never ran.
func (h *host) variablesRefused(t *testing.T) {
	value := h.put("a", "value")
	for _, c := range []struct {
		name string
		pair string
		want string
	}{
		{"not allowed", "secrets.A=arn:aws:secretsmanager:eu-west-1:111122223333:secret:other-AbCdEf", "under [secrets]"},
		{"not there", "secrets.A=arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/none-AbCdEf", "ResourceNotFoundException"},
		{"no reference", "secrets.A=with blanks!", "variable secrets.A: "},
		{"no name", "secrets.=" + value, "has no name behind the dot"},
		{"a byte 0", "secrets.A=" + h.put("zero", "a\x00b"), "mount it as a file instead"},
		{"too large", "secrets.A=" + h.put("large", strings.Repeat("x", 128<<10)), "Linux takes at most 131069 in a variable"},
		{"a file that is not an object", "environmentFiles=/prod/app.env", "an environment file is an S3 object"},
		{"a file of another name", "environmentFiles=arn:aws:s3:::config/app.txt", "ends in .env"},
		{"a file that is not allowed", "environmentFiles=arn:aws:s3:::other/app.env", "under [secrets]"},
	} {
		r, err := h.docker(append(with([]string{"--rm"}, c.pair), "A")...)
		if err == nil || r.Code != 125 || !strings.Contains(r.Output, "secretref: ") || !strings.Contains(r.Output, c.want) {
			t.Errorf("%s: %v, want exit code 125 and %q\n%.500s", c.name, err, c.want, r.Output)
		}
	}
}

// While AWS does not answer, a container that is new is refused, and one that ran before is started again until it does, also by a
// daemon that starts.
func (h *host) variablesAway(t *testing.T) {
	reference := h.put("db", "value-1")
	run := func(name string) (rig.Result, error) {
		return h.docker(append(with([]string{"-d", "--name", name, "--restart", "always"}, "secrets.DB="+reference), "-wait", "DB")...)
	}
	if r, err := run("app"); err != nil {
		t.Fatal(r.Output)
	}
	polltest.Until(t, 20*time.Second, "the variable", func() bool { return h.mustDocker("logs", "app") == line("DB", "value-1") })
	h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	h.end(syscall.SIGTERM) // and with it its cache
	h.start()
	if r, err := run("new"); err == nil || !strings.Contains(r.Output, "secretref: variable secrets.DB: ") {
		t.Errorf("a new container: %v, %s", err, r.Output)
	}
	h.mustDocker("rm", "-f", "new")
	if err := h.dockerd.Halt(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := h.dockerd.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the daemon answers after %v", time.Since(began).Round(10*time.Millisecond))
	h.standsIn("app", "variable secrets.DB: ")
	polltest.Until(t, 20*time.Second, "exit status 75", func() bool { return h.mustDocker("inspect", "-f", "{{.State.ExitCode}}", "app") == "75\n" })
	if !strings.Contains(h.attention(), "variables of container ") {
		t.Errorf("status does not say that the container waits: %q", h.attention())
	}
	h.put("db", "value-2")
	if err := h.aws.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	polltest.Until(t, 30*time.Second, "the container with the value", func() bool {
		return strings.HasSuffix(h.mustDocker("logs", "app"), line("DB", "value-2")) && h.mustDocker("inspect", "-f", "{{.State.Status}}", "app") == "running\n"
	})
	h.mustDocker("rm", "-f", "app")
}

// cost prints what two variables add to docker run, and the program to a call that is not its own. Both are taken in turns, because machines
// are noisy: the figures are medians, and -pairs 50 gives the documents' ones.
func (h *host) cost(t *testing.T) {
	a, b := h.put("a", "1"), h.put("b", "2")
	want := line("A", "1") + line("B", "2")
	var runs, calls [2][]time.Duration
	took := func(to *[]time.Duration, do func()) {
		began := time.Now()
		do()
		*to = append(*to, time.Since(began))
	}
	for range *pairs {
		for i, args := range [][]string{
			{"run", "--rm", "--network", "none", "--runtime", "plain", "-e", "A=1", "-e", "B=2", "environ", "A", "B"},
			{"run", "--rm", "--network", "none", "--runtime", "secretref", "-e", "secrets.A=" + a, "-e", "secrets.B=" + b, "environ", "A", "B"},
		} {
			took(&runs[i], func() {
				if out := h.mustDocker(args...); out != want {
					t.Errorf("docker %q: %s", args, out)
				}
			})
		}
		for i, program := range []string{"runc", h.dir + "/secretref-runtime"} {
			took(&calls[i], func() {
				if _, err := (rig.Cmd{Args: []string{program, "--version"}}).Run(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	median := func(of []time.Duration) time.Duration { slices.Sort(of); return of[len(of)/2] }
	for what, of := range map[string][2][]time.Duration{"docker run with two variables": runs, "a call that is not its own": calls} {
		without, with := median(of[0]), median(of[1])
		t.Logf("%s: %v without, %v with, %v more (median of %d)", what, without.Round(100*time.Microsecond), with.Round(100*time.Microsecond), (with - without).Round(100*time.Microsecond), *pairs)
	}
}

// standsIn waits until a stand-in has said why the application does not run.
func (h *host) standsIn(container, reason string) {
	h.t.Helper()
	polltest.Until(h.t, 20*time.Second, "the stand-in's reason", func() bool {
		r, _ := h.docker("logs", container) // also on standard error
		return strings.Contains(r.Output, "secretref: "+reason)
	})
}

// Without the service, and when it is killed in the middle, a container is refused with words that help.
func (h *host) serviceAway(t *testing.T) {
	reference := h.put("unread", "value-1") // nothing has its value yet
	h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	calls := len(h.aws.Calls())
	refused := make(chan string, 1)
	go func() {
		r, err := h.docker(append(with([]string{"--rm"}, "secrets.DB="+reference), "DB")...)
		refused <- fmt.Sprint(err, r.Output)
	}()
	polltest.Until(t, 20*time.Second, "a call to AWS", func() bool { return len(h.aws.Calls()) > calls })
	h.end(syscall.SIGKILL)
	if got := <-refused; !strings.Contains(got, "secretref: secretref-logdriver does not answer") {
		t.Errorf("the service is killed: %s", got)
	}
	if err := h.aws.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	r, err := h.docker(append(with([]string{"--rm"}, "secrets.DB="+reference), "DB")...)
	if err == nil || !strings.Contains(r.Output, "secretref-logdriver cannot be asked") {
		t.Errorf("the service is away: %v, %s", err, r.Output)
	}
	if err := os.Remove(h.dir + "/resolve.sock"); err != nil {
		t.Error(err)
	}
	r, err = h.docker(append(with([]string{"--rm"}, "secrets.DB="+reference), "DB")...)
	if err == nil || !strings.Contains(r.Output, "enable secretref-runtime.socket") {
		t.Errorf("there is no socket: %v, %s", err, r.Output)
	}
	h.start()
	if out := h.mustDocker(append(with([]string{"--rm"}, "secrets.DB="+reference), "DB")...); out != line("DB", "value-1") {
		t.Errorf("the service is back: %s", out)
	}
}

// A container of this runtime whose volume lacks a file does not start without it.
func (h *host) incomplete(t *testing.T) {
	h.run("app", "app-secrets", h.put("db", "value-1")+",volume-opt=secret-failure=start", "--runtime", "secretref", "--restart", "always", "-e", "secrets.DB="+h.put("var", "x"))
	h.says("app", "value-1")
	h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	h.mustDocker("stop", "-t", "0", "app")
	h.end(syscall.SIGTERM)
	if err := os.RemoveAll(h.dir + "/values/app-secrets"); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.mustDocker("start", "app")
	h.standsIn("app", "the volume is not complete: volume app-secrets lacks db")
	if err := h.aws.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	h.says("app", "value-1")
	h.mustDocker("rm", "-f", "app")
	h.mustDocker("volume", "rm", "app-secrets")
	h.nothingLeft()
}
