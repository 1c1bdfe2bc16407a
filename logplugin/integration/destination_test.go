//go:build integration

package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/logplugin/session"
)

// named writes a configuration whose destination prod is one receiver; url "" means that there is no such destination. A driver
// that runs reads it again.
func (w *world) named(url string) {
	w.t.Helper()
	text := "[aws]\nregion = \"eu-west-1\"\n[logs]\nstate_dir = \"" + w.state + "\"\nallow_references = []\nallow_routers = []\n"
	if url != "" {
		text += "[logs.destinations.prod]\nlogDriver = \"splunk\"\nsplunk-url = \"" + url + "\"\nsecretOptions.splunk-token = \"" + w.arn + ":token::\"\n"
	}
	w.write("config.toml", text)
	const again = "the configuration is read again"
	before := strings.Count(w.driverLog(), again)
	if err := syscall.Kill(w.pid(), syscall.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
	until(w.t, 20*time.Second, "the new configuration", func() bool { return strings.Count(w.driverLog(), again) > before })
}

// toProd is all of `docker run` for a container that names the destination.
func (w *world) toProd(name string, opts ...string) []string {
	w.mine = append(w.mine, name)
	args := []string{"run", "-d", "--network", "none", "--name", name, "--log-driver", w.name, "--log-opt", "destination=prod", "--log-opt", "tag={{.Name}}"}
	for _, o := range opts {
		args = append(args, "--log-opt", o)
	}
	return args
}

// A running container follows its destination: to another receiver, to a rotated token, into waiting while there is none, and
// through kills of the driver at each of these. No line is lost or comes before its time.
func TestNamedDestination(t *testing.T) {
	w := newWorld(t, worldOptions{})
	second := w.receiver(hectest.Options{Tokens: []string{"token-1"}})
	w.named(w.hec.URL())
	for _, smuggled := range []string{"splunk-url=" + second.URL(), "secretOptions.splunk-token=" + w.arn, "splunk-insecureskipverify=true", "logDriver=splunk"} {
		w.refused(smuggled, w.toProd("nd-smuggles", smuggled), strings.SplitN(smuggled, "=", 2)[0], "destination")
		_, _ = w.docker("rm", "-f", "nd-smuggles")
	}
	w.noFIFO()
	w.mustDocker(append(w.toProd("nd"), "talker", "-pause", "1ms")...)
	w.talks("nd")
	again := func() { w.end(syscall.SIGKILL); w.start() }
	again()
	w.talks("nd")

	w.named(second.URL())
	until(t, 30*time.Second, "lines at the other receiver", func() bool { return second.Count() > 0 })
	again()
	w.talks("nd")

	w.aws.RotateSecret(secret, `{"token":"token-2"}`)
	second.SetTokens("token-2")
	w.talks("nd")

	w.named("")
	parked := func() bool {
		s := w.statusOf("nd")
		return len(s) == 1 && s[0].State == session.Parked && s[0].WaitingBytes > 0 && strings.Contains(s[0].LastError, "[logs.destinations.prod]")
	}
	until(t, 30*time.Second, "a parked session", parked)
	again()
	until(t, 30*time.Second, "a session that is parked after a kill, too", parked)
	w.running("nd")

	w.named(second.URL())
	w.talks("nd")
	w.mustDocker("stop", "-t", "10", "nd")
	w.arrived("nd", time.Minute)
	w.gone()
}

// Containers of one destination share its connections, and their state names the destination alone.
func TestConnectionsOfADestination(t *testing.T) {
	w := newWorld(t, worldOptions{})
	w.named(w.hec.URL())
	const containers = 1000
	f := newFakes(w)
	f.config = map[string]string{"destination": "prod"}
	for i := range containers {
		if _, refused := f.start(fmt.Sprintf("many%04d", i)); refused != "" {
			t.Fatalf("container %d is refused: %s", i, refused)
		}
	}
	for range 3 {
		f.write(1)
	}
	f.arrived(time.Minute)
	if n := w.hec.Connections(); n > 8 {
		t.Errorf("%d connections for %d containers of one destination", n, containers)
	} else {
		t.Logf("%d connections for %d containers", n, containers)
	}
	kept, err := filepath.Glob(w.state + "/sessions/*.json")
	if err != nil || len(kept) != containers {
		t.Errorf("%d state files, %v", len(kept), err)
	}
	f.stop()
	w.gone()
}
