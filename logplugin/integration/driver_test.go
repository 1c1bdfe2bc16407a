//go:build integration

package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/fakeaws"
)

// The driver is killed at random moments under load, and every line arrives. What comes twice is, for each kill, at most
// one batch of each container: the one that was under way.
func TestKilledDriver(t *testing.T) {
	w := newWorld(t, worldOptions{})
	const kills, containers = 50, 3
	// What it answers is late, so that a kill often finds a batch that was taken, and not yet known to be.
	d := newDoor(t, w.hec.URL())
	d.late = 150 * time.Millisecond
	d.open()
	for i := range containers {
		w.run(fmt.Sprint("kill-", i), []string{"splunk-url=http://" + d.addr}, "-pause", "300us", "-size", "100", "-both")
	}
	busy, before := 0, 0
	for range kills {
		pause(t, time.Duration(rand.N(600))*time.Millisecond)
		w.end(syscall.SIGKILL)
		if n := w.hec.Count(); n > before {
			busy, before = busy+1, n
		}
		w.start()
	}
	total, twice := 0, 0
	for i := range containers {
		name := fmt.Sprint("kill-", i)
		w.mustDocker("stop", "-t", "10", name)
		lines, again := w.arrived(name, time.Minute, "stdout", "stderr")
		total, twice = total+lines, twice+again
	}
	w.gone()
	most := w.largestBatch()
	t.Logf("%d lines; %d of them came twice after %d kills; the largest batch of a container has %d", total, twice, kills, most)
	if total < 20000 || twice == 0 || busy < kills/5 {
		t.Errorf("%d lines, and lines sent before %d of %d kills, (%d came twice) are not enough load", total, busy, kills, twice)
	}
	if twice > kills*containers*most {
		t.Errorf("%d lines came twice, want at most %d", twice, kills*containers*most)
	}
	for name, s := range w.streams {
		for _, back := range s.rewinds {
			if back > most {
				t.Errorf("%s went back by %d lines, more than the largest batch of %d", name, back, most)
			}
		}
		if len(s.rewinds) > kills {
			t.Errorf("%s went back %d times after %d kills", name, len(s.rewinds), kills)
		}
	}
}

// The router is away for a while, in all the ways that it can be; meanwhile the token is replaced.
func TestRotationAndOutage(t *testing.T) {
	t.Parallel() // most of the time it waits
	w := newWorld(t, worldOptions{})
	w.run("rot", nil, "-pause", "200us", "-both")
	w.talks("rot")
	w.aws.RotateSecret(secret, `{"token":"token-2"}`)
	w.hec.SetTokens("token-2")
	w.talks("rot")
	// Long enough for pauses of several seconds between tries.
	w.hec.FailAlways(&hectest.Fault{Code: 9})
	tries := len(w.hec.Requests())
	pause(t, 12*time.Second)
	if n := len(w.hec.Requests()) - tries; n < 3 || n > 20 {
		t.Errorf("%d tries within 12 seconds, want a few, and fewer with time", n)
	}
	w.aws.RotateSecret(secret, `{"token":"token-3"}`)
	w.hec.SetTokens("token-3")
	w.hec.FailAlways(nil)
	w.mustDocker("stop", "-t", "10", "rot")
	if _, twice := w.arrived("rot", 90*time.Second, "stdout", "stderr"); twice != 0 {
		t.Errorf("%d lines came twice", twice)
	}
	w.gone()
}

// SIGTERM keeps what is not delivered, within the time that systemd and dockerd give; the next driver goes on.
func TestEnd(t *testing.T) {
	tests := []struct {
		name   string
		before func(w *world)
		asked  func(w *world) bool
	}{
		{"router busy", func(w *world) { w.hec.FailAlways(&hectest.Fault{Code: 9}) }, func(w *world) bool { return len(w.hec.Requests()) > 0 }},
		{"router hangs", func(w *world) { w.hec.FailAlways(&hectest.Fault{Hang: true}) }, func(w *world) bool { return w.hec.Connections() > 0 }},
		{"AWS hangs", func(w *world) { w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang}) }, func(w *world) bool { return w.aws.CountCalls("GetSecretValue") > 0 }},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, worldOptions{})
			tt.before(w)
			name := fmt.Sprint("end-", i)
			w.run(name, nil, "-pause", "100us")
			until(t, 20*time.Second, "lines in the spool", func() bool {
				s := w.statusOf(name)
				return len(s) == 1 && s[0].WaitingBytes > 0 && tt.asked(w)
			})
			began := time.Now()
			w.end(syscall.SIGTERM)
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("the driver took %v to end", took)
			} else {
				t.Logf("it took %v", took)
			}
			w.hec.FailAlways(nil)
			_ = w.aws.ClearFaults()
			w.start()
			w.mustDocker("stop", "-t", "10", name)
			if _, twice := w.arrived(name, time.Minute); twice != 0 {
				t.Errorf("%d lines came twice", twice)
			}
			w.gone()
			if log := w.driverLog(); strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
				t.Errorf("the driver's log:\n%s", log)
			}
		})
	}
}
