//go:build integration

package hosttest

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/rig"
)

func probe(args ...string) []string { return append([]string{filepath.Join(bin, "probe")}, args...) }

// Root's configuration may be for everybody; root's answers are not.
func TestOtherUser(t *testing.T) {
	h := newHost(t, nil, "")
	h.get(call{}, h.canary.Value())
	rootEntry := h.entry(0)
	h.aws.RotateSecret(h.arn, credentials("another-password"))
	h.get(call{uid: other}, "another-password")
	h.calls(2)
	h.get(call{uid: other}, "another-password")
	h.get(call{}, h.canary.Value())
	h.calls(2)
	otherEntry := h.entry(other)
	if filepath.Base(rootEntry) == filepath.Base(otherEntry) || filepath.Dir(rootEntry) == filepath.Dir(otherEntry) {
		t.Errorf("entries %s and %s, want two names in two directories", rootEntry, otherEntry)
	}

	t.Run("a user who may not ask gets nothing", func(t *testing.T) {
		const identity = "arn:aws:iam::111122223333:user/nobody"
		c := h.aws.AddCredentials(identity, 0)
		h.aws.Deny(identity, "secretsmanager:GetSecretValue", "*")
		env := []string{"AWS_ACCESS_KEY_ID=" + c.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + c.SecretAccessKey}
		h.getFails(call{uid: other, env: env}, "secretsmanager:GetSecretValue", "nobody")
	})
	t.Run("the kernel refuses the key and the file", func(t *testing.T) {
		serial := serialOf(t, 0, rootEntry)
		for _, c := range []struct {
			args []string
			says string
		}{
			{probe("read", serial), "read: false permission denied"},
			{probe("walk", filepath.Base(rootEntry), "/run"), "search: required key not available"},
			{[]string{"sh", "-c", "cat " + rootEntry + " 2>&1 || true"}, "Permission denied"},
		} {
			r, err := rig.Cmd{Args: c.args, UID: other, Dir: h.dir}.Run(t.Context())
			if err != nil || !strings.Contains(r.Output, c.says) || strings.Contains(r.Output, "opened:") {
				t.Errorf("%v: %v, %q, want %q", c.args, err, r.Output, c.says)
			}
		}
		if r, err := (rig.Cmd{Args: probe("read", serial)}).Run(t.Context()); err != nil || !strings.Contains(r.Stdout, "read: true") {
			t.Errorf("root cannot read the key either (%v, %q), so this test shows nothing", err, r.Output)
		}
	})
}

// serialOf returns the serial number of an entry's key.
func serialOf(t *testing.T, uid int, entry string) string {
	t.Helper()
	for _, line := range keys(t, uid) {
		if strings.Contains(line, "secretref:"+id(entry)) {
			serial, err := strconv.ParseInt(strings.Fields(line)[0], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return strconv.FormatInt(serial, 10)
		}
	}
	t.Fatalf("no key of %s in the keyring of uid %d", entry, uid)
	return ""
}

// A login session has the user's keyring linked to its own; what systemd starts has a new one with nothing in it. Both
// share one cache, whoever comes first.
func TestSessions(t *testing.T) {
	for _, uid := range []int{0, other} {
		fresh := call{uid: uid, wrap: probe("session")}
		for _, c := range []struct {
			name   string
			writes call
			reads  call
		}{
			{"login, then service", call{uid: uid}, fresh},
			{"service, then login", fresh, call{uid: uid}},
			{"service, then another", fresh, fresh},
		} {
			t.Run(strconv.Itoa(uid)+", "+c.name, func(t *testing.T) {
				h := newHost(t, nil, "")
				h.get(c.writes, h.canary.Value())
				h.get(c.reads, h.canary.Value())
				h.calls(1)
				if state := h.explain(c.reads); !strings.HasPrefix(state, "a value version ") {
					t.Errorf("explain says of the cache: %s", state)
				}
				h.run(c.reads, registry, "erase")
				h.get(c.writes, h.canary.Value())
				h.calls(2)
			})
		}
	}
}

// A user whose quota is used up by others' keys has no cache, and the answers all the same.
func TestQuota(t *testing.T) {
	h := newHost(t, nil, "")
	full := call{uid: crowded, wrap: probe("fill")}
	for i := range 2 {
		h.get(full, h.canary.Value())
		h.calls(i + 1)
	}
	if left := h.entries(crowded); len(left) != 0 {
		t.Errorf("without a key there are the entries %v", left)
	}
	if r := h.run(full, "", "check", "--no-clients"); !strings.Contains(r.Stdout, "ok     registry "+registry) {
		t.Errorf("check says %q", r.Stdout)
	}
	// When there is room again, so is the cache. The kernel gives back a quota a moment after the keys have ended.
	n := 3
	await(t, "room for a key", func() bool {
		h.get(call{uid: crowded}, h.canary.Value())
		n++
		return len(h.entries(crowded)) == 1
	})
	h.calls(n)
	h.get(call{uid: crowded}, h.canary.Value())
	h.calls(n)
}
