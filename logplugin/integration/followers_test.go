//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

// follower is an answer to ReadLogs, as the daemon receives it.
type follower struct {
	conn net.Conn
	body io.ReadCloser
	in   *bufio.Reader
}

// follow asks for the log of a container, from its beginning and on. Without a follower the second result is what the driver said.
func (f *fakes) follow(c *fake) (*follower, string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.w.t.Context()), 30*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", f.w.socket())
	if err != nil {
		return nil, "", err
	}
	body, err := json.Marshal(map[string]any{
		"Info": map[string]any{"ContainerID": fakeID(c.name), "ContainerName": "/" + c.name}, "Config": map[string]any{"Tail": -1, "Follow": true},
	})
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin/LogDriver.ReadLogs", bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	if err := errors.Join(conn.SetDeadline(time.Now().Add(60*time.Second)), req.Write(conn)); err != nil {
		return nil, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, "", err
	}
	if resp.StatusCode == http.StatusOK {
		return &follower{conn, resp.Body, bufio.NewReader(resp.Body)}, "", nil
	}
	text, err := io.ReadAll(resp.Body)
	return nil, string(text), errors.Join(err, resp.Body.Close(), conn.Close())
}

// next returns the next line. Frames that no client sees are skipped.
func (r *follower) next() (string, error) {
	var header [frame.HeaderBytes]byte
	for {
		if _, err := io.ReadFull(r.in, header[:]); err != nil {
			return "", err
		}
		size, err := frame.Size(header[:])
		if err != nil {
			return "", err
		}
		b := append(header[:], make([]byte, size-len(header))...)
		if _, err := io.ReadFull(r.in, b[len(header):]); err != nil {
			return "", err
		}
		var e frame.Entry
		if _, err := frame.Decode(b, &e); err == nil {
			return string(e.Line), nil
		}
	}
}

// followAll opens n followers of c and calls each, side by side, with one of them.
func (f *fakes) followAll(c *fake, n int, each func(*follower) error) []*follower {
	f.w.t.Helper()
	all := make([]*follower, n)
	var opened sync.WaitGroup
	for i := range all {
		opened.Go(func() {
			r, refused, err := f.follow(c)
			if err == nil && r == nil {
				err = errors.New(refused)
			}
			if err == nil {
				err = each(r)
			}
			if err != nil {
				f.w.t.Errorf("follower %d of %d: %v", i, n, err)
			}
			all[i] = r
		})
	}
	opened.Wait()
	if f.w.t.Failed() {
		f.w.t.FailNow()
	}
	return all
}

// abort closes connections without a word.
func abort(all []*follower) {
	for _, r := range all {
		_ = r.conn.Close() // nothing follows
	}
}

var anonymous = regexp.MustCompile(`(?m)^RssAnon:\s+(\d+) kB$`)

// memory returns the bytes of memory of a process that no file backs.
func memory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := anonymous.FindSubmatch(text)
	if found == nil {
		t.Fatalf("no RssAnon in %s", text)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// As many followers as there are places, in waves that go away without a word: each sees every line, the next one is refused with the
// reason, they cost little memory and one file each, and nothing is left of them.
func TestManyFollowers(t *testing.T) {
	const (
		places = 256
		waves  = 4
		most   = 32 << 20 // bytes of memory for all followers of a wave
	)
	w := newWorld(t, worldOptions{})
	f := newFakes(w)
	c, refused := f.start("followed")
	if refused != "" {
		t.Fatal(refused)
	}
	f.write(200)
	f.arrived(time.Minute)
	open := files(t, w.pid())
	left := func() bool { return files(t, w.pid()) <= open+2 } // connections to the receiver come and go
	for wave := range waves {
		before := memory(t, w.pid())
		all := f.followAll(c, places, func(r *follower) error {
			for i := range c.lines {
				if line, err := r.next(); err != nil || line != fmt.Sprintf("followed %d\n", i) {
					return fmt.Errorf("line %d is %q, %w", i, line, err)
				}
			}
			return nil
		})
		if r, refused, err := f.follow(c); r != nil || err != nil || !strings.Contains(refused, "too many docker logs commands") {
			t.Errorf("wave %d: follower %d is answered with %q, %v, want a refusal", wave, places+1, refused, err)
		}
		if n := files(t, w.pid()); n > open+places+4 {
			t.Errorf("wave %d: %d open files, %d without followers; want at most one for each", wave, n, open)
		}
		took := memory(t, w.pid()) - before
		t.Logf("wave %d: %d followers take %d KiB of memory", wave, places, took>>10)
		if took > most {
			t.Errorf("wave %d: %d followers take %d bytes of memory, want at most %d", wave, places, took, most)
		}
		abort(all)
		until(t, 30*time.Second, "the end of all followers in the driver", left)
	}
	f.prompt(t)
	w.noFollowers()
}

// noFollowers ends the driver so that it writes what its goroutines do, and wants none of them to answer anybody.
func (w *world) noFollowers() {
	w.t.Helper()
	w.end(syscall.SIGQUIT)
	_, stacks, found := strings.Cut(w.driverLog(), "SIGQUIT: quit")
	if !found {
		w.t.Fatal("the driver's log has no goroutines")
	}
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		if strings.Contains(stack, "/readlogs.") || strings.Contains(stack, "dockerplugin.reader") || strings.Contains(stack, "net/http.(*conn)") {
			w.t.Errorf("a goroutine is left:\n%s", stack)
		}
	}
}

// Followers that read nothing, of a log that is longer than all buffers, cost little memory, and hold up nobody.
func TestSlowFollowers(t *testing.T) {
	const most = 32 << 20
	w := newWorld(t, worldOptions{})
	f := newFakes(w)
	c, refused := f.start("slow")
	if refused != "" {
		t.Fatal(refused)
	}
	for range 100 {
		f.write(200) // that fit into a pipe
	}
	f.arrived(time.Minute)
	before := memory(t, w.pid())
	all := f.followAll(c, 256, func(r *follower) error {
		_, err := r.next()
		return err
	})
	took := memory(t, w.pid()) - before
	t.Logf("256 followers that do not read on take %d KiB of memory", took>>10)
	if took > most {
		t.Errorf("256 followers that do not read on take %d bytes of memory, want at most %d", took, most)
	}
	f.write(100)
	f.arrived(30 * time.Second)
	f.prompt(t)
	abort(all)
	f.stop()
	w.gone()
}

// Followers end with the driver, and when it reads its configuration again: at once, also those that read nothing, and with an error,
// because the log has not ended. The driver does not wait for them, and the next `docker logs` shows every line.
func TestFollowersEndWithTheDriver(t *testing.T) {
	const places = 256
	w := newWorld(t, worldOptions{})
	w.run("cut", nil, "-pause", "1ms")
	f := newFakes(w)
	c, refused := f.start("slow")
	if refused != "" {
		t.Fatal(refused)
	}
	for range 100 {
		f.write(200)
	}
	const again = "the configuration is read again"
	for _, end := range []struct {
		name string
		now  func()
	}{
		{"reload", func() {
			if err := syscall.Kill(w.pid(), syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			until(t, 20*time.Second, "the configuration", func() bool { return strings.Contains(w.driverLog(), again) })
			w.answers()
		}},
		{"shutdown", func() {
			began := time.Now()
			w.end(syscall.SIGTERM)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the driver took %v to end", took)
			}
			w.start()
		}},
	} {
		w.step(end.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "docker", "logs", "-f", "--tail", "0", "cut")
			cmd.Env = w.dockerd.Env()
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(out)
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "line ") {
				t.Errorf("docker logs -f begins with %q, %v", line, err)
			}
			all := f.followAll(c, places-1, func(r *follower) error {
				_, err := r.next()
				return err
			})
			end.now()
			if _, err := io.Copy(io.Discard, in); err != nil {
				t.Errorf("docker logs -f: %v", err)
			}
			if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "unexpected EOF") {
				t.Errorf("docker logs -f has ended with %v and %q, want an error", err, stderr.String())
			}
			for i, r := range all {
				if _, err := io.Copy(io.Discard, r.in); err == nil {
					t.Errorf("follower %d has ended without an error", i)
				}
			}
			abort(all)
		})
	}
	if log := w.driverLog(); strings.Contains(log, "docker logs was cut") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the driver's log:\n%s", log)
	}
	w.mustDocker("stop", "-t", "5", "cut")
	w.arrived("cut", time.Minute)
	if n := w.countLogs("cut"); n != w.stream("cut", "stdout").end+1 {
		t.Errorf("docker logs shows %d lines, want %d", n, w.stream("cut", "stdout").end+1)
	}
	f.stop()
	w.gone()
}
