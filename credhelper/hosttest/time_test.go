//go:build integration

package hosttest

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fakeaws"
)

// searchKey looks for an entry's key in root's keyring.
func searchKey(entry string) (serial int, err error) {
	return unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", "secretref:"+id(entry), 0)
}

// The kernel ends a key when its entry's window ends; no program of ours runs meanwhile. What is left is a file that
// nobody can read any more.
func TestKernelEndsTheKey(t *testing.T) {
	h := newHost(t, nil, "[cache]\nttl = \"1s\"\nstale = \"1s\"")
	h.get(call{}, h.canary.Value())
	began := time.Now()
	entry := h.entry(0)
	serial, err := searchKey(entry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the kernel lists what has ended for some minutes more
		_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, serial, unix.KEY_SPEC_USER_KEYRING, 0, 0)
	})
	sealed, err := os.ReadFile(entry)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the key", func() bool { _, err := searchKey(entry); return err != nil })
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the key has lived for %v, want 2 s and a little", took)
	}
	if b, err := unix.KeyctlBuffer(unix.KEYCTL_READ, serial, make([]byte, 64), 0); err == nil {
		t.Errorf("%d bytes can still be read of the key", b)
	}
	h.calls(1)
	if now, err := os.ReadFile(entry); err != nil || string(now) != string(sealed) {
		t.Errorf("the file has changed (%v): a program of ours was at work", err)
	}
	if state := h.explain(call{}); state != "nothing kept" {
		t.Errorf("explain says of the cache: %s", state)
	}
	h.get(call{}, h.canary.Value())
	h.calls(2)
}

// After a reboot, or from a disk in another machine, there is the file and no key.
func TestFileWithoutKey(t *testing.T) {
	h := newHost(t, nil, "")
	h.get(call{}, h.canary.Value())
	entry := h.entry(0)
	sealed, err := os.ReadFile(entry)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := searchKey(entry)
	if err == nil {
		_, err = unix.KeyctlInt(unix.KEYCTL_INVALIDATE, serial, 0, 0, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.aws.RotateSecret(h.arn, credentials("another-password"))
	h.get(call{}, "another-password")
	h.calls(2)
	// The old file beside the new key does not answer either.
	if err := os.WriteFile(entry, sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	h.get(call{}, "another-password")
	h.calls(3)
}

// AWS is down: the cached value stands in, only the first run waits, and when its window is over the cause is named.
func TestAWSDown(t *testing.T) {
	for _, c := range []struct {
		name string
		down func(*fakeaws.Server)
		says string
	}{
		{"stopped", (*fakeaws.Server).Stop, "connection refused"},
		{"hangs", func(s *fakeaws.Server) { s.SetFault(fakeaws.Fault{Kind: fakeaws.Hang}) }, "no answer"},
		{"throttles", func(s *fakeaws.Server) { s.SetFault(fakeaws.Fault{Kind: fakeaws.Throttle}) }, "ThrottlingException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const timeout = 2 * time.Second
			h := newHost(t, nil, "[aws]\ntimeout = \"2s\"\n[cache]\nttl = \"1s\"\nstale = \"5s\"")
			h.get(call{}, h.canary.Value())
			c.down(h.aws)
			await(t, "the end of the time to live", func() bool {
				return strings.Contains(h.explain(call{}), "only used while AWS does not answer")
			})
			first := h.timed(func() { h.get(call{}, h.canary.Value()) })
			if first > timeout+500*time.Millisecond {
				t.Errorf("the first run took %v, want no more than the deadline of %v", first, timeout)
			}
			asked := h.aws.CountCalls("GetSecretValue")
			var took []time.Duration
			for range 10 {
				took = append(took, h.timed(func() { h.get(call{}, h.canary.Value()) }))
			}
			slices.Sort(took)
			if took[5] > 100*time.Millisecond || took[9] > time.Second {
				t.Errorf("the next ten took %v, want less than 100 ms each", took)
			}
			h.calls(asked)
			await(t, "the end of the stale window", func() bool { return h.explain(call{}) == "nothing kept" })
			if last := h.timed(func() { h.getFails(call{}, c.says) }); last > timeout+500*time.Millisecond {
				t.Errorf("the error took %v, want no more than the deadline of %v", last, timeout)
			}
			if err := h.aws.ClearFaults(); err != nil {
				t.Fatal(err)
			}
			h.get(call{}, h.canary.Value())
		})
	}
}

func (h *host) timed(f func()) time.Duration {
	h.t.Helper()
	began := time.Now()
	f()
	return time.Since(began)
}

// A clock that is wrong by a day is a common cause of refused signatures. Time namespaces do not change the clock that
// signatures are made by, so it is AWS's that is moved.
func TestWrongClock(t *testing.T) {
	day := func() time.Time { return time.Now().Add(24 * time.Hour) }
	t.Run("a day behind AWS", func(t *testing.T) {
		h := newHost(t, fakeaws.New(t, fakeaws.Options{Now: day}), "")
		h.getFails(call{}, "clock")
	})
	for _, c := range []fakeaws.Fault{
		{Kind: fakeaws.Custom, Code: "RequestTimeTooSkewed", Message: "The difference between the request time and the current time is too large.", Status: 403},
		{Kind: fakeaws.Custom, Code: "InvalidSignatureException", Message: "Signature expired: 20261101T120000Z is now earlier than 20261102T115500Z (20261102T120000Z - 5 min.)", Status: 400},
	} {
		t.Run(c.Code, func(t *testing.T) {
			h := newHost(t, nil, "")
			h.aws.SetFault(c)
			h.getFails(call{}, "clock", c.Code)
		})
	}
}
