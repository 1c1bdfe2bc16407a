package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/fifo"
)

// How long a drain lets a busy pipe fill before it moves the next bytes. One that has been idle is read at once.
const (
	maxPause  = 20 * time.Millisecond // the daemon holds a megabyte back before a container has to wait
	fullPause = 2 * time.Millisecond  // at most, once a pipe was half full
	minPause  = 250 * time.Microsecond
	idleTime  = 30 * time.Millisecond // after that a pipe is not busy
	lookPause = 50 * time.Millisecond // between looks at a pipe for which the poller cannot wait
)

var (
	errNext     = errors.New("the next segment is due")
	errLowSpace = errors.New("too little free space on the file system")
	errLoading  = errors.New("the spool is not loaded")
	errClosed   = errors.New("spool is closed")
)

// drain is one run of Drain. It belongs to its goroutine; an idle one waits for the poller and holds no thread. It has more
// fields than most because the state of the run, of the wait and of memory mode go with every pass of one loop.
type drain struct {
	s    *Spool
	ctx  context.Context // of the run; here because move is called without one
	f    *os.File
	conn syscall.RawConn
	pipe fifo.Pipe
	wait waiting

	move  func(uintptr) // d.tryMove, bound once
	n     int           // the result of move
	cut   bool          // the segment took no more: there is more in the pipe
	err   error         // of the file, or EAGAIN
	fatal error         // of the pipe

	timer *time.Timer
	pause time.Duration
	last  instant // of the last bytes
	disk  diskless
}

// waiting is how a drain waits for its pipe.
type waiting struct {
	watch func(uintptr)   // asks for ready, bound once
	ready <-chan struct{} // has one element when there is something in the pipe, if that was asked for; nil = look at intervals
	err   error           // of watch
}

// diskless is how long a drain goes on in memory.
type diskless struct {
	active  bool
	why     error
	nextTry instant // to return to the disk
	nextCut instant // of a segment for lack of space
}

// Drain moves what comes out of f, which fifo.Open has opened, into the spool, until every writer has closed it (nil), ctx
// ends, or f fails. It returns for no other reason: see the package comment. f stays open and is the caller's, who may
// call Drain again.
func (s *Spool) Drain(ctx context.Context, f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.beginDrain(cancel, f.Name()); err != nil {
		return err
	}
	defer s.endDrain()
	now := s.store.clock.Mono()
	d := &drain{s: s, ctx: ctx, f: f, conn: conn, timer: time.NewTimer(time.Hour), last: now}
	defer d.timer.Stop()
	d.move = d.tryMove
	d.wait.watch = func(fd uintptr) { d.wait.err = s.store.poller.Watch(fd) }
	d.disk.active, d.disk.nextCut = s.inRAM.Load() || !s.segs.isLoaded(), now
	d.disk.nextTry = now
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	return d.run()
}

// beginDrain makes this the only drain of the spool.
func (s *Spool) beginDrain(cancel context.CancelFunc, name string) error {
	s.life.mu.Lock()
	defer s.life.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case s.stop != nil:
		return fmt.Errorf("drain %s: spool %s has a drain already", name, s.segs.dir)
	}
	s.stop, s.stopped = cancel, make(chan struct{})
	return nil
}

func (s *Spool) endDrain() {
	s.life.mu.Lock()
	stopped, orphan := s.stopped, s.orphan
	s.stop, s.stopped = nil, nil
	s.life.mu.Unlock()
	if orphan {
		s.release()
	}
	close(stopped)
}

// enter makes the pipe known to those who look after all of them.
func (d *drain) enter() error {
	err := d.conn.Control(func(fd uintptr) { d.pipe.Enter(d.s.store.pipes, fd) })
	if err == nil {
		err = d.register()
	}
	if err != nil {
		d.pipe.Leave()
		return fmt.Errorf("drain %s: %w", d.f.Name(), err)
	}
	return nil
}

// register lets the poller wait for the pipe. For lack of files or memory the drain goes on without.
func (d *drain) register() error {
	var failed error
	err := d.conn.Control(func(fd uintptr) { d.wait.ready, failed = d.s.store.poller.Add(fd) })
	if err != nil {
		return err
	}
	if failed != nil && !isShortage(failed) {
		return failed
	}
	d.s.trouble.set(waitFIFO, failed)
	return nil
}

// unregister is register back.
func (d *drain) unregister() {
	if d.wait.ready != nil {
		_ = d.conn.Control(func(fd uintptr) { _ = d.s.store.poller.Remove(fd) })
		d.wait.ready = nil
	}
}

func (d *drain) leave() {
	d.unregister()
	d.pipe.Leave()
}

func (d *drain) run() error {
	for {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if err := d.conn.Control(d.move); err != nil {
			return fmt.Errorf("read log pipe %s: %w", d.f.Name(), err)
		}
		if d.n > 0 {
			d.s.wake()
			d.keepLimits()
			d.pace()
		}
		switch {
		case d.fatal != nil:
			return fmt.Errorf("read log pipe %s: %w", d.f.Name(), d.fatal)
		case errors.Is(d.err, unix.EAGAIN) && d.isFast():
			d.slower()
			d.sleep()
		case errors.Is(d.err, unix.EAGAIN):
			if err := d.await(); err != nil {
				return fmt.Errorf("wait for log pipe %s: %w", d.f.Name(), err)
			}
		case errors.Is(d.err, errNext):
			d.next()
		case d.err != nil && d.ctx.Err() == nil:
			d.leaveDisk(d.err)
		case d.err != nil, d.n > 0:
		default:
			return nil // every writer has closed it
		}
	}
}

// tryMove moves what is in the pipe into the current segment. If the pipe is empty d.err is EAGAIN. With bytes and an
// error, both count.
func (d *drain) tryMove(fd uintptr) {
	s := &d.s.segs
	s.out.Lock()
	defer s.out.Unlock()
	d.n, d.err, d.fatal, d.cut = 0, nil, nil, false
	g := s.cur
	switch {
	case g != nil && g.size < g.limit && g.mem != nil: // size changes only here
		d.n, d.err = d.read(fd, g.mem[g.size:])
		d.grow()
	case g != nil && g.size < g.limit:
		d.toFile(int(fd), g)
	case d.disk.active && d.s.store.clock.Mono() < d.disk.nextTry:
		d.toMemory(fd)
	default:
		d.err = errNext
	}
}

// grow counts the bytes that are in the current segment now.
func (d *drain) grow() {
	if d.n > 0 {
		now := d.s.store.clock.Mono()
		d.s.ledger.arrived(d.s.segs.last(), now)
		d.s.segs.grow(d.n, now)
		g := d.s.segs.cur
		d.cut = g.size >= g.limit
	}
}

// read reads the pipe into memory. An error other than EAGAIN is one of the pipe.
func (d *drain) read(fd uintptr, buf []byte) (int, error) {
	n, err := unix.Read(int(fd), buf)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Read(int(fd), buf)
	}
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		d.fatal = err
	}
	return max(n, 0), err
}

// toFile moves bytes from the pipe to the file of g.
func (d *drain) toFile(fd int, g *segment) {
	st := d.s.store
	if !st.io.enter(d.ctx) {
		d.err = d.ctx.Err()
		return
	}
	defer st.io.leave()
	if !g.writable { // it was idle
		if d.err = d.s.segs.reopenForWrite(g); d.err != nil {
			return
		}
	}
	if st.CanSplice() {
		n, err := g.f.Splice(fd, g.size, int(g.limit-g.size))
		if !errors.Is(err, unix.EINVAL) {
			d.n, d.err = n, err
			d.grow()
			return
		}
		st.copies.Store(true)
		st.cfg.Log.Warn("the file system cannot splice: bytes that are being moved are lost if the driver is killed", "dir", st.cfg.Dir)
	}
	d.copyToFile(uintptr(fd), g)
}

// copyToFile reads what fits and writes it. Bytes that have been read are in no pipe any more: what the file does not take
// goes to memory.
func (d *drain) copyToFile(fd uintptr, g *segment) {
	buf := walkBuffers.Get().(*[walkBytes]byte)
	defer walkBuffers.Put(buf)
	want := min(int64(len(buf)), g.limit-g.size)
	// Space first, so that a full disk leaves the bytes in the pipe.
	if err := g.f.Allocate(g.size, want); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		d.err = err
		return
	}
	n, err := d.read(fd, buf[:want])
	if n == 0 || err != nil {
		d.err = err
		return
	}
	written, err := g.f.WriteAt(buf[:n], g.size)
	d.n = written
	d.grow()
	if written < n {
		d.keep(buf[written:n])
		d.n = n
	}
	d.err = err
}

// next makes the next segment the current one, on disk if that takes it, else in memory.
func (d *drain) next() {
	s := d.s
	err := d.nextFile()
	if d.ctx.Err() != nil {
		return
	}
	s.segs.closeOthers(s.Taken())
	s.trim()
	if err != nil {
		d.leaveDisk(err)
		return
	}
	if d.disk.active {
		s.trouble.log().Info("spool is back on disk")
		d.disk.active = false
		s.inRAM.Store(false)
	}
	s.failed(useDisk, nil)
}

// nextFile makes a new file the current segment, after those that are still in memory.
func (d *drain) nextFile() error {
	s, st := d.s, d.s.store
	if !s.segs.isLoaded() {
		return errLoading // retry loads it
	}
	if st.space.low(false) {
		if st.makeRoom(); st.space.low(true) {
			return errLowSpace
		}
	}
	if !st.io.enter(d.ctx) {
		return d.ctx.Err()
	}
	defer st.io.leave()
	s.segs.out.Lock()
	defer s.segs.out.Unlock()
	// The current chunk stays if this fails: it may have room.
	if err := s.segs.flush(); err != nil {
		return err
	}
	return s.segs.newFile()
}

// pace lets a busy pipe fill, so that many lines are moved by one call, but not so far that its writer has to wait.
func (d *drain) pace() {
	now := d.s.store.clock.Mono()
	busy := now.sub(d.last) < idleTime
	d.last = now
	d.s.last.Store(int64(now))
	switch {
	case d.cut:
		busy = false
	case d.n >= d.pipe.Size/2:
		_ = d.conn.Control(d.pipe.Grow)
		d.pause = min(d.pause/2, fullPause)
	case d.n < d.pipe.Size/4:
		d.slower()
	}
	if busy {
		d.sleep()
	}
}

// isFast reports whether a pipe that is empty was nearly full a moment ago. The poller would say so too late when it fills
// again.
func (d *drain) isFast() bool {
	return d.pause <= fullPause && d.s.store.clock.Mono().sub(d.last) < idleTime
}

func (d *drain) slower() { d.pause = min(max(2*d.pause, minPause), maxPause) }

func (d *drain) sleep() {
	if d.pause < minPause {
		return
	}
	d.timer.Reset(d.pause)
	select {
	case <-d.timer.C:
	case <-d.ctx.Done():
	}
}

// await returns when there may be something in the pipe, or something else is due and has been done.
func (d *drain) await() error {
	if d.wait.ready == nil {
		if err := d.register(); err != nil {
			return err
		}
	}
	if d.wait.ready != nil {
		if err := d.conn.Control(d.wait.watch); err != nil {
			return err
		}
		if d.wait.err != nil {
			d.s.trouble.set(waitFIFO, d.wait.err)
			d.unregister()
		}
	}
	due, ok := d.due()
	if ok {
		d.timer.Reset(due)
		defer d.timer.Stop()
	}
	select {
	case <-d.wait.ready:
	case <-d.timer.C:
		d.idle()
	case <-d.ctx.Done():
	}
	return nil
}

// due returns in how long an idle drain has something to do.
func (d *drain) due() (in time.Duration, ok bool) {
	now := d.s.store.clock.Mono()
	in = time.Hour
	if d.pipe.IsLarge() {
		in, ok = d.last.add(d.s.store.pipes.Idle).sub(now), true
	}
	if d.disk.active {
		in, ok = min(in, d.disk.nextTry.sub(now)), true
	}
	if d.wait.ready == nil {
		in, ok = min(in, lookPause), true
	}
	return in, ok
}

// idle does what is due.
func (d *drain) idle() {
	now := d.s.store.clock.Mono()
	if d.pipe.IsLarge() && now.sub(d.last) >= d.s.store.pipes.Idle {
		_ = d.conn.Control(d.pipe.Shrink)
		d.last = now // if it did not work, not at once again
	}
	if d.disk.active && now >= d.disk.nextTry {
		d.next()
	}
}
