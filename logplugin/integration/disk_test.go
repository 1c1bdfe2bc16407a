//go:build integration

package integration

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/logplugin/spool"
)

// disk is a small file system of its own.
type disk struct {
	t    *testing.T
	path string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{t, filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	d.mount(0)
	t.Cleanup(func() {
		// Lazily: the driver that is killed may not be gone yet.
		if err := unix.Unmount(d.path, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", d.path, err)
		}
	})
	return d
}

func (d *disk) mount(flags uintptr) {
	d.t.Helper()
	if err := unix.Mount("tmpfs", d.path, "tmpfs", flags, "size=64m,mode=700"); err != nil {
		d.t.Fatalf("mount %s: %v", d.path, err)
	}
}

// fill leaves no space.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(filepath.Join(d.path, "filler"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for chunk := bytes.Repeat([]byte{1}, 64<<10); ; {
		_, err := f.Write(chunk)
		if errors.Is(err, unix.ENOSPC) {
			if len(chunk) == 1 {
				return
			}
			chunk = chunk[:len(chunk)/2]
			continue
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *disk) free() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.path, "filler")); err != nil {
		d.t.Fatal(err)
	}
}

// mode waits until a container's spool is in one.
func (w *world) mode(name string, want spool.Mode) {
	w.t.Helper()
	until(w.t, 30*time.Second, name+" in mode "+string(want), func() bool {
		s := w.statusOf(name)
		return len(s) == 1 && s[0].Mode == want
	})
}

var missing = regexp.MustCompile(`^secretref: (\d+) lines are missing here: the spool was full$`)

// missing returns how many lines the router has been told are missing, and in how many records.
func (w *world) missing(name string) (lines, records int) {
	w.t.Helper()
	for _, text := range w.stream(name, "stderr").others {
		m := missing.FindStringSubmatch(text)
		if m == nil {
			w.t.Errorf("a line that the container has not written: %q", text)
			continue
		}
		n, _ := strconv.Atoi(m[1])
		lines, records = lines+n, records+1
	}
	return lines, records
}

// accounted wants every line to have arrived or to be counted as missing, in its place.
func (w *world) accounted(name string) {
	w.t.Helper()
	w.look()
	s := w.stream(name, "stdout")
	lost, records := w.missing(name)
	w.t.Logf("%s: %d lines, %d missing in %d records", name, s.lines, lost, records)
	// The line that says how many there are may be one of the missing.
	if all := s.lines + lost; all != s.end && (s.end >= 0 || all < s.next) || s.twice > 0 || s.jumps > records || s.lines == 0 {
		w.t.Errorf("%s: %d lines and %d that are said to be missing, want %d together; %d jumps, %d records, %d twice",
			name, s.lines, lost, s.end, s.jumps, records, s.twice)
	}
}

func TestFullDisk(t *testing.T) {
	d := newDisk(t)
	w := newWorld(t, worldOptions{state: filepath.Join(d.path, "state"), logs: "spool_min_free = \"1MiB\"\n"})

	w.step("router takes lines", func(t *testing.T) {
		w.run("disk-a", nil, "-pause", "500us", "-size", "200")
		w.talks("disk-a")
		w.mode("disk-a", spool.Splice)
		d.fill()
		w.mode("disk-a", spool.Memory)
		w.talks("disk-a")
		if s := w.statusOf("disk-a"); len(s) != 1 || s[0].LastError == "" {
			t.Errorf("status %+v, want an error that tells of the disk", s)
		} else {
			t.Log(s[0].LastError)
		}
		plain := timeCalls(t, w, "disk-plain", jsonFile, nil)
		compare(t, plain, timeCalls(t, w, "disk-calls", w.unnamed(), nil), 2*time.Second)
		d.free()
		w.mode("disk-a", spool.Splice)
		w.mustDocker("stop", "-t", "10", "disk-a")
		w.arrived("disk-a", time.Minute)
		w.gone()
		w.accounted("disk-calls") // it writes faster than lines are sent from what memory holds
	})
	w.step("router takes none", func(t *testing.T) {
		w.hec.FailAlways(&hectest.Fault{Code: 9})
		const n = 40000
		w.run("disk-b", nil, "-size", "200", "-n", strconv.Itoa(n/4), "-stay")
		w.mode("disk-b", spool.Splice)
		d.fill()
		w.run("disk-c", nil, "-size", "200", "-n", strconv.Itoa(n), "-stay")
		w.mode("disk-c", spool.Memory)
		until(t, 30*time.Second, "lines that are dropped", func() bool {
			s := w.statusOf("disk-c")
			return len(s) == 1 && s[0].DroppedLines > 0
		})
		w.mustDocker("stop", "-t", "10", "disk-c", "disk-b")
		w.hec.FailAlways(nil)
		d.free()
		w.gone()
		w.accounted("disk-b")
		w.accounted("disk-c")
		if lost, _ := w.missing("disk-c"); lost == 0 {
			t.Error("nothing was dropped, so this shows nothing")
		}
	})
	w.step("container that starts meanwhile", func(t *testing.T) {
		d.fill()
		w.run("disk-f", nil, "-pause", "500us")
		w.talks("disk-f")
		d.free()
		until(t, 30*time.Second, "the state on disk", func() bool {
			names, err := filepath.Glob(w.state + "/sessions/*.json")
			return err == nil && len(names) == 1
		})
		w.mode("disk-f", spool.Splice)
		w.end(syscall.SIGKILL)
		w.start()
		w.talks("disk-f")
		w.mustDocker("stop", "-t", "10", "disk-f")
		w.arrived("disk-f", time.Minute)
		w.gone()
	})
	w.step("read-only", func(t *testing.T) {
		w.run("disk-d", nil, "-pause", "500us")
		w.talks("disk-d")
		w.end(syscall.SIGTERM)
		d.mount(unix.MS_REMOUNT | unix.MS_RDONLY)
		w.launch() // nobody answers `status`: its socket is in the state directory
		w.talks("disk-d")
		w.run("disk-e", nil, "-n", "1000", "-stay")
		w.arrived("disk-e", 30*time.Second)
		d.mount(unix.MS_REMOUNT)
		w.answers()
		w.mode("disk-d", spool.Splice)
		w.mustDocker("stop", "-t", "10", "disk-d", "disk-e")
		w.arrived("disk-d", time.Minute)
		w.gone()
	})
}
