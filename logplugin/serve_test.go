package logplugin

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/porttest"
)

// A mistake in the configuration stops no container: its log is read and kept until the mistake is fixed.
func TestBrokenConfiguration(t *testing.T) {
	metricsAddress := porttest.Address(t)
	d := startDriver(t, "metrics_address = \""+metricsAddress+"\"\n")
	f := d.container(t, "c1")
	write(t, f, "one")
	await(t, "a line", func() bool { return d.hec.Count() == 1 })
	good, err := os.ReadFile(d.args[1])
	if err != nil {
		t.Fatal(err)
	}
	if code := d.stop(); code != exitOK {
		t.Fatalf("exit status %d", code)
	}
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(d.args[1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(string(good) + "state_drr = \"/x\"\n")
	status := func() []session.Status { return d.sessions(t) }
	ended := d.serve(t)
	await(t, "a driver that reads", func() bool { return len(status()) == 1 })
	// More than the pipe holds: the daemon would stand still.
	long := strings.Repeat("x", 10000)
	for range 50 {
		write(t, f, long)
	}
	await(t, "the lines in the spool", func() bool { return status()[0].WaitingBytes > 500000 })
	if s := status()[0]; s.State != session.Parked || !strings.Contains(s.LastError, "state_drr") {
		t.Errorf("status %+v, want it parked because of state_drr", s)
	}
	d.brokenIsShown(t, metricsAddress)
	if a := d.start(t, "c2"); !strings.Contains(a, "state_drr") {
		t.Errorf("a container that starts now: %s", a)
	}
	if d.hec.Count() != 1 {
		t.Errorf("%d events were sent", d.hec.Count())
	}
	set(string(good))
	await(t, "all lines", func() bool { return d.hec.Count() == 51 })
	if code, out := d.run(t, "status"); code != exitOK {
		t.Errorf("status after it was fixed: %d, %s", code, out)
	}
	d.cancel()
	if code := ended(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
}

// A call of AWS that hangs is shown while it hangs: its error comes only with its time limit.
func TestAWSHangs(t *testing.T) {
	d := startDriver(t, "")
	d.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	write(t, d.container(t, "c1"), "one") // it starts: AWS may come back
	await(t, "a word about AWS", func() bool {
		code, out := d.run(t, "status")
		return code == exitAttention && strings.Contains(out, "attention: AWS has not answered for ")
	})
}

// LAST ERROR is of now: it is filled while a request hangs.
func TestRouterHangs(t *testing.T) {
	d := startDriver(t, "")
	d.hec.FailAlways(&hectest.Fault{Hang: true})
	write(t, d.container(t, "c1"), "one")
	await(t, "a word about the router", func() bool {
		code, out := d.run(t, "status")
		return code == exitAttention && strings.Contains(out, "a request to the router has had no answer for ")
	})
}

// What is asked to read its configuration again does, in the middle of a container's log; one that is broken is refused,
// and the one before it stays.
func TestReload(t *testing.T) {
	d := startDriver(t, "")
	f := d.container(t, "c1")
	write(t, f, "one")
	await(t, "a line", func() bool { return d.hec.Count() == 1 })
	good, err := os.ReadFile(d.args[1])
	if err != nil {
		t.Fatal(err)
	}
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(d.args[1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d.reload <- syscall.SIGHUP
	}

	set(string(good) + "state_drr = \"/x\"\n")
	await(t, "a word about it", func() bool { return strings.Contains(d.log.String(), "the one before it stays in use") })
	if code, out := d.run(t, "status"); code != exitAttention || !strings.Contains(out, "the configuration is broken: ") {
		t.Errorf("status with a broken file: %d, %s", code, out)
	}
	write(t, f, "two")
	await(t, "a line with the one before", func() bool { return d.hec.Count() == 2 })
	d.container(t, "c2") // is not refused

	moved := strings.Replace(string(good), d.state(), d.state()+"2", 1)
	set(moved + "allow_references = []\nmetrics_address = \"" + porttest.Address(t) + "\"\n")
	for i := range 100 {
		write(t, f, fmt.Sprint("during ", i))
	}
	await(t, "the new one", func() bool { return strings.Contains(d.log.String(), "takes effect now") && len(d.sessions(t)) == 2 })
	if !strings.Contains(d.log.String(), `keys="logs.state_dir logs.metrics_address"`) {
		t.Errorf("the log does not name the keys that need a restart:\n%s", d.log)
	}
	if a := d.start(t, "c3"); !strings.Contains(a, "allow_references") {
		t.Errorf("a container that the new configuration forbids: %s", a)
	}

	set(string(good))
	await(t, "all lines", func() bool { return d.hec.Count() == 102 })
	d.container(t, "c4") // may start again
	if code, out := d.run(t, "status"); code != exitOK {
		t.Errorf("status: %d, %s", code, out)
	}
	if code := d.stop(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
}

// brokenIsShown wants the broken configuration in the exit status and the line of status, in metrics, and in /healthz.
func (d *driver) brokenIsShown(t *testing.T, metricsAddress string) {
	t.Helper()
	code, out := d.run(t, "status")
	if code != exitAttention || !strings.Contains(out, Name+": attention: the configuration is broken: ") || !strings.Contains(out, "state_drr") {
		t.Errorf("status: %d, %s", code, out)
	}
	var shown string
	await(t, "metrics", func() bool { shown = get(t, "http://"+metricsAddress+"/metrics"); return shown != "" })
	for _, want := range []string{"\nsecretref_config_broken 1\n", "\nsecretref_log_attention_reasons 2\n", "\nsecretref_build_info{"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	if got := get(t, "http://"+metricsAddress+"/healthz"); !strings.HasPrefix(got, "503 ") || strings.Contains(got, "state_drr") {
		t.Errorf("/healthz for strangers: %q", got)
	}
}

// get returns what a URL gives, after the code if that is not 200; "" if nobody answers.
func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return resp.Status + " " + string(b)
	}
	return string(b)
}

// A port that somebody else has keeps nobody's log waiting; it is taken when it is free.
func TestMetricsAddressInUse(t *testing.T) {
	address := porttest.Address(t)
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	d := startDriver(t, "metrics_address = \""+address+"\"\n") // it is ready
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "metrics", func() bool {
		return strings.Contains(get(t, "http://"+address+"/metrics"), "secretref_config_broken 0")
	})
	if got := get(t, "http://"+address+"/healthz"); got != "ok\n" {
		t.Errorf("/healthz: %q", got)
	}
	if code := d.stop(); code != exitOK {
		t.Errorf("exit status %d, want %d", code, exitOK)
	}
}
