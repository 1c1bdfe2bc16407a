package fifo

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func isReady(ready <-chan struct{}) bool {
	select {
	case <-ready:
		return true
	case <-time.After(20 * time.Second):
		return false
	}
}

// A pipe says once that there is something in it, and only if it was asked.
func TestPoller(t *testing.T) {
	var p Poller
	a, b := newPair(t), newPair(t)
	readyA, err := p.Add(a.r.Fd())
	if err != nil {
		t.Fatal(err)
	}
	readyB, err := p.Add(b.r.Fd())
	if err != nil {
		t.Fatal(err)
	}
	watch := func(f *pair) {
		t.Helper()
		if err := p.Watch(f.r.Fd()); err != nil {
			t.Fatal(err)
		}
	}
	a.write(t, []byte("nobody waits"))
	watch(b)
	b.write(t, []byte("x"))
	if !isReady(readyB) {
		t.Fatal("something is in the pipe, and there is no callback")
	}
	// Whatever the kernel had to say of a came before that.
	if len(readyA) > 0 {
		t.Error("told without having asked")
	}
	b.write(t, []byte("y"))
	watch(a)
	if !isReady(readyA) {
		t.Error("something was in the pipe before it was asked for, and there is no callback")
	}
	if len(readyB) > 0 {
		t.Error("told a second time")
	}
	_ = a.w.Close()
	watch(a)
	if !isReady(readyA) {
		t.Error("the writers are gone, and there is no callback")
	}
	if err := p.Remove(a.r.Fd()); err != nil {
		t.Error(err)
	}
	if err := p.Watch(a.r.Fd()); err == nil {
		t.Error("a pipe that was removed can be watched")
	}
	if err := p.Remove(b.r.Fd()); err != nil || p.fifos != nil {
		t.Errorf("remove the last pipe: %v, and it waits for %v, want none", err, p.fifos)
	}
}

// Pipes come and go while others are told.
func TestPollerTogether(t *testing.T) {
	var p Poller
	var all sync.WaitGroup
	for range 8 {
		f := newPair(t)
		all.Go(func() {
			for range 200 {
				ready, err := p.Add(f.r.Fd())
				if err != nil {
					t.Error(err)
					return
				}
				_, err = f.w.WriteString("x")
				if err == nil {
					err = p.Watch(f.r.Fd())
				}
				if err != nil || !isReady(ready) {
					t.Errorf("not told; %v", err)
				}
				if err := p.Remove(f.r.Fd()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if p.fifos != nil {
		t.Error("it waits, and there is no pipe")
	}
}

// faulty fails the calls that fail says.
type faulty struct {
	linux
	fail func(call string) error
}

func (f faulty) EpollCreate1(flag int) (int, error) {
	if err := f.fail("create"); err != nil {
		return -1, err
	}
	return f.linux.EpollCreate1(flag)
}

func (f faulty) Eventfd(v uint, flags int) (int, error) {
	if err := f.fail("eventfd"); err != nil {
		return -1, err
	}
	return f.linux.Eventfd(v, flags)
}

func (f faulty) EpollCtl(epoll, op, fd int, e *unix.EpollEvent) error {
	if err := f.fail("ctl"); err != nil {
		return err
	}
	return f.linux.EpollCtl(epoll, op, fd, e)
}

func (f faulty) EpollWait(epoll int, events []unix.EpollEvent, ms int) (int, error) {
	if err := f.fail("wait"); err != nil {
		return -1, err
	}
	return f.linux.EpollWait(epoll, events, ms)
}

// A wait that fails keeps no FIFO waiting, and ends with the last FIFO.
func TestPollerWaitFails(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EINTR, unix.ENOMEM, unix.EBADF, unix.EINVAL} {
		t.Run(errno.Error(), func(t *testing.T) {
			var fails atomic.Int32
			fails.Store(3)
			p := Poller{kernel: faulty{fail: func(call string) error {
				if call == "wait" && fails.Add(-1) >= 0 {
					return errno
				}
				return nil
			}}}
			f := newPair(t)
			ready, err := p.Add(f.r.Fd())
			if err != nil {
				t.Fatal(err)
			}
			for range 5 { // with the fault, and after it
				f.write(t, []byte("x"))
				if err := p.Watch(f.r.Fd()); err != nil {
					t.Fatal(err)
				}
				if !isReady(ready) {
					t.Fatal("the reader is not told")
				}
			}
			fails.Store(1 << 20) // until the end
			f.write(t, []byte("x"))
			if err := p.Watch(f.r.Fd()); err != nil || !isReady(ready) {
				t.Fatalf("the reader is not told, %v", err)
			}
			if errno == unix.EINTR {
				fails.Store(0) // a loop without a pause, until then
			}
			if err := p.Remove(f.r.Fd()); err != nil || p.Files() != 0 {
				t.Errorf("remove the last FIFO: %v, %d files", err, p.Files())
			}
		})
	}
}

// For want of files a FIFO cannot be added; later it can. Nothing is left open.
func TestPollerCannotOpen(t *testing.T) {
	for _, call := range []string{"create", "eventfd", "ctl"} {
		fail := true
		p := Poller{kernel: faulty{fail: func(c string) error {
			if fail && c == call {
				return unix.EMFILE
			}
			return nil
		}}}
		f := newPair(t)
		before := openFiles(t)
		if _, err := p.Add(f.r.Fd()); !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s: Add = %v, want EMFILE", call, err)
		}
		if err := p.Watch(f.r.Fd()); err == nil {
			t.Errorf("%s: a FIFO that was not added can be watched", call)
		}
		if err := p.Remove(f.r.Fd()); err == nil {
			t.Errorf("%s: a FIFO that was not added can be removed", call)
		}
		if n := openFiles(t); n != before || p.Files() != 0 {
			t.Errorf("%s: %d files open, before %d", call, n, before)
		}
		fail = false
		ready, err := p.Add(f.r.Fd())
		if err != nil {
			t.Fatalf("%s: after the fault: %v", call, err)
		}
		f.write(t, []byte("x"))
		if err := p.Watch(f.r.Fd()); err != nil || !isReady(ready) {
			t.Errorf("%s: the reader is not told, %v", call, err)
		}
		if err := p.Remove(f.r.Fd()); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
}
