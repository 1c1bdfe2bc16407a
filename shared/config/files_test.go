package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// The owner checks need files of several owners.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run the tests of this package as root: they give files to other users")
	}
}

func chown(t *testing.T, path string, uid int) {
	t.Helper()
	if err := os.Chown(path, uid, -1); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

const (
	good     = "[registries.\"mapped.example.com\"]\nhelper = \"pass\"\n"
	stranger = 12345
	caller   = 23456
)

func TestUntrustedFiles(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, o *Options)
		file    string // base name that the error must point to
		want    []string
		all     bool // the error concerns every host
	}{
		{"file of a stranger", func(t *testing.T, o *Options) { chown(t, o.SystemFile, stranger) },
			"config.toml", []string{"belongs to uid 12345", "chown root"}, false},
		{"user's file of a stranger", func(t *testing.T, o *Options) { chown(t, o.UserFile, stranger) },
			"user.toml", []string{"belongs to uid 12345", "(uid 23456)"}, false},
		{"writable by group", func(t *testing.T, o *Options) { chmod(t, o.SystemFile, 0o664) },
			"config.toml", []string{"written by others (mode 0664)", "chmod go-w"}, false},
		{"writable by world", func(t *testing.T, o *Options) { chmod(t, o.UserFile, 0o646) },
			"user.toml", []string{"mode 0646"}, false},
		{"drop-in writable by world", func(t *testing.T, o *Options) { chmod(t, write(t, o.SystemDir, "x.toml", ""), 0o666) },
			"x.toml", []string{"mode 0666"}, false},
		{"directory writable by world", func(t *testing.T, o *Options) {
			write(t, o.SystemDir, "x.toml", "")
			chmod(t, o.SystemDir, 0o777)
		}, "conf.d", []string{"written by others (mode 0777)"}, false},
		{"directory of a stranger", func(t *testing.T, o *Options) {
			write(t, o.SystemDir, "x.toml", "")
			chown(t, o.SystemDir, stranger)
		}, "conf.d", []string{"belongs to uid 12345"}, false},
		{"link to a file of a stranger", func(t *testing.T, o *Options) {
			chown(t, relink(t, o.SystemFile, good), stranger)
		}, "config.toml", []string{"belongs to uid 12345"}, false},
		{"link into a directory of a stranger", func(t *testing.T, o *Options) {
			chown(t, filepath.Dir(relink(t, o.SystemFile, good)), stranger)
		}, "elsewhere", []string{"belongs to uid 12345"}, false},
		{"link to nothing", func(t *testing.T, o *Options) {
			if err := os.Remove(relink(t, o.SystemFile, good)); err != nil {
				t.Fatal(err)
			}
		}, "config.toml", []string{"cannot be read", "remove the link"}, true},
		{"link to itself", func(t *testing.T, o *Options) {
			if err := os.Remove(o.UserFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if err := os.Symlink(o.UserFile, o.UserFile); err != nil {
				t.Fatal(err)
			}
		}, "user.toml", []string{"cannot be read", "symbolic links"}, true},
		{"directory", func(t *testing.T, o *Options) { o.UserFile = filepath.Dir(o.UserFile) },
			"001", []string{"is a directory"}, true},
		{"drop-in is a directory", func(t *testing.T, o *Options) { write(t, o.SystemDir, "x.toml/y", "") },
			"x.toml", []string{"is a directory"}, true},
		{"FIFO", func(t *testing.T, o *Options) {
			if err := os.Remove(o.UserFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(o.UserFile, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "user.toml", []string{"not a regular file"}, true},
		{"too large", func(t *testing.T, o *Options) {
			write(t, filepath.Dir(o.SystemFile), "config.toml", good+strings.Repeat("#\n", 1<<19))
		}, "config.toml", []string{"larger than 1 MiB"}, true},
		{"the only file is missing", func(t *testing.T, o *Options) { o.OnlyFile = o.UserFile + ".missing" },
			"user.toml.missing", []string{"no such file", "SECRETREF_CONFIG"}, true},
		{"the only file is a stranger's", func(t *testing.T, o *Options) {
			o.OnlyFile = o.UserFile
			chown(t, o.UserFile, stranger)
		}, "user.toml", []string{"belongs to uid 12345"}, false},
		{"drop-ins are a file", func(t *testing.T, o *Options) { o.SystemDir = relinkLoop(t, o.SystemDir) },
			"conf.d", []string{"cannot be read"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := layout(t, map[string]string{"config.toml": good, "user.toml": good})
			o.EUID = caller
			chown(t, o.UserFile, caller)
			if _, err := Load(o); err != nil {
				t.Fatalf("before: %v", err)
			}
			c.prepare(t, &o)
			cfg, err := Load(o)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("Load = %+v, %v, want an *Error", cfg, err)
			}
			if filepath.Base(e.File) != c.file || e.Line != 0 {
				t.Errorf("points to %s, want %s: %v", e.Origin, c.file, err)
			}
			checkText(t, e, c.want...)
			if got := e.Concerns(host(t, "other.example.com")); got != c.all {
				t.Errorf("concerns an unmapped host: %v, want %v", got, c.all)
			}
			if !e.Concerns(host(t, "mapped.example.com")) {
				t.Error("does not concern the mapped host")
			}
		})
	}
}

// relink moves path's text into a directory of its own, behind a link, and returns where it is.
func relink(t *testing.T, path, text string) string {
	t.Helper()
	target := write(t, filepath.Dir(path), "elsewhere/real.toml", text)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	return target
}

func relinkLoop(t *testing.T, path string) string {
	t.Helper()
	if err := os.Symlink(path, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTrustedFiles(t *testing.T) {
	needRoot(t)
	for name, prepare := range map[string]func(t *testing.T, o *Options){
		"root's":           func(t *testing.T, o *Options) {},
		"the caller's":     func(t *testing.T, o *Options) { chown(t, o.SystemFile, caller) },
		"private":          func(t *testing.T, o *Options) { chmod(t, o.SystemFile, 0o600) },
		"read only":        func(t *testing.T, o *Options) { chmod(t, o.SystemFile, 0o444) },
		"link":             func(t *testing.T, o *Options) { relink(t, o.SystemFile, good) },
		"sticky directory": func(t *testing.T, o *Options) { chmod(t, filepath.Dir(o.SystemFile), 0o777|fs.ModeSticky) },
		"only file":        func(t *testing.T, o *Options) { o.OnlyFile = o.SystemFile },
		"user's, in a directory of a group": func(t *testing.T, o *Options) {
			o.UserFile, o.SystemFile = o.SystemFile, ""
			chmod(t, filepath.Dir(o.UserFile), 0o775)
		},
		"drop-ins below a file": func(t *testing.T, o *Options) { o.SystemDir = filepath.Join(o.SystemFile, "conf.d") },
		"user's below a file":   func(t *testing.T, o *Options) { o.UserFile = filepath.Join(o.SystemFile, "config.toml") },
	} {
		o := layout(t, map[string]string{"config.toml": good})
		o.EUID = caller
		prepare(t, &o)
		if c, err := Load(o); err != nil || len(c.Registries) != 1 {
			t.Errorf("%s: Load = %+v, %v, want one rule", name, c, err)
		}
	}
}

// Root reads everything, so the check runs on a thread that has given up that right. The thread ends with its
// goroutine.
func TestUnreadableFile(t *testing.T) {
	needRoot(t)
	for name, prepare := range map[string]func(o Options){
		"file":      func(o Options) { chmod(t, o.SystemFile, 0o600) },
		"drop-ins":  func(o Options) { chmod(t, o.SystemDir, 0o700) },
		"directory": func(o Options) { chmod(t, filepath.Dir(o.SystemFile), 0o700) },
	} {
		o := layout(t, map[string]string{"config.toml": good, "conf.d/x.toml": ""})
		o.EUID = caller
		chmod(t, filepath.Dir(filepath.Dir(o.SystemFile)), 0o755)
		prepare(o)
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			if err := syscall.Setfsuid(caller); err != nil {
				done <- err
				return
			}
			_, err := Load(o)
			done <- err
		}()
		err := <-done
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: Load gives %v, want an *Error of permission", name, err)
			continue
		}
		checkText(t, e, "cannot be read: permission denied", "chmod a+r")
		if !e.Concerns(host(t, "other.example.com")) {
			t.Errorf("%s: does not concern every host", name)
		}
	}
}

// A file that cannot be opened at the moment is not one that nobody wrote: that would make every registry anonymous.
func TestNoFileToSpare(t *testing.T) {
	o := layout(t, map[string]string{"config.toml": good, "conf.d/x.toml": "", "user.toml": ""})
	for name, o := range map[string]Options{
		"system":   {SystemFile: o.SystemFile, EUID: o.EUID},
		"drop-ins": {SystemDir: o.SystemDir, EUID: o.EUID},
		"user's":   {UserFile: o.UserFile, EUID: o.EUID},
		"only":     {OnlyFile: o.UserFile, EUID: o.EUID},
	} {
		err := withoutFiles(t, func() error { _, err := Load(o); return err })
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%s: Load without a file to spare = %v, want an *Error with EMFILE", name, err)
			continue
		}
		checkText(t, e, "cannot be read: too many open files")
		if !e.Concerns(host(t, "other.example.com")) {
			t.Errorf("%s: a file that cannot be opened does not concern every host", name)
		}
		if _, err := Load(o); err != nil {
			t.Errorf("%s: after it: %v", name, err)
		}
	}
}

// withoutFiles runs f while this process cannot open a file.
func withoutFiles(t *testing.T, f func() error) error {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	return f()
}

// A disk that cannot be read at the moment, or a file whose content comes with an error.
func TestUnreadableContent(t *testing.T) {
	_, err := Load(Options{OnlyFile: "/proc/self/mem", EUID: os.Geteuid()})
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, syscall.EIO) || !e.Concerns(host(t, "other.example.com")) {
		t.Errorf("Load = %v, want an *Error with EIO that concerns every host", err)
	}
}

// An error that passes while the file is read is not seen at all.
func TestPassingError(t *testing.T) {
	o := layout(t, map[string]string{"config.toml": good})
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	calls := 0
	err := withoutFiles(t, func() error {
		_, err := patiently(func() (*Config, error) {
			if calls++; calls == 3 {
				if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
					return nil, err
				}
			}
			f, err := os.Open(o.SystemFile)
			if err == nil {
				err = f.Close()
			}
			return nil, err
		})
		return err
	})
	if err != nil || calls != 3 {
		t.Errorf("after %d calls: %v, want the third to succeed", calls, err)
	}
	calls = 0
	if _, err := patiently(func() (int, error) { calls++; return 0, fs.ErrNotExist }); calls != 1 || err == nil {
		t.Errorf("an error that stays was tried %d times", calls)
	}
}
