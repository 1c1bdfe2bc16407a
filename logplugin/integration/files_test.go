//go:build integration

package integration

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/porttest"
)

// With 128 files, 50 containers log, logs are followed, and strangers hold what they can get: all containers are accepted, and
// nothing is lost.
func TestFewFiles(t *testing.T) {
	address := porttest.Address(t)
	w := newWorld(t, worldOptions{prefix: limits("-n 128"), logs: "metrics_address = \"" + address + "\"\n"})
	for range 100 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close() //nolint:gocritic // deferInLoop: a hundred
	}
	f := newFakes(w)
	const places = 2 // for readers, of 128 files
	var followers []*follower
	for i := range 50 {
		c, refused := f.start(fmt.Sprintf("few%02d", i))
		if refused != "" {
			t.Errorf("container %d is refused: %s", i, refused)
		}
		if i == 0 {
			followers = f.followAll(c, places, func(*follower) error { return nil })
		}
	}
	if r, refused, err := f.follow(f.all[0]); r != nil || err != nil || !strings.Contains(refused, "too many docker logs commands") {
		t.Errorf("follower %d is answered with %q, %v, want a refusal", places+1, refused, err)
	}
	f.complete(t, 5)
	abort(followers)
}

// With 64 files, containers that would go over the budget are refused with the reason, and the others lose nothing.
func TestTooFewFiles(t *testing.T) {
	w := newWorld(t, worldOptions{prefix: limits("-n 64")})
	f := newFakes(w)
	refused := 0
	for i := range 60 {
		if _, err := f.start(fmt.Sprintf("over%02d", i)); err != "" {
			refused++
			if !strings.Contains(err, "files") {
				t.Errorf("container %d is refused without the reason: %s", i, err)
			}
		}
	}
	t.Logf("%d of 60 containers were refused", refused)
	if refused < 10 || refused > 45 {
		t.Errorf("%d of 60 containers were refused, want some", refused)
	}
	f.complete(t, 5)
}

// 30 containers that were accepted go on after a restart with a limit of 60 files.
func TestRestartWithFewFiles(t *testing.T) {
	w := newWorld(t, worldOptions{})
	f := newFakes(w)
	for i := range 30 {
		if _, refused := f.start(fmt.Sprintf("again%02d", i)); refused != "" {
			t.Fatalf("container %d is refused: %s", i, refused)
		}
	}
	f.write(100)
	w.end(syscall.SIGKILL)
	f.write(100)
	w.prefix = limits("-n 60")
	w.start()
	f.complete(t, 1)
}

// The same with a daemon, which then removes them.
func TestRemoveWithFewFiles(t *testing.T) {
	w := newWorld(t, worldOptions{})
	const containers = 30
	var names []string
	for i := range containers {
		name := fmt.Sprintf("files-%02d", i)
		names = append(names, name)
		w.run(name, nil, "-n", "2000", "-stay")
	}
	w.end(syscall.SIGKILL)
	w.prefix = limits("-n 60")
	w.start()
	for _, name := range names {
		w.arrived(name, time.Minute)
	}
	began := time.Now()
	w.mustDocker(append([]string{"rm", "-f"}, names...)...)
	t.Logf("docker rm of %d containers took %v", containers, time.Since(began))
	w.gone()
}
