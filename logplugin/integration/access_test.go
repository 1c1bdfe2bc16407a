//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

const getValue = "secretsmanager:GetSecretValue"

// refused starts a container that must not start, and wants one line that says why, and Docker's own exit code.
func (w *world) refused(name string, args []string, says ...string) {
	w.t.Helper()
	r, err := w.docker(append(args, "talker", "-n", "1")...)
	if err == nil || r.Code != 125 {
		w.t.Errorf("%s: exit code %d, %v; want 125\n%s", name, r.Code, err, r.Output)
		return
	}
	line, rest, _ := strings.Cut(strings.TrimSpace(r.Stderr), "\n")
	if strings.Contains(rest, "error waiting for container: context canceled") && !strings.Contains(rest, "\n") {
		rest = "" // the client's own: it sometimes asks for the end of a container that never began
	}
	for _, want := range says {
		if !strings.Contains(line, want) {
			w.t.Errorf("%s: the daemon says %q, want %q in it", name, line, want)
		}
	}
	if rest != "" || strings.Contains(line, "level=") || len(line) > 700 {
		w.t.Errorf("%s: more than one clear line:\n%s", name, r.Stderr)
	}
}

// noFIFO wants the daemon to have no FIFO open that still has its name: those of refused containers are ours to remove.
func (w *world) noFIFO() {
	w.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", w.dockerd.PID())
	until(w.t, 10*time.Second, "no FIFO with a name", func() bool {
		entries, err := os.ReadDir(dir)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			to, _ := os.Readlink(filepath.Join(dir, e.Name())) // it may be closed by now
			if fifoName.MatchString(to) && !strings.HasSuffix(to, "(deleted)") {
				return false
			}
		}
		return true
	})
}

// replaced returns args with one log option instead of another, "" = none.
func replaced(args []string, option, by string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--log-opt" && strings.HasPrefix(args[i+1], option+"=") {
			i++
			continue
		}
		out = append(out, args[i])
	}
	if by != "" {
		out = append(out, "--log-opt", by)
	}
	return out
}

// Every mistake in the log options is told by `docker run`, and leaves nothing behind.
func TestBadInput(t *testing.T) {
	w := newWorld(t, worldOptions{logs: "allow_routers = [\"http://127.0.0.1:*\"]\n"})
	w.aws.PutSecret(fakeaws.Secret{Name: "prod/other", String: `{"key":"value"}`})
	other := "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/other"
	list := func(text string) []string {
		return replaced(w.args("bad"), "secretOptions.splunk-token", "secretOptions="+text)
	}
	with := func(opts ...string) []string { return w.args("bad", opts...) }
	instead := func(option, by string) []string { return replaced(w.args("bad"), option, by) }
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"unknown option", with("splunk-ulr=x"), []string{`"splunk-ulr"`, "did you mean splunk-url?"}},
		{"option of another router", with("fluentd-address=x"), []string{`"fluentd-address"`}},
		{"no router", instead("logDriver", ""), []string{"logDriver is missing"}},
		{"unknown router", instead("logDriver", "logDriver=splnk"), []string{"did you mean splunk?"}},
		{"in options and in secretOptions", with("splunk-token=x"), []string{"splunk-token", "remove one"}},
		{"in both forms", with(`secretOptions=[{"name":"splunk-token","valueFrom":"` + w.arn + `"}]`), []string{"both give splunk-token"}},
		{"malformed list", list(`[{"name":"splunk-token"`), []string{"secretOptions", "entry 1"}},
		{"no list", list("x"), []string{"secretOptions", "is not a JSON list"}},
		{"twice in the list", list(`[{"name":"splunk-token","valueFrom":"/a"},{"name":"splunk-token","valueFrom":"/b"}]`), []string{`"splunk-token" twice`}},
		{"no option of the router", with("secretOptions.splunk-tokn=/a"), []string{"did you mean splunk-token?"}},
		{"no reference", instead("secretOptions.splunk-token", "secretOptions.splunk-token=arn:aws:s3:::x"), []string{"secretOptions.splunk-token"}},
		{"a token as reference", instead("secretOptions.splunk-token", "secretOptions.splunk-token=11111111-2222-3333-4444-555555555555"), []string{"looks like a token"}},
		{"missing required option", instead("splunk-url", ""), []string{"splunk-url is required"}},
		{"missing token", instead("secretOptions.splunk-token", ""), []string{"splunk-token is required"}},
		{"bad URL", instead("splunk-url", "splunk-url=hec.example.com"), []string{"splunk-url", "https://hec.example.com"}},
		{"router that is not allowed", instead("splunk-url", "splunk-url=https://hec.example.com:8088"), []string{"splunk-url", "allow_routers"}},
		{"reference that is not allowed", instead("secretOptions.splunk-token", "secretOptions.splunk-token=arn:aws:secretsmanager:eu-west-1:111122223333:secret:other"), []string{"allow_references"}},
		{"bad regexp", with("labels-regex=("), []string{"labels-regex"}},
		{"bad template", instead("tag", "tag={{.Nothing}}"), []string{"tag"}},
		{"template without end", instead("tag", "tag={{.Name"), []string{"tag"}},
		{"bad size", with("spool-max-bytes=much"), []string{"spool-max-bytes"}},
		{"size out of range", with("spool-max-bytes=1"), []string{"spool-max-bytes"}},
		{"level out of range", with("splunk-gzip=true", "splunk-gzip-level=10"), []string{"splunk-gzip-level"}},
		{"no boolean", with("splunk-gzip=perhaps"), []string{"splunk-gzip"}},
		{"unknown format", with("splunk-format=xml"), []string{"splunk-format"}},
		{"unknown answer to a failure", with("secret-failure=ignore"), []string{"secret-failure"}},
		{"no such file", with("splunk-capath=/none/ca.pem"), []string{"splunk-capath"}},
		{"missing secret", with("secretOptions.splunk-index=arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/none"), []string{"log-opt splunk-index", "prod/none"}},
		{"missing key", with("secretOptions.splunk-index=" + other + ":none::"), []string{"log-opt splunk-index", "none"}},
	} {
		w.refused(tt.name, tt.args, tt.says...)
		_, _ = w.docker("rm", "-f", "bad")
	}
	w.noFIFO()
	w.gone()
	if n := w.hec.Connections(); n > 0 {
		t.Errorf("%d connections to the router", n)
	}
	// The list of ECS is understood.
	ecs := replaced(w.args("ecs-list"), "secretOptions.splunk-token",
		`secretOptions=[{"name":"splunk-token","valueFrom":"`+w.arn+`:token::"},{"name":"splunk-index","valueFrom":"`+other+`:key::"}]`)
	w.mustDocker(append(ecs, "talker", "-n", "100")...)
	w.arrived("ecs-list", 30*time.Second)
	if e := w.hec.Events()[0].Text; !strings.Contains(e, `"index":"value"`) {
		t.Errorf("the second secret of the list is not used: %s", e)
	}
	w.gone()
}

// What becomes of containers while AWS denies, or does not answer.
func TestAccess(t *testing.T) {
	t.Parallel()                                            // most of the time it waits
	d := rig.Use(t, rig.StartDockerd, rig.DockerdOptions{}) // of its own: its FIFOs are counted
	if err := d.Import(t.Context(), "talker", programs.talker); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, worldOptions{dockerd: d})
	// The driver forgets what it knows of values.
	forget := func() { w.end(syscall.SIGTERM); w.start() }
	deny := func() { w.aws.Deny("*", getValue, "*"); forget() }
	allow := func() { w.aws.Allow("*", getValue, "*") }
	waits := func(name string) {
		t.Helper()
		until(t, 30*time.Second, "lines of "+name+" that wait", func() bool {
			s := w.statusOf(name)
			return len(s) > 0 && s[0].WaitingBytes > 0 && s[0].LastError != ""
		})
		if text := w.statusOf(name)[0].LastError; !strings.Contains(text, secret) || strings.Contains(text, "\n") {
			w.t.Errorf("%s: status says %q", name, text)
		}
	}

	w.step("restart policy", func(t *testing.T) {
		args := append(w.args("acc-again"), "--restart", "always")
		w.mustDocker(append(args, "talker", "-n", "500")...)
		until(t, 30*time.Second, "lines", func() bool { w.look(); return w.stream("acc-again", "stdout").end == 500 })
		restarts := func() string {
			return strings.TrimSpace(w.mustDocker("inspect", "-f", "{{.RestartCount}}", "acc-again"))
		}
		deny()
		before, seen := restarts(), w.hec.Count()
		until(t, 30*time.Second, "the next start", func() bool { return restarts() != before })
		waits("acc-again")
		after := restarts()
		until(t, 30*time.Second, "one more start", func() bool { return restarts() != after })
		w.mustDocker("stop", "-t", "10", "acc-again")
		if w.hec.Count() > seen+500 { // what had been read before may still come
			t.Errorf("%d events, while access is denied, after %d", w.hec.Count(), seen)
		}
		written := strings.Count(w.mustDocker("logs", "acc-again"), "\n") // of all starts
		allow()
		until(t, 60*time.Second, "all lines", func() bool { return w.hec.Count() >= written })
		w.gone()
		if n := w.hec.Count(); n != written {
			t.Errorf("%d events for %d lines", n, written)
		}
	})
	w.step("docker logs of a stopped container", func(t *testing.T) {
		deny()
		if got := w.mustDocker("logs", "--tail", "1", "acc-again"); !strings.HasPrefix(got, "end ") {
			t.Errorf("the last line is %q", got)
		}
		w.gone()
		allow()
	})
	w.step("never accepted and denied", func(t *testing.T) {
		deny()
		began := time.Now()
		w.refused("denied", w.args("acc-never"), "log-opt splunk-token", secret, "access denied", "allow "+getValue)
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
		w.noFIFO()
		w.gone()
		w.mustDocker("ps", "-a")
		allow()
		w.mustDocker("start", "acc-never")
		w.arrived("acc-never", 30*time.Second)
		w.gone()
	})
	w.step("denied, secret-failure=start", func(t *testing.T) {
		deny()
		w.run("acc-start", []string{"secret-failure=start"}, "-n", "100")
		waits("acc-start")
		allow()
		w.arrived("acc-start", 60*time.Second)
		w.gone()
	})
	for name, f := range map[string]fakeaws.Fault{
		"hangs": {Kind: fakeaws.Hang}, "throttles": {Kind: fakeaws.Throttle}, "refuses": {Kind: fakeaws.Refuse},
	} {
		w.step("AWS "+name, func(t *testing.T) {
			forget()
			w.aws.SetFault(f)
			w.run("acc-wait-"+name, nil, "-n", "100")
			waits("acc-wait-" + name)
			w.refused("secret-failure=fail", w.args("acc-fail-"+name, "secret-failure=fail"), "log-opt splunk-token", secret)
			w.noNew(t, "acc-wait-"+name)
			if err := w.aws.ClearFaults(); err != nil {
				t.Fatal(err)
			}
			w.arrived("acc-wait-"+name, 60*time.Second)
			w.gone()
			w.noFIFO()
		})
	}
}

// noNew wants no session but that of one container.
func (w *world) noNew(t *testing.T, name string) {
	t.Helper()
	if all, err := w.status(); err != nil || len(all) != 1 || all[0].ContainerName != name {
		t.Errorf("%+v, %v; want the session of %s alone", all, err, name)
	}
}
