package state_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/logplugin/state/statetest"
)

// passing are the failures that say nothing about a file.
var passing = []error{
	unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EIO, unix.ENOSPC, unix.EROFS, unix.EINTR, statetest.ShortWrite,
}

func session(file, container string) state.Session {
	return state.Session{
		File: file, ContainerID: container, Started: time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC),
		Options: options.Options{Router: "splunk", Plain: options.Plain{"splunk-url": "https://hec.example.com:8088"}, Tag: "web"},
	}
}

func open(t *testing.T, path string, fsys state.FS) *state.Dir {
	t.Helper()
	d, err := state.OpenFS(t.Context(), path, fsys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// files returns the files of all sessions that the next process finds.
func files(t *testing.T, path string) (list []string) {
	t.Helper()
	d := open(t, path, state.OS{})
	defer func() { _ = d.Close() }()
	all, err := d.Load()
	if err != nil || len(all.Damaged)+len(all.Unread) > 0 {
		t.Errorf("the next process: %v, %v, %v", all.Damaged, all.Unread, err)
	}
	for _, s := range all.Sessions {
		list = append(list, s.File)
	}
	return list
}

// A state file that cannot be read for lack of something is not damaged: it stays, is reported, and is read by the next
// Load.
func TestUnreadIsNotDamaged(t *testing.T) {
	for _, fault := range passing[:len(passing)-1] {
		for _, op := range []string{"open", "stat", "read"} {
			t.Run(fmt.Sprintf("%v at %s", fault, op), func(t *testing.T) {
				path := t.TempDir()
				d := open(t, path, state.OS{})
				for _, file := range []string{"/f/one", "/f/two"} {
					if err := d.Save(session(file, "c")); err != nil {
						t.Fatal(err)
					}
				}
				_ = d.Close()
				var fsys statetest.FS
				d = open(t, path, &fsys)
				one := state.ID("/f/one")
				fsys.Fail(func(_ int, o, name string) error {
					if o == op && strings.Contains(name, one) {
						return fault
					}
					return nil
				})
				all, err := d.Load()
				if err != nil || len(all.Damaged) != 0 || len(all.Sessions) != 1 || len(all.Unread) != 1 || all.Unread[0].ID != one || !errors.Is(all.Unread[0], fault) {
					t.Errorf("Load: %+v, %v; want one session, and one unread", all, err)
				}
				if !d.MayKnow(one) {
					t.Error("nothing is known of the session that cannot be read")
				}
				fsys.Fail(nil)
				all, err = d.Load()
				if err != nil || len(all.Sessions) != 1 || all.Sessions[0].File != "/f/one" || len(all.Damaged)+len(all.Unread) != 0 {
					t.Errorf("the second Load: %+v, %v; want the other session alone", all, err)
				}
			})
		}
	}
}

func TestDirectoryCannotBeRead(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, state.OS{})
	if err := d.Save(session("/f/one", "c")); err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
	var fsys statetest.FS
	d = open(t, path, &fsys)
	fsys.Fail(func(_ int, op, _ string) error {
		if op == "readdir" || op == "lstat" {
			return unix.EMFILE
		}
		return nil
	})
	if all, err := d.Load(); !errors.Is(err, unix.EMFILE) || len(all.Sessions) != 0 {
		t.Errorf("Load: %+v, %v", all, err)
	}
	if !d.MayKnow(state.ID("/f/two")) {
		t.Error("a directory that cannot be read knows no session")
	}
	fsys.Fail(nil)
	if all, err := d.Load(); err != nil || len(all.Sessions) != 1 {
		t.Errorf("the second Load: %+v, %v", all, err)
	}
	if d.MayKnow(state.ID("/f/two")) || !d.MayKnow(state.ID("/f/one")) {
		t.Error("MayKnow without a fault")
	}
}

// While the disk does not say, every container may have been accepted.
func TestAcceptedInDoubt(t *testing.T) {
	for _, fault := range passing[:len(passing)-1] {
		var fsys statetest.FS
		d := open(t, t.TempDir(), &fsys)
		if d.Accepted("c") {
			t.Fatal("accepted without Accept")
		}
		fsys.Fail(func(int, string, string) error { return fault })
		if !d.Accepted("c") {
			t.Errorf("%v: the container counts as never accepted", fault)
		}
		if err := d.Accept("new"); err == nil {
			t.Errorf("%v: Accept has no error", fault)
		}
		fsys.Fail(nil)
		if d.Accepted("c") || !d.Accepted("new") {
			t.Errorf("%v: accepted %v and %v, want false and true", fault, d.Accepted("c"), d.Accepted("new"))
		}
		if err := errors.Join(d.AcceptMissing(), d.Revoke("c")); err != nil || !d.Accepted("new") {
			t.Errorf("%v: accepted afterwards: %v, %v", fault, d.Accepted("new"), err)
		}
		if err := d.Revoke("new"); err != nil || d.Accepted("new") {
			t.Errorf("%v: after Revoke: %v, %v", fault, d.Accepted("new"), err)
		}
	}
}

// life is what a driver does with its state, each step again until it succeeds. It returns how often one failed.
func life(t *testing.T, path string, fsys *statetest.FS) (failures int) {
	t.Helper()
	d, err := state.OpenFS(t.Context(), path, fsys)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer func() { _ = d.Close() }()
	again := func(what string, step func() error) {
		t.Helper()
		for try := 0; ; try++ {
			err := step()
			if err == nil {
				return
			}
			if failures++; try == 3 {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	loaded := 0
	again("load", func() error {
		all, err := d.Load()
		for _, f := range all.Damaged {
			t.Errorf("damaged: %v", f)
		}
		if loaded += len(all.Sessions); err == nil && len(all.Unread) > 0 {
			err = all.Unread[0]
		}
		return err
	})
	if loaded != 1 {
		t.Errorf("loaded %d sessions, want 1", loaded)
	}
	again("save", func() error { return d.Save(session("/f/kept", "c1")) })
	again("save", func() error { return d.Save(session("/f/ended", "c2")) })
	again("accept", func() error { return d.Accept("c1") })
	again("remove", func() error { return d.Remove("/f/ended") })
	if !d.Accepted("c1") {
		t.Error("c1 is not accepted")
	}
	return failures
}

func TestFaultAtEveryCall(t *testing.T) {
	prepare := func(t *testing.T) (path string) {
		path = filepath.Join(t.TempDir(), "state")
		d := open(t, path, state.OS{})
		if err := errors.Join(d.Save(session("/f/before", "c0")), d.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var whole statetest.FS
	whole.Fail(nil)
	if n := life(t, prepare(t), &whole); n != 0 {
		t.Fatalf("%d failures without a fault", n)
	}
	for _, fault := range passing {
		for at := 1; at <= whole.Calls(); at++ {
			path := prepare(t)
			var fsys statetest.FS
			op := ""
			fsys.Fail(func(call int, o, _ string) error {
				if call == at {
					op = o
					return fault
				}
				return nil
			})
			life(t, path, &fsys)
			if got := files(t, path); !slices.Equal(got, []string{"/f/before", "/f/kept"}) {
				t.Errorf("%v at call %d (%s): left %q", fault, at, op, got)
			}
			d := open(t, path, state.OS{})
			if !d.Accepted("c1") {
				t.Errorf("%v at call %d (%s): the next process does not know that c1 was accepted", fault, at, op)
			}
			_ = d.Close()
		}
	}
}

// The first start on a full disk goes on without a directory, and takes it when there is space.
func TestOpenWithoutSpace(t *testing.T) {
	for _, fault := range []error{unix.ENOSPC, unix.EROFS, unix.EDQUOT, unix.EMFILE} {
		path := filepath.Join(t.TempDir(), "state")
		var fsys statetest.FS
		fsys.Fail(func(_ int, op, _ string) error {
			if op == "mkdir" || op == "open" {
				return fault
			}
			return nil
		})
		d := open(t, path, &fsys)
		if _, err := d.Load(); !errors.Is(err, fault) {
			t.Errorf("Load: %v, want %v", err, fault)
		}
		s := session("/f/one", "c")
		s.Number = d.Number()
		if err := d.Save(s); !errors.Is(err, fault) {
			t.Errorf("Save: %v, want %v", err, fault)
		}
		if d.Accepted("c") {
			t.Errorf("%v: without a directory a container counts as accepted", fault)
		}
		fsys.Fail(nil)
		if err := errors.Join(d.Save(s), d.Accept("c"), d.Close()); err != nil {
			t.Error(err)
		}
		if got := files(t, path); !slices.Equal(got, []string{"/f/one"}) {
			t.Errorf("%v: left %q", fault, got)
		}
	}
}

// Numbers grow from process to process, also when no session is left, and when an older version has had the directory in between, which
// writes its process number over the file.
func TestNumbers(t *testing.T) {
	path := t.TempDir()
	last := uint64(0)
	next := func(d *state.Dir) {
		t.Helper()
		n := d.Number()
		if n <= last {
			t.Errorf("number %d comes after %d", n, last)
		}
		last = n
	}
	for range 3 {
		d := open(t, path, state.OS{})
		for range 1500 {
			next(d)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	lock := filepath.Join(path, "lock")
	if b, err := os.ReadFile(lock); err != nil || !strings.HasPrefix(string(b[:16]), fmt.Sprintf("%d ", os.Getpid())) {
		t.Errorf("an older version reads %q, %v, and looks for the process number in the first 16 bytes", b, err)
	}
	if err := os.WriteFile(lock, []byte("123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, path, state.OS{})
	if _, err := d.Load(); err != nil {
		t.Fatal(err)
	}
	next(d)
}

func TestOrder(t *testing.T) {
	at := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	want := []state.Session{
		{File: "/f/c", Started: at},
		{File: "/f/a", Started: at.Add(time.Hour)},
		{File: "/f/b", Started: at.Add(time.Hour)},
		{File: "/f/x", Started: at.Add(-time.Hour), Number: 1}, // the clock has stepped back
		{File: "/f/d", Started: at.Add(-2 * time.Hour), Number: 2},
	}
	for i, a := range want {
		for k, b := range want {
			if a.Before(b) != (i < k) {
				t.Errorf("%s before %s: %v, want %v", a.File, b.File, a.Before(b), i < k)
			}
		}
	}
	path := t.TempDir()
	d := open(t, path, state.OS{})
	for _, i := range []int{3, 0, 4, 2, 1} {
		s := session(want[i].File, "c")
		s.Started, s.Number = want[i].Started, want[i].Number
		if err := d.Save(s); err != nil {
			t.Fatal(err)
		}
	}
	_ = d.Close()
	// Those without a number are of an older version that had the directory last.
	if got := files(t, path); !slices.Equal(got, []string{"/f/x", "/f/d", "/f/c", "/f/a", "/f/b"}) {
		t.Errorf("loaded in the order %q", got)
	}
}

// copyTree copies a recorded directory, with the modes that the driver gives.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if e.IsDir() {
			mode = 0o700
		}
		return os.Chmod(name, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a version without numbers has written loads whole, before all that is new.
func TestRecordedBeforeNumbers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	copyTree(t, filepath.Join("testdata", "before-numbers"), path)
	d := open(t, path, state.OS{})
	all, err := d.Load()
	if err != nil || len(all.Damaged)+len(all.Unread) != 0 || len(all.Sessions) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	a, b := all.Sessions[0], all.Sessions[1]
	if a.File != "/run/docker/logging/77aa" || b.File != "/run/docker/logging/4f81" || a.Number != 1 || b.Number != 2 {
		t.Errorf("sessions %s (%d), %s (%d)", a.File, a.Number, b.File, b.Number)
	}
	if b.Options.Router != "splunk" || b.Options.References["splunk-token"].String() == "" || b.Options.SpoolMaxBytes != 1<<30 || b.Options.Tag != "web" {
		t.Errorf("options %v", b.Options)
	}
	if !d.Accepted(a.ContainerID) {
		t.Error("its container counts as never accepted")
	}
	newer := session("/f/new", a.ContainerID)
	newer.Number = d.Number()
	newer.Started = a.Started.Add(-24 * time.Hour)
	if !b.Before(newer) {
		t.Error("a session of the version before comes after one that is new")
	}
}

// The markers' order is that in which containers were accepted, also when the clock steps back.
func TestMarkersAndTheClock(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, state.OS{})
	if err := d.Accept("old"); err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
	marker := func(id string) time.Time {
		t.Helper()
		st, err := os.Lstat(filepath.Join(path, "accepted", state.ID(id)))
		if err != nil {
			t.Fatal(err)
		}
		return st.ModTime()
	}
	later := time.Now().Add(time.Hour) // the clock was ahead, and was put right
	if err := os.Chtimes(filepath.Join(path, "accepted", state.ID("old")), later, later); err != nil {
		t.Fatal(err)
	}
	d = open(t, path, state.OS{})
	for _, id := range []string{"new", "newer"} {
		if err := d.Accept(id); err != nil {
			t.Fatal(err)
		}
	}
	if !marker("new").After(marker("old")) || !marker("newer").After(marker("new")) {
		t.Errorf("markers at %v, %v, %v; want them in order", marker("old"), marker("new"), marker("newer"))
	}
}
