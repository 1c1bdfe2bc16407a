package state

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/lines"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secretref"
)

const (
	fifo    = "/run/docker/logging/4f81"
	arn     = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf:token::"
	asChild = "STATE_TEST_DIR" // says that this process is to hold that directory until it is killed
)

func TestMain(m *testing.M) {
	path := os.Getenv(asChild)
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := Open(context.Background(), path); err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("open\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // its end, when the test is gone
}

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// load is Load where all can be read.
func load(d *Dir) ([]Session, []Failure, error) {
	all, err := d.Load()
	if err == nil && len(all.Unread) > 0 {
		err = all.Unread[0]
	}
	return all.Sessions, all.Damaged, err
}

// reopen closes d and returns the same directory as the next process has it.
func reopen(t *testing.T, d *Dir) *Dir {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, d.Path())
}

func session(t *testing.T, file string) Session {
	t.Helper()
	ref, err := secretref.Parse(arn)
	if err != nil {
		t.Fatal(err)
	}
	return Session{
		File: file, ContainerID: "0123456789abcdef", ContainerName: "/web", Started: time.Date(2026, 11, 23, 20, 0, 0, 123456789, time.UTC),
		Options: options.Options{
			Router: "splunk", Address: "https://hec.example.com:8088", Plain: options.Plain{"splunk-url": "https://hec.example.com:8088"},
			References: map[string]secretref.Ref{"splunk-token": ref}, Tag: "web/é<>", Attributes: map[string]string{"tier": "front", "EMPTY": ""},
			About:         router.About{Image: "nginx:1", Project: "shop", Service: "web", Swarm: true, ImageID: "sha256:0", Command: "/app x", Created: time.Date(2026, 11, 23, 19, 0, 0, 1, time.UTC)},
			Lines:         lines.Options{IncludePattern: " é", ExcludePattern: `\d`, MultilinePattern: "^x", MaxRate: "1k", MaxRateMode: "drop"},
			SpoolMaxBytes: 1 << 30, SecretFailure: options.SecretFailureStart,
		},
	}
}

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secretref", "state")
	d := open(t, path)
	second, first := session(t, fifo), session(t, fifo+"2")
	first.Started = first.Started.Add(-time.Hour)
	for _, s := range []Session{second, first, second} {
		if err := d.Save(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, path)
	got, damages, err := load(d)
	if err != nil || len(damages) != 0 {
		t.Fatalf("%v, damages %v", err, damages)
	}
	if want := []Session{first, second}; !reflect.DeepEqual(plain(got), plain(want)) {
		t.Errorf("loaded %v, want %v", plain(got), plain(want))
	}
	for range 2 {
		if err := d.Remove(fifo); err != nil {
			t.Error(err)
		}
	}
	_ = d.Close()
	d = open(t, path)
	if got, _, _ := load(d); len(got) != 1 || got[0].File != fifo+"2" {
		t.Errorf("after Remove: %v", plain(got))
	}
}

// plain makes sessions comparable, and printable with all that is in them.
func plain(sessions []Session) (list []any) {
	for _, s := range sessions {
		o := s.Options
		list = append(list, []any{
			s.File, s.ContainerID, s.ContainerName, s.Started.UnixNano(), o.Router, o.Address, map[string]string(o.Plain), o.References, o.Tag, o.Attributes,
			o.About, o.SpoolMaxBytes, o.SecretFailure,
		})
	}
	return list
}

// The format is what older and newer versions find on the disk.
func TestFormat(t *testing.T) {
	const want = `{
  "version": 1,
  "file": "/run/docker/logging/4f81",
  "containerId": "0123456789abcdef",
  "containerName": "/web",
  "started": "2026-11-23T20:00:00.123456789Z",
  "logDriver": "splunk",
  "address": "https://hec.example.com:8088",
  "options": {
    "splunk-url": "https://hec.example.com:8088"
  },
  "secretOptions": {
    "splunk-token": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf:token::"
  },
  "tag": "web/é\u003c\u003e",
  "attributes": {
    "EMPTY": "",
    "tier": "front"
  },
  "about": {
    "image": "nginx:1",
    "project": "shop",
    "service": "web",
    "swarm": true,
    "imageId": "sha256:0",
    "command": "/app x",
    "created": "2026-11-23T19:00:00.000000001Z"
  },
  "lines": {
    "includePattern": " é",
    "excludePattern": "\\d",
    "multilinePattern": "^x",
    "maxRate": "1k",
    "maxRateMode": "drop"
  },
  "spoolMaxBytes": 1073741824,
  "secretFailure": "start"
}
`
	got, err := encode(session(t, fifo))
	if err != nil || string(got) != want {
		t.Errorf("%v, %s, want %s", err, got, want)
	}
	newerKey := strings.Replace(want, `"version": 1,`, `"version": 1, "new": {"a": [1]},`, 1)
	if s, err := decode([]byte(newerKey)); err != nil || s.File != fifo {
		t.Errorf("with a key more: %v", err)
	}
}

func TestModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	if err := errors.Join(d.Save(session(t, fifo)), d.Accept("c1")); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if n++; err != nil || st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v, %v", p, st.Mode().Perm(), want, err)
		}
		return nil
	})
	if err != nil || n != 6 {
		t.Errorf("%d files and directories, %v", n, err)
	}
}

func TestSaveRefuses(t *testing.T) {
	d := open(t, t.TempDir())
	for name, change := range map[string]func(*Session){
		"no file":       func(s *Session) { s.File = "" },
		"relative file": func(s *Session) { s.File = "x" },
		"no container":  func(s *Session) { s.ContainerID = "" },
		"huge":          func(s *Session) { s.Options.Attributes["x"] = strings.Repeat("x", maxFile) },
	} {
		s := session(t, fifo)
		change(&s)
		if err := d.Save(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got, damages, err := load(d); len(got)+len(damages) != 0 || err != nil {
		t.Errorf("left: %v, %v, %v", got, damages, err)
	}
}

// A Save that fails leaves what was there.
func TestFailedSaveKeepsTheOld(t *testing.T) {
	d := open(t, t.TempDir())
	s := session(t, fifo)
	if err := d.Save(s); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.file(ID(fifo)+suffix+tempSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	s.ContainerName = "/other"
	if err := d.Save(s); err == nil {
		t.Error("no error")
	}
	d = reopen(t, d)
	if got, _, err := load(d); err != nil || len(got) != 1 || got[0].ContainerName != "/web" {
		t.Errorf("%v, %v", plain(got), err)
	}
}

func TestDamagedFilesAreSetAside(t *testing.T) {
	good, err := encode(session(t, fifo))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) []byte { return []byte(strings.Replace(string(good), old, new, 1)) }
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":            {nil, "not JSON"},
		"zeros":            {make([]byte, 4096), "not JSON"},
		"cut":              {good[:len(good)/2], "not JSON"},
		"zeros at the end": {append(good[:len(good):len(good)], make([]byte, 100)...), "not JSON"},
		"other JSON":       {[]byte(`[]`), "not JSON of the log driver"},
		"no version":       {replace(`"version": 1`, `"version": 0`), "not a state file"},
		"other types":      {replace(`"tag": "`, `"tag": 5, "x": "`), "not a state file"},
		"bad reference":    {replace(`splunk-AbCdEf:token::`, `splunk-AbCdEf:token`), "the reference for splunk-token"},
		"no file":          {replace(fifo, ""), "names no FIFO"},
		"another file":     {replace(fifo, fifo+"2"), "belongs to another name"},
		"too large":        {append([]byte(`{"x":"`), make([]byte, maxFile)...), "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir())
			other := session(t, fifo+"other")
			if err := d.Save(other); err != nil {
				t.Fatal(err)
			}
			file := d.file(ID(fifo) + suffix)
			if err := os.WriteFile(file, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			d = reopen(t, d)
			got, damages, err := load(d)
			if err != nil || len(got) != 1 || got[0].File != other.File {
				t.Errorf("loaded %v, %v", plain(got), err)
			}
			if len(damages) != 1 || !strings.Contains(damages[0].Error(), c.want) || damages[0].Name != file || strings.Contains(damages[0].Error(), "\n") {
				t.Errorf("damages %v, want %q", damages, c.want)
			}
			if b, err := os.ReadFile(file + DamagedSuffix); err != nil || len(b) != len(c.content) {
				t.Errorf("the file is not set aside: %v", err)
			}
			if _, damages, _ := load(d); len(damages) != 0 {
				t.Errorf("it is reported again: %v", damages)
			}
		})
	}
}

func TestWhatIsNoRegularFile(t *testing.T) {
	good, err := encode(session(t, fifo))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "good")
	if err := os.WriteFile(elsewhere, good, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(string) error{
		"symlink":   func(p string) error { return os.Symlink(elsewhere, p) },
		"FIFO":      func(p string) error { return unix.Mkfifo(p, 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"another user's": func(p string) error {
			return errors.Join(os.WriteFile(p, good, 0o600), os.Chown(p, 65534, 65534))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir())
			if err := make(d.file(ID(fifo) + suffix)); err != nil {
				t.Fatal(err)
			}
			if got, damages, err := load(d); err != nil || len(got) != 0 || len(damages) != 1 {
				t.Errorf("%v, %v, %v", got, damages, err)
			}
		})
	}
}

func TestNewerFilesStay(t *testing.T) {
	d := open(t, t.TempDir())
	file := d.file(ID(fifo) + suffix)
	if err := os.WriteFile(file, []byte(`{"version":2,"file":["new"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	// One that says which FIFO it is comes without options: somebody has to read it.
	other := fifo + "2"
	text := `{"version":2,"file":"` + other + `","containerId":"c","containerName":"/web","started":"2026-11-23T20:00:00Z","options":["new"]}`
	if err := os.WriteFile(d.file(ID(other)+suffix), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, damages, err := load(d)
	if err != nil || len(damages) != 2 || len(got) != 1 || got[0].File != other || got[0].ContainerID != "c" || got[0].Options.Router != "" {
		t.Errorf("%v, %v, %v; want the session of %s, and both files reported", got, damages, err, other)
	}
	if err := d.Remove(other); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d = reopen(t, d)
		if got, damages, err := load(d); err != nil || len(got) != 0 || len(damages) != 1 || !errors.Is(damages[0], errNewer) {
			t.Errorf("%v, %v, %v", got, damages, err)
		}
	}
	if _, err := os.Lstat(file); err != nil {
		t.Error(err)
	}
}

func TestHalfWrittenFilesGo(t *testing.T) {
	d := open(t, t.TempDir())
	temp := d.file(ID(fifo) + suffix + tempSuffix)
	if err := os.WriteFile(temp, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, damages, err := load(d); err != nil || len(got)+len(damages) != 0 {
		t.Errorf("%v, %v, %v", got, damages, err)
	}
	if _, err := os.Lstat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestBadDirectories(t *testing.T) {
	dir := t.TempDir()
	file, link, foreign := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "foreign")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(dir, link), os.Mkdir(foreign, 0o700), os.Chown(foreign, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"state": "begin with a slash", file: "not a directory", link: "is a symbolic link; set state_dir", foreign: "belongs to uid 65534",
	} {
		if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v, want %q", path, err, want)
		}
	}
}

func TestSecondProcessWaitsTenSeconds(t *testing.T) {
	path := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first := open(t, path)
		begin := time.Now()
		_, err := Open(t.Context(), path)
		if err == nil || !strings.Contains(err.Error(), "in use by another secretref-logdriver (process ") {
			t.Errorf("a second Open: %v", err)
		}
		if took := time.Since(begin); took != LockWait {
			t.Errorf("it waited %v, want %v", took, LockWait)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Open(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that ends: %v", err)
		}
		time.AfterFunc(3*time.Second, func() { _ = first.Close() })
		begin = time.Now()
		open(t, path)
		if took := time.Since(begin); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it waited %v for one that left after 3 s", took)
		}
	})
}

// The lock ends with the process, however that ends.
func TestKilledProcessLeavesTheDirectory(t *testing.T) {
	path := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), asChild+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatalf("%q, %v", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the other lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	open(t, path)
}

func TestReadOnlyFileSystem(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if err := errors.Join(d.Save(session(t, fifo)), d.Close()); err != nil {
		t.Fatal(err)
	}
	// A bind mount of the directory on itself, read-only, for this test alone.
	if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	d = open(t, path)
	if got, damages, err := load(d); err != nil || len(got) != 1 || len(damages) != 0 {
		t.Errorf("%v, %v, %v", plain(got), damages, err)
	}
	if err := d.Save(session(t, fifo)); !errors.Is(err, unix.EROFS) {
		t.Errorf("Save: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"file":"/f","containerId":"c","logDriver":"splunk","secretOptions":{"a":"/b:3"},"started":"2026-11-23T20:00:00Z"}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		if err != nil {
			return
		}
		text, err := encode(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(text)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		second, err := encode(again)
		if err != nil || string(second) != string(text) {
			t.Errorf("%v, %s, want %s", err, second, text)
		}
	})
}
