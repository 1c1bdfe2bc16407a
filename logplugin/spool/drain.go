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
)

var (
	errNext     = errors.New("the next segment is due")
	errLowSpace = errors.New("too little free space on the file system")
	errClosed   = errors.New("spool is closed")
)

// drain is one run of Drain. It belongs to its goroutine; an idle one waits for the poller and holds no thread.
type drain struct {
	s     *Spool
	ctx   context.Context // of the run; here because move is called without one
	f     *os.File
	conn  syscall.RawConn
	move  func(uintptr)   // d.tryMove, bound once
	watch func(uintptr)   // asks for ready, bound once
	ready <-chan struct{} // has one element when there is something in the pipe, if that was asked for
	n     int             // what came of move
	err   error
	at    time.Time // of the last move that has brought bytes
	timer *time.Timer
	pause time.Duration
	last  time.Time // of the last bytes
	pipe  fifo.Pipe

	memory  bool
	why     error     // of memory
	nextTry time.Time // to return to the disk
	nextCut time.Time // of a segment for want of space
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
	stopped := make(chan struct{})
	s.mu.Lock()
	switch {
	case s.closed:
		err = errClosed
	case s.stop != nil:
		err = fmt.Errorf("drain %s: spool %s has a drain already", f.Name(), s.dir)
	default:
		s.stop, s.stopped = cancel, stopped
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() {
		s.mu.Lock()
		s.stop, s.stopped = nil, nil
		orphan := s.orphan
		s.mu.Unlock()
		if orphan {
			s.release()
		}
		close(stopped)
	}()
	d := &drain{s: s, ctx: ctx, f: f, conn: conn, timer: time.NewTimer(time.Hour), last: time.Now()}
	defer d.timer.Stop()
	d.move = d.tryMove
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	return d.run()
}

// enter makes the pipe known to those who look after all of them.
func (d *drain) enter() error {
	var failed error
	err := d.conn.Control(func(fd uintptr) {
		d.pipe.Enter(d.s.store.pipes, fd)
		d.ready, failed = d.s.store.poller.Add(fd)
	})
	d.watch = func(fd uintptr) { d.err = d.s.store.poller.Watch(fd) }
	if err = errors.Join(err, failed); err != nil {
		d.pipe.Leave()
		return fmt.Errorf("drain %s: %w", d.f.Name(), err)
	}
	return nil
}

func (d *drain) leave() {
	_ = d.conn.Control(func(fd uintptr) { _ = d.s.store.poller.Remove(fd) })
	d.pipe.Leave()
}

func (d *drain) run() error {
	s := d.s
	s.mu.Lock()
	d.memory = s.inMemory
	s.mu.Unlock()
	for {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if err := d.conn.Control(d.move); err != nil {
			return fmt.Errorf("read log pipe %s: %w", d.f.Name(), err)
		}
		switch {
		case errors.Is(d.err, unix.EAGAIN) && d.isFast():
			d.slower()
			d.sleep()
		case errors.Is(d.err, unix.EAGAIN):
			if err := d.wait(); err != nil {
				return fmt.Errorf("wait for log pipe %s: %w", d.f.Name(), err)
			}
		case errors.Is(d.err, errNext):
			d.next()
		case d.err != nil && d.ctx.Err() == nil:
			d.leaveDisk(d.err)
		case d.err != nil:
		case d.n == 0:
			return nil
		default:
			s.wake()
			d.keepLimits()
			d.pace()
		}
	}
}

// tryMove moves what is in the pipe into the current segment. If the pipe is empty d.err is EAGAIN.
func (d *drain) tryMove(fd uintptr) {
	s := d.s
	s.out.Lock()
	defer s.out.Unlock()
	d.n, d.err = 0, nil
	g := s.cur
	if g == nil || g.size >= g.limit { // size changes only here
		d.err = errNext
		return
	}
	for {
		switch {
		case g.mem != nil:
			d.n, d.err = unix.Read(int(fd), g.mem[g.size:])
		default:
			d.n, d.err = d.toFile(int(fd), g)
		}
		if !errors.Is(d.err, unix.EINTR) {
			break
		}
	}
	if d.n <= 0 {
		return
	}
	d.at = time.Now()
	s.mu.Lock()
	if g.size == 0 {
		g.born = d.at
	}
	s.arrived(d.at)
	g.size += int64(d.n)
	s.end = g.end()
	s.version++
	s.moves++
	s.mu.Unlock()
	if g.mem == nil {
		s.count(int64(d.n), 0)
	}
}

// toFile moves bytes from the pipe to the file of g.
func (d *drain) toFile(fd int, g *segment) (int, error) {
	st := d.s.store
	if !st.enter(d.ctx) {
		return 0, d.ctx.Err()
	}
	defer st.leave()
	if st.CanSplice() {
		n, err := unix.Splice(fd, nil, int(g.f.Fd()), nil, int(g.limit-g.size), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if !errors.Is(err, unix.EINVAL) {
			return int(max(n, 0)), err
		}
		st.copies.Store(true)
		st.cfg.Log.Warn("the file system cannot splice: bytes on their way are lost if the driver is killed", "dir", d.s.dir)
	}
	return copyToFile(fd, g)
}

// copyToFile reads only what it can surely write: the bytes are in no pipe any more.
func copyToFile(fd int, g *segment) (int, error) {
	buf := walkBuffers.Get().(*[walkBytes]byte)
	defer walkBuffers.Put(buf)
	want := min(int64(len(buf)), g.limit-g.size)
	// Space first: a write that fails after the read has nowhere to put its bytes back.
	err := unix.Fallocate(int(g.f.Fd()), unix.FALLOC_FL_KEEP_SIZE, g.size, want)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return 0, err
	}
	n, err := unix.Read(fd, buf[:want])
	if n <= 0 || err != nil {
		return max(n, 0), err
	}
	return g.f.WriteAt(buf[:n], g.size)
}

// next makes the next segment the current one, on disk if that takes it, else in memory.
func (d *drain) next() {
	s := d.s
	if d.memory && time.Now().Before(d.nextTry) {
		d.nextChunk()
		return
	}
	err := d.nextFile()
	if d.ctx.Err() != nil {
		return
	}
	s.closeIdle()
	s.trim()
	if err != nil {
		d.leaveDisk(err)
		d.nextChunk()
		return
	}
	if d.memory {
		s.store.cfg.Log.Info("spool is back on disk", "dir", s.dir)
		d.memory = false
		s.mu.Lock()
		s.inMemory, s.lastErr = false, nil
		s.mu.Unlock()
	}
}

// nextFile makes a new file the current segment, after those that are still in memory.
func (d *drain) nextFile() error {
	s, st := d.s, d.s.store
	if st.low(false) {
		if st.makeRoom(); st.low(true) {
			return errLowSpace
		}
	}
	if !st.enter(d.ctx) {
		return d.ctx.Err()
	}
	defer st.leave()
	s.out.Lock()
	defer s.out.Unlock()
	// The current chunk stays if this fails: it may have room.
	if err := s.flushMemory(); err != nil {
		return err
	}
	g, err := s.newFile(s.nextBase())
	if err != nil {
		return err
	}
	s.setCurrent(g)
	return nil
}

// leaveDisk goes on in memory: the pipe is drained whatever the disk does. A chunk with room stays the current segment, for
// there may be many tries to return and few bytes between them.
func (d *drain) leaveDisk(err error) {
	s := d.s
	if !d.memory {
		s.store.cfg.Log.Error("spool goes on in memory: the disk does not take the log", "dir", s.dir, "error", err)
	}
	d.memory, d.why, d.nextTry = true, err, time.Now().Add(s.store.cfg.Retry)
	s.out.Lock()
	if !s.chunkHasRoom() {
		s.setCurrent(nil)
	}
	s.out.Unlock()
	s.mu.Lock()
	s.inMemory, s.lastErr = true, err
	s.mu.Unlock()
	s.closeIdle()
}

// nextChunk makes a segment in memory the current one, if that is none with room.
func (d *drain) nextChunk() {
	s := d.s
	s.out.Lock()
	defer s.out.Unlock()
	if s.chunkHasRoom() {
		return
	}
	s.setCurrent(nil)
	s.setCurrent(&segment{base: s.nextBase(), limit: chunkBytes, mem: make([]byte, chunkBytes), born: time.Now()})
	s.count(0, chunkBytes)
}

// chunkHasRoom tells whether the current segment is in memory and takes more. Call it under out.
func (s *Spool) chunkHasRoom() bool {
	return s.cur != nil && s.cur.mem != nil && s.cur.size < s.cur.limit
}

// nextBase is where the next segment begins. Call it under out.
func (s *Spool) nextBase() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// setCurrent makes g the current segment, nil = none. One that has got no bytes is removed. Call it under out.
func (s *Spool) setCurrent(g *segment) {
	s.mu.Lock()
	old := s.cur
	empty := old != nil && old.size == 0
	if empty {
		s.segs = s.segs[:len(s.segs)-1]
	}
	if g != nil {
		s.segs = append(s.segs, g)
	}
	s.cur = g
	s.mu.Unlock()
	if empty {
		s.discard(old)
	}
}

// keepLimits drops what is too much.
func (d *drain) keepLimits() {
	s, st := d.s, d.s.store
	for s.disk.Load() > s.opt.MaxBytes && s.drop(onDisk) {
	}
	if !d.memory {
		if st.disk.Load() > st.cfg.Total || st.low(false) {
			if st.makeRoom(); st.low(false) {
				d.leaveDisk(errLowSpace)
			}
		}
		return
	}
	tooMuch := func() bool {
		have := s.ram.Load()
		return have > s.opt.MemoryBytes || have > 2*chunkBytes && st.ram.Load() > st.cfg.Memory
	}
	if !tooMuch() {
		return
	}
	// The oldest is on disk, and may make room there. If it does not help, others fill the disk: do not feed them all.
	if now := time.Now(); isFull(d.why) && !now.Before(d.nextCut) && s.drop(onDisk) {
		d.nextCut, d.nextTry = now.Add(st.cfg.Retry), now
		d.next()
	}
	for tooMuch() && s.drop(inRAM) {
	}
}

// pace lets a busy pipe fill, so that many lines are moved by one call, but not so far that its writer has to wait.
func (d *drain) pace() {
	busy := d.at.Sub(d.last) < idleTime
	d.last = d.at
	d.s.last.Store(d.at.UnixNano())
	switch {
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

// isFast tells whether a pipe that is empty was nearly full a moment ago. The poller would tell too late when it fills again.
func (d *drain) isFast() bool { return d.pause <= fullPause && time.Since(d.last) < idleTime }

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

// wait returns when there may be something in the pipe, or something else is due and has been done.
func (d *drain) wait() error {
	due, ok := d.due()
	if ok {
		d.timer.Reset(time.Until(due))
		defer d.timer.Stop()
	}
	if err := d.conn.Control(d.watch); err != nil {
		return err
	}
	if d.err != nil {
		return d.err
	}
	select {
	case <-d.ready:
	case <-d.timer.C:
		d.idle()
	case <-d.ctx.Done():
	}
	return nil
}

// due returns when an idle drain has something to do.
func (d *drain) due() (at time.Time, ok bool) {
	if d.pipe.IsLarge() {
		at, ok = d.last.Add(d.s.store.pipes.Idle), true
	}
	if d.memory && (!ok || d.nextTry.Before(at)) {
		at, ok = d.nextTry, true
	}
	return at, ok
}

// idle does what is due.
func (d *drain) idle() {
	now := time.Now()
	if d.pipe.IsLarge() && now.Sub(d.last) >= d.s.store.pipes.Idle {
		_ = d.conn.Control(d.pipe.Shrink)
		d.last = now // if it did not work, not at once again
	}
	if d.memory && !now.Before(d.nextTry) {
		d.next()
	}
}
