package fifo

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// gather is how long the poller lets pipes wait for each other: many quiet ones cost a wake-up together then, and not
// each its own. A line that comes into an empty pipe is read so much later, and is as safe there as in a file.
const gather = 10 * time.Millisecond

// failPause is the pause after a wait that has failed.
const failPause = 100 * time.Millisecond

// Poller tells the readers of FIFOs that there is something to read. A FIFO for which no reader waits wakes nobody; all
// FIFOs together hold one thread. The zero value is ready for use.
type Poller struct {
	Log *slog.Logger // nil means no log

	kernel kernel // nil means the system's own calls

	mu    sync.Mutex
	fifos map[int32]chan struct{} // by descriptor; nil means that the wait has not begun, and the fields below are not set
	epoll int                     // epoll(7)
	end   int                     // eventfd(2), which ends the wait
	done  chan struct{}           // closed when it has ended
}

// kernel is the calls of the poller that can fail for lack of files or memory.
type kernel interface {
	EpollCreate1(flag int) (int, error)
	Eventfd(initval uint, flags int) (int, error)
	EpollCtl(epoll, op, fd int, event *unix.EpollEvent) error
	EpollWait(epoll int, events []unix.EpollEvent, ms int) (int, error)
}

type linux struct{}

func (linux) EpollCreate1(flag int) (int, error)           { return unix.EpollCreate1(flag) }
func (linux) Eventfd(initval uint, flags int) (int, error) { return unix.Eventfd(initval, flags) }
func (linux) EpollCtl(epoll, op, fd int, e *unix.EpollEvent) error {
	return unix.EpollCtl(epoll, op, fd, e)
}
func (linux) EpollWait(epoll int, events []unix.EpollEvent, ms int) (int, error) {
	return unix.EpollWait(epoll, events, ms)
}

func (p *Poller) calls() kernel {
	if p.kernel == nil {
		return linux{}
	}
	return p.kernel
}

// Add makes a FIFO known. The channel has one element after Watch, once there is something to read or the writers are
// gone; now and then without a reason. An error passes: the caller can read at intervals and call Add again.
func (p *Poller) Add(fd uintptr) (ready <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fifos == nil {
		if err := p.open(); err != nil {
			return nil, err
		}
	}
	c := make(chan struct{}, 1)
	p.fifos[int32(fd)] = c
	if err := p.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLONESHOT); err != nil {
		delete(p.fifos, int32(fd))
		return nil, errors.Join(err, p.closeUnused())
	}
	return c, nil
}

// Watch asks for one element in the channel of the FIFO.
func (p *Poller) Watch(fd uintptr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.control(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN|unix.EPOLLONESHOT)
}

// Remove forgets a FIFO.
func (p *Poller) Remove(fd uintptr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fifos == nil {
		return os.ErrClosed
	}
	err := p.control(unix.EPOLL_CTL_DEL, fd, 0)
	delete(p.fifos, int32(fd))
	return errors.Join(err, p.closeUnused())
}

// Files returns how many files the poller itself has open.
func (p *Poller) Files() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fifos == nil {
		return 0
	}
	return 2
}

// control changes what is asked of one FIFO. Call it under mu.
func (p *Poller) control(op int, fd uintptr, events uint32) error {
	if p.fifos == nil {
		return os.ErrClosed
	}
	return p.calls().EpollCtl(p.epoll, op, int(fd), &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// open begins to wait. Call it under mu.
func (p *Poller) open() error {
	epoll, err := p.calls().EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("wait for log pipes: %w", err)
	}
	end, err := p.calls().Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return fmt.Errorf("wait for log pipes: %w", err)
	}
	if err := p.calls().EpollCtl(epoll, unix.EPOLL_CTL_ADD, end, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(end)}); err != nil {
		_, _ = unix.Close(epoll), unix.Close(end)
		return fmt.Errorf("wait for log pipes: %w", err)
	}
	p.epoll, p.end, p.fifos, p.done = epoll, end, map[int32]chan struct{}{}, make(chan struct{})
	go p.read(epoll, end, p.done) // closeUnused waits for it
	return nil
}

// closeUnused ends the wait with the last FIFO. Call it under mu.
func (p *Poller) closeUnused() error {
	if len(p.fifos) > 0 {
		return nil
	}
	_, err := unix.Write(p.end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	if err != nil {
		return err
	}
	p.fifos = nil
	done := p.done
	p.mu.Unlock()
	<-done
	p.mu.Lock()
	return nil
}

// read hands on what the kernel says, until end says something. It closes both files.
//
// While the wait fails, all readers look at their FIFOs at intervals: they are read, only later.
func (p *Poller) read(epoll, end int, done chan struct{}) {
	defer close(done)
	defer unix.Close(end)   //nolint:errcheck // nothing is written to it
	defer unix.Close(epoll) //nolint:errcheck // nor to it
	pause := time.NewTimer(gather)
	defer pause.Stop()
	events := make([]unix.EpollEvent, 256) // what does not fit comes with the next look
	failing := false
	for {
		n, err := p.calls().EpollWait(epoll, events, -1)
		next := gather
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			if !failing {
				p.log().Error("cannot wait for log pipes, reading them at intervals", "error", err)
			}
			failing, n, next = true, p.look(end, events), failPause
		case failing:
			failing = false
			p.log().Info("waiting for log pipes works again")
		}
		if slices.ContainsFunc(events[:max(n, 0)], func(e unix.EpollEvent) bool { return e.Fd == int32(end) }) {
			return
		}
		if failing {
			p.tellAll()
		} else {
			p.tell(events[:max(n, 0)])
		}
		pause.Reset(next)
		<-pause.C
	}
}

// look reads end without waiting, as an event if it says something.
func (p *Poller) look(end int, events []unix.EpollEvent) int {
	var b [8]byte
	if n, _ := unix.Read(end, b[:]); n == 0 || n < 0 {
		return 0
	}
	events[0] = unix.EpollEvent{Fd: int32(end)}
	return 1
}

func (p *Poller) log() *slog.Logger {
	if p.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return p.Log
}

func (p *Poller) tell(events []unix.EpollEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		wake(p.fifos[e.Fd]) // nil if it was forgotten meanwhile
	}
}

func (p *Poller) tellAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.fifos {
		wake(c)
	}
}

// wake puts one element into c. Nothing is sent to a nil channel.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
