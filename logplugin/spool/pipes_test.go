package spool

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/fifo"
	"github.com/secretref/secretref/shared/polltest"
)

func pipeSize(t *testing.T, f *os.File) int {
	t.Helper()
	n, err := unix.FcntlInt(f.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// newPipeSize makes a pipe as root does in a container, without the capabilities that free it from the limit.
func newPipeSize(t *testing.T) int {
	t.Helper()
	size := make(chan int)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		defer close(size)
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		if err := unix.Capget(&hdr, &caps[0]); err != nil {
			t.Error(err)
			return
		}
		caps[0].Effective &^= 1<<unix.CAP_SYS_RESOURCE | 1<<unix.CAP_SYS_ADMIN
		if err := unix.Capset(&hdr, &caps[0]); err != nil {
			t.Error(err)
			return
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		defer w.Close()
		n, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0)
		if err != nil {
			t.Error(err)
		}
		size <- n
	}()
	return <-size
}

// A busy pipe is enlarged, an idle one is small again, and all together stay within a quarter of what a user may have.
func TestPipesStaySmall(t *testing.T) {
	const sessions = 300 // 256 KiB for each would be more than root has on a host with the usual limit of 64 MiB
	st := newStore(t, Config{Dir: t.TempDir()})
	st.pipes.Idle = 2 * time.Second // longer than looking at all of them takes
	var pipes []*pair
	var spools []*Spool
	b := appendLines(nil, 0, 3000)
	for i := range sessions {
		s := open(st, fmt.Sprintf("%s/%d", st.cfg.Dir, i), Options{})
		p := newFIFO(t)
		p.write(t, b[:60<<10]) // before anybody reads: it is nearly full
		_ = startDrain(t, s, p)
		pipes, spools = append(pipes, p), append(spools, s)
	}
	large := 0
	for i, p := range pipes {
		await(t, spools[i], "all bytes", func(g Stats) bool { return g.End == 60<<10 })
		if n := pipeSize(t, p.w); n == fifo.LargePipe {
			large++
		} else if n != 64<<10 {
			t.Errorf("a pipe of %d bytes", n)
		}
	}
	if large == 0 || int64(large) > st.pipes.Limit()/fifo.LargePipe || st.Stats().PipeBytes > st.pipes.Limit() {
		t.Errorf("%d pipes are large, %+v, limit %d", large, st.Stats(), st.pipes.Limit())
	}
	if n := newPipeSize(t); n != 64<<10 {
		t.Errorf("a new pipe of root's in a container has %d bytes", n)
	}
	polltest.Until(t, 10*time.Second, "idle pipes are small", func() bool { return st.Stats().PipeBytes == 0 })
	for _, p := range pipes {
		if n := pipeSize(t, p.w); n != 64<<10 {
			t.Errorf("an idle pipe has %d bytes", n)
		}
	}
}

// A pipe that the reader before has left large counts, and becomes small.
func TestPipeFoundLarge(t *testing.T) {
	st := newStore(t, Config{Dir: t.TempDir()})
	st.pipes.Idle = 50 * time.Millisecond
	p := newFIFO(t)
	if _, err := unix.FcntlInt(p.w.Fd(), unix.F_SETPIPE_SZ, fifo.LargePipe); err != nil {
		t.Fatal(err)
	}
	s := open(st, st.cfg.Dir+"/one", Options{})
	defer shut(t, s)
	_ = startDrain(t, s, p)
	p.write(t, appendLines(nil, 0, 1))
	newReader(t, s).until(1)
	if n := st.Stats().PipeBytes; n != fifo.LargePipe && n != 0 {
		t.Errorf("%d bytes counted", n)
	}
	polltest.Until(t, 10*time.Second, "the pipe is small", func() bool { return pipeSize(t, p.w) == 64<<10 })
}
