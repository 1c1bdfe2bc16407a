package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	const max = 2000
	write := func(name string, size int) {
		if err := os.WriteFile(path(name), []byte(strings.Repeat("x", size)), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write("empty", 0)
	write("small", 10)
	write("full", max)
	write("large", max+1)
	for _, err := range []error{
		os.Symlink("small", path("link")), os.Symlink("nothing", path("dangling")), os.Symlink("loop", path("loop")),
		unix.Mkfifo(path("fifo"), 0o600), os.Mkdir(path("dir"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own, other := []int{os.Geteuid()}, []int{os.Geteuid() + 1}
	for _, c := range []struct {
		name string
		o    Options
		size int
		err  error
	}{
		{path("empty"), Options{}, 0, nil},
		{path("small"), Options{}, 10, nil},
		{path("small"), Options{Owners: own}, 10, nil},
		{path("small"), Options{Owners: other}, 0, ErrOwner},
		{path("full"), Options{NoFollow: true}, max, nil},
		{path("large"), Options{}, 0, ErrTooLarge},
		{path("link"), Options{}, 10, nil},
		{path("link"), Options{NoFollow: true}, 0, unix.ELOOP},
		{path("dangling"), Options{}, 0, fs.ErrNotExist},
		{path("loop"), Options{}, 0, unix.ELOOP},
		{path("fifo"), Options{}, 0, ErrNotRegular},
		{path("dir"), Options{}, 0, ErrNotRegular},
		{path("socket"), Options{}, 0, ErrNotRegular},
		{path("none"), Options{}, 0, fs.ErrNotExist},
		{path("small/x"), Options{}, 0, unix.ENOTDIR},
		{"/dev/zero", Options{}, 0, ErrNotRegular},
		{"/proc/self/status", Options{}, -1, nil},           // has no size
		{"/proc/kallsyms", Options{}, 0, ErrTooLarge},       // has no size and does not end soon
		{"/proc/self/mem", Options{}, 0, unix.EIO},          // opens, and cannot be read
		{path("small") + "\x00", Options{}, 0, unix.EINVAL}, // no such name can be
	} {
		c.o.Max = max
		f, err := Read(c.name, c.o)
		if !errors.Is(err, c.err) || c.err == nil && c.size >= 0 && len(f.Data) != c.size || c.size < 0 && len(f.Data) == 0 {
			t.Errorf("Read(%q, %+v) = %d bytes, %v, want %d bytes, %v", c.name, c.o, len(f.Data), err, c.size, c.err)
		}
		var pe *fs.PathError
		if c.err != nil && (!errors.As(err, &pe) || pe.Path != c.name || f.Data != nil) {
			t.Errorf("Read(%q) = %q, %v, want no data and an *fs.PathError that names it", c.name, f.Data, err)
		}
		if c.err == nil && strings.HasPrefix(c.name, dir) && (f.UID != os.Geteuid() || f.GID != os.Getegid() || f.Perm != 0o640) {
			t.Errorf("Read(%q) = uid %d, gid %d, mode %o", c.name, f.UID, f.GID, f.Perm)
		}
	}
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	if f, err := ReadAt(fd, "small", Options{Max: 10}); err != nil || len(f.Data) != 10 {
		t.Errorf("ReadAt = %d bytes, %v", len(f.Data), err)
	}
}

func TestErrorKinds(t *testing.T) {
	for _, c := range []struct {
		err                error
		missing, transient bool
	}{
		{unix.ENOENT, true, false},
		{unix.ENOTDIR, true, false},
		{unix.EACCES, false, false},
		{unix.ELOOP, false, false},
		{ErrTooLarge, false, false},
		{unix.EMFILE, false, true},
		{unix.ENFILE, false, true},
		{unix.ENOMEM, false, true},
		{unix.EINTR, false, true},
		{unix.EIO, false, true},
		{nil, false, false},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("read: %w", &fs.PathError{Op: "open", Path: "/x", Err: err})
		}
		if IsMissing(err) != c.missing || IsTransient(err) != c.transient {
			t.Errorf("%v: missing %v, transient %v, want %v, %v", err, IsMissing(err), IsTransient(err), c.missing, c.transient)
		}
	}
}
