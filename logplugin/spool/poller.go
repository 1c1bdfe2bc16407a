package spool

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotFIFO says that a file is something else.
var ErrNotFIFO = errors.New("it is not a FIFO")

// OpenFIFO opens the reading end of a FIFO for Drain, without waiting for a writer.
//
// The runtime's own poller does not know the file: that one is woken by each write into a pipe that it knows, whether
// somebody waits for it or not, and the daemon makes one write for each line. With it the wake-ups take more time than
// everything else that is done for a line, from the container as well.
func OpenFIFO(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "open", Path: path, Err: ErrNotFIFO}
	}
	// NewFile shows a file to the poller if it does not block at that moment.
	_ = unix.SetNonblock(fd, false)
	f := os.NewFile(uintptr(fd), path)
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// gather is how long the poller lets pipes wait for each other: many quiet ones cost a wake-up together then, and not
// each its own. A line that comes into an empty pipe is read so much later, and is as safe there as in a file.
const gather = 10 * time.Millisecond

// poller tells drains that there is something in their pipes. A pipe for which nobody waits wakes nobody; those that wait
// hold one thread all together.
type poller struct {
	mu    sync.Mutex
	pipes map[int32]chan struct{} // nil = nobody waits for any, and the rest is not there
	epoll int                     // epoll(7)
	end   int                     // eventfd(2), which ends the wait
	done  chan struct{}           // closed when it has ended
}

// add makes a pipe known. The channel has one element after watch, once there is something in the pipe or its writers are
// gone; now and then without a reason.
func (p *poller) add(fd uintptr) (ready chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pipes == nil {
		if err := p.open(); err != nil {
			return nil, err
		}
	}
	ready = make(chan struct{}, 1)
	p.pipes[int32(fd)] = ready
	if err := p.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLONESHOT); err != nil {
		delete(p.pipes, int32(fd))
		return nil, errors.Join(err, p.closeUnused())
	}
	return ready, nil
}

// watch asks for one element in the pipe's channel.
func (p *poller) watch(fd uintptr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.control(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN|unix.EPOLLONESHOT)
}

// remove forgets a pipe.
func (p *poller) remove(fd uintptr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.control(unix.EPOLL_CTL_DEL, fd, 0)
	delete(p.pipes, int32(fd))
	return errors.Join(err, p.closeUnused())
}

// control changes what is asked of one pipe. Call it under mu.
func (p *poller) control(op int, fd uintptr, events uint32) error {
	if p.pipes == nil {
		return os.ErrClosed
	}
	return unix.EpollCtl(p.epoll, op, int(fd), &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// open begins to wait. Call it under mu.
func (p *poller) open() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("wait for log pipes: %w", err)
	}
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, end, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(end)})
	}
	if err != nil {
		_, _ = unix.Close(epoll), unix.Close(end)
		return fmt.Errorf("wait for log pipes: %w", err)
	}
	p.epoll, p.end, p.pipes, p.done = epoll, end, map[int32]chan struct{}{}, make(chan struct{})
	go p.read(epoll, end, p.done) // closeUnused waits for it
	return nil
}

// closeUnused ends the wait with the last pipe. Call it under mu.
func (p *poller) closeUnused() error {
	if len(p.pipes) > 0 {
		return nil
	}
	_, err := unix.Write(p.end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	if err != nil {
		return err
	}
	p.pipes = nil
	done := p.done
	p.mu.Unlock()
	<-done
	p.mu.Lock()
	return nil
}

// read hands on what the kernel says, until end says something. It closes both files.
func (p *poller) read(epoll, end int, done chan struct{}) {
	defer close(done)
	defer unix.Close(end)   //nolint:errcheck // nothing is written to it
	defer unix.Close(epoll) //nolint:errcheck // nor to it
	pause := time.NewTimer(gather)
	defer pause.Stop()
	events := make([]unix.EpollEvent, 256) // what does not fit comes with the next look
	for {
		n, err := unix.EpollWait(epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			// Nothing but a fault of ours. A driver that is started again reads on; one that waits for ever does not.
			panic("wait for log pipes: " + err.Error())
		}
		if slices.ContainsFunc(events[:max(n, 0)], func(e unix.EpollEvent) bool { return e.Fd == int32(end) }) {
			return
		}
		p.tell(events[:max(n, 0)])
		pause.Reset(gather)
		<-pause.C
	}
}

func (p *poller) tell(events []unix.EpollEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		select {
		case p.pipes[e.Fd] <- struct{}{}: // nil, of which nothing is sent, if it was forgotten meanwhile
		default:
		}
	}
}
