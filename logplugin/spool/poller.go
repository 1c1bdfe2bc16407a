package spool

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

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
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.New("it is not a FIFO")}
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

// poller tells drains that there is something in their pipes. A pipe for which nobody waits wakes nobody, and one that
// waits holds no thread and no goroutine of its own here.
type poller struct {
	mu    sync.Mutex
	file  *os.File // of epoll(7), which the runtime's poller watches; nil while there is no pipe
	pipes map[int32]chan struct{}
	done  chan struct{} // closed when nobody reads file any more
}

// add makes a pipe known. The channel has one element after watch, once there is something in the pipe or its writers are
// gone; now and then without a reason.
func (p *poller) add(fd uintptr) (ready chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
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
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(ep uintptr) {
		failed = unix.EpollCtl(int(ep), op, int(fd), &unix.EpollEvent{Events: events, Fd: int32(fd)})
	})
	return errors.Join(err, failed)
}

// open makes the file and starts to read it. Call it under mu.
func (p *poller) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("wait for log pipes: %w", err)
	}
	_ = unix.SetNonblock(fd, true) // NewFile then shows it to the runtime's poller
	f := os.NewFile(uintptr(fd), "epoll")
	conn, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return err
	}
	p.file, p.pipes, p.done = f, map[int32]chan struct{}{}, make(chan struct{})
	go p.read(conn, p.done) // closeUnused waits for it
	return nil
}

// closeUnused closes the file with the last pipe. Call it under mu.
func (p *poller) closeUnused() error {
	if len(p.pipes) > 0 {
		return nil
	}
	err := p.file.Close()
	p.file = nil
	done := p.done
	p.mu.Unlock()
	<-done
	p.mu.Lock()
	return err
}

// read hands on what the kernel says, until the file is closed.
func (p *poller) read(conn syscall.RawConn, done chan struct{}) {
	defer close(done)
	events := make([]unix.EpollEvent, 64)
	look := func(ep uintptr) bool {
		n, err := unix.EpollWait(int(ep), events, 0)
		if err != nil || n <= 0 {
			return errors.Is(err, unix.EINTR)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, e := range events[:n] {
			select {
			case p.pipes[e.Fd] <- struct{}{}: // nil, of which nothing is sent, if it was forgotten meanwhile
			default:
			}
		}
		return true
	}
	for conn.Read(look) == nil {
	}
}
