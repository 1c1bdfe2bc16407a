package spool

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func isReady(ready chan struct{}) bool {
	select {
	case <-ready:
		return true
	case <-time.After(20 * time.Second):
		return false
	}
}

// A pipe says once that there is something in it, and only if it was asked.
func TestPoller(t *testing.T) {
	var p poller
	a, b := newFIFO(t), newFIFO(t)
	readyA, err := p.add(a.r.Fd())
	if err != nil {
		t.Fatal(err)
	}
	readyB, err := p.add(b.r.Fd())
	if err != nil {
		t.Fatal(err)
	}
	watch := func(f *fifo) {
		t.Helper()
		if err := p.watch(f.r.Fd()); err != nil {
			t.Fatal(err)
		}
	}
	a.write(t, []byte("nobody waits"))
	watch(b)
	b.write(t, []byte("x"))
	if !isReady(readyB) {
		t.Fatal("something is in the pipe, and nobody is told")
	}
	// Whatever the kernel had to say of a came before that.
	if len(readyA) > 0 {
		t.Error("told without having asked")
	}
	b.write(t, []byte("y"))
	watch(a)
	if !isReady(readyA) {
		t.Error("something was in the pipe before it was asked for, and nobody is told")
	}
	if len(readyB) > 0 {
		t.Error("told a second time")
	}
	_ = a.w.Close()
	watch(a)
	if !isReady(readyA) {
		t.Error("the writers are gone, and nobody is told")
	}
	if err := p.remove(a.r.Fd()); err != nil {
		t.Error(err)
	}
	if err := p.watch(a.r.Fd()); err == nil {
		t.Error("a pipe that was removed can be watched")
	}
	if err := p.remove(b.r.Fd()); err != nil || p.pipes != nil {
		t.Errorf("remove the last pipe: %v, and it waits for %v, want none", err, p.pipes)
	}
}

// Pipes come and go while others are told.
func TestPollerTogether(t *testing.T) {
	var p poller
	var all sync.WaitGroup
	for range 8 {
		f := newFIFO(t)
		all.Go(func() {
			for range 200 {
				ready, err := p.add(f.r.Fd())
				if err != nil {
					t.Error(err)
					return
				}
				_, err = f.w.WriteString("x")
				if err == nil {
					err = p.watch(f.r.Fd())
				}
				if err != nil || !isReady(ready) {
					t.Errorf("not told; %v", err)
				}
				if err := p.remove(f.r.Fd()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if p.pipes != nil {
		t.Error("it waits, and there is no pipe")
	}
}

func TestOpenFIFO(t *testing.T) {
	dir := t.TempDir()
	if f, err := OpenFIFO(filepath.Join(dir, "missing")); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v, %v", f, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, dir} {
		if f, err := OpenFIFO(path); err == nil || !strings.Contains(err.Error(), "not a FIFO") {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}
	p := newFIFO(t)
	if n, err := p.r.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("reading an empty pipe: %d, %v, want an error at once", n, err)
	}
	// The runtime's poller does not know it: that would take a deadline.
	if err := p.r.SetReadDeadline(time.Now()); err == nil {
		t.Error("the runtime's poller knows the pipe")
	}
}
